//! What the store promises, on real files.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use redb::{Database, TableDefinition};

use crate::{Batch, Store, StoreError};

/// Names the file to the child process of the kill test.
const CHILD_FILE: &str = "STARLING_STORE_TEST_CHILD";

fn put(key: &str, value: &str) -> Batch {
    vec![(key.into(), Some(value.into()))]
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(crate::FILE);
    (folder, path)
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let (_folder, path) = folder();
    let (store, saved) = Store::open(&path).unwrap();
    assert!(saved.is_empty());
    store.commit(put("b", "1")).await.unwrap();
    store.commit(put("a", "2")).await.unwrap();
    store.commit(vec![(b"b".to_vec(), None)]).await.unwrap();
    store.commit(vec![(b"b".to_vec(), None)]).await.unwrap();
    store.commit(put("c", "3")).await.unwrap();
    drop(store);
    let (_store, saved) = Store::open(&path).unwrap();
    let expected = [("a", "2"), ("c", "3")].map(|(k, v)| (k.into(), v.into()));
    assert_eq!(saved, expected);
}

#[tokio::test]
async fn one_process_and_one_handle_at_a_time() {
    let (_folder, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    assert!(error.to_string().contains("--data-dir"), "{error}");
    drop(store);
    assert!(Store::open(&path).is_ok());
}

#[test]
fn dropping_the_last_handle_commits_what_is_queued() {
    let (_folder, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    for n in 0..100 {
        let done = Arc::clone(&done);
        store.submit(put(&format!("{n:03}"), "x"), move |result| {
            result.unwrap();
            // In order.
            assert_eq!(done.fetch_add(1, Ordering::SeqCst), n);
        });
    }
    drop(store);
    assert_eq!(done.load(Ordering::SeqCst), 100);
    assert_eq!(Store::open(&path).unwrap().1.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_share_few_transactions() {
    let (_folder, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    let tasks: Vec<_> = (0..1000)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(put(&format!("{n}"), "x")).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let transactions = store.transactions();
    println!("1000 commits in {transactions} transactions");
    assert!(transactions < 250, "{transactions}");
}

#[test]
fn a_newer_file_is_refused_and_left_alone() {
    for clean in [true, false] {
        let (_folder, path) = folder();
        drop(Store::open(&path).unwrap());
        let database = Database::open(&path).unwrap();
        let write = database.begin_write().unwrap();
        let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
        write.open_table(meta).unwrap().insert("format", 2).unwrap();
        write.commit().unwrap();
        if clean {
            drop(database);
        } else {
            // As a killed process leaves it: copied while it is open.
            let copy = path.with_extension("copy");
            std::fs::copy(&path, &copy).unwrap();
            drop(database);
            std::fs::rename(&copy, &path).unwrap();
        }
        let before = std::fs::read(&path).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(
            matches!(error, StoreError::Newer { found: 2, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("newer version"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "clean: {clean}");
    }
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    for bytes in [b"hello".to_vec(), vec![7; 100_000]] {
        std::fs::write(&path, &bytes).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    // A database of somebody else's.
    std::fs::remove_file(&path).unwrap();
    drop(Database::create(&path).unwrap());
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_damaged_file_is_an_error_or_opens() {
    let (_folder, path) = folder();
    let (store, _) = Store::open(&path).unwrap();
    for n in 0..200 {
        store.submit(put(&format!("{n:03}"), &"x".repeat(500)), |r| r.unwrap());
    }
    drop(store);
    let good = std::fs::read(&path).unwrap();
    for cut in [1, 100, 4096, good.len() / 2] {
        std::fs::write(&path, &good[..good.len() - cut]).unwrap();
        let opened = std::panic::catch_unwind(|| Store::open(&path).map(|(_, saved)| saved.len()));
        assert!(opened.is_ok(), "cut by {cut}");
    }
}

#[test]
fn a_folder_that_is_missing_or_a_file_is_a_clear_word() {
    let (folder, _) = folder();
    let error = Store::open(&folder.path().join("no/state.redb")).unwrap_err();
    assert!(error.to_string().contains("no/state"), "{error}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(Store::open(&file.join("state.redb")).is_err());
}

#[test]
fn an_empty_file_becomes_a_store() {
    let (_folder, path) = folder();
    std::fs::write(&path, "").unwrap();
    std::fs::write(path.with_extension("new"), "half").unwrap();
    drop(Store::open(&path).unwrap());
    assert!(!path.with_extension("new").exists());
    assert!(Store::open(&path).is_ok());
}

/// Not a test of its own: what the kill test runs in another process.
#[test]
fn child_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD_FILE) else {
        return;
    };
    let (store, saved) = Store::open(Path::new(&path)).unwrap();
    for n in saved.len() / 2.. {
        // Two keys each, of which only both or none may survive.
        let mut batch = put(&format!("k{n:08}"), &"v".repeat(n % 700));
        batch.extend(put(&format!("pair{n:08}"), ""));
        let done = move |result: Result<(), StoreError>| {
            result.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "acknowledged {n}")
                .and_then(|()| out.flush())
                .unwrap();
        };
        store.submit(batch, done);
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn kill_9_loses_nothing_acknowledged() {
    let (_folder, path) = folder();
    let mut known = 0;
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::child_that_is_killed", "--nocapture"])
            .env(CHILD_FILE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (lines, acknowledged) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in out.lines() {
                let line = line.unwrap_or_default();
                let number = line.rsplit_once("acknowledged ").map(|(_, n)| n.parse());
                if let Some(Ok(number)) = number {
                    let _ = lines.send(number);
                }
            }
        });
        let first: usize = acknowledged.recv_timeout(Duration::from_secs(30)).unwrap();
        std::thread::sleep(Duration::from_millis(5 + 17 * round));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        reader.join().unwrap();
        let last = acknowledged.try_iter().last().unwrap_or(first);

        let (store, saved) = Store::open(&path).unwrap();
        drop(store);
        let keys = saved.iter().filter(|(key, _)| key[0] == b'k').count();
        let pairs = saved.iter().filter(|(key, _)| key[0] == b'p').count();
        assert_eq!(keys, pairs, "a batch was torn");
        assert!(keys > last, "{last} was acknowledged, {keys} are there");
        assert!(keys > known, "round {round} went on");
        known = keys;
    }
    println!("{known} batches survived ten kills");
}

#[tokio::test]
async fn a_full_disk_is_told_and_survived() {
    let mount = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"])
        .arg(mount.path())
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: a small file system can only be mounted as root");
        return;
    }
    let path = mount.path().join(crate::FILE);
    let outcome = tokio::spawn(async move {
        let (store, _) = Store::open(&path).unwrap();
        store.commit(put("before", "x")).await.unwrap();
        let ballast = path.with_extension("ballast");
        let filled = std::fs::write(&ballast, vec![1; 64 << 20]);
        assert!(filled.is_err(), "the disk is not small");
        let large = vec![(b"large".to_vec(), Some(vec![1; 8 << 20]))];
        for _ in 0..3 {
            let error = store.commit(large.clone()).await.unwrap_err();
            assert!(matches!(error, StoreError::DiskFull(_)), "{error:?}");
        }
        std::fs::remove_file(&ballast).unwrap();
        store.commit(put("after", "x")).await.unwrap();
        store.commit(large).await.unwrap();
        drop(store);
        let (_, saved) = Store::open(&path).unwrap();
        let keys: Vec<_> = saved.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [&b"after"[..], b"before", b"large"]);
    })
    .await;
    let _ = Command::new("umount").arg(mount.path()).status();
    outcome.unwrap();
}
