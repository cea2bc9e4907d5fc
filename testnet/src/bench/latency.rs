//! Submit to running: one job of one task at a time, from the call of the client until the task's
//! `main` was entered, by the task's own clock reading. Beside it the same program started by a bare
//! spawn.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::report::{Aim, Measure, Report};
use super::stamp::{Stamps, now};
use super::stats::Sample;
use super::world::{PATIENCE, World, job};
use super::{BenchError, Scale};

const PART: &str = "submit to running, one at a time";
/// The pause before the next job, in which the last one ends.
const PAUSE: Duration = Duration::from_millis(5);
/// Samples that are thrown away first.
const WARM_UP: usize = 50;

/// Measures a cluster of so many nodes.
pub(crate) async fn run(
    report: &mut Report,
    scale: &Scale,
    nodes: usize,
) -> Result<(), BenchError> {
    let world = World::start(&scale.exe, nodes).await?;
    let mut stamps = Stamps::open(world.dir()).map_err(BenchError::io("a FIFO for stamps"))?;
    if nodes == 1 {
        let bare = bare(&mut stamps, scale.latency_samples / 2).await?;
        add(report, 0, "bare spawn of the same program", &bare, false);
    }
    let (running, answered) = through(&world, &mut stamps, scale.latency_samples).await?;
    add(report, nodes, "submit to running", &running, true);
    add(
        report,
        nodes,
        "submit to acknowledged (on disk)",
        &answered,
        false,
    );
    world.stop().await;
    Ok(())
}

fn add(report: &mut Report, nodes: usize, what: &str, sample: &Sample, aims: bool) {
    for (percent, aim) in [(50, Some(2.0)), (90, None), (99, Some(10.0))] {
        let name = format!("{what}, p{percent}");
        let value = sample.percentile(percent);
        let measure = Measure::one(PART, name, nodes, "ms", value).of(sample.len());
        let aim = aim.filter(|_| aims).map(Aim::Below);
        report.add(aim.into_iter().fold(measure, Measure::aim));
    }
}

async fn bare(stamps: &mut Stamps, samples: usize) -> Result<Sample, BenchError> {
    let command = stamps.command().to_vec();
    let mut taken = Vec::new();
    for _ in 0..samples + WARM_UP {
        let began = now();
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .spawn()
            .map_err(BenchError::io("this program cannot be started"))?;
        taken.push(millis(began, stamps.next(PATIENCE).await)?);
        child
            .wait()
            .map_err(BenchError::io("a child cannot be awaited"))?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(taken.into_iter().skip(WARM_UP).collect())
}

/// From submit to running, and from submit to the answer.
async fn through(
    world: &World,
    stamps: &mut Stamps,
    samples: usize,
) -> Result<(Sample, Sample), BenchError> {
    let client = world.client(0);
    let request = job(1, stamps.command().iter().cloned());
    let (mut running, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..samples + WARM_UP {
        let (instant, began) = (Instant::now(), now());
        client.submit(&request).await?;
        answered.push(instant.elapsed().as_secs_f64() * 1e3);
        running.push(millis(began, stamps.next(PATIENCE).await)?);
        tokio::time::sleep(PAUSE).await;
    }
    let warm = |values: Vec<f64>| values.into_iter().skip(WARM_UP).collect();
    Ok((warm(running), warm(answered)))
}

fn millis(began: u64, stamp: Option<u64>) -> Result<f64, BenchError> {
    let stamp = stamp.ok_or_else(|| BenchError::Wrong("a task did not start".to_owned()))?;
    Ok(stamp.saturating_sub(began) as f64 / 1e6)
}
