//! A disk that is full: submitting gets a clear error, the daemon lives, and goes on when there is
//! space again.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::world::{SOON, World, all_succeeded_once, is_root, program, skipped, until};

/// A small file system, unmounted when dropped.
struct Small(PathBuf);

impl Small {
    async fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        let said = program(
            "mount",
            &["-t", "tmpfs", "-o", &options, "tmpfs", at.to_str()?],
        )
        .await;
        (said.code == 0).then(|| Self(at.to_owned()))
    }

    /// Takes all that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).unwrap();
        for block in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; block]).is_ok() {}
        }
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: what still runs there is being killed.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_survived() {
    if !is_root() {
        return skipped("only root may mount a small file system");
    }
    let mut world = World::of(1).await;
    world.fleet.leave(0).await.unwrap();
    let dir = world.member(0).dir.clone();
    fs::remove_dir_all(&dir).unwrap();
    let Some(small) = Small::mount(&dir, "8m").await else {
        return skipped("no file system can be mounted here");
    };
    world.boot(0).await;
    let pid = world.member(0).pid();
    let before = world.submit(0, &["--", "true"]).await;
    world.over(0, &before).await;

    let ballast = small.fill();
    // Some pages may still be free in the store's file.
    let mut taken = Vec::new();
    let error = until("the disk is full", SOON, async || {
        let long = "x".repeat(30_000);
        let said = world
            .cli(0, &["run", "--", "sh", "-c", "true", &long])
            .await;
        if said.code == 0 {
            taken.push(said.out.trim().to_owned());
            return Err("the job was taken".to_owned());
        }
        Ok(said.fails(1))
    })
    .await;
    assert!(error.contains("disk") || error.contains("space"), "{error}");
    assert!(
        error.contains("free"),
        "it does not say what to do: {error}"
    );
    // It lives, and answers.
    world.cli(0, &["ps"]).await.ok();
    world.cli(0, &["nodes"]).await.ok();

    fs::remove_file(ballast).unwrap();
    let after = until("it takes jobs again", SOON, async || {
        let said = world.cli(0, &["run", "--", "true"]).await;
        if said.code == 0 {
            Ok(said.out.trim().to_owned())
        } else {
            Err(said.err)
        }
    })
    .await;
    all_succeeded_once(&world.over(0, &after).await, 1);
    for job in &taken {
        world.over(0, job).await;
    }
    assert_eq!(world.member(0).pid(), pid);
    // And everything acknowledged is on the disk.
    world.fleet.kill(0, false);
    world.boot(0).await;
    for job in taken.iter().chain([&before, &after]) {
        world.over(0, job).await;
    }
    world.fleet.leave(0).await.unwrap();
    drop(small);
    world.end().await;
}
