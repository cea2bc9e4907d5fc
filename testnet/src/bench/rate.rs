//! No-op tasks per second: one job of many tasks, from submit to the news that it is finished,
//! beside the floor: a bare loop that spawns the same command and waits, in the same run, right
//! before and after.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use starling_api::EventKind;

use super::hq::Hq;
use super::report::{Aim, Measure, Report};
use super::stats::Sample;
use super::world::{News, World, all_well, job};
use super::{BenchError, Scale};

const PART: &str = "no-op tasks per second";
/// The command, in the loop as in the tasks.
pub(crate) const NO_OP: &str = "/bin/true";
/// What HyperQueue reached on four workers on a machine like the one of `BASELINES.md`.
const RIVAL: f64 = 1_380.0;

/// Measures a cluster of so many nodes.
pub(crate) async fn run(
    report: &mut Report,
    scale: &Scale,
    nodes: usize,
) -> Result<(), BenchError> {
    let world = World::start(&scale.exe, nodes).await?;
    through(&world, scale.rate_tasks / 10).await?;
    let (mut floors, mut pairs, mut rates, mut shares) = (vec![], vec![], vec![], vec![]);
    for _ in 0..scale.rate_rounds {
        let before = floor(scale.floor_spawns, 1).await?;
        let rate = through(&world, scale.rate_tasks).await?;
        let after = floor(scale.floor_spawns, 1).await?;
        pairs.push(floor(scale.floor_spawns, 2).await?);
        shares.push(100.0 * rate / ((before + after) / 2.0));
        floors.extend([before, after]);
        rates.push(rate);
    }
    world.stop().await;
    let sample = |values: Vec<f64>| values.into_iter().collect::<Sample>();
    let median =
        |what, nodes, unit, values| Measure::median(PART, what, nodes, unit, &sample(values));
    report.add(median(
        "floor: a bare loop of spawn and wait",
        0,
        "/s",
        floors,
    ));
    report.add(median("the same on two threads", 0, "/s", pairs));
    let rate = median("one job of no-op tasks", nodes, "/s", rates);
    report.add(if nodes == 4 {
        rate.aim(Aim::AtLeast(RIVAL))
    } else {
        rate
    });
    report.add(median("share of the floor", nodes, "%", shares).aim(Aim::AtLeast(60.0)));
    Ok(())
}

/// HyperQueue's numbers, where it is.
pub(crate) async fn rival(report: &mut Report, scale: &Scale) -> Result<(), BenchError> {
    let Some(hq) = Hq::find() else {
        report.skip("hq (HyperQueue) is not on this machine: skipped");
        return Ok(());
    };
    for workers in [1, 4] {
        match hq.rate(workers, scale.rate_tasks).await {
            Ok(rate) => {
                let what = "HyperQueue, one array of no-op tasks (workers)";
                report.add(Measure::one(PART, what, workers, "/s", rate));
            }
            Err(error) => report.skip(format!("hq with {workers} worker(s) failed: {error}")),
        }
    }
    Ok(())
}

async fn through(world: &World, tasks: u32) -> Result<f64, BenchError> {
    let client = world.client(0);
    let mut news = News::of(client, &[EventKind::JobFinished]).await?;
    let request = job(tasks, [NO_OP]);
    let began = Instant::now();
    let job = client.submit(&request).await?.job;
    news.finished(&job).await?;
    let took = began.elapsed();
    all_well(client, &job).await?;
    Ok(f64::from(tasks) / took.as_secs_f64())
}

/// Spawns per second of bare loops on so many threads.
async fn floor(spawns: u32, threads: u32) -> Result<f64, BenchError> {
    let spawn = move || {
        let left = AtomicU32::new(spawns);
        let began = Instant::now();
        let one = || {
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                let mut command = Command::new(NO_OP);
                command
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                command.status()?;
            }
            Ok(())
        };
        let results: Vec<std::io::Result<()>> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            let gone = || Err(std::io::Error::other("a thread of the floor panicked"));
            running
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| gone()))
                .collect()
        });
        results.into_iter().collect::<std::io::Result<()>>()?;
        Ok(f64::from(spawns) / began.elapsed().as_secs_f64())
    };
    let joined = tokio::task::spawn_blocking(spawn).await;
    let joined = joined.map_err(|error| BenchError::Wrong(format!("the floor: {error}")))?;
    joined.map_err(BenchError::io("a no-op cannot be spawned"))
}
