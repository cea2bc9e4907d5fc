//! How a command fails: a clear word on standard error, and the exit code.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use starling_api::{ApiError, ClientError};

use super::output;

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Something failed: exit code 1.
    #[error("{0}")]
    Other(String),
    /// The command line or a job file is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The daemon did not answer, or answered no: exit code 3 or 1.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Standard output, or another file, could not be used. A reader that went away is no failure.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl CliError {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Other(_) | Self::Io(_) => 1,
            Self::Usage(_) => 2,
            Self::Client(error) if error.is_no_daemon() => 3,
            Self::Client(_) => 1,
        }
    }

    /// Tells the user and returns the exit code.
    pub fn report(self) -> ExitCode {
        let code = self.code();
        if code != 0 {
            output::note(&format!("error: {}", self.text()));
        }
        ExitCode::from(code)
    }

    fn text(&self) -> String {
        match self {
            Self::Client(ClientError::Refused(error)) => describe(error),
            other => other.to_string(),
        }
    }
}

/// An API's error with its particulars, one per line.
pub(super) fn describe(error: &ApiError) -> String {
    let mut text = output::plain(&error.to_string());
    for detail in &error.details {
        let node = detail.node.as_ref().map(|node| node.label());
        let text_of = output::plain(&detail.text);
        let _ = match node {
            Some(node) => write!(text, "\n  {}: {text_of}", output::plain(node)),
            None => write!(text, "\n  {text_of}"),
        };
    }
    text
}
