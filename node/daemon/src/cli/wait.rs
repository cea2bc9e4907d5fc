//! Waiting for a job's end: progress, the one task's output, Ctrl-C, the exit code.

use std::io::IsTerminal;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use starling_api::{
    ApiError, Client, ClientError, EventKind, EventQuery, JobDetail, JobSummary, Submitted,
    TaskState,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::error::CliError;
use super::{logs, output, units};

/// How soon the job is looked at again after an event, and the longest time without a look: events
/// tell of the end at once, looking finds it if an event was missed.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));
/// How often progress is shown: on a terminal, and elsewhere.
const SHOW: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long a daemon may be away, for a restart or an upgrade, before waiting for it is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the last of a task's output may take after its end.
const LAST_OUTPUT: Duration = Duration::from_secs(3);
/// So many failed tasks are named.
const MAX_NAMED: usize = 10;
/// The exit code after a second Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Waits until the job is over and returns the exit code that tells how it went.
pub(super) async fn wait(
    client: &Client,
    submitted: &Submitted,
    json: bool,
) -> Result<ExitCode, CliError> {
    let job = &submitted.job;
    let single = submitted.tasks == 1;
    if !single || std::io::stderr().is_terminal() {
        let tasks = output::count(submitted.tasks.into(), "task");
        output::note(&format!("job {job}: {tasks}"));
    }
    let start = Instant::now();
    let mut end = pin!(ended(client, job));
    // Boxed, so that it can be dropped: the bar must be gone before the report.
    let mut show = Box::pin(async {
        match (single, json) {
            (true, false) => logs::follow_one(client, job, 0).await,
            (true, true) => Ok(()),
            (false, _) => progress(client, submitted).await,
        }
    });
    let mut interrupts = pin!(interrupts(client, job));
    let mut shown = false;
    loop {
        tokio::select! {
            over = &mut end => break over?,
            result = &mut show, if !shown => {
                shown = true;
                tell(result)?;
            }
            result = &mut interrupts => {
                result?;
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
    }
    if single
        && !shown
        && let Ok(result) = tokio::time::timeout(LAST_OUTPUT, show).await
    {
        tell(result)?;
    }
    let detail = client.job(job).await?;
    if json {
        output::json(&detail)?;
    }
    report(&detail, start.elapsed());
    Ok(ExitCode::from(code(&detail)))
}

/// What happens to the display does not end the wait, unless nobody reads it any more.
fn tell(result: Result<(), CliError>) -> Result<(), CliError> {
    match result {
        Err(error @ CliError::Io(_)) => Err(error),
        Err(error) => {
            output::note(&format!("the output cannot be shown: {error}"));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Returns when the job is over.
async fn ended(client: &Client, job: &str) -> Result<(), CliError> {
    let query = EventQuery {
        follow: true,
        job: Some(job.to_owned()),
        kinds: vec![EventKind::JobFinished, EventKind::JobStopped],
        new_only: true,
    };
    let mut events = client.events(&query).await.ok();
    let mut pause = LOOK.0;
    let mut lost: Option<Instant> = None;
    loop {
        match client.job_summary(job).await {
            Ok(summary) if summary.state.is_over() => return Ok(()),
            Ok(_) => lost = None,
            Err(error) => {
                let since = *lost.get_or_insert_with(|| {
                    output::note(&format!("{error}; still waiting"));
                    Instant::now()
                });
                if since.elapsed() > PATIENCE || !may_come_back(&error) {
                    return Err(error.into());
                }
            }
        }
        let Some(stream) = &mut events else {
            tokio::time::sleep(LOOK.1).await;
            events = client.events(&query).await.ok();
            continue;
        };
        match tokio::time::timeout(pause, stream.next()).await {
            Ok(Some(Ok(_))) => pause = LOOK.0,
            // The daemon ended the stream; it may be restarting.
            Ok(Some(Err(_)) | None) => events = None,
            Err(_) => pause = (pause * 2).min(LOOK.1),
        }
    }
}

fn may_come_back(error: &ClientError) -> bool {
    use starling_api::codes::{BUSY, NOT_FOUND, TIMEOUT, UNAVAILABLE};
    match error {
        ClientError::NoDaemon { .. } | ClientError::Broken { .. } => true,
        ClientError::Refused(ApiError { code, .. }) => {
            [BUSY, NOT_FOUND, TIMEOUT, UNAVAILABLE].contains(&code.as_str())
        }
    }
}

/// The first Ctrl-C stops the job; returns at the second.
async fn interrupts(client: &Client, job: &str) -> Result<(), CliError> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    interrupts.recv().await;
    output::note(&format!(
        "stopping job {job}; Ctrl-C again leaves it to end by itself"
    ));
    let stop = async {
        if let Err(error) = client.stop_job(job).await {
            output::note(&format!("it could not be stopped: {error}"));
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = stop => {}
        _ = interrupts.recv() => {}
    }
    Ok(())
}

/// Shows how far a job of many tasks is; never returns by itself.
async fn progress(client: &Client, submitted: &Submitted) -> Result<(), CliError> {
    if !std::io::stderr().is_terminal() {
        let mut last = None;
        loop {
            tokio::time::sleep(SHOW.1).await;
            if let Ok(summary) = client.job_summary(&submitted.job).await {
                let text = numbers(&summary);
                if last.as_ref() != Some(&text) {
                    output::note(&text);
                    last = Some(text);
                }
            }
        }
    }
    let bar = ProgressBar::new(submitted.tasks.into());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed}") {
        bar.set_style(style);
    }
    let bar = Bar(bar);
    loop {
        if let Ok(summary) = client.job_summary(&submitted.job).await {
            bar.0.set_position(summary.over().into());
            bar.0.set_message(numbers(&summary));
        }
        tokio::time::sleep(SHOW.0).await;
    }
}

/// A bar that is gone when it is dropped.
struct Bar(ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

pub(super) fn numbers(summary: &JobSummary) -> String {
    let parts = [
        (summary.pending, "waiting"),
        (summary.starting + summary.running, "running"),
        (summary.succeeded, "succeeded"),
        (summary.failed, "failed"),
        (summary.stopped, "stopped"),
        (summary.retries, "tried again"),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<_> = parts
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    parts.join(", ")
}

fn report(detail: &JobDetail, took: Duration) {
    let bad = |state| matches!(state, TaskState::Failed | TaskState::Stopped);
    let failed: Vec<_> = detail.tasks.iter().filter(|task| bad(task.state)).collect();
    for task in failed.iter().take(MAX_NAMED) {
        let reason = task.reason.as_deref().unwrap_or("no reason is known");
        let node = task.node.as_ref().map_or("-", |node| node.label());
        let (node, reason) = (output::plain(node), output::plain(reason));
        output::note(&format!(
            "task {} on {node} {}: {reason}",
            task.id, task.state
        ));
    }
    if failed.len() > MAX_NAMED {
        let rest = failed.len() - MAX_NAMED;
        output::note(&format!(
            "and {rest} more: `starling ps {}`",
            detail.summary.id
        ));
    }
    if detail.summary.count > 1 {
        let took = units::span(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        let (id, state) = (&detail.summary.id, detail.summary.state);
        let numbers = numbers(&detail.summary);
        output::note(&format!("job {id} {state} in {took}: {numbers}"));
    }
}

/// The task's exit code, or for several tasks whether all went well.
pub(super) fn code(detail: &JobDetail) -> u8 {
    if let [task] = detail.tasks.as_slice() {
        return match (task.state, task.exit_code) {
            (TaskState::Succeeded, _) => 0,
            // As a shell does, only the low byte counts; but no failure may look like success.
            (_, Some(code)) => u8::try_from(code & 0xff).unwrap_or(1).max(1),
            (_, None) => 1,
        };
    }
    u8::from(detail.summary.succeeded != detail.summary.count)
}
