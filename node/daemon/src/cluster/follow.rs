//! This node's own part of an answer: its jobs, its events, and the output of tasks on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use starling_api::{ApiError, Event, LogChunk, LogStream, codes};
use starling_engine::{Command, Engine, Reply};
use starling_exec::logs::{LogError, LogReader, Select, Stream};
use starling_wire::{Epoch, TaskId};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

use super::serve::refused;
use crate::http::ItemStream;
use crate::node::handle::{Handle, Unavailable};

/// How often a followed task is looked at for its end.
const LOOK: Duration = Duration::from_millis(100);

/// This node, for its own users and for other nodes.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) handle: Handle,
    /// Where the executor keeps logs.
    pub(crate) tasks_dir: Arc<PathBuf>,
}

fn unavailable(error: Unavailable) -> ApiError {
    ApiError::new(codes::UNAVAILABLE, error.to_string())
}

impl Local {
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        self.handle.read(look).await.map_err(unavailable)
    }

    pub(crate) async fn command(&self, command: Command) -> Result<Reply, ApiError> {
        self.handle
            .command(command)
            .await
            .map_err(unavailable)?
            .map_err(refused)
    }

    /// The kept events, and those that come if `follow`; subscribed when this returns.
    pub(crate) fn events(&self, follow: bool, new_only: bool) -> ItemStream<Event> {
        let (kept, live) = self.handle.events.follow();
        let last = kept.last().map_or(0, |event| event.seq);
        let kept = if new_only { Vec::new() } else { kept };
        let kept = stream::iter(kept).map(|event| Ok((*event).clone()));
        if !follow {
            return Box::pin(kept);
        }
        let live = BroadcastStream::new(live).filter_map(move |event| match event {
            Ok(event) if event.seq <= last => None,
            Ok(event) => Some(Ok((*event).clone())),
            // The reader is too slow; what it missed is gone, the rest goes on.
            Err(_) => None,
        });
        Box::pin(kept.chain(live))
    }

    /// The output of a task on this node; with `follow` until it has ended here.
    pub(crate) async fn logs(
        &self,
        task: TaskId,
        tail: Option<u64>,
        follow: bool,
    ) -> Result<ItemStream<LogChunk>, ApiError> {
        let epoch = if follow {
            self.running(task).await?
        } else {
            None
        };
        let reader = match LogReader::open(&self.tasks_dir, task, epoch, Select::Both, tail).await {
            Ok(reader) => reader,
            Err(LogError::None(_)) => return Ok(Box::pin(stream::empty())),
            Err(error) => {
                return Err(ApiError::internal(crate::node::report(&error)));
            }
        };
        let state = Following {
            local: self.clone(),
            task,
            reader,
            live: epoch,
        };
        Ok(Box::pin(stream::unfold(Some(state), |state| async move {
            let mut state = state?;
            match state.next().await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some(state))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })))
    }

    /// The placement of a task that this node holds and that has not ended.
    async fn running(&self, task: TaskId) -> Result<Option<Epoch>, ApiError> {
        self.read(move |engine| {
            engine
                .held()
                .find(|held| held.task == task && held.ended.is_none())
                .map(|held| held.epoch)
        })
        .await
    }
}

/// A log that is being read.
struct Following {
    local: Local,
    task: TaskId,
    reader: LogReader,
    /// The placement that is still running, if it is followed.
    live: Option<Epoch>,
}

impl Following {
    async fn next(&mut self) -> Result<Option<LogChunk>, ApiError> {
        loop {
            let follow = self.live.is_some();
            let chunk = if follow {
                tokio::time::timeout(LOOK, self.reader.next_chunk(true)).await
            } else {
                Ok(self.reader.next_chunk(false).await)
            };
            match chunk {
                Ok(Ok(Some((stream, bytes)))) => {
                    let stream = match stream {
                        Stream::Out => LogStream::Out,
                        Stream::Err => LogStream::Err,
                    };
                    return Ok(Some(LogChunk::new(stream, &bytes)));
                }
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(ApiError::internal(crate::node::report(&error))),
                Err(_) => {}
            }
            // Nothing new for a while: has it ended? Then what is left is read to the end.
            if self.live.is_some() && self.local.running(self.task).await? != self.live {
                self.live = None;
            }
        }
    }
}
