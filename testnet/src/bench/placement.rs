//! `bench placement`: the table of aims. Starling's production engines and its rivals on the same
//! cases in virtual time, each row with its measured values, their intervals over seeds, the aim,
//! and whether it is met.
//!
//! | file | subject |
//! | --- | --- |
//! | `row` | what a row is: settings, columns, aims |
//! | `queues`, `fleets`, `learning`, `faults`, `parts` | the rows |
//! | `measure`, `results`, `table` | from a run to numbers, verdicts, and text |

mod faults;
mod fleets;
mod learning;
mod measure;
mod parts;
mod queues;
mod results;
mod row;
mod table;

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use starling_testnet::play::Player;
use starling_testnet::report::parallel;
use starling_testnet::report::progress::{Progress, interrupted};
use starling_testnet::scenario::seed_range;

use self::measure::{Measured, measure};
use self::results::{Results, Verdict};
use self::row::{Row, Setting};
use self::table::{Json, block};
use crate::commands::{FAILED, threads, wrong};

/// The row that `bench learning` runs.
const LEARNING: &str = "learning";

/// Where measured data lies if nothing is said.
const DATA: &str = "../shared/data";

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Smaller fleets and fewer tasks: a few minutes, and rougher numbers
    #[arg(long)]
    quick: bool,
    /// Run these seeds: A..B, without B; 1..6, or 1..4 if quick, unless said
    #[arg(long, value_name = "A..B")]
    seeds: Option<String>,
    /// Only rows whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Measured data to read; rows that need them are skipped without
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Also write everything to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many runs at a time; by default as many as there are cores
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// A row by its name.
type Make<'a> = (&'static str, Box<dyn Fn() -> Result<Row, String> + 'a>);

fn makers(quick: bool, data: Option<&Path>) -> Vec<Make<'_>> {
    vec![
        ("M/M/1", Box::new(move || queues::single_servers(quick))),
        ("Sparrow", Box::new(move || queues::sparrow(quick))),
        ("heavy tail", Box::new(move || queues::heavy_tail(quick))),
        ("two speeds", Box::new(move || queues::two_speeds(quick))),
        (
            "heterogeneous",
            Box::new(move || fleets::unequal(quick, data)),
        ),
        (
            "interference",
            Box::new(move || fleets::interference(quick, data)),
        ),
        (LEARNING, Box::new(move || learning::learning(quick, data))),
        ("scale", Box::new(move || queues::scale(quick))),
        ("faults", Box::new(move || faults::faults(quick))),
        ("parts", Box::new(move || parts::parts(quick))),
    ]
}

/// Runs the row of learning.
pub(crate) fn learn(mut args: Args) -> ExitCode {
    args.only = Some(LEARNING.to_owned());
    main(&args)
}

/// Runs the rows and prints them, each when it is done.
pub(crate) fn main(args: &Args) -> ExitCode {
    match run(args) {
        Ok(code) => code,
        Err(problem) => wrong(problem),
    }
}

