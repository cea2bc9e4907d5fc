//! Answering what other daemons ask.

use starling_api::{ApiError, Drain, JobSummary, Stopped, codes};
use starling_engine::{Command, CommandError, Reply, Target};
use starling_net::{CallReply, IncomingCall};
use starling_wire::{JobId, TaskId, codec};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;

use super::follow::Local;
use super::peer::PeerRequest;
use super::views;
use crate::http::ItemStream;

/// The largest question.
const MAX_QUESTION: usize = 64 * 1024;
/// The largest piece of an answer.
const PIECE: usize = 256 * 1024;

/// Answers calls until there are no more; each in a task of its own, and the network bounds how
/// many there are.
pub(crate) async fn serve(local: Local, mut calls: mpsc::Receiver<IncomingCall>) {
    while let Some(call) = calls.recv().await {
        let local = local.clone();
        tokio::spawn(async move {
            let mut reply = call.reply;
            match codec::decode::<PeerRequest>(&call.request, MAX_QUESTION) {
                Ok(request) => answer(&local, request, reply).await,
                Err(error) => {
                    tracing::debug!(from = %call.from.short(), %error, "a question not understood");
                    let error = ApiError::new(
                        codes::BAD_REQUEST,
                        "the node does not understand the question; it may run another version",
                    );
                    let _ = reply.send(codec::encode(&Err::<(), _>(error))).await;
                    let _ = reply.finish().await;
                }
            }
        });
    }
}

async fn answer(local: &Local, request: PeerRequest, reply: CallReply) {
    match request {
        PeerRequest::Jobs => whole(reply, &local.jobs().await).await,
        PeerRequest::Job { id, tasks } => whole(reply, &local.job(id, tasks).await).await,
        PeerRequest::Why(task) => whole(reply, &local.why(task).await).await,
        PeerRequest::StopJob(job) => whole(reply, &local.stop(Target::Job(job)).await).await,
        PeerRequest::StopTask(task) => whole(reply, &local.stop(Target::Task(task)).await).await,
        PeerRequest::Drain { on, deadline } => {
            whole(reply, &local.drain(on, deadline).await).await;
        }
        PeerRequest::Logs { task, tail, follow } => {
            let stream = local.logs(task, tail, follow).await;
            pieces(reply, stream).await;
        }
        PeerRequest::Events { follow, new_only } => {
            pieces(reply, Ok(local.events(follow, new_only))).await;
        }
    }
}

/// Sends an answer that is known whole.
async fn whole<T: serde::Serialize>(mut reply: CallReply, answer: &Result<T, ApiError>) {
    let bytes = codec::encode(answer);
    for piece in bytes.chunks(PIECE) {
        if reply.send(piece.to_vec()).await.is_err() {
            return;
        }
    }
    let _ = reply.finish().await;
}

/// Sends an answer item by item, until it ends or the caller is gone.
async fn pieces<T: serde::Serialize>(
    mut reply: CallReply,
    stream: Result<ItemStream<T>, ApiError>,
) {
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) => {
            let _ = reply.send(codec::encode(&Err::<T, _>(error))).await;
            let _ = reply.finish().await;
            return;
        }
    };
    loop {
        let item = tokio::select! {
            item = stream.next() => item,
            () = reply.caller_gone() => return,
        };
        let Some(item) = item else { break };
        if reply.send(codec::encode(&item)).await.is_err() {
            return;
        }
    }
    let _ = reply.finish().await;
}

impl Local {
    /// The jobs this node owns, in numbers.
    pub(crate) async fn jobs(&self) -> Result<Vec<JobSummary>, ApiError> {
        self.read(|engine| {
            engine
                .jobs()
                .map(|job| views::summary(engine, job))
                .collect()
        })
        .await
    }

    /// A job this node owns, if it does.
    pub(crate) async fn job(
        &self,
        id: JobId,
        tasks: bool,
    ) -> Result<Option<starling_api::JobDetail>, ApiError> {
        self.read(move |engine| engine.job(id).map(|job| views::detail(engine, job, tasks)))
            .await
    }

    /// Why a task of a job this node owns is where it is.
    pub(crate) async fn why(
        &self,
        task: TaskId,
    ) -> Result<Option<starling_api::WhyView>, ApiError> {
        self.read(move |engine| views::why(engine, task)).await
    }

    /// Stops what this node owns.
    pub(crate) async fn stop(&self, target: Target) -> Result<Stopped, ApiError> {
        let name = match target {
            Target::Job(job) => job.to_string(),
            Target::Task(task) => task.to_string(),
        };
        match self.command(Command::Stop(target)).await? {
            Reply::Stopping(tasks) => Ok(Stopped {
                target: name,
                tasks,
            }),
            other => Err(ApiError::internal(format!(
                "an unexpected answer: {other:?}"
            ))),
        }
    }

    /// Drains this node, or ends that.
    pub(crate) async fn drain(
        &self,
        on: bool,
        deadline: Option<std::time::Duration>,
    ) -> Result<Drain, ApiError> {
        self.command(Command::Drain { on, deadline }).await?;
        self.read(move |engine| Drain {
            node: views::node_ref(engine, &engine.gossip().me()),
            draining: on,
            running: engine.gossip().my_load().running,
        })
        .await
    }
}

/// A refused command in the API's words.
pub(crate) fn refused(error: CommandError) -> ApiError {
    let message = error.to_string();
    match error {
        CommandError::Spec(error) => {
            ApiError::invalid(&error.field, error.problem.clone(), error.remedy)
        }
        CommandError::Impossible(misses) => {
            let error = ApiError::new(codes::IMPOSSIBLE, message)
                .with_remedy("ask for less, or add a node that could hold it");
            misses.into_iter().fold(error, |error, miss| {
                let node = starling_api::NodeRef {
                    id: miss.node.to_string(),
                    name: miss.name,
                };
                error.with_detail(Some(node), miss.miss.to_string())
            })
        }
        CommandError::Full { .. } => ApiError::new(codes::BUSY, message),
        CommandError::UnknownJob(_) | CommandError::UnknownTask(_) => {
            ApiError::new(codes::NOT_FOUND, message)
        }
        CommandError::Over { .. } => ApiError::new(codes::ALREADY_OVER, message),
        CommandError::Storage(_) => ApiError::new(codes::STORAGE, message)
            .with_remedy("free space where the data directory lies"),
        CommandError::Leaving => ApiError::new(codes::UNAVAILABLE, message),
    }
}
