//! Daemons die, runners die, files spoil; tasks are held, found again or declared lost.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use starling_exec::ExecEvent;
use starling_wire::Outcome;

use crate::world::{SOON, World, is_alive, key, kill, until};

pub(crate) async fn tasks_outlive_the_daemon() {
    let mut world = World::new().await;
    world.start(world.sh(0, "echo ready; exec sleep 60"));
    world.start(world.sh(1, "until [ -e go ]; do sleep 0.01; done; echo late; exit 9"));
    assert_eq!(world.run(world.sh(2, "exit 2")).await, Outcome::Exited(2));
    let (pid, other) = (world.started(0).await, world.started(1).await);
    let runner = world.runner();
    world.disconnect();
    fs::write(world.work(1).join("go"), "").unwrap();
    until(|| !is_alive(other)).await;
    until(|| world.output(1) == "late\n").await;
    world.connect().await;
    assert!(world.runner() == runner && is_alive(pid));
    let held = |index: usize| &world.held[index];
    assert_eq!(
        (world.held.len(), held(0).pid, &held(0).ended),
        (3, pid, &None)
    );
    assert_eq!(held(1).ended, Some(Outcome::Exited(9)));
    assert_eq!(held(2).ended, Some(Outcome::Exited(2)));
    world.executor().acknowledge(vec![key(1), key(2)]);
    world.executor().stop(key(0).0, 1, Outcome::Evicted);
    assert_eq!(world.ended(0).await, Outcome::Evicted);
    world.finish().await;
}

pub(crate) async fn a_dead_runner_is_replaced_and_its_tasks_lost() {
    let mut world = World::new().await;
    // One that stays in its group, and one whose child has gone off on its own.
    world.start(world.sh(0, "echo ready; exec sleep 60"));
    world.start(world.sh(1, "setsid sh -c 'echo $$; exec sleep 60' & wait"));
    assert_eq!(world.run(world.sh(2, "exit 0")).await, Outcome::Exited(0));
    let pid = world.started(0).await;
    world.output_of(0).await;
    let apart: u32 = world.output_of(1).await.trim().parse().unwrap();
    let runner = world.runner();
    kill(runner);
    let lost = |event: &ExecEvent| (*event == ExecEvent::RunnerLost).then_some(());
    world.find(lost).await;
    assert_eq!(world.ended(0).await, Outcome::Lost);
    assert_eq!(world.ended(1).await, Outcome::Lost);
    assert!(!is_alive(pid) && !is_alive(apart) && world.runner() != runner);
    assert_eq!(world.run(world.sh(3, "exit 3")).await, Outcome::Exited(3));
    world.executor().acknowledge((0..4).map(key).collect());
    world.disconnect();
    world.connect().await;
    assert_eq!(world.held, []);
    world.finish().await;
}

pub(crate) async fn orphans_are_found_by_the_next_daemon() {
    let mut world = World::new().await;
    world.start(world.sh(0, "trap '' TERM; echo ready; while :; do sleep 0.01; done"));
    assert_eq!(world.run(world.sh(2, "exit 0")).await, Outcome::Exited(0));
    world.executor().acknowledge(vec![key(2)]);
    // What is asked for later is done later.
    assert_eq!(world.run(world.sh(1, "exit 8")).await, Outcome::Exited(8));
    let (pid, runner) = (world.started(0).await, world.runner());
    world.output_of(0).await;
    world.disconnect();
    kill(runner);
    until(|| !is_alive(runner)).await;
    assert!(is_alive(pid));
    world.connect().await;
    assert!(!is_alive(pid));
    let ends: Vec<_> = world
        .held
        .iter()
        .map(|held| (held.task, held.ended.clone()))
        .collect();
    let lost = (key(0).0, Some(Outcome::Lost));
    assert_eq!(ends, [lost, (key(1).0, Some(Outcome::Exited(8)))]);
    world.finish().await;
}

pub(crate) async fn garbage_on_the_socket_harms_nobody() {
    let mut world = World::new().await;
    world.start(world.sh(0, "echo ready; exec sleep 60"));
    world.output_of(0).await;
    let socket = world.dir().join("runner.sock");
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let runner = world.runner();
    for bytes in [
        &b"\xff\xff\xff\xff\xff"[..],
        b"\x09\x00\x00\x00\x01garbage!",
        b"\x02\0\0\0\x63\0",
    ] {
        let mut stranger = UnixStream::connect(&socket).unwrap();
        stranger.set_read_timeout(Some(SOON)).unwrap();
        let _ = stranger.write_all(bytes);
        let mut answer = Vec::new();
        // Closed, be it with a reset for what was not read.
        let _ = stranger.read_to_end(&mut answer);
        assert!(answer.len() < 10);
    }
    // A stranger takes the daemon's place for a moment; the daemon comes back by itself.
    assert_eq!(world.run(world.sh(1, "exit 1")).await, Outcome::Exited(1));
    world.executor().stop(key(0).0, 1, Outcome::Stopped);
    assert_eq!(world.ended(0).await, Outcome::Stopped);
    assert_eq!(world.runner(), runner);
    world.finish().await;
}

pub(crate) async fn an_idle_runner_leaves() {
    let mut world = World::with(|config| config.idle_exit = Duration::from_millis(50)).await;
    let runner = world.runner();
    world.start(world.sh(0, "until [ -e go ]; do sleep 0.01; done; exit 1"));
    world.started(0).await;
    world.disconnect();
    // As long as the task runs it stays, however long that is.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(is_alive(runner));
    fs::write(world.work(0).join("go"), "").unwrap();
    until(|| !is_alive(runner)).await;
    world.connect().await;
    assert_eq!(world.held[0].ended, Some(Outcome::Exited(1)));
    world.finish().await;
}

pub(crate) async fn a_spoilt_journal_is_survived() {
    let mut world = World::new().await;
    assert_eq!(world.run(world.sh(0, "exit 8")).await, Outcome::Exited(8));
    let runner = world.runner();
    world.disconnect();
    kill(runner);
    until(|| !is_alive(runner)).await;
    let path = world.dir().join("runner.log");
    fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(&[0x5a; 1000])
        .unwrap();
    world.connect().await;
    assert_eq!(world.held[0].ended, Some(Outcome::Exited(8)));
    let runner = world.runner();
    world.disconnect();
    kill(runner);
    until(|| !is_alive(runner)).await;
    fs::write(&path, [0xff; 5000]).unwrap();
    world.connect().await;
    assert_eq!(world.held, []);
    assert_eq!(world.run(world.sh(1, "exit 1")).await, Outcome::Exited(1));
    world.finish().await;
}
