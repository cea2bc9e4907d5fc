//! Daemons that are killed and started again: their tasks run on, and no acknowledged job is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use starling_api::{JobRequest, TaskState};

use crate::world::{SOON, World, all_succeeded_once, lives, shell, until, until_true};

/// A task that notes each of its starts and its process id, and waits for a word.
fn patient(folder: &std::path::Path) -> String {
    let folder = folder.display();
    format!(
        "echo $$ >> {folder}/started.$STARLING_INDEX; \
         until [ -e {folder}/go ]; do sleep 0.05; done; echo done; exit 7"
    )
}

async fn started(folder: &std::path::Path, index: u32) -> Vec<u32> {
    let file = folder.join(format!("started.{index}"));
    until("the task notes its start", SOON, async || {
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let pids: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        if pids.is_empty() { Err(text) } else { Ok(pids) }
    })
    .await
}

async fn tasks_outlive_daemons(world: &mut World, at_once: bool) {
    let killed: Vec<usize> = (0..world.fleet.members.len()).collect();
    let marks = world.root().to_owned();
    let count = 4;
    let job = world
        .client(0)
        .submit(&shell(count, &patient(&marks)))
        .await
        .unwrap()
        .job;
    let before = world
        .job_when(0, &job, |job| {
            job.tasks
                .iter()
                .all(|task| task.state == TaskState::Running)
        })
        .await;
    let mut pids = Vec::new();
    for index in 0..count {
        pids.push(started(&marks, index).await);
    }
    for at in &killed {
        world.keep_address(*at).await;
        if !at_once {
            world.noted(*at).await;
        }
    }
    for at in &killed {
        world.fleet.kill(*at, true);
    }
    for pid in pids.iter().flatten() {
        assert!(lives(*pid));
    }
    for at in &killed {
        world.boot(*at).await;
    }
    world.formed(world.fleet.members.len()).await;
    let after = world
        .job_when(0, &job, |job| {
            job.tasks
                .iter()
                .all(|task| task.state == TaskState::Running)
        })
        .await;
    for (before, after) in before.tasks.iter().zip(&after.tasks) {
        assert_eq!((&before.node, before.moves), (&after.node, after.moves));
    }
    for (index, pids) in (0..).zip(&pids) {
        assert!(lives(pids[0]));
        assert_eq!(&started(&marks, index).await, pids, "it was started again");
    }
    std::fs::write(marks.join("go"), "").unwrap();
    let over = world.over(0, &job).await;
    for task in &over.tasks {
        assert_eq!((task.state, task.exit_code), (TaskState::Failed, Some(7)));
        assert_eq!(started(&marks, task.index).await.len(), 1);
        let said = world.cli(0, &["logs", &task.id]).await.ok();
        assert_eq!(said, "done\n");
    }
}

#[tokio::test]
async fn a_daemon_started_again_finds_its_running_tasks() {
    let mut world = World::of(1).await;
    tasks_outlive_daemons(&mut world, false).await;
    world.end().await;
}

#[tokio::test]
async fn so_do_all_three_of_a_cluster() {
    let mut world = World::of(3).await;
    world.has_address_book(2).await;
    tasks_outlive_daemons(&mut world, false).await;
    world.end().await;
}

#[tokio::test]
async fn so_it_does_if_it_dies_right_after_their_start() {
    let mut world = World::of(1).await;
    tasks_outlive_daemons(&mut world, true).await;
    world.end().await;
}

#[tokio::test]
async fn what_ended_while_the_daemon_was_away_is_collected() {
    let mut world = World::of(1).await;
    let marks = world.root().to_owned();
    let job = world
        .client(0)
        .submit(&shell(1, &patient(&marks)))
        .await
        .unwrap()
        .job;
    let pids = started(&marks, 0).await;
    world.noted(0).await;
    world.fleet.kill(0, true);
    std::fs::write(marks.join("go"), "").unwrap();
    until_true("the task ends", SOON, || !lives(pids[0])).await;
    world.boot(0).await;
    let over = world.over(0, &job).await;
    assert_eq!(
        (over.tasks[0].exit_code, over.tasks[0].attempts),
        (Some(7), 1)
    );
    world.end().await;
}

#[tokio::test]
async fn every_acknowledged_job_survives_kills_in_a_loop() {
    const ROUNDS: usize = 10;
    let mut world = World::of(1).await;
    let client = world.client(0);
    let (acknowledged, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let submitting = async {
        let mut jobs = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            match client.submit(&JobRequest::new(["true"])).await {
                Ok(submitted) => {
                    jobs.push(submitted.job);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                // The daemon is away, or died before it could say that it has the job.
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
        jobs
    };
    let killing = async {
        for round in 0..ROUNDS {
            // At another moment of its life each time.
            let enough = acknowledged.load(Ordering::Relaxed) + 1 + round * 3;
            until_true("jobs are acknowledged", SOON, || {
                acknowledged.load(Ordering::Relaxed) >= enough
            })
            .await;
            // Sometimes its tasks die as well.
            world.fleet.kill(0, round % 3 != 2);
            world.boot(0).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (jobs, ()) = tokio::join!(submitting, killing);
    assert!(jobs.len() > ROUNDS * 10, "{} jobs only", jobs.len());
    for job in &jobs {
        let over = world.over(0, job).await;
        assert_eq!(over.summary.over(), 1, "{over:?}");
        if over.summary.succeeded == 0 {
            // Only a task that died with its machine may have failed.
            assert!(over.tasks[0].exit_code.is_none(), "{over:?}");
        }
    }
    // And nothing twice.
    let known = client.jobs().await.unwrap().items;
    let mut ids: Vec<&str> = known.iter().map(|job| job.id.as_str()).collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all);
    world.end().await;
}

#[tokio::test]
async fn a_finished_job_stays_finished_after_a_kill() {
    let mut world = World::of(1).await;
    let job = world.submit(0, &["--count", "20", "--", "true"]).await;
    let before = world.over(0, &job).await;
    all_succeeded_once(&before, 20);
    world.fleet.kill(0, false);
    world.boot(0).await;
    let after = world.over(0, &job).await;
    all_succeeded_once(&after, 20);
    world.end().await;
}
