//! What daemons ask of one another on behalf of users. Read-only but for stop and drain, which the
//! asked node gives to its own engine as a command.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use starling_api::ApiError;
use starling_net::{CallStream, Net};
use starling_wire::{JobId, NodeId, TaskId, codec};

/// A question, as CBOR, in a call's request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum PeerRequest {
    /// The jobs it owns, in numbers: a `Vec<JobSummary>`.
    Jobs,
    /// A job it owns, if it does: an `Option<JobDetail>`.
    Job { id: JobId, tasks: bool },
    /// Why a task of its jobs is where it is: an `Option<WhyView>`.
    Why(TaskId),
    /// Stops a job it owns: `Stopped`.
    StopJob(JobId),
    /// Stops a task of a job it owns: `Stopped`.
    StopTask(TaskId),
    /// Drains it, or ends that: `Drain`.
    Drain {
        on: bool,
        deadline: Option<Duration>,
    },
    /// A task's output on it: `Vec<LogChunk>`s until the end.
    Logs {
        task: TaskId,
        tail: Option<u64>,
        follow: bool,
    },
    /// Its events: `Vec<Event>`s until the caller goes.
    Events { follow: bool, new_only: bool },
}

/// The largest answer in one piece.
pub(crate) const MAX_ANSWER: usize = 64 << 20;

/// How long a node may take for a short answer.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// Puts a question to a node and reads its whole answer.
pub(crate) async fn ask<T: DeserializeOwned>(
    net: &Net,
    node: NodeId,
    request: &PeerRequest,
) -> Result<T, ApiError> {
    let way = async {
        let mut stream = open(net, node, request).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend(chunk.map_err(|error| unreachable(node, &error))?);
            if bytes.len() > MAX_ANSWER {
                return Err(unreachable(node, &"its answer is too large"));
            }
        }
        codec::decode::<Result<T, ApiError>>(&bytes, MAX_ANSWER)
            .map_err(|error| unreachable(node, &error))?
    };
    tokio::time::timeout(ANSWER_DEADLINE, way)
        .await
        .map_err(|_| unreachable(node, &"no answer in time"))?
}

/// Puts a question to a node whose answer comes in pieces.
pub(crate) async fn open(
    net: &Net,
    node: NodeId,
    request: &PeerRequest,
) -> Result<CallStream, ApiError> {
    net.call(node, codec::encode(request))
        .await
        .map_err(|error| unreachable(node, &error))
}

pub(crate) fn unreachable(node: NodeId, error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(
        starling_api::codes::UNAVAILABLE,
        format!("node {} does not answer: {error}", node.short()),
    )
}
