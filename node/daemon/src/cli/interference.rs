//! `starling interference`: who hurts whom.

use std::process::ExitCode;

use clap::Args;
use starling_api::InterferenceView;

use super::connect::Connect;
use super::error::CliError;
use super::output::{self, Style, Tone};
use super::ps::silent;
use super::table::Rows;
use super::units;

/// Below this what is usual counts for more than what was measured.
const UNSURE: f64 = 0.5;

/// Show who hurts whom: how much longer a class of workloads takes beside another
///
/// Predicted from what the one was measured to suffer under pressure and what the other was measured
/// to exert, the worst pairs first; beside it what was measured under such pressure, whoever pressed.
#[derive(Args, Debug)]
pub(super) struct InterferenceArgs {
    /// Only pairs in which a class's name begins like that
    #[arg(default_value = "", hide_default_value = true)]
    class: String,
    /// Show at most so many pairs
    #[arg(long, default_value_t = 40)]
    limit: usize,
    /// Print JSON, all pairs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn interference(args: InterferenceArgs) -> Result<ExitCode, CliError> {
    let mut pairs = args.connect.client()?.interference().await?;
    let named = |name: &str| name.starts_with(&args.class);
    pairs
        .items
        .retain(|pair| named(&pair.class) || named(&pair.beside));
    if args.json {
        output::json(&pairs)?;
    } else if pairs.items.is_empty() {
        output::note("nothing is known yet: it is learned from tasks that run beside others");
    } else {
        let shown = &pairs.items[..pairs.items.len().min(args.limit)];
        output::line(&interference_table(shown, Style::of_stdout()))?;
        silent(&pairs.silent);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn interference_table(pairs: &[InterferenceView], style: Style) -> String {
    let mut rows = Rows::new(&[
        "CLASS",
        "BESIDE",
        ">TAKES",
        ">8 OF 10 WITHIN",
        "MOST BY",
        ">MEASURED",
        ">RUNS",
        ">RELIED ON",
    ]);
    for pair in pairs {
        let tone = if pair.confidence < UNSURE {
            Tone::Dim
        } else {
            Tone::Plain
        };
        let measured = pair.measured.map(|times| format!("{times:.2}x"));
        rows.row(
            tone,
            [
                pair.class.clone(),
                pair.beside.clone(),
                format!("{:.2}x", pair.slowdown),
                format!("{:.2}x .. {:.2}x", pair.low, pair.high),
                pair.by.clone(),
                measured.unwrap_or_else(|| "-".to_owned()),
                format!("{:.0}", pair.suffered),
                units::percent(pair.confidence),
            ],
        );
    }
    rows.render(style)
}
