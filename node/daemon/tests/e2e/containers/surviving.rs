//! Containers whose daemon, node or engine goes away for a while, or for good.

use starling_api::{JobRequest, TaskState};

use super::engine::{Door, Engine, docker, none_left};
use super::running::in_container;
use crate::world::{SOON, World, all_succeeded_once, until};

/// A task that notes each of its starts, and says something before and after a word is given.
fn patient(engine: &Engine, world: &World) -> JobRequest {
    let shared = world.root().join("shared");
    std::fs::create_dir_all(&shared).unwrap();
    let script = "echo $STARLING_EPOCH >> /shared/started; echo before; \
                  until [ -e /shared/go ]; do sleep 0.05; done; echo after; exit 7";
    JobRequest {
        volumes: vec![format!("{}:/shared", shared.display())],
        ..in_container(engine, script)
    }
}

async fn starts(world: &World, count: usize) {
    let file = world.root().join("shared/started");
    until("it notes its start", SOON, async || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if text.lines().count() == count {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
}

fn give_the_word(world: &World) {
    std::fs::write(world.root().join("shared/go"), "").unwrap();
}

#[tokio::test]
async fn a_killed_daemon_finds_its_containers_again() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let mut world = World::of(1).await;
    let node = engine.node(&world, 0).await;
    let job = world
        .client(0)
        .submit(&patient(&engine, &world))
        .await
        .unwrap();
    let id = format!("{}.0", job.job);
    starts(&world, 1).await;
    world.noted(0).await;
    world.fleet.kill(0, true);
    assert_eq!(Engine::containers(&node).len(), 1);
    world.boot(0).await;
    world
        .job_when(0, &job.job, |job| job.summary.running == 1)
        .await;
    give_the_word(&world);
    let over = world.over(0, &job.job).await;
    let task = &over.tasks[0];
    assert_eq!((task.exit_code, task.attempts), (Some(7), 1), "{task:?}");
    starts(&world, 1).await;
    assert_eq!(world.cli(0, &["logs", &id]).await.ok(), "before\nafter\n");
    none_left(&node).await;
    engine.end(world).await;
}

#[tokio::test]
async fn a_daemon_killed_amid_many_starts_leaves_none_over_and_none_out() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let mut world = World::of(1).await;
    let node = engine.node(&world, 0).await;
    let job = JobRequest {
        count: 16,
        restart: Some(starling_api::RestartPolicy::OnFailure),
        ..in_container(&engine, "echo $STARLING_INDEX; sleep 0.2")
    };
    let job = world.client(0).submit(&job).await.unwrap().job;
    world.job_when(0, &job, |job| job.summary.over() >= 3).await;
    world.fleet.kill(0, true);
    world.boot(0).await;
    let over = world.over(0, &job).await;
    all_succeeded_once(&over, 16);
    for task in &over.tasks {
        let said = world.cli(0, &["logs", &task.id]).await.ok();
        assert_eq!(said, format!("{}\n", task.index));
    }
    none_left(&node).await;
    engine.end(world).await;
}

#[tokio::test]
async fn an_end_that_no_daemon_saw_is_told_by_the_next_one() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let mut world = World::of(1).await;
    let node = engine.node(&world, 0).await;
    let job = world
        .client(0)
        .submit(&patient(&engine, &world))
        .await
        .unwrap();
    starts(&world, 1).await;
    world.noted(0).await;
    world.fleet.kill(0, true);
    give_the_word(&world);
    let name = Engine::containers(&node).remove(0);
    assert_eq!(docker(&["wait", &name]).unwrap().trim(), "7");
    world.boot(0).await;
    let over = world.over(0, &job.job).await;
    assert_eq!(over.tasks[0].exit_code, Some(7), "{over:?}");
    let said = world.cli(0, &["logs", &format!("{}.0", job.job)]).await;
    assert_eq!(said.ok(), "before\nafter\n");
    starts(&world, 1).await;
    engine.end(world).await;
}

#[tokio::test]
async fn a_stop_that_no_daemon_saw_the_end_of_is_a_stop() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let mut world = World::of(1).await;
    let node = engine.node(&world, 0).await;
    let script = "trap 'echo told; until [ -e /shared/go ]; do sleep 0.05; done; exit 9' TERM; \
                  echo up > /shared/started; while :; do sleep 0.05; done";
    let job = JobRequest {
        command: vec!["sh".into(), "-c".into(), script.into()],
        grace: Some("60s".into()),
        ..patient(&engine, &world)
    };
    let job = world.client(0).submit(&job).await.unwrap().job;
    starts(&world, 1).await;
    world.noted(0).await;
    world.cli(0, &["stop", &job]).await.ok();
    until("it was told to end", SOON, async || {
        let said = world.cli(0, &["logs", &job]).await.ok();
        if said == "told\n" { Ok(()) } else { Err(said) }
    })
    .await;
    world.fleet.kill(0, true);
    give_the_word(&world);
    let name = Engine::containers(&node).remove(0);
    assert_eq!(docker(&["wait", &name]).unwrap().trim(), "9");
    world.boot(0).await;
    let over = world.over(0, &job).await;
    assert_eq!(over.tasks[0].state, TaskState::Stopped, "{over:?}");
    engine.end(world).await;
}