fn run(args: &Args) -> Result<ExitCode, String> {
    let range = args.seeds.as_deref();
    let range = range.unwrap_or(if args.quick { "1..4" } else { "1..6" });
    let seeds: Vec<u64> = seed_range(range)
        .ok_or_else(|| format!("--seeds: `{range}` is no range; write A..B, for example 1..6"))?
        .collect();
    let given = args.data.as_deref();
    let data = given.unwrap_or_else(|| Path::new(DATA));
    let data = data.is_dir().then_some(data);
    if let (Some(given), None) = (given, data) {
        let given = given.display();
        return Err(format!(
            "--data: {given} is no directory; name one with dev/ and traces/"
        ));
    }
    let only = args.only.as_deref().unwrap_or("").to_lowercase();
    let mut rows = Vec::new();
    for (name, make) in makers(args.quick, data) {
        if name.to_lowercase().contains(&only) {
            rows.push(make()?);
        }
    }
    if rows.is_empty() {
        let known: Vec<_> = makers(args.quick, data)
            .iter()
            .map(|(name, _)| *name)
            .collect();
        let known = known.join(", ");
        return Err(format!(
            "--only: no row has `{only}` in its name; there are {known}"
        ));
    }
    if let Some(path) = &args.json {
        // Rather now than after ten minutes.
        std::fs::write(path, "").map_err(|why| format!("--json: {}: {why}", path.display()))?;
    }
    let stop = interrupted().map_err(|why| format!("Ctrl-C cannot be heard: {why}"))?;
    let runs = rows.iter().map(|row| runs(row, &seeds).len()).sum();
    let progress = Progress::new(runs);
    let color = std::io::stdout().is_terminal();
    let (mut done, mut missed, mut open) = (Vec::new(), 0, 0);
    for row in &rows {
        let results = play(
            row,
            &seeds,
            args.threads.unwrap_or_else(threads),
            &stop,
            &progress,
        )?;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let judged = results.judge_all(row);
        let text = block(row, &results, &judged, color);
        progress.line("");
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").map_err(|why| format!("standard output: {why}"))?;
        missed += judged
            .iter()
            .filter(|j| j.verdict == Verdict::Missed)
            .count();
        open += judged.iter().filter(|j| j.verdict == Verdict::Open).count();
        open += results
            .0
            .iter()
            .flat_map(|r| &r.runs)
            .filter(|r| !r.violations.is_empty())
            .count();
        done.push((row, results, judged));
    }
    progress.finish();
    if let Some(path) = &args.json {
        let rows: Vec<_> = done
            .iter()
            .map(|(row, results, judged)| Json::new(row, results, judged))
            .collect();
        let all = serde_json::json!({ "quick": args.quick, "seeds": seeds, "rows": rows });
        let text = serde_json::to_string_pretty(&all).map_err(|why| format!("--json: {why}"))?;
        std::fs::write(path, text).map_err(|why| format!("--json: {}: {why}", path.display()))?;
    }
    if stop.load(Ordering::Relaxed) {
        eprintln!("stopped: the rows that had ended are shown");
        return Ok(ExitCode::from(130));
    }
    let aims: usize = done.iter().map(|(_, _, judged)| judged.len()).sum();
    println!("{aims} aims, {missed} missed, {open} open");
    Ok(if missed + open > 0 {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

/// All runs of a row, setting by setting.
fn runs<'a>(row: &'a Row, seeds: &[u64]) -> Vec<(&'a Setting, &'static str, u64)> {
    let mut runs = Vec::new();
    for setting in &row.settings {
        for policy in &setting.players {
            for seed in seeds.iter().take(setting.most_seeds) {
                runs.push((setting, *policy, *seed));
            }
        }
    }
    runs
}

/// Plays a row. What Ctrl-C cuts short is left out.
fn play(
    row: &Row,
    seeds: &[u64],
    threads: usize,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<Results, String> {
    let jobs = runs(row, seeds);
    let work = |_: usize, (setting, policy, seed): (&Setting, &'static str, u64)| {
        let says = |share: f64| {
            let (name, percent) = (&setting.name, share * 100.0);
            progress.says(&format!(
                "{}: {name}, {policy}, seed {seed}: {percent:.0}%",
                row.name
            ));
            !stop.load(Ordering::Relaxed)
        };
        one(setting, policy, seed, &says)
    };
    let all = parallel(jobs.clone(), threads, stop, progress, work);
    let mut results = Results::default();
    for ((setting, policy, _), measured) in jobs.into_iter().zip(all) {
        if let Some(measured) = measured {
            results.add(&setting.name, policy, measured?);
        }
    }
    Ok(results)
}

/// One run, reduced at once: an outcome of many tasks is large.
fn one(
    setting: &Setting,
    policy: &str,
    seed: u64,
    says: &dyn Fn(f64) -> bool,
) -> Result<Measured, String> {
    let player = Player::parse(policy)?;
    let case = setting.case(seed)?;
    let outcome = player.run(&case, policy, says, None);
    Ok(measure(setting, &case, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_made_and_every_aim_has_its_runs() {
        for quick in [true, false] {
            for (name, make) in makers(quick, None) {
                let row = make().unwrap();
                assert_eq!(row.name, name);
                assert!(
                    !row.settings.is_empty() || !row.skipped.is_empty(),
                    "{name}"
                );
                for setting in &row.settings {
                    for policy in &setting.players {
                        assert!(Player::parse(policy).is_ok(), "{policy}");
                    }
                }
                let runs = runs(&row, &[1]);
                for aim in &row.aims {
                    let cells = match &aim.against {
                        row::Against::Alone => vec![&aim.what],
                        row::Against::Over(other) | row::Against::Less(other) => {
                            vec![&aim.what, other]
                        }
                    };
                    for cell in cells {
                        let has = runs
                            .iter()
                            .any(|(s, policy, _)| s.name == cell.setting && *policy == cell.policy);
                        assert!(has, "{name}: {}", aim.words());
                    }
                }
            }
        }
    }
}
