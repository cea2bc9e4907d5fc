//! `sim`: a scenario in virtual time, policies side by side.

use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use clap::Parser;
use starling_testnet::play::{Plan, Played, Player, play};
use starling_testnet::report::progress::{Progress, interrupted};
use starling_testnet::report::{Report, Run};
use starling_testnet::scenario::{self, Scenario};
use starling_testnet::sim::Sink;

use super::{FAILED, threads, wrong};

/// Plays a scenario in virtual time: production engines and rivals on the same cases.
#[derive(Parser)]
pub(crate) struct Args {
    /// The scenario file; testnet/scenarios has ten, and a README that describes the format.
    scenario: PathBuf,
    /// Run this one seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run these seeds: A..B, without B.
    #[arg(long, value_name = "A..B")]
    seeds: Option<String>,
    /// Another number of machines; each group keeps its part.
    #[arg(long, value_name = "N")]
    nodes: Option<u32>,
    /// Policies, instead of the scenario's: `starling`, `starling:-classes`, `p2c`, ... `list` shows
    /// all.
    #[arg(long, value_name = "P,..")]
    policy: Option<String>,
    /// Write report.html, report.json, report.csv and the scenario there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write every event of the first run there, in words.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// How many runs at a time; by default as many as there are cores.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Separates policies, but not the parts of one: `starling:-live,-bounce,p2c`.
fn split(list: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for word in list
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        match names.last_mut() {
            Some(last) if word.starts_with('-') && last.contains(':') => {
                *last += ",";
                *last += word;
            }
            _ => names.push(word.to_owned()),
        }
    }
    names
}

pub(crate) fn main(args: &Args) -> ExitCode {
    if args.policy.as_deref() == Some("list") {
        println!("starling: the production engine; starling:-PART leaves a part of its rule out");
        for (name, meaning) in starling_testnet::model::names() {
            println!("{name}: {meaning}");
        }
        return ExitCode::SUCCESS;
    }
    match prepare(args) {
        Ok((scenario, text, players, seeds)) => run(args, &scenario, text, players, seeds),
        Err(problem) => wrong(problem),
    }
}

type Prepared = (Scenario, String, Vec<(String, Player)>, Vec<u64>);

fn prepare(args: &Args) -> Result<Prepared, String> {
    let mut scenario = scenario::load(&args.scenario).map_err(|error| error.to_string())?;
    let text = std::fs::read_to_string(&args.scenario).map_err(|error| error.to_string())?;
    let known = |name: &str| Player::parse(name).map(|_| ());
    scenario
        .check_policies(known)
        .map_err(|error| error.to_string())?;
    if let Some(nodes) = args.nodes {
        scenario = scenario
            .with_nodes(nodes)
            .map_err(|error| error.to_string())?;
    }
    let names = match &args.policy {
        Some(list) => split(list),
        None => scenario.policies().map(str::to_owned).collect(),
    };
    let names = if names.is_empty() {
        vec![starling_testnet::play::STARLING.to_owned()]
    } else {
        names
    };
    let players = names
        .into_iter()
        .map(|name| {
            let player = Player::parse(&name).map_err(|why| format!("--policy: {why}"))?;
            Ok((name, player))
        })
        .collect::<Result<Vec<_>, String>>()?;
    let seeds = match (&args.seed, &args.seeds) {
        (Some(seed), _) => vec![*seed],
        (None, Some(range)) => scenario::seed_range(range)
            .ok_or_else(|| format!("--seeds: `{range}` is no range; write A..B, for example 1..6"))?
            .collect(),
        (None, None) => scenario.seeds().collect(),
    };
    Ok((scenario, text, players, seeds))
}

fn run(
    args: &Args,
    scenario: &Scenario,
    text: String,
    players: Vec<(String, Player)>,
    seeds: Vec<u64>,
) -> ExitCode {
    let trace = match args.trace.as_ref().map(sink).transpose() {
        Ok(trace) => trace,
        Err(problem) => return wrong(problem),
    };
    let stop = match interrupted() {
        Ok(stop) => stop,
        Err(error) => return wrong(format!("Ctrl-C cannot be heard: {error}")),
    };
    let progress = Progress::new(players.len() * seeds.len());
    let plan = Plan {
        scenario,
        players,
        seeds,
        threads: args.threads.unwrap_or_else(threads),
        trace: Mutex::new(trace),
    };
    let played = play(&plan, &stop, &progress);
    progress.finish();
    let played = match played {
        Ok(played) => played,
        Err(error) => return wrong(error),
    };
    let failed = complain(args, scenario, &played);
    let stopped = stop.load(Ordering::Relaxed);
    let runs: Vec<Run> = played.into_iter().map(|played| played.run).collect();
    if runs.is_empty() {
        eprintln!("stopped before a run had ended; nothing was written");
        return ExitCode::from(130);
    }
    let report = Report::new(text, command(args), runs);
    if args.json {
        match report.json() {
            Ok(json) => println!("{json}"),
            Err(error) => return wrong(error),
        }
    } else {
        print!("{}", report.table(std::io::stdout().is_terminal()));
        print!("{}", report.digests());
    }
    if let Some(dir) = &args.out {
        match report.write(dir) {
            Ok(files) => {
                for file in files {
                    eprintln!("wrote {}", file.display());
                }
            }
            Err(error) => return wrong(error),
        }
    }
    if stopped {
        eprintln!("stopped: the runs that had ended are shown");
        return ExitCode::from(130);
    }
    if failed {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    }
}

/// Tells what did not hold, with the command that shows it again.
fn complain(args: &Args, scenario: &Scenario, played: &[Played]) -> bool {
    let mut failed = false;
    for Played { run, missed } in played {
        for text in run.violations.iter().chain(missed) {
            failed = true;
            eprintln!("{}, seed {}: {text}", run.policy, run.seed);
        }
        if !run.violations.is_empty() || !missed.is_empty() {
            eprintln!(
                "replay: starling-testnet sim {} --seed {} --nodes {} --policy {} --trace trace.log",
                args.scenario.display(),
                run.seed,
                scenario.nodes(),
                run.policy
            );
        }
    }
    failed
}

/// The command that repeats this.
fn command(args: &Args) -> String {
    let mut words = vec![
        "starling-testnet sim".to_owned(),
        args.scenario.display().to_string(),
    ];
    let mut option = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("{name} {value}")));
    };
    option("--seed", args.seed.map(|seed| seed.to_string()));
    option("--seeds", args.seeds.clone());
    option("--nodes", args.nodes.map(|nodes| nodes.to_string()));
    option("--policy", args.policy.clone());
    words.join(" ")
}

fn sink(path: &PathBuf) -> Result<Sink, String> {
    let file = std::fs::File::create(path).map_err(|error| {
        let path = path.display();
        format!("--trace: {path}: {error}; name a file that can be written")
    })?;
    let mut file = std::io::BufWriter::new(file);
    Ok(Box::new(move |line: &str| {
        // A trace that cannot be written any further ends; the run does not.
        let _ = writeln!(file, "{line}");
    }))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn parts_stay_with_their_policy() {
        assert_eq!(
            split("starling:-live,-bounce,p2c, random"),
            ["starling:-live,-bounce", "p2c", "random"]
        );
    }
}
