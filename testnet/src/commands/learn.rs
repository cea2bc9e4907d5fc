//! `learn`: predictions from a few measurements, and how good they are.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use starling_testnet::learn::{eval, files, predict};
use starling_testnet::report::progress::Progress;

use super::{FAILED, wrong};

/// Predicts times and speeds from a few measurements, and judges the predictions.
#[derive(Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge the model by the protocols of the data report, rivals beside it
    Eval(Eval),
    /// Predict cells of any matrix of classes by columns from measurements of others
    Predict(Predict),
}

#[derive(Parser)]
struct Eval {
    /// The folder with the data sets.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Repetitions of each trial with other chance; the report has 20 and 10.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    seeds: u32,
    /// Only data sets whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// What the values are.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Times or slowdowns: less is better.
    Time,
    /// Speeds: more is better.
    Rate,
}

#[derive(Parser)]
struct Predict {
    /// Measurements: CSV with the columns class, column, value and, if need be, weight.
    #[arg(long, value_name = "FILE")]
    observations: PathBuf,
    /// What to predict: CSV with the columns class and column.
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    /// Features of the classes when run alone: CSV with the column class and numbers beside it.
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// What the values are; `--json` names the best column of each class by it.
    #[arg(long, value_enum, default_value = "time")]
    kind: Kind,
    /// Print JSON, with what each prediction was derived from, instead of CSV.
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(args: &Args) -> ExitCode {
    match &args.command {
        Command::Eval(args) => judge(args),
        Command::Predict(args) => match answer(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => wrong(problem),
        },
    }
}

fn judge(args: &Eval) -> ExitCode {
    let progress = Progress::new(1);
    let says = |what: &str| progress.says(what);
    let report = eval::run(&args.data, args.seeds, args.only.as_deref(), &says);
    progress.finish();
    let report = match report {
        Ok(report) => report,
        Err(problem) => return wrong(problem),
    };
    let text = if args.json {
        serde_json::to_string_pretty(&report).unwrap_or_else(|error| error.to_string()) + "\n"
    } else {
        report.tables()
    };
    if std::io::stdout().write_all(text.as_bytes()).is_err() {
        return ExitCode::from(FAILED);
    }
    if report.missed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    }
}

/// The best column of each class among those asked for.
fn best(all: &[predict::Predicted], kind: Kind) -> BTreeMap<&str, &str> {
    let mut best: BTreeMap<&str, &predict::Predicted> = BTreeMap::new();
    for one in all {
        let better = best.get(one.class.as_str()).is_none_or(|other| match kind {
            Kind::Time => one.prediction < other.prediction,
            Kind::Rate => one.prediction > other.prediction,
        });
        if better {
            best.insert(&one.class, one);
        }
    }
    let named = best.into_iter();
    named
        .map(|(class, one)| (class, one.column.as_str()))
        .collect()
}

fn answer(args: &Predict) -> Result<(), String> {
    let say = |error: files::FileError| error.to_string();
    let measured = files::measurements(&args.observations).map_err(say)?;
    let questions = files::questions(&args.queries).map_err(say)?;
    let features = args.features.as_deref().map(files::features);
    let features = features.transpose().map_err(say)?.unwrap_or_default();
    let all = predict::predict(&measured, &questions, &features);
    let out = std::io::stdout().lock();
    let failed = |error: String| format!("cannot write: {error}");
    if args.json {
        let report = serde_json::json!({ "predictions": all, "best": best(&all, args.kind) });
        let mut out = std::io::BufWriter::new(out);
        serde_json::to_writer_pretty(&mut out, &report)
            .map_err(|error| failed(error.to_string()))?;
        return writeln!(out).map_err(|error| failed(error.to_string()));
    }
    let mut out = csv::Writer::from_writer(out);
    let written = || -> Result<(), csv::Error> {
        out.write_record(["class", "column", "prediction", "low", "high"])?;
        for one in &all {
            let numbers = [one.prediction, one.low, one.high].map(|value| value.to_string());
            let [prediction, low, high] = &numbers;
            out.write_record([&one.class, &one.column, prediction, low, high])?;
        }
        Ok(out.flush()?)
    };
    let mut written = written;
    written().map_err(|error| failed(error.to_string()))
}
