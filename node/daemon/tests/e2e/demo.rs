//! The demo, small.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use crate::world::{SOON, finish_within, folder, nothing_runs_in, starling, start, until};

/// A demo over a folder of files, with its temporary folder inside `root`.
fn demo(root: &Path, flags: &[&str]) -> Child {
    let (files, tmp) = (root.join("files"), root.join("tmp"));
    fs::create_dir(&files).unwrap();
    fs::create_dir(&tmp).unwrap();
    for n in 0..60 {
        fs::write(
            files.join(format!("file-{n}")),
            vec![n; 1_000 * usize::from(n)],
        )
        .unwrap();
    }
    let mut command = starling(&["demo", "--nodes", "3", "--tasks", "20", "--dir"]);
    start(command.arg(files).args(flags).env("TMPDIR", tmp))
}

async fn leaves_nothing(root: &Path) {
    nothing_runs_in(&root.join("tmp")).await;
    let left: Vec<_> = fs::read_dir(root.join("tmp")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn it_ends_by_itself_and_leaves_nothing() {
    let root = folder();
    let said = finish_within(demo(root.path(), &["--exit"]), Duration::from_secs(150)).await;
    leaves_nothing(root.path()).await;
    let text = said.ok();
    for part in [
        "60 files",
        "SIGKILL",
        "is held to be dead",
        "tasks ended there",
        "node-0",
        "(killed)",
        "kill to held to be dead",
        "60 of 60 files, 20 of 20 tasks: all right",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    for once in ["does not answer", "is held to be dead", "SIGKILL"] {
        assert!(
            text.matches(once).count() <= 1,
            "{once} more than once in\n{text}"
        );
    }
}

#[tokio::test]
async fn interrupted_in_the_middle_it_leaves_nothing() {
    let root = folder();
    let child = demo(root.path(), &[]);
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    let tmp = root.path().join("tmp");
    until("tasks run", SOON, async || {
        let running = crate::world::processes_in(&tmp);
        if running.len() >= 8 {
            Ok(())
        } else {
            Err(format!("{running:?}"))
        }
    })
    .await;
    kill_process(pid, Signal::INT).unwrap();
    let said = finish_within(child, SOON).await;
    assert_eq!(said.code, 130, "{said:?}");
    leaves_nothing(root.path()).await;
}
