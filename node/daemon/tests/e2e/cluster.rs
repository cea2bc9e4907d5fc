//! Three daemons that joined by token: work submitted at any of them, members that die, stand
//! still, come back.

use std::time::Duration;

use rustix::process::Signal;
use starling_api::{EventKind, EventQuery, NodeState, TaskState};

use crate::world::{SOON, World, all_succeeded_once};

#[tokio::test]
async fn each_of_three_takes_two_hundred_tasks() {
    let world = World::of(3).await;
    let flags = [
        "run", "--count", "200", "--wait", "--", "sh", "-c", "exit 0",
    ];
    for at in 0..3 {
        let said = world.cli(at, &flags).await;
        assert!(said.err.contains("200 succeeded"), "{said:?}");
        said.ok();
    }
    // Each of them shows all three jobs.
    for at in 0..3 {
        let jobs = world.cli(at, &["ps", "--json"]).await.json();
        let jobs = jobs["items"].as_array().unwrap();
        assert_eq!(jobs.len(), 3);
        for job in jobs {
            all_succeeded_once(
                &world
                    .client(at)
                    .job(job["id"].as_str().unwrap())
                    .await
                    .unwrap(),
                200,
            );
        }
    }
    world.end().await;
}

#[tokio::test]
async fn the_tasks_of_a_killed_member_run_elsewhere_once() {
    for victim in [1, 2] {
        let mut world = World::of(3).await;
        let job = world
            .submit(0, &["--count", "100", "--", "sleep", "3"])
            .await;
        let name = world.member(victim).name.clone();
        // In the middle: it runs some, and some are over.
        world
            .job_when(0, &job, |job| {
                let there = |task: &&starling_api::TaskView| {
                    task.state == TaskState::Running
                        && task.node.as_ref().is_some_and(|node| node.name == name)
                };
                job.tasks.iter().find(there).is_some()
            })
            .await;
        world.fleet.kill(victim, false);
        assert_eq!(
            world.member(victim).runner(),
            None,
            "the kill left the runner"
        );
        world
            .node_when(0, &name, SOON, |node| node.state == NodeState::Dead)
            .await;
        let seen = world.over(0, &job).await;
        all_succeeded_once(&seen, 100);
        assert!(
            seen.tasks.iter().any(|task| task.moves > 0),
            "nothing was moved"
        );
        // The other survivor has the last ends on disk a moment later.
        let seen = world.job_when(0, &job, |job| job.copies == 2).await;
        // Both survivors say the same.
        for at in (0..3).filter(|at| *at != victim) {
            let json = world.cli(at, &["ps", &job, "--json"]).await.json();
            assert_eq!(json, serde_json::to_value(&seen).unwrap());
            let tasks = json["tasks"].as_array().unwrap();
            assert_eq!(tasks.len(), 100);
            assert!(tasks.iter().all(|task| task["state"] == "succeeded"));
        }
        // The terminal result of each task was told once. The last may be told a moment after it
        // is known, when it is on disk; the job's end comes behind all.
        let mut events = world
            .client(0)
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
        assert_eq!((all, ended.len()), (100, 100));
        world.end().await;
    }
}

#[tokio::test]
async fn a_member_that_stands_still_for_a_second_is_not_held_to_be_dead() {
    let world = World::of(3).await;
    let mut events = world
        .client(0)
        .events(&EventQuery {
            follow: true,
            new_only: true,
            ..EventQuery::default()
        })
        .await
        .unwrap();
    let job = world
        .submit(0, &["--count", "30", "--", "sleep", "2"])
        .await;
    world.member(2).signal(Signal::STOP);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.member(2).signal(Signal::CONT);
    // The job goes through; until then nobody was given up.
    loop {
        let event = tokio::time::timeout(SOON, events.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_ne!(event.kind, EventKind::NodeDead, "{event:?}");
        assert_ne!(event.kind, EventKind::TaskDisplaced, "{event:?}");
        if event.kind == EventKind::JobFinished {
            break;
        }
    }
    all_succeeded_once(&world.over(1, &job).await, 30);
    for at in 0..3 {
        world
            .node_when(at, "node-2", SOON, |node| node.state == NodeState::Alive)
            .await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_member_comes_back_without_a_token_at_another_port() {
    let mut world = World::of(3).await;
    // The one in the middle stays where it is, and the others find it from their address books.
    for mover in [2, 0] {
        let name = world.member(mover).name.clone();
        let on = format!("name={name}");
        let work = ["run", "--wait", "--constraint", &on, "--", "true"];
        world.has_address_book(mover).await;
        let before = world.node_when(1, &name, SOON, |_| true).await;
        world.fleet.kill(mover, false);
        world
            .node_when(1, &name, SOON, |node| node.state == NodeState::Dead)
            .await;
        world.boot(mover).await;
        world.formed(3).await;
        for at in 0..3 {
            let now = world
                .node_when(at, &name, SOON, |node| {
                    node.state == NodeState::Alive && node.addresses != before.addresses
                })
                .await;
            assert_eq!(now.id, before.id);
            assert!(now.incarnation > before.incarnation);
        }
        // They do not only know of it, they work with it.
        world.cli(1, &work).await.ok();
    }
    assert_eq!(
        world.client(1).nodes().await.unwrap().items.len(),
        3,
        "one is counted twice"
    );
    world.end().await;
}
