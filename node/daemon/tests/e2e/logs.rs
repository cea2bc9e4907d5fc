//! Output of tasks, read from any node.

use tokio::io::AsyncReadExt;

use crate::world::{SOON, World, finish, until};

/// The constraint that puts a task onto a member.
fn on(at: usize) -> String {
    format!("name=node-{at}")
}

#[tokio::test]
async fn output_is_read_from_any_node() {
    let world = World::of(3).await;
    let script = "echo to out; echo to err >&2; printf 'no end of line'";
    for place in 0..3 {
        let args = ["--constraint", &on(place), "--", "sh", "-c", script];
        let job = world.submit(0, &args).await;
        world.over(0, &job).await;
        for at in 0..3 {
            let said = world.cli(at, &["logs", &job]).await;
            assert_eq!(said.out, "to out\nno end of line", "{said:?}");
            assert_eq!(said.err, "to err\n", "{said:?}");
            let said = world.cli(at, &["logs", "-f", &format!("{job}.0")]).await;
            assert_eq!(
                (said.code, said.out.as_str()),
                (0, "to out\nno end of line")
            );
        }
    }
    world.end().await;
}

#[tokio::test]
async fn the_last_lines_and_several_tasks() {
    let world = World::of(2).await;
    let job = world
        .submit(0, &["--count", "3", "--", "sh", "-c", "seq 1 500"])
        .await;
    world.over(0, &job).await;
    for at in 0..2 {
        let id = format!("{job}.1");
        assert_eq!(
            world.cli(at, &["logs", "--tail", "2", &id]).await.ok(),
            "499\n500\n"
        );
        assert_eq!(world.cli(at, &["logs", "--tail", "0", &id]).await.ok(), "");
        let whole = world.cli(at, &["logs", &id]).await.ok();
        assert_eq!(whole.lines().count(), 500);
        // Of several tasks each line tells whose it is.
        let all = world.cli(at, &["logs", "--tail", "1", &job]).await.ok();
        let mut lines: Vec<&str> = all.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines.len(), 3, "{all}");
        for (index, line) in lines.iter().enumerate() {
            assert!(
                line.starts_with(&index.to_string()) && line.ends_with("500"),
                "{all}"
            );
        }
    }
    let error = world.cli(0, &["logs", &format!("{job}.7")]).await.fails(1);
    assert!(error.contains("task"), "{error}");
    assert!(
        world
            .cli(0, &["logs", "zzzzz"])
            .await
            .fails(1)
            .contains("zzzzz")
    );
    world.end().await;
}

#[tokio::test]
async fn following_shows_what_comes_and_ends_with_the_task() {
    let world = World::of(2).await;
    let go = world.root().join("go");
    let script = format!(
        "echo first; until [ -e {} ]; do sleep 0.05; done; echo last",
        go.display()
    );
    let job = world
        .submit(0, &["--constraint", &on(1), "--", "sh", "-c", &script])
        .await;
    // From the start, before it runs, at the node where it does not.
    let mut following = world.spawn(0, &["logs", "-f", &job]);
    let mut first = [0; 6];
    let out = following.stdout.as_mut().unwrap();
    tokio::time::timeout(SOON, out.read_exact(&mut first))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&first, b"first\n");
    assert!(following.try_wait().unwrap().is_none());
    std::fs::write(&go, "").unwrap();
    assert_eq!(finish(following).await.ok(), "last\n");
    world.end().await;
}

#[tokio::test]
async fn a_followed_task_that_moves_is_followed_on() {
    let mut world = World::of(3).await;
    let go = world.root().join("go");
    let script = format!(
        "echo on $STARLING_NODE; until [ -e {} ]; do sleep 0.05; done; echo over",
        go.display()
    );
    let job = world
        .submit(
            0,
            &["--constraint", "name!=node-0", "--", "sh", "-c", &script],
        )
        .await;
    let mut following = world.spawn(0, &["logs", "-f", &job]);
    let mut line = [0; 10];
    let out = following.stdout.as_mut().unwrap();
    tokio::time::timeout(SOON, out.read_exact(&mut line))
        .await
        .unwrap()
        .unwrap();
    let first = String::from_utf8_lossy(&line).into_owned();
    let at = if first == "on node-1\n" { 1 } else { 2 };
    world.fleet.kill(at, false);
    let out = following.stdout.as_mut().unwrap();
    tokio::time::timeout(SOON, out.read_exact(&mut line))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&line),
        format!("on node-{}\n", 3 - at)
    );
    std::fs::write(&go, "").unwrap();
    assert_eq!(finish(following).await.ok(), "over\n");
    world.end().await;
}

#[tokio::test]
async fn bytes_that_are_no_text_come_through() {
    let world = World::of(2).await;
    let file = world.root().join("bytes");
    let bytes: Vec<u8> = (0..200_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(&file, &bytes).unwrap();
    let path = file.to_str().unwrap();
    let job = world
        .submit(0, &["--constraint", &on(1), "--", "cat", path])
        .await;
    world.over(0, &job).await;
    for at in 0..2 {
        assert!(
            world.cli(at, &["logs", &job]).await.bytes == bytes,
            "read at node-{at}"
        );
    }
    let said = world
        .cli(
            0,
            &["run", "--wait", "--constraint", &on(1), "--", "cat", path],
        )
        .await;
    assert!(said.bytes == bytes);
    world.end().await;
}

#[tokio::test]
async fn output_of_a_task_that_has_not_run_or_whose_node_is_gone() {
    let mut world = World::of(2).await;
    let ran = world
        .submit(0, &["--constraint", &on(1), "--", "echo", "hello"])
        .await;
    world.over(0, &ran).await;
    world.cli(0, &["drain", "node-1"]).await.ok();
    let waits = world
        .submit(0, &["--constraint", &on(1), "--", "true"])
        .await;
    let error = world.cli(0, &["logs", &waits]).await.fails(1);
    assert!(error.contains("has not run yet"), "{error}");
    world.keep_address(1).await;
    world.fleet.kill(1, true);
    let error = until("it is told who has the output", SOON, async || {
        let said = world.cli(0, &["logs", &ran]).await;
        if said.code == 1 {
            Ok(said.err)
        } else {
            Err(said.out)
        }
    })
    .await;
    assert!(error.contains("node-1"), "{error}");
    // It is still there when the node is back.
    world.boot(1).await;
    world.formed(2).await;
    until("the output is back", SOON, async || {
        let said = world.cli(0, &["logs", &ran]).await;
        if said.out == "hello\n" {
            Ok(())
        } else {
            Err(said.err)
        }
    })
    .await;
    world.cli(0, &["undrain", "node-1"]).await.ok();
    world.over(0, &waits).await;
    world.end().await;
}
