//! What the owners of a job tell one another, so that each of them could act for it.
//!
//! A copy carries what cannot be asked of anybody else: what was wanted, and how tasks ended. Where
//! tasks run is not in it, because their hosts tell that to whoever acts. Copies merge: taken twice,
//! late or in another order they lead to the same record.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{JobId, NodeId};
use crate::job::{Epoch, JobSpec, Outcome};
use crate::time::Time;

/// The most owners of a job.
pub const MAX_OWNERS: usize = 3;
/// The most jobs named in one message between owners.
pub const MAX_COPIES: usize = 512;

/// The part of a job's record that seldom changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobHead {
    /// What was asked for.
    #[serde(rename = "s")]
    pub spec: Arc<JobSpec>,
    /// Who took it.
    #[serde(rename = "t")]
    pub taker: NodeId,
    /// Who holds its record, in the order in which they act.
    #[serde(rename = "o")]
    pub owners: Vec<NodeId>,
    /// When it was taken, by its taker's clock.
    #[serde(rename = "b")]
    pub submitted: Time,
}

/// How a task ended for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEnd {
    /// How it ended; none for one that was stopped before it began.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Whether it ended because somebody asked for that.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// When, by the clock of the owner that heard of it.
    #[serde(rename = "t")]
    pub ended: Time,
    /// How long it ran, in microseconds, by its host's clock.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub ran_us: Option<u64>,
    /// Where.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Which placement of it.
    #[serde(rename = "e")]
    pub epoch: Epoch,
}

/// What is new about a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCopy {
    /// Its index in the job.
    #[serde(rename = "i")]
    pub index: u32,
    /// How often it was started and ended by itself.
    #[serde(rename = "a", default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// Whether somebody asked to stop it.
    #[serde(rename = "h", default, skip_serializing_if = "std::ops::Not::not")]
    pub halting: bool,
    /// How it ended, if it did.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub end: Option<TaskEnd>,
}

/// What is new about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCopy {
    /// Which job.
    #[serde(rename = "j")]
    pub job: JobId,
    /// How often it was taken up; the greater wins.
    #[serde(rename = "m")]
    pub term: u32,
    /// Who acts for it in that term; none is the sender.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<NodeId>,
    /// The part that seldom changes, where the receiver may lack it.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub head: Option<JobHead>,
    /// Whether somebody asked to stop it.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub stopping: bool,
    /// When its last task ended, if all have.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Time>,
    /// Tasks of which something is new.
    #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskCopy>,
    /// Whether the receiver now has all that the sender knows of this job.
    #[serde(rename = "w", default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

/// Who acts for a job now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acting {
    /// Which job.
    #[serde(rename = "j")]
    pub job: JobId,
    /// In which term; the greater wins.
    #[serde(rename = "m")]
    pub term: u32,
    /// Who.
    #[serde(rename = "a")]
    pub actor: NodeId,
    /// Who holds its record.
    #[serde(rename = "o")]
    pub owners: Vec<NodeId>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands it over by reference.
const fn is_zero(value: &u32) -> bool {
    *value == 0
}
