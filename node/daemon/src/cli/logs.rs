//! `starling logs`: tasks' output, and following it across restarts and moves.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use starling_api::{
    ApiError, Client, ClientError, LogChunk, LogQuery, LogStream, TaskState, TaskView, codes,
};
use tokio::sync::mpsc;

use super::connect::Connect;
use super::error::CliError;
use super::output;
use super::printer::Printer;

/// So many tasks can be followed at a time.
const MAX_FOLLOWED: usize = 100;
/// How soon a task that has not started is looked at again, and the longest such wait.
const RETRY: (Duration, Duration) = (Duration::from_millis(2), Duration::from_secs(1));

/// Print a task's output, or that of all of a job's tasks
///
/// Standard output and standard error of one task go to those of this command. With several tasks
/// each line begins with the task's index.
#[derive(Args, Debug)]
pub(super) struct LogsArgs {
    /// The task (JOB.INDEX) or job (JOB)
    id: String,
    /// Go on until the task is over
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
    /// Print JSON, one piece of output per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn logs(args: LogsArgs) -> Result<ExitCode, CliError> {
    let client = args.connect.client()?;
    let (job, index) = match args.id.split_once('.') {
        Some((job, index)) => (job, Some(index)),
        None => (args.id.as_str(), None),
    };
    let detail = client.job(job).await?;
    let wanted: Vec<&TaskView> = detail
        .tasks
        .iter()
        .filter(|task| index.is_none_or(|index| task.index.to_string() == index))
        .collect();
    if wanted.is_empty() {
        let error = ApiError::not_found("task", &args.id);
        return Err(ClientError::Refused(error).into());
    }
    let mut printer = Printer::new(args.json, wanted.len() > 1, detail.summary.count);
    if args.follow {
        if wanted.len() > MAX_FOLLOWED {
            return Err(CliError::Usage(format!(
                "{} tasks are too many to follow at once ({MAX_FOLLOWED}): name one, {}.INDEX",
                wanted.len(),
                detail.summary.id
            )));
        }
        let tasks = wanted.iter().map(|task| task.index);
        let how = Follow {
            client: &client,
            job: &detail.summary.id,
            tail: args.tail,
            patient: false,
        };
        follow_all(how, tasks, &mut printer).await?;
    } else {
        let single = wanted.len() == 1;
        for task in wanted {
            match print_once(&client, task, args.tail, &mut printer).await {
                // Of many, some may have nothing to show.
                Err(CliError::Client(ClientError::Refused(error))) if !single => {
                    if task.node.is_some() {
                        output::note(&format!("{}: {error}", task.id));
                    }
                }
                other => other?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn print_once(
    client: &Client,
    task: &TaskView,
    tail: Option<u64>,
    printer: &mut Printer,
) -> Result<(), CliError> {
    let query = LogQuery {
        follow: false,
        tail,
    };
    let mut chunks = client.logs(&task.id, query).await?;
    while let Some(chunk) = chunks.next().await {
        printer.take(task.index, &chunk?)?;
    }
    printer.finish(task.index)?;
    Ok(())
}

/// Follows several tasks at once, until all are over.
async fn follow_all(
    how: Follow<'_>,
    tasks: impl Iterator<Item = u32>,
    printer: &mut Printer,
) -> Result<(), CliError> {
    let (pieces, mut output) = mpsc::channel(64);
    let mut following: FuturesUnordered<_> = tasks
        .map(|index| {
            let pieces = pieces.clone();
            async move {
                let followed = how.follow(index, &pieces).await;
                let _ = pieces.send((index, None)).await;
                followed
            }
        })
        .collect();
    drop(pieces);
    let mut open = true;
    while open {
        tokio::select! {
            Some(followed) = following.next() => followed?,
            piece = output.recv() => match piece {
                Some((index, Some(chunk))) => printer.take(index, &chunk)?,
                Some((index, None)) => printer.finish(index)?,
                None => open = false,
            }
        }
    }
    Ok(())
}

/// Prints one task's output as it comes, until the task is over. A daemon that is away is waited
/// for: the caller knows how long that makes sense.
pub(super) async fn follow_one(client: &Client, job: &str, index: u32) -> Result<(), CliError> {
    let mut printer = Printer::new(false, false, 1);
    let how = Follow {
        client,
        job,
        tail: None,
        patient: true,
    };
    follow_all(how, std::iter::once(index), &mut printer).await
}

/// Where a piece of output goes: the task's index, and the piece or the end.
type Pieces = mpsc::Sender<(u32, Option<LogChunk>)>;

/// What to follow, and how.
#[derive(Clone, Copy)]
struct Follow<'a> {
    client: &'a Client,
    job: &'a str,
    tail: Option<u64>,
    /// Whether to wait for a daemon that is away.
    patient: bool,
}

impl Follow<'_> {
    /// Hands on a task's output until it is over: waits for its start, and goes on with its next
    /// placement when it was moved or tried again. What was handed on is not repeated after the
    /// connection broke.
    async fn follow(self, index: u32, pieces: &Pieces) -> Result<(), CliError> {
        let mut pause = RETRY.0;
        let mut read = Read::default();
        loop {
            match self.look(index).await {
                // A job that is gone will not come back, but one may be late after a restart.
                Err(error) if !self.patient && is_not_found(&error) => return Err(error.into()),
                Err(error) if !self.is_passing(&error) => return Err(error.into()),
                Err(_) => {}
                Ok(task) => {
                    if task.epoch != read.epoch {
                        read = Read {
                            epoch: task.epoch,
                            ..Read::default()
                        };
                    }
                    let placed = task.node.is_some();
                    let waits = matches!(task.state, TaskState::Pending | TaskState::Starting);
                    if placed
                        && !waits
                        && !read.whole
                        && self.read(&task, &mut read, pieces).await?
                    {
                        pause = RETRY.0;
                    }
                    let given_up = !placed || pause >= RETRY.1;
                    if task.state.is_over() && (read.whole || given_up) {
                        return Ok(());
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// Hands on what one stream brings; false when there was none yet.
    async fn read(
        self,
        task: &TaskView,
        read: &mut Read,
        pieces: &Pieces,
    ) -> Result<bool, CliError> {
        let query = LogQuery {
            follow: true,
            tail: self.tail,
        };
        let mut chunks = match self.client.logs(&task.id, query).await {
            Ok(chunks) => chunks,
            Err(error) if self.is_passing(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut skip = read.bytes;
        while let Some(chunk) = chunks.next().await {
            let Ok(chunk) = chunk else {
                return Ok(true);
            };
            if let Some(chunk) = read.fresh(chunk, &mut skip) {
                let _ = pieces.send((task.index, Some(chunk))).await;
            }
        }
        read.whole = true;
        Ok(true)
    }

    async fn look(self, index: u32) -> Result<TaskView, ClientError> {
        let detail = self.client.job(self.job).await?;
        let task = detail.tasks.into_iter().find(|task| task.index == index);
        task.ok_or_else(|| {
            let id = format!("{}.{index}", self.job);
            ClientError::Refused(ApiError::not_found("task", &id))
        })
    }

    /// Whether it may be otherwise in a moment: the task has only just got its place, or lost it.
    fn is_passing(self, error: &ClientError) -> bool {
        match error {
            ClientError::Refused(error) => [
                codes::NOT_FOUND,
                codes::UNAVAILABLE,
                codes::TIMEOUT,
                codes::BUSY,
            ]
            .contains(&error.code.as_str()),
            ClientError::Broken { .. } => true,
            ClientError::NoDaemon { .. } => self.patient,
        }
    }
}

fn is_not_found(error: &ClientError) -> bool {
    error
        .api()
        .is_some_and(|error| error.code == codes::NOT_FOUND)
}

/// How much of one placement's output was handed on.
#[derive(Default)]
struct Read {
    epoch: u64,
    bytes: [usize; 2],
    whole: bool,
}

impl Read {
    /// The part of `chunk` behind the first `skip` bytes of its stream.
    fn fresh(&mut self, chunk: LogChunk, skip: &mut [usize; 2]) -> Option<LogChunk> {
        let stream = usize::from(chunk.stream == LogStream::Err);
        let bytes = chunk.bytes()?;
        let known = bytes.len().min(skip[stream]);
        skip[stream] -= known;
        self.bytes[stream] += bytes.len() - known;
        match known {
            0 => Some(chunk),
            known if known == bytes.len() => None,
            known => Some(LogChunk::new(chunk.stream, &bytes[known..])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_not_repeated() {
        let out = |text: &str| LogChunk::new(LogStream::Out, text.as_bytes());
        let mut read = Read::default();
        assert!(read.fresh(out("abc"), &mut [0, 0]).is_some());
        assert_eq!(read.bytes, [3, 0]);
        let mut skip = read.bytes;
        assert_eq!(read.fresh(out("ab"), &mut skip), None);
        assert_eq!(read.fresh(out("cd"), &mut skip), Some(out("d")));
        assert_eq!(read.fresh(out("e"), &mut skip), Some(out("e")));
        assert_eq!((read.bytes, skip), ([5, 0], [0, 0]));
    }
}