#[tokio::test]
async fn a_dead_node_s_container_runs_elsewhere_and_its_orphan_goes() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let mut world = World::of(3).await;
    world.keep_address(2).await;
    let dead = engine.node(&world, 2).await;
    let job = JobRequest {
        constraints: vec!["name in (node-1, node-2)".into()],
        ..patient(&engine, &world)
    };
    // Only the one that is to die takes it.
    world.cli(0, &["drain", "node-1"]).await.ok();
    let job = world.client(0).submit(&job).await.unwrap().job;
    starts(&world, 1).await;
    world
        .job_when(0, &job, |job| job.summary.running == 1)
        .await;
    world.cli(0, &["undrain", "node-1"]).await.ok();
    world.noted(2).await;
    world.fleet.kill(2, true);
    // The engine lives on, as that of a node that was cut off does.
    assert_eq!(Engine::containers(&dead).len(), 1);
    starts(&world, 2).await;
    let moved = world
        .job_when(0, &job, |job| {
            let task = &job.tasks[0];
            let there = task.node.as_ref().is_some_and(|node| node.name == "node-1");
            there && task.state == TaskState::Running
        })
        .await;
    assert_eq!(moved.tasks[0].moves, 1, "{moved:?}");
    let successor = engine.node(&world, 1).await;
    assert_eq!(Engine::containers(&successor).len(), 1);
    world.boot(2).await;
    none_left(&dead).await;
    assert_eq!(Engine::containers(&successor).len(), 1);
    give_the_word(&world);
    let over = world.over(0, &job).await;
    assert_eq!(over.tasks[0].exit_code, Some(7), "{over:?}");
    starts(&world, 2).await;
    engine.end(world).await;
}

#[tokio::test]
async fn an_engine_that_comes_back_in_time_is_forgiven() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let folder = crate::world::folder();
    let mut door = Door::new(folder.path());
    let world = World::with(1, &["--docker-host", door.path()]).await;
    let node = engine.node(&world, 0).await;
    let job = world
        .client(0)
        .submit(&patient(&engine, &world))
        .await
        .unwrap()
        .job;
    starts(&world, 1).await;
    world
        .job_when(0, &job, |job| job.summary.running == 1)
        .await;
    door.close().await;
    // The node says itself that it runs no containers now.
    world
        .node_when(0, "node-0", SOON, |node| node.containers.is_none())
        .await;
    let refused = world
        .cli(0, &["run", "--image", &engine.image, "--", "true"])
        .await;
    let refused = refused.fails(1);
    assert!(refused.contains("cannot run containers"), "{refused}");
    door.open();
    world
        .node_when(0, "node-0", SOON, |node| node.containers.is_some())
        .await;
    give_the_word(&world);
    let over = world.over(0, &job).await;
    assert_eq!(over.tasks[0].exit_code, Some(7), "{over:?}");
    starts(&world, 1).await;
    let said = world.cli(0, &["logs", &job]).await;
    assert_eq!(said.ok(), "before\nafter\n");
    none_left(&node).await;
    engine.end(world).await;
}

#[tokio::test]
async fn others_containers_are_left_alone() {
    let Some(engine) = Engine::get() else { return };
    let mut world = World::of(1).await;
    let names = ["stranger", "neighbour"].map(|name| format!("{name}-{}", std::process::id()));
    let label = "--label=starling.node=another-node";
    for (name, label) in names.iter().zip(["--label=x=y", label]) {
        let image = &engine.image;
        docker(&["run", "-d", "--name", name, label, image, "sleep", "600"]).unwrap();
    }
    world.fleet.kill(0, true);
    world.boot(0).await;
    let job = JobRequest {
        count: 2,
        ..in_container(&engine, "exit 0")
    };
    let job = world.client(0).submit(&job).await.unwrap().job;
    all_succeeded_once(&world.over(0, &job).await, 2);
    let format = ["inspect", "--format", "{{.State.Running}}"];
    let running = names
        .iter()
        .map(|name| docker(&[&format[..], &[name]].concat()));
    let running: Vec<_> = running.collect();
    for name in &names {
        docker(&["rm", "-f", name]).unwrap();
    }
    for running in running {
        assert_eq!(running.unwrap().trim(), "true");
    }
    engine.end(world).await;
}

#[tokio::test]
async fn a_start_that_the_engine_breaks_off_goes_on_when_it_is_back() {
    let Some(mut engine) = Engine::get() else {
        return;
    };
    let folder = crate::world::folder();
    let mut door = Door::new(folder.path());
    let world = World::with(1, &["--docker-host", door.path()]).await;
    let node = engine.node(&world, 0).await;
    let job = world
        .client(0)
        .submit(&patient(&engine, &world))
        .await
        .unwrap()
        .job;
    // Cut off while it starts: the container is there, and the daemon does not know it yet.
    until(
        "there is a container",
        SOON,
        async || match Engine::containers(&node).len() {
            1 => Ok(()),
            n => Err(n.to_string()),
        },
    )
    .await;
    door.close().await;
    door.open();
    give_the_word(&world);
    let over = world.over(0, &job).await;
    assert_eq!(over.tasks[0].exit_code, Some(7), "{over:?}");
    starts(&world, 1).await;
    none_left(&node).await;
    engine.end(world).await;
}
