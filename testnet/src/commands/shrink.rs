//! `shrink`: makes a failing scenario smaller while it still fails.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use starling_testnet::play::Player;
use starling_testnet::report::progress::Progress;
use starling_testnet::shrink::{Shrunk, shrink};

use super::{FAILED, wrong};

/// Looks for a smaller scenario that fails in the same way: fewer faults, machines, jobs.
#[derive(Parser)]
pub(crate) struct Args {
    /// The scenario file.
    scenario: PathBuf,
    /// The seed that fails; by default the scenario's first.
    #[arg(long)]
    seed: Option<u64>,
    /// The policy that fails.
    #[arg(long, default_value = "starling")]
    policy: String,
    /// Where the smaller scenario goes; by default it is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn main(args: &Args) -> ExitCode {
    match work(args) {
        Ok(Some(shrunk)) => {
            eprintln!("{} runs; still: {}", shrunk.runs, shrunk.complaint);
            ExitCode::SUCCESS
        }
        Ok(None) => {
            eprintln!(
                "{} does not fail: there is nothing to shrink",
                args.scenario.display()
            );
            ExitCode::from(FAILED)
        }
        Err(problem) => wrong(problem),
    }
}

fn work(args: &Args) -> Result<Option<Shrunk>, String> {
    let player = Player::parse(&args.policy).map_err(|why| format!("--policy: {why}"))?;
    let text = std::fs::read_to_string(&args.scenario)
        .map_err(|error| format!("{}: {error}; name a scenario file", args.scenario.display()))?;
    let base = args.scenario.parent().unwrap_or_else(|| Path::new("."));
    let progress = Progress::new(1);
    let says = |what: &str| progress.says(what);
    let shrunk = shrink(&text, base, args.seed, player, &says);
    progress.finish();
    let shrunk = shrunk.map_err(|error| error.to_string())?;
    if let Some(shrunk) = &shrunk {
        match &args.out {
            Some(path) => std::fs::write(path, &shrunk.text)
                .map_err(|error| format!("--out: {}: {error}", path.display()))?,
            None => print!("{}", shrunk.text),
        }
    }
    Ok(shrunk)
}
