//! `starling classes`: what the cluster has learned of each class of workloads.

use std::process::ExitCode;

use clap::Args;
use starling_api::{CellView, ClassView};

use super::connect::Connect;
use super::error::CliError;
use super::output::{self, Style, Tone};
use super::ps::silent;
use super::table::Rows;
use super::units;

/// Below this what is usual counts for more than what was measured.
const UNSURE: f64 = 0.5;

/// Show what the cluster has learned of each class of workloads
///
/// A class is the name under which tasks' speed is learned: `run --class`, or made from the program
/// and the job's name. For each platform: how long its tasks run there; for each pressed resource:
/// how much longer they run then; for each resource: what a task of it exerts; from how many measurements, by whom, how old, and how far that is
/// relied on.
#[derive(Args, Debug)]
pub(super) struct ClassesArgs {
    /// Only classes whose names begin like that
    #[arg(default_value = "", hide_default_value = true)]
    class: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn classes(args: ClassesArgs) -> Result<ExitCode, CliError> {
    let mut classes = args.connect.client()?.classes().await?;
    classes
        .items
        .retain(|class| class.name.starts_with(&args.class));
    if args.json {
        output::json(&classes)?;
    } else if classes.items.is_empty() {
        output::note("nothing is known yet: classes are learned from tasks that end well");
    } else {
        output::line(&classes_table(&classes.items, Style::of_stdout()))?;
        silent(&classes.silent);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn classes_table(classes: &[ClassView], style: Style) -> String {
    let mut rows = Rows::new(&[
        "CLASS",
        "COLUMN",
        ">VALUE",
        ">8 OF 10 WITHIN",
        ">MEASURED",
        ">RELIED ON",
        ">AGE",
        "BY",
    ]);
    for class in classes {
        for (at, cell) in class.cells.iter().enumerate() {
            let tone = if cell.confidence < UNSURE {
                Tone::Dim
            } else {
                Tone::Plain
            };
            let name = if at == 0 { &class.name } else { "" };
            let by = cell.observers.iter().map(|seen| seen.node.label());
            rows.row(
                tone,
                [
                    name.to_owned(),
                    cell.column.clone(),
                    value(cell, cell.value),
                    format!("{} .. {}", value(cell, cell.low), value(cell, cell.high)),
                    format!("{:.0}", cell.count),
                    units::percent(cell.confidence),
                    units::span(cell.age_ms),
                    by.collect::<Vec<_>>().join(" "),
                ],
            );
        }
    }
    rows.render(style)
}

/// Seconds for a platform, an excess for what is exerted, a factor for all else.
fn value(cell: &CellView, value: f64) -> String {
    let unit = if cell.column.starts_with("platform:") {
        "s"
    } else if cell.column.starts_with("exerts:") {
        return format!("{value:.2}");
    } else {
        "x"
    };
    if value < 0.1 {
        format!("{value:.4}{unit}")
    } else if value < 100.0 {
        format!("{value:.2}{unit}")
    } else {
        format!("{value:.0}{unit}")
    }
}
