//! The testnet program: real daemons under measure. (The engine in virtual time is the library's
//! `sim`.)

// Real processes are measured by the real clock.
#![allow(clippy::disallowed_methods)]

mod bench;

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
    /// Measure speed and size of real daemons on this machine
    Bench(bench::Args),
}

fn main() -> ExitCode {
    // The measured task: it must cost no more than its own start, so it comes before all else.
    if let Some(done) = bench::stamp::task() {
        return done;
    }
    let Command::Bench(args) = Cli::parse().command;
    bench::main(args)
}
