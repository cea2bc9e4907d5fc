//! How fast tasks go through a runner, beside a bare loop of spawn and wait of the same program
//! in the same run: `cargo run --release -p starling-exec --example rate -- [TASKS]`.
// Real processes are measured by the real clock.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use starling_exec::sense::Sensor;
use starling_exec::{ExecConfig, ExecError, ExecEvent, Executor, Launch, Processes, RunnerPid};
use starling_wire::{JobId, TaskId};
use tokio::sync::mpsc::Receiver;

const RUNNER: &str = "__runner";
/// Tasks under way at once in the run that measures the rate.
const WINDOW: usize = 64;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        Some(RUNNER) => starling_exec::runner_main(Path::new(&args[1])),
        count => measure(count.and_then(|count| count.parse().ok()).unwrap_or(5000)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(count: u32) -> Result<(), ExecError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| ExecError::NoRunner(error.to_string()))?;
    let mut best = (0.0_f64, 0.0_f64);
    for round in 1..=3 {
        let floor = floor(count);
        let (rate, cpu) = runtime.block_on(rate(count, "true"))?;
        println!(
            "round {round}: bare loop {floor:.0}/s, runner {rate:.0}/s = {:.0}%; runner's own CPU \
             {cpu:.0} us per task",
            100.0 * rate / floor
        );
        best = (best.0.max(floor), best.1.max(rate));
    }
    println!(
        "best: bare loop {:.0}/s, runner {:.0}/s = {:.0}%",
        best.0,
        best.1,
        100.0 * best.1 / best.0
    );
    let mut latencies = runtime.block_on(latency(1000))?;
    latencies.sort_unstable();
    let at = |share: usize| latencies[latencies.len() * share / 100].as_micros();
    println!(
        "start() until the daemon knows the pid, one at a time: p50 {} us, p90 {} us, p99 {} us",
        at(50),
        at(90),
        at(99)
    );
    let mut sensor = Sensor::new(Path::new("/"), RunnerPid::default());
    let mut cost = Duration::MAX;
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(250));
        let begin = Instant::now();
        sensor.sense();
        cost = cost.min(begin.elapsed());
    }
    println!("a host sample without tasks: {} us", cost.as_micros());
    Ok(())
}

/// Tasks per second of a bare loop.
fn floor(count: u32) -> f64 {
    let begin = Instant::now();
    for _ in 0..count {
        let mut command = Command::new("true");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Err(error) = command.status() {
            eprintln!("the bare loop: {error}");
        }
    }
    f64::from(count) / begin.elapsed().as_secs_f64()
}

async fn open(dir: &Path) -> Result<(Processes, Receiver<ExecEvent>), ExecError> {
    let mut config = ExecConfig::new(dir, "/proc/self/exe");
    config.runner_args = vec![RUNNER.into(), dir.into()];
    let (executor, _, events) = Processes::open(config).await?;
    Ok((executor, events))
}

fn launch(index: u32, program: &str) -> Launch {
    let variables = [
        "STARLING_JOB",
        "STARLING_TASK",
        "STARLING_EPOCH",
        "STARLING_NODE",
    ];
    Launch {
        task: TaskId {
            job: JobId(1),
            index,
        },
        epoch: 1,
        command: vec![program.to_owned()],
        env: variables
            .map(|name| (name.to_owned(), index.to_string()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        dir: None,
        user: None,
        cpu_limit: None,
        memory_limit: None,
        grace_ms: 1000,
        lease: None,
        container: None,
        note: Vec::new(),
    }
}

/// Tasks per second through a runner, from the first start to the last end, with ends
/// acknowledged as they come; and the runner's own CPU time per task in microseconds.
async fn rate(count: u32, program: &str) -> Result<(f64, f64), ExecError> {
    let dir = std::env::temp_dir().join(format!("starling-rate-{}", std::process::id()));
    let (executor, mut events) = open(&dir).await?;
    let begin = Instant::now();
    let mut next = WINDOW as u32;
    executor.start(
        (0..next.min(count))
            .map(|index| launch(index, program))
            .collect(),
    );
    let mut ended = 0;
    while ended < count {
        let Some(event) = events.recv().await else {
            break;
        };
        let mut done = Vec::new();
        let mut take = |event| {
            if let ExecEvent::Ended { task, epoch, .. } = event {
                done.push((task, epoch));
            }
        };
        take(event);
        while let Ok(event) = events.try_recv() {
            take(event);
        }
        if done.is_empty() {
            continue;
        }
        ended += done.len() as u32;
        let more = next..(next + done.len() as u32).min(count);
        next = more.end.max(next);
        executor.start(more.map(|index| launch(index, program)).collect());
        executor.acknowledge(done);
    }
    let elapsed = begin.elapsed().as_secs_f64();
    let pid = executor.runner_pid().get().unwrap_or_default();
    let cpu = own_ticks(pid) * 10_000.0 / f64::from(count);
    executor.shutdown(Duration::ZERO).await;
    drop(executor);
    let _ = std::fs::remove_dir_all(&dir);
    Ok((f64::from(count) / elapsed, cpu))
}

/// The CPU time of a process without its children, in clock ticks.
fn own_ticks(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    rest.split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum()
}

/// How long it takes from `start` until the daemon knows of the process, one task at a time.
async fn latency(count: u32) -> Result<Vec<Duration>, ExecError> {
    let dir = std::env::temp_dir().join(format!("starling-latency-{}", std::process::id()));
    let (executor, mut events) = open(&dir).await?;
    let mut latencies = Vec::new();
    for index in 0..count {
        let begin = Instant::now();
        executor.start(vec![launch(index, "true")]);
        loop {
            match events.recv().await {
                Some(ExecEvent::Started { .. }) => latencies.push(begin.elapsed()),
                Some(ExecEvent::Ended { task, epoch, .. }) => {
                    executor.acknowledge(vec![(task, epoch)]);
                    break;
                }
                Some(other) => println!("{other:?}"),
                None => break,
            }
        }
    }
    executor.shutdown(Duration::ZERO).await;
    drop(executor);
    let _ = std::fs::remove_dir_all(&dir);
    Ok(latencies)
}
