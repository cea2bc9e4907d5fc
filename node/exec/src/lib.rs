//! Starling's executor. Tasks are held by one *runner* process per node (the same binary as the
//! daemon, a hidden subcommand: [`runner_main`]), so that they outlive a daemon that is killed or
//! upgraded; the daemon talks to it through [`Executor`]. [`logs`] reads what tasks wrote and
//! [`sense`] measures the host. The obvious alternative, one shim process per task, costs a
//! second program start per task, which is most of what a short task costs at all.

mod cgroup;
mod client;
mod clock;
mod containers;
mod enter;
mod executor;
mod executors;
mod launch;
pub mod logs;
mod paths;
mod procfs;
mod protocol;
mod runner;
pub mod sense;

use std::io;
use std::path::PathBuf;

pub use client::{ExecConfig, Processes, RunnerPid};
pub use clock::monotonic;
pub use containers::{Containers, ContainersConfig, Sockets};
pub use enter::enter_main;
pub use executor::Executor;
pub use executors::{ExecEvents, Executors};
pub use launch::{ExecEvent, Held, Launch};
pub use runner::runner_main;

/// What can go wrong with the runner or the way to it. No task changes its state by such an error.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// A file or a socket of the runner's directory could not be used.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Another runner holds the directory.
    #[error("another runner already serves `{}`", .0.display())]
    Busy(PathBuf),
    /// No runner answered and none could be started.
    #[error("the runner does not answer: {0}")]
    NoRunner(String),
    /// A runner of another version answered; it holds tasks that only it can speak about.
    #[error(
        "the runner speaks version {theirs} of its protocol, this daemon version {ours}; stop its \
         tasks with the version that started them, or end the runner"
    )]
    Version {
        /// The version the runner speaks.
        theirs: u8,
        /// The version this daemon speaks.
        ours: u8,
    },
    /// The other side sent what the protocol does not allow.
    #[error("the runner's connection is broken: {0}")]
    Protocol(String),
}

impl ExecError {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.into(),
            source,
        }
    }
}
