//! What the program does on the command line, one file per command.

pub(crate) mod fuzz;
pub(crate) mod learn;
pub(crate) mod shrink;
pub(crate) mod simulate;
pub(crate) mod validate;

use std::process::ExitCode;

/// Something did not hold.
pub(crate) const FAILED: u8 = 1;
/// The command line or a file is wrong.
pub(crate) const WRONG: u8 = 2;

/// Says what is wrong and ends.
pub(crate) fn wrong(problem: impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(WRONG)
}

/// As many threads as the machine runs at a time.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
