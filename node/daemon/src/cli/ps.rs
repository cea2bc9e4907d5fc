//! `starling ps`: jobs, or a job's tasks.

use std::process::ExitCode;

use clap::Args;
use starling_api::{JobState, JobSummary, NodeRef, TaskState, TaskView};

use super::connect::Connect;
use super::error::CliError;
use super::output::{self, Style, Tone};
use super::table::Rows;
use super::units;

/// List the cluster's jobs, or a job's tasks
#[derive(Args, Debug)]
pub(super) struct PsArgs {
    /// List this job's tasks
    job: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn ps(args: PsArgs) -> Result<ExitCode, CliError> {
    let client = args.connect.client()?;
    let style = Style::of_stdout();
    let now = units::now_ms();
    match args.job {
        None => {
            let jobs = client.jobs().await?;
            if args.json {
                output::json(&jobs)?;
            } else {
                output::line(&jobs_table(&jobs.items, now, style))?;
                silent(&jobs.silent);
            }
        }
        Some(id) => {
            // A task's id lists its job.
            let job = client.job(id.split('.').next().unwrap_or(&id)).await?;
            if args.json {
                output::json(&job)?;
            } else {
                output::line(&tasks_table(&job.tasks, now, style))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells of members that did not answer.
pub(super) fn silent(nodes: &[NodeRef]) {
    if !nodes.is_empty() {
        let names: Vec<_> = nodes
            .iter()
            .map(|node| output::plain(node.label()))
            .collect();
        output::note(&format!(
            "no answer in time from {}: what only they know is missing",
            names.join(", ")
        ));
    }
}

pub(super) fn jobs_table(jobs: &[JobSummary], now_ms: u64, style: Style) -> String {
    let mut rows = Rows::new(&[
        "JOB", "NAME", "STATE", ">TASKS", ">WAIT", ">RUN", ">OK", ">FAILED", ">STOPPED",
        ">RETRIES", ">AGE", "OWNER",
    ]);
    for job in jobs {
        rows.row(
            job_tone(job),
            [
                job.id.clone(),
                or_dash(&job.name),
                job.state.to_string(),
                job.count.to_string(),
                job.pending.to_string(),
                (job.starting + job.running).to_string(),
                job.succeeded.to_string(),
                job.failed.to_string(),
                job.stopped.to_string(),
                job.retries.to_string(),
                units::ago(now_ms, job.submitted_at_ms),
                job.owner.label().to_owned(),
            ],
        );
    }
    if rows.is_empty() {
        return "no jobs\n".to_owned();
    }
    rows.render(style)
}

pub(super) fn tasks_table(tasks: &[TaskView], now_ms: u64, style: Style) -> String {
    let mut rows = Rows::new(&[
        "TASK", "STATE", "NODE", ">TRIES", ">MOVES", ">EXIT", ">RAN", "REASON",
    ]);
    for task in tasks {
        let node = task.node.as_ref().map_or("-", |node| node.label());
        let exit = task.exit_code.map(|code| code.to_string());
        let reason = task
            .waits_for
            .as_ref()
            .map(|what| format!("waits for {what}"));
        let reason = reason.or_else(|| task.reason.clone());
        rows.row(
            task_tone(task.state),
            [
                task.id.clone(),
                task.state.to_string(),
                node.to_owned(),
                task.attempts.to_string(),
                task.moves.to_string(),
                exit.unwrap_or_else(|| "-".to_owned()),
                ran(task, now_ms).unwrap_or_else(|| "-".to_owned()),
                reason.unwrap_or_default(),
            ],
        );
    }
    rows.render(style)
}

/// How long a task has run, or ran.
pub(super) fn ran(task: &TaskView, now_ms: u64) -> Option<String> {
    let started = task.started_at_ms?;
    Some(units::ago(task.ended_at_ms.unwrap_or(now_ms), started))
}

fn job_tone(job: &JobSummary) -> Tone {
    match job.state {
        _ if job.failed > 0 => Tone::Bad,
        JobState::Active => Tone::Good,
        JobState::Stopping => Tone::Busy,
        JobState::Finished => Tone::Plain,
        JobState::Stopped => Tone::Dim,
    }
}

pub(super) const fn task_tone(state: TaskState) -> Tone {
    match state {
        TaskState::Pending | TaskState::Starting => Tone::Busy,
        TaskState::Running => Tone::Good,
        TaskState::Succeeded => Tone::Plain,
        TaskState::Failed => Tone::Bad,
        TaskState::Stopped => Tone::Dim,
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}
