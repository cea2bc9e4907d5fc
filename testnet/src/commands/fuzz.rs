//! `fuzz`: bad weather, seed by seed.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::Parser;
use serde::Serialize;
use starling_testnet::fuzz::{Seen, Weather, play};
use starling_testnet::report::progress::{Progress, interrupted};
use starling_testnet::scenario::seed_range;

use super::{FAILED, threads, wrong};

/// So many failing seeds end a campaign: the first is to be looked at, not counted.
const MAX_FAILED: usize = 20;

/// Runs small clusters through crashes, cuts, pauses and losses while jobs come in, and checks that
/// nothing acknowledged is lost or told twice, that what may run once never runs twice, and that
/// nothing is left behind.
#[derive(Parser)]
pub(crate) struct Args {
    /// Run these seeds of each kind of weather: A..B, without B.
    #[arg(long, value_name = "A..B", default_value = "0..200")]
    seeds: String,
    /// Kinds of weather: stormy, lethal, clear, leased, wild. By default all.
    #[arg(long, value_name = "W,..", value_delimiter = ',')]
    weather: Vec<String>,
    /// How many runs at a time; by default as many as there are cores.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// What a campaign in one kind of weather has seen.
#[derive(Debug, Default, Serialize)]
struct Line {
    weather: &'static str,
    seeds: u64,
    events: u64,
    faults: u64,
    jobs: u64,
    tasks: u64,
    /// Starts of tasks beyond one each.
    again: u64,
    failures: Vec<String>,
}

impl Line {
    fn add(&mut self, seen: Seen) {
        self.seeds += 1;
        self.events += seen.events;
        self.faults += seen.faults;
        self.jobs += seen.jobs;
        self.tasks += seen.tasks;
        self.again += seen.again;
    }
}

pub(crate) fn main(args: &Args) -> ExitCode {
    let Some(seeds) = seed_range(&args.seeds) else {
        let problem = format!(
            "`{}` is no range; write A..B, for example 0..200",
            args.seeds
        );
        return wrong(format!("--seeds: {problem}"));
    };
    let mut kinds = Vec::new();
    for name in &args.weather {
        let Some(weather) = Weather::named(name) else {
            let names: Vec<_> = Weather::ALL.iter().map(|weather| weather.name()).collect();
            let known = names.join(", ");
            return wrong(format!("--weather: `{name}` is unknown; there are {known}"));
        };
        kinds.push(weather);
    }
    if kinds.is_empty() {
        kinds = Weather::ALL.to_vec();
    }
    let stop = match interrupted() {
        Ok(stop) => stop,
        Err(error) => return wrong(format!("Ctrl-C cannot be caught: {error}")),
    };
    let lines = campaign(&kinds, seeds, args.threads.unwrap_or_else(threads), &stop);
    let failed: usize = lines.iter().map(|line| line.failures.len()).sum();
    if args.json {
        match serde_json::to_string_pretty(&lines) {
            Ok(text) => println!("{text}"),
            Err(error) => return wrong(error),
        }
    } else {
        print!("{}", table(&lines));
    }
    for failure in lines.iter().flat_map(|line| &line.failures) {
        eprintln!("{failure}\n");
    }
    if stop.load(Ordering::Relaxed) {
        eprintln!("interrupted: not all seeds were run");
    }
    if failed > 0 {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    }
}

fn campaign(
    kinds: &[Weather],
    seeds: RangeInclusive<u64>,
    threads: usize,
    stop: &AtomicBool,
) -> Vec<Line> {
    // What an engine says in a panic is told with its seed; once is enough.
    std::panic::set_hook(Box::new(|_| {}));
    let (first, last) = seeds.into_inner();
    let runs = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
    let progress = Progress::new(runs.saturating_mul(kinds.len()));
    let mut lines = Vec::new();
    for weather in kinds {
        let next = AtomicU64::new(first);
        let line = Mutex::new(Line {
            weather: weather.name(),
            ..Line::default()
        });
        progress.says(weather.name());
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let full = |line: &Line| line.failures.len() >= MAX_FAILED;
                        let full = line.lock().is_ok_and(|line| full(&line));
                        if seed > last || full || stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let played = play(seed, *weather);
                        if let Ok(mut line) = line.lock() {
                            match played {
                                Ok(seen) => line.add(seen),
                                Err(problem) => {
                                    line.seeds += 1;
                                    line.failures.push(problem);
                                }
                            }
                        }
                        progress.done();
                    }
                });
            }
        });
        lines.push(line.into_inner().unwrap_or_default());
    }
    progress.finish();
    let _ = std::panic::take_hook();
    lines
}

fn table(lines: &[Line]) -> String {
    let mut text = format!(
        "{:8} {:>8} {:>14} {:>9} {:>9} {:>10} {:>9} {:>7}\n",
        "weather", "seeds", "events", "faults", "jobs", "tasks", "again", "failed"
    );
    for line in lines {
        let _ = writeln!(
            text,
            "{:8} {:>8} {:>14} {:>9} {:>9} {:>10} {:>9} {:>7}",
            line.weather,
            line.seeds,
            line.events,
            line.faults,
            line.jobs,
            line.tasks,
            line.again,
            line.failures.len()
        );
    }
    text
}
