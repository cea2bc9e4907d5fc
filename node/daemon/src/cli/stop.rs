//! `starling stop`.

use std::process::ExitCode;

use clap::Args;

use super::connect::Connect;
use super::error::CliError;
use super::output;

/// Stop a job's tasks, or one task
///
/// Tasks that run get SIGTERM, then SIGKILL after the job's grace; those that wait never start.
#[derive(Args, Debug)]
pub(super) struct StopArgs {
    /// The job (JOB) or task (JOB.INDEX)
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn stop(args: StopArgs) -> Result<ExitCode, CliError> {
    let client = args.connect.client()?;
    let stopped = if args.id.contains('.') {
        client.stop_task(&args.id).await?
    } else {
        client.stop_job(&args.id).await?
    };
    if args.json {
        output::json(&stopped)?;
    } else {
        let tasks = output::count(stopped.tasks.into(), "task");
        output::line(&format!("stopping {tasks} of {}", stopped.target))?;
    }
    Ok(ExitCode::SUCCESS)
}
