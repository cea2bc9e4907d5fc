//! What can happen to an engine.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use starling_placement::Pressure;
use starling_wire::{Epoch, JobId, JobSpec, NodeId, NodeStatic, Outcome, TaskId};

/// Names a command so that its [`Reply`](crate::Reply) finds whoever waits for it.
pub type RequestId = u64;

/// One thing that happened. Serialisable, so that a run can be recorded and replayed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input {
    /// A frame from an admitted peer.
    Frame {
        /// Who sent it.
        from: NodeId,
        /// Its bytes, not yet decoded.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// A link to a peer is up: frames to it will arrive, in order, until it is down.
    LinkUp(NodeId),
    /// The link to a peer is gone.
    LinkDown(NodeId),
    /// A dial came to nothing.
    DialFailed {
        /// Who was dialled.
        peer: NodeId,
        /// Whether every address refused the connection: nobody listens there.
        refused: bool,
    },
    /// Somebody announced an address of a node.
    Discovered {
        /// Which node.
        peer: NodeId,
        /// A multiaddress.
        addr: String,
    },
    /// The host's sensors were read.
    Sample(HostSample),
    /// This node's static part changed, for example its addresses.
    Fixed(NodeStatic),
    /// The executor reports on a task.
    Task(TaskEvent),
    /// A user asks for something.
    Command {
        /// Comes back in the reply.
        request: RequestId,
        /// What is asked for.
        command: Command,
    },
    /// A job's record is on disk: the answer to [`Effect::Confirm`](crate::Effect::Confirm).
    Durable(JobId),
    /// A job's record could not be written: it is as if it had never been submitted.
    NotDurable {
        /// Which job.
        job: JobId,
        /// Why not.
        reason: String,
    },
}

/// One reading of the host's sensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSample {
    /// CPU that the whole machine used since the last reading, in millicores.
    pub cpu_used: u32,
    /// The part of it that this node's tasks used.
    pub own_cpu_used: u32,
    /// Memory that could be handed out, in bytes.
    pub memory_available: u64,
    /// Free space where the data directory lies, in bytes.
    pub disk_free: u64,
    /// How hard each shared resource is pressed.
    pub pressure: Pressure,
}

/// What the executor says about a placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskEvent {
    /// Its process runs.
    Started {
        /// Which task.
        task: TaskId,
        /// Which placement of it.
        epoch: Epoch,
    },
    /// It is over.
    Ended {
        /// Which task.
        task: TaskId,
        /// Which placement of it.
        epoch: Epoch,
        /// How it ended.
        outcome: Outcome,
    },
}

/// A placement that the executor held when the daemon came up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldTask {
    /// Which task.
    pub task: TaskId,
    /// Which placement of it.
    pub epoch: Epoch,
    /// How it ended, if it did.
    pub ended: Option<Outcome>,
    /// The note of the [`Effect::Start`](crate::Effect::Start) that began it; empty if it got lost.
    #[serde(with = "serde_bytes")]
    pub note: Vec<u8>,
}

/// What a user can ask of a node. Reading needs no command: the engine's state is open to its
/// driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Take a job.
    Submit(Box<JobSpec>),
    /// Stop a job or one task of it; this node must own it.
    Stop(Target),
    /// Take no new tasks, or take them again.
    Drain {
        /// Whether to drain or to end draining.
        on: bool,
        /// What still runs after this long is moved to other nodes; none lets it finish.
        deadline: Option<Duration>,
    },
    /// Move every task off, say farewell and come to an end.
    Leave,
}

/// What is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// All tasks of a job.
    Job(JobId),
    /// One task.
    Task(TaskId),
}
