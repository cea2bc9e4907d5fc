//! `validate`: the model against what is known from elsewhere.

use std::process::ExitCode;

use clap::Parser;
use starling_testnet::report::progress::Progress;
use starling_testnet::validate;

use super::FAILED;

/// Compares the queueing model with closed forms, published set-ups and gossip theory.
#[derive(Parser)]
pub(crate) struct Args {
    /// A small set in seconds instead of the full one in minutes.
    #[arg(long)]
    quick: bool,
    /// Only comparisons whose group or name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

pub(crate) fn main(args: &Args) -> ExitCode {
    let progress = Progress::new(1);
    let says = |share: f64, what: &str| progress.says(&format!("{:.0}% {what}", share * 100.0));
    let checks = validate::run(!args.quick, args.only.as_deref(), Some(&says));
    progress.finish();
    print!("{}", validate::table(&checks));
    let failed = checks.iter().filter(|check| !check.pass).count();
    println!("{} comparisons, {failed} do not hold", checks.len());
    if failed > 0 || checks.is_empty() {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    }
}
