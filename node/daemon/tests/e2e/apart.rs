//! Clusters that are cut apart: real daemons in network namespaces, which need root and iproute2.

use starling::wires::Wires;
use starling_api::{JobDetail, NodeState, TaskState};

use crate::leases::{pulse, runs, submit, wrote};
use crate::world::{SOON, World, all_succeeded_once, until};

/// Machines that can be cut off; none where that cannot be had and need not.
fn wires(machines: usize) -> Option<Wires> {
    match Wires::lay(machines) {
        Ok(wires) => Some(wires),
        Err(reason) => {
            let needed = std::env::var_os("STARLING_NEED_NETNS").is_some();
            assert!(!needed, "network namespaces are needed here: {reason}");
            eprintln!("skipped: {reason}");
            None
        }
    }
}

fn runs_here(job: &JobDetail) -> Option<String> {
    let task = &job.tasks[0];
    let node = task.node.as_ref().map(|node| node.name.clone());
    node.filter(|_| task.state == TaskState::Running)
}

#[tokio::test]
async fn what_may_run_once_never_runs_twice_in_a_cut() {
    let Some(wires) = wires(3) else { return };
    let world = World::on(&wires, 3).await;
    let file = world.root().join("pulse");
    let job = submit(&world, &pulse(&file)).await;
    let seen = world
        .job_when(0, &job, |job| runs_here(job).is_some() && job.copies == 3)
        .await;
    // Its node is cut off: two are left, which are a majority of the owners.
    let host = runs_here(&seen).unwrap();
    let at = (0..3).find(|at| world.member(*at).name == host).unwrap();
    let other = (at + 1) % 3;
    wires.cut(at).unwrap();
    world
        .job_when(other, &job, |job| {
            runs_here(job).is_some_and(|name| name != host)
        })
        .await;
    wrote(&file, 2).await;
    assert_eq!(runs(&file).len(), 2);
    wires.mend(at).unwrap();
    world.formed(3).await;
    // Three ways: nobody has a majority.
    for at in 0..3 {
        wires.cut(at).unwrap();
    }
    until("nothing runs any more", SOON, async || {
        let before = std::fs::read(&file).unwrap().len();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let after = std::fs::read(&file).unwrap().len();
        if before == after {
            Ok(())
        } else {
            Err(format!("{before} and {after} bytes"))
        }
    })
    .await;
    let copies = runs(&file).len();
    for at in 0..3 {
        wires.mend(at).unwrap();
    }
    world.formed(3).await;
    world
        .job_when(0, &job, |job| runs_here(job).is_some())
        .await;
    wrote(&file, copies + 1).await;
    world.cli(0, &["stop", &job]).await.ok();
    world.over(0, &job).await;
    runs(&file);
    world.end().await;
}

#[tokio::test]
async fn two_halves_take_work_and_become_one() {
    let Some(wires) = wires(4) else { return };
    let world = World::on(&wires, 4).await;
    let args = ["--count", "8", "--cpu", "100m", "--", "sleep", "612.5"];
    let long = world.submit(0, &args).await;
    let all_run = |job: &JobDetail| {
        let run = |task: &starling_api::TaskView| task.state == TaskState::Running;
        job.tasks.iter().all(run)
    };
    world.job_when(0, &long, all_run).await;
    for at in [2, 3] {
        wires.part(at).unwrap();
    }
    for (at, lost) in [(0, 2), (1, 3), (2, 0), (3, 1)] {
        let name = &world.member(lost).name;
        world
            .node_when(at, name, SOON, |node| node.state == NodeState::Dead)
            .await;
    }
    // Each side takes new work, and has all tasks of the old.
    let mut jobs = Vec::new();
    for at in [0, 2] {
        let job = world.submit(at, &["--count", "3", "--", "true"]).await;
        all_succeeded_once(&world.over(at, &job).await, 3);
        jobs.push(job);
    }
    world.job_when(1, &long, all_run).await;
    for at in [2, 3] {
        wires.mend(at).unwrap();
    }
    world.formed(4).await;
    for at in 0..4 {
        for job in &jobs {
            all_succeeded_once(&world.over(at, job).await, 3);
        }
    }
    // Of each task one copy is left.
    until("one copy of each task runs", SOON, async || {
        match copies("612.5") {
            8 => Ok(()),
            other => Err(format!("{other} copies")),
        }
    })
    .await;
    world.job_when(3, &long, all_run).await;
    world.cli(2, &["stop", &long]).await.ok();
    world.over(1, &long).await;
    world.end().await;
}

/// How many processes sleep for so long.
fn copies(time: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let wanted = format!("sleep\0{time}\0").into_bytes();
    lines.filter(|line| *line == wanted).count()
}
