//! The benchmark: real daemons as processes on this machine, measured from outside, beside what
//! the machine does without them; and, as `bench placement`, the placement rule in virtual time.
//! The numbers and their aims are in the README.

mod error;
mod host;
mod hq;
mod idle;
mod latency;
mod loaded;
pub(crate) mod placement;
mod procs;
mod rate;
mod recovery;
mod report;
pub(crate) mod stamp;
mod stats;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};

use self::error::BenchError;
use self::report::Report;

/// What to measure, and how thoroughly.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// What to measure; everything unless said
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Also write the numbers to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fewer samples: a minute in all, and rougher numbers
    #[arg(long)]
    quick: bool,
    /// The daemon's program; the one beside this program unless said
    #[arg(long, value_name = "FILE")]
    exe: Option<PathBuf>,
}

/// What else there is to measure.
#[derive(clap::Subcommand)]
enum What {
    /// Print the table of aims: production engines and rivals on the same cases, in virtual time
    Placement(placement::Args),
    /// Only its row of learning: from nothing known to placing by fit, beside what knows the truth
    Learning(placement::Args),
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Submit to running
    Latency,
    /// No-op tasks per second, beside a bare loop and, where it is, HyperQueue
    Rate,
    /// Memory, CPU and gossip of idle clusters of 1, 5 and 20
    Idle,
    /// Gossip of a busy cluster of 20
    Busy,
    /// From the kill of a node, a host or an owner, to its tasks running elsewhere
    Recovery,
    /// The same when it is cut off; needs root and iproute2
    Cut,
    /// Nodes wrongly held dead while every core is taken
    Loaded,
}

/// How thoroughly.
pub(crate) struct Scale {
    exe: PathBuf,
    latency_samples: usize,
    rate_tasks: u32,
    rate_rounds: usize,
    floor_spawns: u32,
    idle_clusters: &'static [usize],
    settle: Duration,
    window: Duration,
    recovery_clusters: &'static [usize],
    kills: usize,
    cuts: usize,
    loaded: Duration,
}

impl Scale {
    const fn thorough(exe: PathBuf) -> Self {
        Self {
            exe,
            latency_samples: 1000,
            rate_tasks: 5000,
            rate_rounds: 5,
            floor_spawns: 2000,
            idle_clusters: &[1, 5, 20],
            settle: Duration::from_secs(10),
            window: Duration::from_secs(30),
            recovery_clusters: &[3, 5, 20],
            kills: 20,
            cuts: 20,
            loaded: Duration::from_secs(600),
        }
    }

    const fn quick(exe: PathBuf) -> Self {
        Self {
            exe,
            latency_samples: 200,
            rate_tasks: 2000,
            rate_rounds: 1,
            floor_spawns: 1000,
            idle_clusters: &[1, 5],
            settle: Duration::from_secs(2),
            window: Duration::from_secs(5),
            recovery_clusters: &[3],
            kills: 3,
            cuts: 2,
            loaded: Duration::from_secs(10),
        }
    }
}

/// Runs the benchmark and prints what came out.
pub(crate) fn main(args: Args) -> ExitCode {
    match args.what {
        Some(What::Placement(args)) => return placement::main(&args),
        Some(What::Learning(args)) => return placement::learn(args),
        None => {}
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bench: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(until_interrupted(args));
    // A floor that still spawns does not keep the program.
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

/// Whatever ends it, dropping the measurement kills the daemons and removes their directories.
async fn until_interrupted(args: Args) -> ExitCode {
    let interrupted = async {
        let mut terminate = signal(SignalKind::terminate()).ok()?;
        let mut interrupt = signal(SignalKind::interrupt()).ok()?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Some(())
    };
    let stopped = async {
        if interrupted.await.is_none() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = stopped => {
            eprintln!("bench: interrupted; nothing is left behind");
            ExitCode::from(130)
        }
        result = measure(args) => match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("bench: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

async fn measure(args: Args) -> Result<(), BenchError> {
    let exe = world::find_exe(args.exe)?;
    let scale = if args.quick {
        Scale::quick(exe)
    } else {
        Scale::thorough(exe)
    };
    let mut report = Report::new(args.quick);
    if let Some(path) = &args.json {
        // Rather now than after ten minutes.
        std::fs::write(path, "").map_err(BenchError::io("the JSON file cannot be written"))?;
    }
    // What one part cannot measure does not cost the others their numbers.
    let mut failed = false;
    for part in Part::value_variants() {
        if args.parts.is_empty() || args.parts.contains(part) {
            let name = part.to_possible_value();
            eprintln!("{}", name.as_ref().map_or("", |name| name.get_name()));
            if let Err(error) = one(*part, &mut report, &scale).await {
                let name = name.as_ref().map_or("", |name| name.get_name());
                report.skip(format!("{name}: FAILED: {error}"));
                failed = true;
            }
        }
    }
    print!("{}", report.table());
    if let Some(path) = &args.json {
        let json = report.json().map_err(std::io::Error::other);
        json.and_then(|json| std::fs::write(path, json))
            .map_err(BenchError::io("the JSON file cannot be written"))?;
    }
    if failed {
        return Err(BenchError::Wrong(
            "not everything could be measured".to_owned(),
        ));
    }
    Ok(())
}

async fn one(part: Part, report: &mut Report, scale: &Scale) -> Result<(), BenchError> {
    match part {
        Part::Latency => {
            for nodes in [1, 4] {
                latency::run(report, scale, nodes).await?;
            }
        }
        Part::Rate => {
            for nodes in [1, 4] {
                rate::run(report, scale, nodes).await?;
            }
            rate::rival(report, scale).await?;
        }
        Part::Idle => {
            for nodes in scale.idle_clusters {
                idle::idle(report, scale, *nodes).await?;
            }
        }
        Part::Busy => idle::busy(report, scale, 20).await?,
        Part::Recovery => recovery::kills(report, scale).await?,
        Part::Cut => recovery::cuts(report, scale).await?,
        Part::Loaded => loaded::run(report, scale).await?,
    }
    Ok(())
}
