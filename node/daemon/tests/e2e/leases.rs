//! Jobs that may run at most once: a task whose daemon dies or stands still, or whose owners are out
//! of sight, is killed by its runner before it runs elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::Signal;
use starling_api::{JobDetail, NodeState, TaskState};

use crate::world::{SOON, World, until};

/// Writes its epoch and the time into a file, again and again, until it is killed.
pub(crate) fn pulse(file: &Path) -> String {
    let file = file.display();
    format!("while :; do echo $STARLING_EPOCH $(date +%s%N) >> '{file}'; sleep 0.02; done")
}

/// When each copy wrote first and last, by epoch; copies must not overlap.
pub(crate) fn runs(file: &Path) -> BTreeMap<u64, (u64, u64)> {
    let mut runs: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // The last line may be half written.
    let end = text.rfind('\n').unwrap_or(0);
    for line in text[..end].lines() {
        let (epoch, at) = line.split_once(' ').unwrap();
        let at: u64 = at.parse().unwrap();
        let run = runs.entry(epoch.parse().unwrap()).or_insert((at, at));
        run.1 = at;
    }
    let mut last = 0;
    for (epoch, (first, end)) in &runs {
        assert!(last < *first, "copy {epoch} began before another had ended");
        last = *end;
    }
    runs
}

/// Waits until so many copies have written.
pub(crate) async fn wrote(file: &Path, copies: usize) {
    until("copies write", SOON, async || match runs(file).len() {
        count if count >= copies => Ok(()),
        count => Err(format!("{count} have")),
    })
    .await;
}

fn runs_on(job: &JobDetail, name: &str) -> bool {
    let on = |node: &starling_api::NodeRef| node.name == name;
    let task = &job.tasks[0];
    task.state == TaskState::Running && task.node.as_ref().is_some_and(on)
}

pub(crate) async fn submit(world: &World, script: &str) -> String {
    let args = ["--partition", "stop", "--", "sh", "-c", script];
    world.submit(0, &args).await
}

/// Something happens to the daemon of the node that runs the task, which the runner survives.
async fn moves_once(happens: impl FnOnce(&mut World, usize)) {
    let mut world = World::of(3).await;
    let file = world.root().join("pulse");
    let job = submit(&world, &pulse(&file)).await;
    let seen = world
        .job_when(0, &job, |job| job.tasks[0].state == TaskState::Running)
        .await;
    let host = seen.tasks[0].node.clone().unwrap().name;
    let at = (0..3).find(|at| world.member(*at).name == host).unwrap();
    let other = (at + 1) % 3;
    happens(&mut world, at);
    world
        .node_when(other, &host, SOON, |node| node.state == NodeState::Dead)
        .await;
    world
        .job_when(other, &job, |job| {
            job.tasks[0].state == TaskState::Running && !runs_on(job, &host)
        })
        .await;
    wrote(&file, 2).await;
    world.cli(other, &["stop", &job]).await.ok();
    world.over(other, &job).await;
    assert_eq!(runs(&file).len(), 2);
    world.member(at).signal(Signal::CONT);
    world.end().await;
}

#[tokio::test]
async fn a_task_ends_when_its_daemon_is_killed_before_it_runs_elsewhere() {
    moves_once(|world, at| world.fleet.kill(at, true)).await;
}

#[tokio::test]
async fn a_task_ends_when_its_daemon_stands_still_before_it_runs_elsewhere() {
    moves_once(|world, at| world.member(at).signal(Signal::STOP)).await;
}

#[tokio::test]
async fn of_two_nodes_one_alone_waits_and_says_so() {
    let mut world = World::of(2).await;
    world.keep_address(1).await;
    let file = world.root().join("pulse");
    let job = submit(&world, &pulse(&file)).await;
    world
        .job_when(0, &job, |job| {
            job.tasks[0].state == TaskState::Running && job.copies == 2
        })
        .await;
    world.fleet.kill(1, false);
    let waits = |job: &JobDetail| {
        let text = job.tasks[0].waits_for.as_deref().unwrap_or_default();
        job.tasks[0].state != TaskState::Running && text.contains("a majority of its 2 owners")
    };
    world.job_when(0, &job, waits).await;
    let nodes = world.cli(0, &["nodes"]).await.ok();
    assert!(nodes.contains("1 of 2 nodes visible"), "{nodes}");
    world.fleet.boot(1).await.unwrap();
    world
        .job_when(0, &job, |job| job.tasks[0].state == TaskState::Running)
        .await;
    world.cli(0, &["stop", &job]).await.ok();
    world.over(0, &job).await;
    runs(&file);
    world.end().await;
}
