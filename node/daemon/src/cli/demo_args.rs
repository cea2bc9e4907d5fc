//! The flags of `starling demo`.

use std::path::PathBuf;

use clap::Args;

/// Show it all on this machine: a cluster, real work, and a machine that dies
///
/// Starts daemons as separate processes in a temporary folder, lets them digest the files of a
/// folder, kills one with its tasks in the middle, and checks every result.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// How many daemons
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=50))]
    pub nodes: u32,
    /// End by itself, with 0 only if every result is right
    #[arg(long)]
    pub exit: bool,
    /// The folder whose files are digested [default: the Rust sources that cargo downloaded]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// About how many digest tasks
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub tasks: u32,
}
