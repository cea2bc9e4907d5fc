//! Events: what changes in the cluster, as it changes.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::NodeRef;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number among the events of the node that tells it; grows.
    pub seq: u64,
    /// When, in milliseconds since 1970, by that node's clock.
    pub at_ms: u64,
    /// The node that tells it.
    pub node: NodeRef,
    /// What kind of thing.
    pub kind: EventKind,
    /// The job it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The task it is about, `JOB.INDEX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The node it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<NodeRef>,
    /// What happened, as a sentence for people.
    pub message: String,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $text:literal,)+) => {
        /// What kind of thing happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        pub enum EventKind {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $kind,)+
            /// A kind that this program is too old to know.
            #[serde(other, rename = "other")]
            Other,
        }

        impl EventKind {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// Its name in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $text,)+
                    Self::Other => "other",
                }
            }
        }
    };
}

kinds! {
    /// A node took a job.
    JobSubmitted = "job-submitted",
    /// A task has a place.
    TaskPlaced = "task-placed",
    /// A task waits because nobody has room for it.
    TaskWaiting = "task-waiting",
    /// A task runs.
    TaskStarted = "task-started",
    /// A task is over.
    TaskEnded = "task-ended",
    /// A task's node was lost or gave it up; it is placed again.
    TaskDisplaced = "task-displaced",
    /// A task failed and is tried again.
    TaskRetried = "task-retried",
    /// A task was told to stop.
    TaskStopped = "task-stopped",
    /// Every task of a job is over.
    JobFinished = "job-finished",
    /// A job was told to stop.
    JobStopped = "job-stopped",
    /// A node became a member.
    NodeJoined = "node-joined",
    /// A node does not answer.
    NodeSuspect = "node-suspect",
    /// A node is held for dead.
    NodeDead = "node-dead",
    /// A node that was suspect or dead is back.
    NodeAlive = "node-alive",
    /// A node left in order.
    NodeLeft = "node-left",
    /// A node takes no new tasks.
    Draining = "draining",
    /// A node takes tasks again.
    Undrained = "undrained",
    /// Somebody who is not a member was turned away.
    PeerRefused = "peer-refused",
    /// Events were told faster than they were read, and some are missing here.
    Missed = "missed",
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
