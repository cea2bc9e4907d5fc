//! What an engine wants done.
//!
//! The driver's contract has three rules. `now` needs nothing: carry it out at once. `saves` are
//! made durable, all or nothing, and only then is `after` carried out, in order. `lazy` saves are
//! written behind, in the order they came; nothing waits for them, and a crash may lose the last.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use starling_placement::Miss;
use starling_wire::{Epoch, JobId, JobSpec, NodeId, Outcome, SpecError, TaskId, Time};

use crate::input::RequestId;

/// A change of the saved state: a value put under a key, or the key removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Save {
    /// The key.
    pub key: Vec<u8>,
    /// The new value; none removes the key.
    pub value: Option<Vec<u8>>,
}

/// Everything one or more calls of the engine want done.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be carried out at once.
    pub now: Vec<Effect>,
    /// To be durable before anything in `after`.
    pub saves: Vec<Save>,
    /// To be carried out when `saves` are durable.
    pub after: Vec<Effect>,
    /// To be written behind.
    pub lazy: Vec<Save>,
}

impl Effects {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.now.is_empty()
            && self.saves.is_empty()
            && self.after.is_empty()
            && self.lazy.is_empty()
    }
}

/// One thing to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a frame. It may get lost; nobody is told.
    Send {
        /// To whom.
        to: NodeId,
        /// Whether it goes before others and is dropped last.
        urgent: bool,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// Connect to a peer, and remember its addresses. Comes back as `LinkUp` or `DialFailed`.
    Dial {
        /// Whom.
        peer: NodeId,
        /// Its multiaddresses.
        addrs: Vec<String>,
    },
    /// Give up the link to a peer.
    HangUp(NodeId),
    /// Start a task. Idempotent by task and epoch.
    Start {
        /// Which task.
        task: TaskId,
        /// Which placement of it.
        epoch: Epoch,
        /// What to run.
        spec: Arc<JobSpec>,
        /// Comes back in [`HeldTask`](crate::HeldTask) when the daemon restarts.
        note: Vec<u8>,
        /// Kill it then, by this engine's clock and whether or not the daemon lives, unless
        /// [`Effect::Lease`] tells of a later time; its end is [`Outcome::Evicted`].
        lease: Option<Time>,
    },
    /// A running task may go on longer.
    Lease {
        /// Which task.
        task: TaskId,
        /// Which placement of it.
        epoch: Epoch,
        /// Until when.
        until: Time,
    },
    /// Stop a task: SIGTERM, then SIGKILL after its grace.
    StopTask {
        /// Which task.
        task: TaskId,
        /// Which placement of it.
        epoch: Epoch,
        /// What its end is to be called.
        outcome: Outcome,
    },
    /// The ends of these placements are on record: the executor may forget them.
    Forget(Vec<(TaskId, Epoch)>),
    /// Answer a command.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer.
        reply: Result<Reply, CommandError>,
    },
    /// Feed [`Input::Durable`](crate::Input::Durable) back, or
    /// [`Input::NotDurable`](crate::Input::NotDurable) if the saves before it failed.
    Confirm(JobId),
    /// Tell whoever listens.
    Event(Event),
    /// This node has left: the driver may end.
    Left,
}

/// A command's good answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The job is taken and on disk.
    Submitted {
        /// Its identity.
        job: JobId,
        /// How many owners have it on disk.
        copies: u32,
    },
    /// This many tasks are being stopped.
    Stopping(u32),
    /// Done.
    Done,
}

/// Why no node could ever hold a task of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearMiss {
    /// The node.
    pub node: NodeId,
    /// Its name, if known.
    pub name: String,
    /// What it lacks.
    pub miss: Miss,
}

/// Why a command was refused. The engine's state is as before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CommandError {
    /// The job is not well-formed.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// No node could ever hold one of its tasks.
    #[error("no node could ever run this job")]
    Impossible(Vec<NearMiss>),
    /// Too many jobs or tasks are held already.
    #[error("this node holds {held} {what}, at most {limit}; wait until some have finished")]
    Full {
        /// `jobs` or `tasks`.
        what: String,
        /// How many there are.
        held: usize,
        /// How many may be.
        limit: usize,
    },
    /// This node does not own the job.
    #[error("no job {0} is owned by this node")]
    UnknownJob(JobId),
    /// The job has no such task.
    #[error("the job has no task {0}")]
    UnknownTask(TaskId),
    /// It has ended, or is being stopped, already.
    #[error("{what} is already {state}")]
    Over {
        /// The job or task.
        what: String,
        /// `finished`, `stopped`, ...
        state: String,
    },
    /// The job could not be written to disk; it was not taken.
    #[error("the job could not be written to disk and was not taken: {0}")]
    Storage(String),
    /// The node is leaving the cluster.
    #[error("this node is leaving the cluster; ask another one")]
    Leaving,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A job was taken.
    JobSubmitted,
    /// All tasks of a job have ended.
    JobFinished,
    /// A job is being stopped.
    JobStopping,
    /// A task was placed on a node.
    TaskPlaced,
    /// A task's process runs.
    TaskStarted,
    /// A task has ended for good.
    TaskEnded,
    /// A task failed and will be tried again.
    TaskRetried,
    /// A task lost its node and will be placed again.
    TaskDisplaced,
    /// A node joined, or came back.
    NodeAlive,
    /// A node may be gone.
    NodeSuspect,
    /// A node is held to be dead.
    NodeDead,
    /// A node left in order.
    NodeLeft,
    /// This node takes no new tasks.
    Draining,
    /// This node takes tasks again.
    Undrained,
}

/// Something that people and programs may want to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What kind.
    pub kind: EventKind,
    /// The job concerned.
    pub job: Option<JobId>,
    /// The task concerned.
    pub task: Option<TaskId>,
    /// The node concerned.
    pub node: Option<NodeId>,
    /// More, for people.
    pub detail: String,
}
