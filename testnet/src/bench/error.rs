//! What ends a benchmark early.

use std::io;
use std::path::PathBuf;

use starling::fleet::FleetError;
use starling_api::ClientError;

/// Why the benchmark could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// There is no daemon to measure.
    #[error(
        "there is no `starling` program at {}; build it first with `cargo build --release`, or \
         name another with --exe", .0.display()
    )]
    NoExe(PathBuf),
    /// Something of the operating system failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A daemon did not start or form a cluster.
    #[error("{}{}", .0, causes(&**.0))]
    Fleet(Box<FleetError>),
    /// A daemon's API said no.
    #[error("a daemon's API: {0}")]
    Api(Box<ClientError>),
    /// Something did not happen in time, or not as it should.
    #[error("{0}")]
    Wrong(String),
}

impl From<FleetError> for BenchError {
    fn from(error: FleetError) -> Self {
        Self::Fleet(Box::new(error))
    }
}

impl From<ClientError> for BenchError {
    fn from(error: ClientError) -> Self {
        Self::Api(Box::new(error))
    }
}

impl BenchError {
    /// An error about `doing`.
    pub(crate) const fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(String::new, |cause| format!(": {cause}{}", causes(cause)))
}
