//! What owners and hosts of tasks say to one another.
//!
//! An *owner* asks nodes how much room they have ([`JobMessage::Probe`]) and claims it for tasks
//! ([`JobMessage::Claim`]); the *host* decides against its own truth and reports what becomes of
//! each task until the owner has taken note. Every message may be lost, repeated or late: a task
//! and its epoch make each of them idempotent.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use starling_placement::{NodeLoad, Resources};

use crate::copies::{Acting, JobCopy};
use crate::ids::{JobId, NodeId, TaskId};
use crate::job::{Epoch, JobSpec, Outcome};

/// The most tasks named in one message.
pub const MAX_TASKS: usize = 256;

/// How far a task is on its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted and on its way to the executor, or running.
    #[serde(rename = "r")]
    Running,
    /// Accepted, and waiting until a majority of its job's owners leases it to this node.
    #[serde(rename = "w")]
    Waiting,
    /// Over.
    #[serde(rename = "e")]
    Ended {
        /// How.
        #[serde(rename = "o")]
        outcome: Outcome,
        /// How long it ran, in microseconds, by its host's clock.
        #[serde(rename = "u")]
        ran_us: u64,
    },
}

/// A host's word about one placement of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The task.
    #[serde(rename = "t")]
    pub task: TaskId,
    /// Which placement of it.
    #[serde(rename = "e")]
    pub epoch: Epoch,
    /// How far it is.
    #[serde(rename = "p")]
    pub phase: Phase,
}

/// Why a host refuses a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Not enough of some resource is free.
    #[serde(rename = "f")]
    Full,
    /// It takes no new tasks for now.
    #[serde(rename = "d")]
    Draining,
    /// It knows a newer placement of this task, or was told to stop this one.
    #[serde(rename = "s")]
    Stale,
    /// Its labels do not meet the job's constraints.
    #[serde(rename = "c")]
    Constraint,
}

/// A message between the job parts of two nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum JobMessage {
    /// How much room have you for tasks like this?
    #[serde(rename = "p")]
    Probe {
        /// Comes back in the answer.
        #[serde(rename = "q")]
        request: u64,
        /// What each task needs.
        #[serde(rename = "n")]
        need: Resources,
    },
    /// So much, now.
    #[serde(rename = "a")]
    Room {
        /// The probe's; 0 for an unasked offer to a waiting owner.
        #[serde(rename = "q")]
        request: u64,
        /// How many such tasks would be accepted now.
        #[serde(rename = "r")]
        room: u32,
        /// The host's fresh load.
        #[serde(rename = "l")]
        load: NodeLoad,
    },
    /// Run these tasks.
    #[serde(rename = "c")]
    Claim {
        /// Comes back in the answer.
        #[serde(rename = "q")]
        request: u64,
        /// The job.
        #[serde(rename = "j")]
        job: JobId,
        /// What to run.
        #[serde(rename = "s")]
        spec: Arc<JobSpec>,
        /// Index and epoch of each task.
        #[serde(rename = "t")]
        tasks: Vec<(u32, Epoch)>,
        /// Who holds the job's record, in the order in which they act; none is the sender alone.
        #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
        owners: Vec<NodeId>,
    },
    /// The answer to a claim.
    #[serde(rename = "d")]
    Claimed {
        /// The claim's.
        #[serde(rename = "q")]
        request: u64,
        /// The job.
        #[serde(rename = "j")]
        job: JobId,
        /// Tasks that run here now.
        #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
        accepted: Vec<(u32, Epoch)>,
        /// Tasks that do not.
        #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
        refused: Vec<(u32, Epoch, Refusal)>,
        /// How many more such tasks would be accepted now.
        #[serde(rename = "m")]
        room: u32,
        /// The host's fresh load.
        #[serde(rename = "l")]
        load: NodeLoad,
        /// Who is likelier to have room, if tasks were refused for want of it.
        #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
        bounce: Option<NodeId>,
    },
    /// I have tasks that wait for room like this: tell me when you have some.
    #[serde(rename = "w")]
    Wait {
        /// What each task needs.
        #[serde(rename = "n")]
        need: Resources,
    },
    /// I need no room any more: offer it to the next.
    #[serde(rename = "n")]
    Pass,
    /// Stop these placements; remember that they must not start.
    #[serde(rename = "h")]
    Halt(Vec<(TaskId, Epoch)>),
    /// What became of tasks.
    #[serde(rename = "r")]
    Reports {
        /// One each.
        #[serde(rename = "i")]
        items: Vec<Report>,
        /// The host's fresh load.
        #[serde(rename = "l")]
        load: NodeLoad,
        /// Whether they are for whoever follows the owner that acted: it seems to be gone.
        #[serde(rename = "s", default, skip_serializing_if = "std::ops::Not::not")]
        heir: bool,
    },
    /// Reports that were taken note of. Those with `true` were ends.
    #[serde(rename = "k")]
    Noted(Vec<(TaskId, Epoch, bool)>),
    /// I believe that you hold these placements; report on each.
    #[serde(rename = "u")]
    Audit(Vec<(TaskId, Epoch)>),
    /// What is new about jobs that we both own.
    #[serde(rename = "o")]
    Copy {
        /// Comes back in the answer.
        #[serde(rename = "q")]
        seq: u64,
        /// One each.
        #[serde(rename = "i")]
        items: Vec<JobCopy>,
    },
    /// It is on disk.
    #[serde(rename = "b")]
    Copied {
        /// The copy's.
        #[serde(rename = "q")]
        seq: u64,
        /// Jobs of which I know something that you may not; it follows.
        #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
        owing: Vec<JobId>,
        /// Jobs of which I have no record, and got none with the copy.
        #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
        unknown: Vec<JobId>,
    },
    /// This is who acts for these jobs: report to it what you run of them.
    #[serde(rename = "g")]
    Acting(Vec<Acting>),
    /// I hold these placements of jobs that you own: lease them to me, or lease them on.
    #[serde(rename = "l")]
    Lease {
        /// Comes back in the answer: a lease counts from when this was sent.
        #[serde(rename = "q")]
        round: u64,
        /// Which.
        #[serde(rename = "t")]
        tasks: Vec<(TaskId, Epoch)>,
    },
    /// These are leased to you; the others that you asked for are not.
    #[serde(rename = "m")]
    Leased {
        /// The question's.
        #[serde(rename = "q")]
        round: u64,
        /// Which.
        #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
        tasks: Vec<(TaskId, Epoch)>,
        /// Those that never will be, since a newer placement was leased.
        #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
        stale: Vec<(TaskId, Epoch)>,
    },
    /// These placements are over: others may have their leases.
    #[serde(rename = "y")]
    Released(Vec<(TaskId, Epoch)>),
    /// These jobs were never taken after all.
    #[serde(rename = "z")]
    Disown(Vec<JobId>),
}
