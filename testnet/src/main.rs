//! The testnet program: real daemons under measure. (The engine in virtual time is the library's
//! `sim`.)

// Real processes are measured by the real clock.
#![allow(clippy::disallowed_methods)]

mod bench;
mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "starling-testnet",
    version,
    about = "Puts Starling to the test"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play a scenario in virtual time, policies side by side
    Sim(commands::simulate::Args),
    /// Run small clusters through bad weather, seed by seed, and check what must hold
    Fuzz(commands::fuzz::Args),
    /// Compare the queueing model with what is known from elsewhere
    Validate(commands::validate::Args),
    /// Predict times and speeds from a few measurements, and judge the predictions
    Learn(commands::learn::Args),
    /// Make a failing scenario smaller while it still fails
    Shrink(commands::shrink::Args),
    /// Measure speed and size of real daemons on this machine, or the placement rule in virtual time
    Bench(bench::Args),
}

fn main() -> ExitCode {
    // The measured task: it must cost no more than its own start, so it comes before all else.
    if let Some(done) = bench::stamp::task() {
        return done;
    }
    match Cli::parse().command {
        Command::Sim(args) => commands::simulate::main(&args),
        Command::Fuzz(args) => commands::fuzz::main(&args),
        Command::Validate(args) => commands::validate::main(&args),
        Command::Learn(args) => commands::learn::main(&args),
        Command::Shrink(args) => commands::shrink::main(&args),
        Command::Bench(args) => bench::main(args),
    }
}
