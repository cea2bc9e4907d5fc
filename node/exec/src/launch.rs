//! What the daemon asks of the runner and what it hears back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use starling_wire::{Container, ContainerEngine, Epoch, Outcome, TaskId};

/// One task to start. A task is named by its identity and its placement's epoch; the same pair is
/// started once, however often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The task.
    pub task: TaskId,
    /// Its placement's fencing number.
    pub epoch: Epoch,
    /// Program and arguments. A program without a slash is looked for in the task's `PATH`.
    pub command: Vec<String>,
    /// Variables that are added to the runner's own environment, `STARLING_*` among them; those
    /// of the runner's own that begin with `STARLING_` are not inherited. The runner adds
    /// `STARLING_RUN`, by which a later runner proves that a process belongs to this task.
    pub env: BTreeMap<String, String>,
    /// The working directory, which must exist; none is a fresh directory that is removed when the
    /// task's end has been acknowledged.
    pub dir: Option<String>,
    /// The user to run as, by name or number; none is the runner's own.
    pub user: Option<String>,
    /// Hard CPU limit in millicores (1000 is one core); none is no limit.
    pub cpu_limit: Option<u32>,
    /// Hard memory limit in bytes; none is no limit.
    pub memory_limit: Option<u64>,
    /// Milliseconds between SIGTERM and SIGKILL when the task is stopped.
    pub grace_ms: u32,
    /// When to kill it unless a later time is told by then, in nanoseconds of [`crate::monotonic`];
    /// it is reported as evicted then. None is never.
    #[serde(default)]
    pub lease: Option<u64>,
    /// What is said besides for a container; none makes it a process. The runner never sees one.
    #[serde(skip)]
    pub container: Option<Box<Container>>,
    /// What the daemon wants to be told with [`Held`] when it comes back, in its own words.
    #[serde(default, with = "serde_bytes")]
    pub note: Vec<u8>,
}

/// What happened to a task, or to the runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecEvent {
    /// The task's process exists. A task with limits or a user of its own may still end with
    /// [`Outcome::NotStarted`] afterwards, when its program turns out not to be executable.
    Started {
        /// The task.
        task: TaskId,
        /// Its placement's fencing number.
        epoch: Epoch,
        /// Its main process, which leads a process group of its own; 0 for a container.
        pid: u32,
    },
    /// The task is over; it stays known to the runner until it is acknowledged.
    Ended {
        /// The task.
        task: TaskId,
        /// Its placement's fencing number.
        epoch: Epoch,
        /// How it ended.
        outcome: Outcome,
    },
    /// Something a person should know, for example that this host allows no limits and what would
    /// change that.
    Warning(String),
    /// What runs containers here from now on; none if nothing does any more.
    Containers(Option<ContainerEngine>),
    /// The runner died. A new one is being started; what the old one held is reported as ended
    /// with [`Outcome::Lost`].
    RunnerLost,
}

/// A task the runner held when the daemon connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The task.
    pub task: TaskId,
    /// Its placement's fencing number.
    pub epoch: Epoch,
    /// Its main process, or 0 if it has none (not started yet, or not any more) or is a container.
    pub pid: u32,
    /// How it ended, if it did.
    pub ended: Option<Outcome>,
    /// The launch's note; empty once the runner that it was given to is gone.
    #[serde(default, with = "serde_bytes")]
    pub note: Vec<u8>,
}
