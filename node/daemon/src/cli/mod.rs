//! The command line: one module per command, the same words everywhere.
//!
//! ```text
//!   args ─ command ─┬─ up, demo, hidden ones: the rest of the daemon
//!                   └─ connect ─ Client ─ answer ─┬─ --json: as the API gave it
//!                                                 └─ table, page: render functions, pure
//! ```

mod apply;
mod classes;
mod compose;
mod connect;
mod demo_args;
mod error;
mod events;
mod inspect;
mod interference;
mod job_file;
mod logs;
mod node_page;
mod nodes;
mod output;
mod printer;
mod ps;
mod run;
mod stop;
mod table;
mod units;
mod up_args;
mod values;
mod wait;
mod why;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use connect::default_data_dir;
pub use demo_args::DemoArgs;
pub use error::CliError;
pub use up_args::{LogFormat, Placement, UpArgs};

const AFTER_HELP: &str = "\
The daemon is found by --data-dir or STARLING_DATA_DIR, or over TCP by --api or STARLING_API with \
the token from STARLING_API_TOKEN or the data directory's api.token. Without any of them it is the \
daemon of the default data directory: $XDG_DATA_HOME/starling or ~/.local/share/starling on Linux, \
~/Library/Application Support/starling on macOS.

A job or task is named by its id (JOB, JOB.INDEX) or a unique beginning of it, a node by its name or \
the beginning of its id.

Exit codes: 0 done; 1 refused, or the task or job failed; 2 the command line or job file is wrong; \
3 no daemon answers. `run --wait` of one task exits with the task's code (127: it could not be \
started, 128 + N: signal N), of several with 1 if any failed; 130 after a second Ctrl-C.";

/// A masterless cluster scheduler: start it on several machines, submit work at any of them
#[derive(Parser, Debug)]
#[command(name = "starling", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Up(UpArgs),
    Token(nodes::TokenArgs),
    Run(Box<run::RunArgs>),
    Apply(apply::ApplyArgs),
    Ps(ps::PsArgs),
    Inspect(inspect::InspectArgs),
    Logs(logs::LogsArgs),
    Stop(stop::StopArgs),
    Events(events::EventsArgs),
    Nodes(nodes::NodesArgs),
    Drain(nodes::DrainArgs),
    Undrain(nodes::UndrainArgs),
    Why(why::WhyArgs),
    Classes(classes::ClassesArgs),
    Interference(interference::InterferenceArgs),
    Demo(DemoArgs),
    /// Print a shell's completions
    Completions {
        /// Which shell
        shell: Shell,
    },
    #[command(hide = true, disable_help_flag = true)]
    Runner(HiddenArgs),
    #[command(hide = true, disable_help_flag = true)]
    Enter(HiddenArgs),
    #[command(hide = true, disable_help_flag = true)]
    Digest(HiddenArgs),
}

/// Arguments that the program gives itself.
#[derive(clap::Args, Debug)]
struct HiddenArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // Errors of usage, --help and --version end here, with 2 or 0.
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}

fn dispatch(command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Up(args) => crate::up::up(args),
        Command::Demo(args) => crate::demo::demo(args),
        Command::Runner(hidden) => crate::hidden::runner(hidden.args),
        Command::Enter(hidden) => crate::hidden::enter(hidden.args),
        Command::Digest(hidden) => crate::hidden::digest(hidden.args),
        Command::Completions { shell } => completions(shell),
        command => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(ask(command)),
    }
}

/// The commands that ask a daemon.
async fn ask(command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Token(args) => nodes::token(args).await,
        Command::Run(args) => run::run(*args).await,
        Command::Apply(args) => apply::apply(args).await,
        Command::Ps(args) => ps::ps(args).await,
        Command::Inspect(args) => inspect::inspect(args).await,
        Command::Logs(args) => logs::logs(args).await,
        Command::Stop(args) => stop::stop(args).await,
        Command::Events(args) => events::events(args).await,
        Command::Nodes(args) => nodes::nodes(args).await,
        Command::Drain(args) => nodes::drain(args).await,
        Command::Undrain(args) => nodes::undrain(args).await,
        Command::Why(args) => why::why(args).await,
        Command::Classes(args) => classes::classes(args).await,
        Command::Interference(args) => interference::interference(args).await,
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn completions(shell: Shell) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "starling", &mut script);
    output::bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}
