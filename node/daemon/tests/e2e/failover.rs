//! The daemon that took a job is killed for good, with all it ran: another owner carries on, and
//! every survivor tells the same end of every task.

use starling_api::{EventKind, EventQuery, NodeState, TaskState};

use crate::world::{SOON, World, all_succeeded_once, until};

/// Waits until `owners` nodes hold the job, all of it.
async fn copied(world: &World, job: &str, owners: usize) {
    let client = world.client(0);
    until("the job has its copies", SOON, async || {
        let detail = client.job(job).await.map_err(|error| error.to_string())?;
        if detail.owners.len() == owners && detail.copies as usize == owners {
            Ok(())
        } else {
            Err(format!("{} of {:?}", detail.copies, detail.owners))
        }
    })
    .await;
}

async fn the_taker_is_killed(nodes: usize) {
    let mut world = World::of(nodes).await;
    let job = world
        .submit(0, &["--count", "100", "--", "sleep", "1"])
        .await;
    copied(&world, &job, nodes.min(3)).await;
    let taker = world.member(0).name.clone();
    // In the middle: it runs some, and some are over.
    world
        .job_when(1, &job, |job| {
            let there = |task: &starling_api::TaskView| {
                task.state == TaskState::Running
                    && task.node.as_ref().is_some_and(|node| node.name == taker)
            };
            job.summary.succeeded > 0 && job.tasks.iter().any(there)
        })
        .await;
    world.fleet.kill(0, false);
    for at in 1..nodes {
        world
            .node_when(at, &taker, SOON, |node| node.state == NodeState::Dead)
            .await;
    }
    let seen = world.over(1, &job).await;
    all_succeeded_once(&seen, 100);
    assert_ne!(seen.summary.owner.name, taker, "who died cannot act");
    let page = world.cli(1, &["inspect", &job]).await.ok();
    assert!(page.contains(" acts"), "{page}");
    // All survivors say the same, and list the job once.
    for at in 1..nodes {
        let json = world.cli(at, &["ps", &job, "--json"]).await.json();
        assert!(
            json["tasks"]
                .as_array()
                .unwrap()
                .iter()
                .all(|task| task["state"] == "succeeded")
        );
        let jobs = world.cli(at, &["ps", "--json"]).await.json();
        assert_eq!(jobs["items"].as_array().unwrap().len(), 1, "{jobs}");
    }
    // No survivor tells the end of a task that another told, or that it told before.
    let mut events = world
        .client(1)
        .events(&EventQuery {
            job: Some(job.clone()),
            kinds: vec![EventKind::TaskEnded, EventKind::JobFinished],
            follow: true,
            ..EventQuery::default()
        })
        .await
        .unwrap();
    let mut ended = Vec::new();
    loop {
        let event = tokio::time::timeout(SOON, events.next()).await;
        let event = event.unwrap().unwrap().unwrap();
        if event.kind == EventKind::JobFinished {
            break;
        }
        ended.push(event.task.unwrap());
    }
    ended.sort();
    let all = ended.len();
    ended.dedup();
    assert_eq!(all, ended.len(), "told twice");
    world.end().await;
}

#[tokio::test]
async fn of_three_the_one_that_took_the_job_is_killed() {
    the_taker_is_killed(3).await;
}

#[tokio::test]
async fn of_two_the_one_that_took_the_job_is_killed() {
    the_taker_is_killed(2).await;
}

#[tokio::test]
async fn of_two_the_other_is_killed() {
    let mut world = World::of(2).await;
    let job = world
        .submit(0, &["--count", "30", "--", "sleep", "1"])
        .await;
    copied(&world, &job, 2).await;
    world.fleet.kill(1, false);
    all_succeeded_once(&world.over(0, &job).await, 30);
    world.end().await;
}

#[tokio::test]
async fn a_job_is_stopped_at_whichever_node_is_left() {
    let mut world = World::of(2).await;
    let job = world
        .submit(0, &["--count", "3", "--", "sleep", "600"])
        .await;
    copied(&world, &job, 2).await;
    world.fleet.kill(0, false);
    world.cli(1, &["stop", &job]).await.ok();
    let over = world.over(1, &job).await;
    assert_eq!(over.summary.stopped, 3, "{over:?}");
    world.end().await;
}
