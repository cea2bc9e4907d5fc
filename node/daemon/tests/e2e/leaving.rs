//! Members that leave in order, and those that are drained.

use std::time::{Duration, Instant};

use starling_api::{NodeState, TaskState};

use crate::world::{SOON, World, all_succeeded_once, nothing_runs_in, until};

#[tokio::test]
async fn a_member_that_leaves_is_gone_at_once_and_its_tasks_run_elsewhere() {
    let mut world = World::of(3).await;
    world.has_address_book(2).await;
    let job = world
        .submit(0, &["--count", "30", "--", "sleep", "3"])
        .await;
    world
        .job_when(0, &job, |job| {
            job.tasks.iter().any(|task| {
                task.state == TaskState::Running
                    && task.node.as_ref().is_some_and(|node| node.name == "node-2")
            })
        })
        .await;
    let asked = Instant::now();
    let status = world.fleet.leave(2).await.unwrap();
    assert!(status.success(), "{status}");
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    let dir = world.member(2).dir.clone();
    nothing_runs_in(&dir).await;
    for at in [0, 1] {
        // Never suspected and never dead: it has said good-bye.
        assert_eq!(world.state_of(at, "node-2").await, Some(NodeState::Left));
    }
    let over = world.over(1, &job).await;
    all_succeeded_once(&over, 30);
    let there = |task: &&starling_api::TaskView| {
        task.moves == 0 || task.node.as_ref().is_some_and(|node| node.name != "node-2")
    };
    assert!(over.tasks.iter().all(|task| there(&task)));
    assert!(over.tasks.iter().any(|task| task.moves > 0));
    // It may come back, without a token.
    world.boot(2).await;
    world.formed(3).await;
    world.end().await;
}

#[tokio::test]
async fn a_member_that_leaves_right_after_joining_finds_back() {
    let mut world = World::of(2).await;
    world.fleet.leave(1).await.unwrap();
    world.boot(1).await;
    world.formed(2).await;
    world.end().await;
}

#[tokio::test]
async fn a_lone_daemon_with_running_tasks_ends_within_seconds() {
    let mut world = World::of(1).await;
    let job = world
        .submit(0, &["--count", "3", "--", "sleep", "600"])
        .await;
    world
        .job_when(0, &job, |job| {
            job.tasks
                .iter()
                .all(|task| task.state == TaskState::Running)
        })
        .await;
    let asked = Instant::now();
    assert!(world.fleet.leave(0).await.unwrap().success());
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    nothing_runs_in(world.root()).await;
    // The job is still known, and goes on.
    world.boot(0).await;
    world
        .job_when(0, &job, |job| {
            job.tasks
                .iter()
                .all(|task| task.state == TaskState::Running)
        })
        .await;
    world.cli(0, &["stop", &job]).await.ok();
    world.over(0, &job).await;
    world.end().await;
}

#[tokio::test]
async fn a_member_is_drained_by_name_from_another() {
    let world = World::of(3).await;
    let said = world.cli(0, &["drain", "node-1"]).await.ok();
    assert!(
        said.contains("node-1") && said.contains("no new tasks"),
        "{said}"
    );
    for at in 0..3 {
        world
            .node_when(at, "node-1", SOON, |node| node.draining)
            .await;
    }
    world
        .cli(2, &["run", "--count", "40", "--wait", "--", "true"])
        .await
        .ok();
    let jobs = world.client(2).jobs().await.unwrap().items;
    let job = world.client(2).job(&jobs[0].id).await.unwrap();
    let on = |name: &str| {
        let there = |task: &&starling_api::TaskView| task.node.as_ref().unwrap().name == name;
        job.tasks.iter().filter(there).count()
    };
    assert_eq!(on("node-1"), 0);
    // Only there: it waits, and why says so; when the drain ends it runs.
    let waiting = world
        .submit(0, &["--constraint", "name=node-1", "--", "true"])
        .await;
    until("why tells of the drain", SOON, async || {
        let why = world.cli(2, &["why", &waiting]).await.ok();
        if why.contains("drain") {
            Ok(())
        } else {
            Err(why)
        }
    })
    .await;
    let said = world.cli(2, &["undrain", "node-1"]).await.ok();
    assert!(said.contains("node-1"), "{said}");
    all_succeeded_once(&world.over(0, &waiting).await, 1);
    // Unknown and doubtful names.
    assert!(
        world
            .cli(0, &["drain", "node-9"])
            .await
            .fails(1)
            .contains("node-9")
    );
    assert!(world.cli(0, &["drain", ""]).await.fails(1).contains("node"));
    world.end().await;
}

#[tokio::test]
async fn a_drain_with_a_deadline_moves_what_still_runs() {
    let world = World::of(2).await;
    let args = ["--count", "10", "--", "sleep", "600"];
    let job = world.submit(0, &args).await;
    world
        .job_when(0, &job, |job| {
            job.tasks.iter().any(|task| {
                task.state == TaskState::Running
                    && task.node.as_ref().is_some_and(|node| node.name == "node-1")
            })
        })
        .await;
    world
        .cli(0, &["drain", "node-1", "--deadline", "300ms"])
        .await
        .ok();
    world
        .node_when(0, "node-1", SOON, |node| node.draining && node.running == 0)
        .await;
    let moved = world
        .job_when(0, &job, |job| {
            job.tasks
                .iter()
                .all(|task| task.node.as_ref().is_some_and(|node| node.name == "node-0"))
        })
        .await;
    assert!(moved.tasks.iter().any(|task| task.moves > 0));
    world.cli(1, &["stop", &job]).await.ok();
    world.over(0, &job).await;
    world.end().await;
}
