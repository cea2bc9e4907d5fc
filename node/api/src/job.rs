//! Jobs and tasks as the API shows them.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{JobRequest, NodeRef};

/// The answer to a submit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    /// The job's id, 13 letters and digits.
    pub job: String,
    /// How many tasks it has; they are called `JOB.0` to `JOB.(tasks-1)`.
    pub tasks: u32,
    /// How many owners have the job on disk.
    pub copies: u32,
}

/// The answer to a stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stopped {
    /// The job or task.
    pub target: String,
    /// How many tasks were not over yet and are being stopped.
    pub tasks: u32,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Some task is not over.
    Active,
    /// It was told to stop, and some task is not over.
    Stopping,
    /// Every task is over by itself.
    Finished,
    /// It was told to stop, and every task is over.
    Stopped,
}

impl JobState {
    /// Whether nothing will change any more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Stopped)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
        })
    }
}

/// A job in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobSummary {
    /// Its id, 13 letters and digits.
    pub id: String,
    /// Its name, for people; may be empty.
    pub name: String,
    /// The owner that acts for it.
    pub owner: NodeRef,
    /// How far it is.
    pub state: JobState,
    /// When it was taken, in milliseconds since 1970, by its owner's clock.
    pub submitted_at_ms: u64,
    /// How many tasks it has.
    pub count: u32,
    /// Tasks that wait for a place.
    pub pending: u32,
    /// Tasks that have a place and are not known to run yet.
    pub starting: u32,
    /// Tasks that run.
    pub running: u32,
    /// Tasks that ended well.
    pub succeeded: u32,
    /// Tasks that ended badly and are not tried again.
    pub failed: u32,
    /// Tasks that were stopped.
    pub stopped: u32,
    /// How often a task was started again, after a failure or because its node was lost.
    pub retries: u32,
}

impl JobSummary {
    /// How many tasks are over.
    pub const fn over(&self) -> u32 {
        self.succeeded + self.failed + self.stopped
    }
}

/// A job with its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobDetail {
    /// The job in numbers.
    #[serde(flatten)]
    pub summary: JobSummary,
    /// What was asked for.
    pub spec: JobRequest,
    /// The nodes that hold its record, in the order in which they act; `owner` is the one that does.
    pub owners: Vec<NodeRef>,
    /// How many of them are known to have all of it on disk now. 0 from a node of an older version.
    #[serde(default)]
    pub copies: u32,
    /// Its tasks by index; empty when they were not asked for.
    pub tasks: Vec<TaskView>,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// It waits for a place.
    Pending,
    /// It has a place and is not known to run yet.
    Starting,
    /// It runs.
    Running,
    /// It ended with exit code 0.
    Succeeded,
    /// It ended badly and is not tried again.
    Failed,
    /// It was stopped.
    Stopped,
}

impl TaskState {
    /// Whether nothing will change any more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stopped)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        })
    }
}

/// One running instance of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// `JOB.INDEX`.
    pub id: String,
    /// Its index in the job, from 0.
    pub index: u32,
    /// How far it is.
    pub state: TaskState,
    /// Where it runs, or ran last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeRef>,
    /// The fencing number of its placement; grows with each one. 0 before the first.
    pub epoch: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// How often it was placed again because its node was lost.
    pub moves: u32,
    /// Its exit code as a shell would show it: 128 + N after signal N, 127 when it could not be
    /// started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How it ended, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it last started, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at_ms: Option<u64>,
    /// When it ended, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
    /// What a pending task waits for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}
