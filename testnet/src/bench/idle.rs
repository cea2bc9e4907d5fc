//! What daemons cost while nothing goes on, and the gossip of a cluster in which much does: memory,
//! CPU and bytes per node over a window of time.

use std::time::{Duration, Instant};

use super::procs::{Weight, weigh};
use super::report::{Aim, Measure, Report};
use super::stats::Sample;
use super::world::{World, job};
use super::{BenchError, Scale};

const IDLE: &str = "idle";
const BUSY: &str = "busy: tasks of 50 ms come and go";
/// Bytes per second that gossip may cost a node, both directions together, by default.
const BUDGET: f64 = 4096.0;

/// One daemon at one instant.
#[derive(Clone, Copy, Default)]
struct Reading {
    daemon: Weight,
    runner: Weight,
    gossip: f64,
    frames: f64,
}

/// Measures an idle cluster of so many nodes.
pub(crate) async fn idle(
    report: &mut Report,
    scale: &Scale,
    nodes: usize,
) -> Result<(), BenchError> {
    let world = World::start(&scale.exe, nodes).await?;
    tokio::time::sleep(scale.settle).await;
    let (first, last, seconds) = window(&world, scale.window).await?;
    world.stop().await;

    let each = |value: &dyn Fn(&Reading, &Reading) -> f64| -> Sample {
        first
            .iter()
            .zip(&last)
            .map(|(first, last)| value(first, last))
            .collect()
    };
    let mut add = |what, unit, aim: Option<f64>, value: &dyn Fn(&Reading, &Reading) -> f64| {
        let measure = Measure::median(IDLE, what, nodes, unit, &each(value));
        report.add(aim.map(Aim::Below).into_iter().fold(measure, Measure::aim));
    };
    // 25 MB, as people who sell memory count.
    add("daemon, resident", "MB", Some(25.0), &|_, last| {
        last.daemon.rss / 1e6
    });
    add("daemon, proportional", "MB", None, &|_, last| {
        last.daemon.pss / 1e6
    });
    add("runner, resident", "MB", None, &|_, last| {
        last.runner.rss / 1e6
    });
    add("runner, proportional", "MB", None, &|_, last| {
        last.runner.pss / 1e6
    });
    let percent = |first: Weight, last: Weight| 100.0 * (last.cpu - first.cpu) / seconds;
    add("daemon, CPU of one core", "%", Some(0.5), &|first, last| {
        percent(first.daemon, last.daemon)
    });
    add("runner, CPU of one core", "%", None, &|first, last| {
        percent(first.runner, last.runner)
    });
    if nodes > 1 {
        let aim = (nodes == 20).then_some(1024.0);
        add(
            "gossip per node, both directions",
            "B/s",
            aim,
            &|first, last| (last.gossip - first.gossip) / seconds,
        );
        add(
            "all frames per node, both directions",
            "B/s",
            None,
            &|first, last| (last.frames - first.frames) / seconds,
        );
    }
    Ok(())
}

/// Measures the gossip of a cluster in which tasks come and go at every node.
pub(crate) async fn busy(
    report: &mut Report,
    scale: &Scale,
    nodes: usize,
) -> Result<(), BenchError> {
    let world = World::start(&scale.exe, nodes).await?;
    tokio::time::sleep(scale.settle).await;
    let churning = churn(&world, scale.window + Duration::from_secs(2));
    let watching = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        window(&world, scale.window).await
    };
    let (tasks, (first, last, seconds)) = tokio::try_join!(churning, watching)?;
    world.stop().await;
    let per_second = |value: fn(&Reading) -> f64| -> Sample {
        first
            .iter()
            .zip(&last)
            .map(|(a, b)| (value(b) - value(a)) / seconds)
            .collect()
    };
    let gossip = per_second(|reading| reading.gossip);
    let worst = gossip.percentile(100);
    let name = "gossip per node, both directions";
    report.add(Measure::median(BUSY, name, nodes, "B/s", &gossip));
    report.add(
        Measure::one(BUSY, "gossip of the worst node", nodes, "B/s", worst).aim(Aim::Below(BUDGET)),
    );
    let frames = per_second(|reading| reading.frames);
    let name = "all frames per node, both directions";
    report.add(Measure::median(BUSY, name, nodes, "B/s", &frames));
    report.add(Measure::one(
        BUSY,
        "tasks submitted meanwhile",
        nodes,
        "",
        f64::from(tasks),
    ));
    Ok(())
}

/// Submits jobs at each node in turn; how many tasks they had.
async fn churn(world: &World, time: Duration) -> Result<u32, BenchError> {
    const COUNT: u32 = 10;
    let began = Instant::now();
    let mut tasks = 0;
    while began.elapsed() < time {
        for at in 0..world.members().len() {
            world
                .client(at)
                .submit(&job(COUNT, ["/bin/sleep", "0.05"]))
                .await?;
            tasks += COUNT;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(tasks)
}

/// All daemons at the beginning and the end of a window, and how long it was.
async fn window(
    world: &World,
    time: Duration,
) -> Result<(Vec<Reading>, Vec<Reading>, f64), BenchError> {
    let runners: Vec<Option<u32>> = world
        .members()
        .iter()
        .map(|member| member.runner())
        .collect();
    let first = read(world, &runners).await?;
    let began = Instant::now();
    tokio::time::sleep(time).await;
    let seconds = began.elapsed().as_secs_f64();
    Ok((first, read(world, &runners).await?, seconds))
}

async fn read(world: &World, runners: &[Option<u32>]) -> Result<Vec<Reading>, BenchError> {
    let mut readings = Vec::new();
    for (member, runner) in world.members().iter().zip(runners) {
        let text = member.client.metrics().await?;
        let daemon = member.pid().and_then(weigh).unwrap_or_default();
        let runner = runner.and_then(weigh).unwrap_or_default();
        let gossip = total(&text, "starling_gossip_bytes_total");
        let frames = total(&text, "starling_net_frame_bytes_total");
        readings.push(Reading {
            daemon,
            runner,
            gossip,
            frames,
        });
    }
    Ok(readings)
}

/// The sum of a counter over all its labels.
fn total(text: &str, name: &str) -> f64 {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = rest
                .strip_prefix(' ')
                .or_else(|| Some(rest.rsplit_once("} ")?.1))?;
            value.parse::<f64>().ok()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_over_labels() {
        let text =
            "# TYPE a_total counter\na_total{x=\"1\"} 3\na_total{x=\"2\"} 4\na_total_b 9\nb 1\n";
        assert_eq!(
            (total(text, "a_total"), total(text, "b"), total(text, "c")),
            (7.0, 1.0, 0.0)
        );
    }
}
