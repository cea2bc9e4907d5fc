//! How tasks are stopped, and what happens to what they leave.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use starling_exec::Launch;
use starling_wire::Outcome;

use crate::world::{World, is_alive, key, kill, until};

const IGNORES_TERM: &str = "trap '' TERM; echo ready; while :; do sleep 0.01; done";

pub(crate) async fn a_stopped_task_ends_in_its_grace_or_is_killed() {
    let mut world = World::new().await;
    let (willing, stubborn, polite, frozen) = (0, 1, 2, 3);
    world.start(world.sh(willing, "echo ready; exec sleep 60"));
    world.start(Launch {
        grace_ms: 300,
        ..world.sh(stubborn, IGNORES_TERM)
    });
    let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    world.start(world.sh(polite, script));
    world.start(world.sh(frozen, "echo ready; kill -STOP $$; exit 0"));
    let mut pids = Vec::new();
    for index in [willing, stubborn, polite, frozen] {
        pids.push(world.started(index).await);
        world.output_of(index).await;
    }
    let begin = Instant::now();
    for index in [willing, stubborn, polite, frozen] {
        let (task, epoch) = key(index);
        world.executor().stop(task, epoch, Outcome::Stopped);
        world.executor().stop(task, epoch, Outcome::Stopped);
    }
    for index in [willing, polite, frozen] {
        assert_eq!(world.ended(index).await, Outcome::Stopped);
    }
    assert_eq!(world.ended(stubborn).await, Outcome::Stopped);
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert!(begin.elapsed() < Duration::from_secs(4));
    assert_eq!(world.output(polite), "ready\nbye\n");
    assert!(!pids.into_iter().any(is_alive));
    // Once more, after the end.
    world.executor().stop(key(0).0, 1, Outcome::Evicted);
    assert_eq!(world.run(world.sh(9, "exit 0")).await, Outcome::Exited(0));
    world.finish().await;
}

pub(crate) async fn the_stronger_word_wins() {
    let mut world = World::new().await;
    for (index, words) in [
        (0, [Outcome::Evicted, Outcome::Stopped]),
        (1, [Outcome::Stopped, Outcome::Evicted]),
        (2, [Outcome::Evicted, Outcome::Evicted]),
    ] {
        world.start(Launch {
            grace_ms: 100,
            ..world.sh(index, IGNORES_TERM)
        });
        world.output_of(index).await;
        let expected = words.iter().find(|word| **word == Outcome::Stopped);
        let expected = expected.unwrap_or(&Outcome::Evicted).clone();
        for word in words {
            world.executor().stop(key(index).0, 1, word);
        }
        assert_eq!(world.ended(index).await, expected);
    }
    world.finish().await;
}

pub(crate) async fn stopping_the_unknown_is_final() {
    let mut world = World::new().await;
    world.executor().stop(key(0).0, 1, Outcome::Stopped);
    assert_eq!(world.ended(0).await, Outcome::Stopped);
    // A start that was overtaken by its stop, asked for by a daemon without memory.
    world.disconnect();
    world.connect().await;
    world.start(world.sh(0, "echo ran"));
    assert_eq!(world.run(world.sh(1, "exit 0")).await, Outcome::Exited(0));
    assert_eq!(world.output(0), "");
    world.executor().acknowledge(vec![key(0), key(1), key(2)]);
    world.executor().acknowledge(vec![key(0)]);
    world.disconnect();
    world.connect().await;
    assert_eq!(world.held, []);
    world.finish().await;
}

pub(crate) async fn leftovers_of_the_group_die_with_the_task() {
    let mut world = World::new().await;
    let outcome = world.run(world.sh(0, "sleep 61 & echo $!; exit 5")).await;
    assert_eq!(outcome, Outcome::Exited(5));
    let leftover: u32 = world.output(0).trim().parse().unwrap();
    until(|| !is_alive(leftover)).await;
    world.finish().await;
}

pub(crate) async fn what_left_the_group_does_not_hold_up_the_end() {
    let mut world = World::new().await;
    let begin = Instant::now();
    let script = "setsid sh -c 'echo $$; touch gone; exec sleep 62' & \
                  until [ -e gone ]; do sleep 0.01; done; exit 6";
    assert_eq!(world.run(world.sh(0, script)).await, Outcome::Exited(6));
    assert!(begin.elapsed() < Duration::from_secs(5));
    let apart: u32 = world.output(0).trim().parse().unwrap();
    assert!(is_alive(apart));
    kill(apart);
    // The runner inherited it, and waits for it as well.
    until(|| !std::path::Path::new(&format!("/proc/{apart}")).exists()).await;
    world.finish().await;
}

pub(crate) async fn shutdown_evicts_and_ends_the_runner() {
    let mut world = World::new().await;
    world.start(world.sh(0, "echo ready; exec sleep 60"));
    world.start(Launch {
        grace_ms: 60_000,
        ..world.sh(1, IGNORES_TERM)
    });
    world.output_of(0).await;
    world.output_of(1).await;
    let runner = world.runner();
    let begin = Instant::now();
    world.executor().shutdown(Duration::from_millis(300)).await;
    assert!(begin.elapsed() < Duration::from_secs(3));
    assert!(!is_alive(runner));
    for index in [0, 1] {
        assert_eq!(world.ended(index).await, Outcome::Evicted);
    }
    // Nobody took note, so the next daemon is told.
    world.disconnect();
    world.connect().await;
    assert!(world.held.len() == 2 && world.runner() != runner);
    assert!(
        world
            .held
            .iter()
            .all(|held| held.ended == Some(Outcome::Evicted))
    );
    world.finish().await;
}

pub(crate) async fn sigterm_makes_the_runner_leave_in_order() {
    let mut world = World::new().await;
    world.start(world.sh(0, "echo ready; exec sleep 60"));
    let pid = world.started(0).await;
    world.output_of(0).await;
    let runner = world.runner();
    let process = Pid::from_raw(i32::try_from(runner).unwrap()).unwrap();
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT] {
        kill_process(process, signal).unwrap();
    }
    assert_eq!(world.run(world.sh(1, "exit 0")).await, Outcome::Exited(0));
    world.disconnect();
    kill_process(process, Signal::TERM).unwrap();
    until(|| !is_alive(runner)).await;
    assert!(!is_alive(pid));
    world.connect().await;
    let outcomes: Vec<_> = world
        .held
        .iter()
        .map(|held| held.ended.clone().unwrap())
        .collect();
    assert_eq!(outcomes, [Outcome::Evicted, Outcome::Exited(0)]);
    world.finish().await;
}
