//! Subcommands that Starling starts itself with.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::CliError;
use crate::node::report;

/// The process that holds tasks, so that they outlive the daemon.
pub(crate) fn runner(args: Vec<OsString>) -> Result<ExitCode, CliError> {
    let [dir] = args.as_slice() else {
        return Err(CliError::Other(
            "runner: the daemon starts it, with its directory".into(),
        ));
    };
    match starling_exec::runner_main(Path::new(dir)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(CliError::Other(report(&error))),
    }
}

/// Becomes a task's program, inside its control groups.
pub(crate) fn enter(args: Vec<OsString>) -> Result<ExitCode, CliError> {
    starling_exec::enter_main(args)
}

/// A task of the demo: digests files.
pub(crate) fn digest(args: Vec<OsString>) -> Result<ExitCode, CliError> {
    let [list, results] = args.as_slice() else {
        return Err(CliError::Other(
            "digest: the demo starts it, with LIST and RESULTS".into(),
        ));
    };
    crate::demo::digest_task(Path::new(list), Path::new(results))
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| CliError::Other(format!("digest: {error}")))
}
