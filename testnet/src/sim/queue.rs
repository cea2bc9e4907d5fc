//! What waits in the world's event queue, ordered by time and then by the order of its making.

use starling_engine::{Effect, Input, Save};
use starling_wire::{NodeId, TaskId, Time};

pub(super) enum What {
    Input(Input),
    Tick,
    Synced {
        saves: Vec<Save>,
        after: Vec<Effect>,
    },
    TaskEnds(TaskId, u64),
    DialArrives(NodeId),
}

impl What {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Input(Input::Frame { from, bytes }) => {
                format!(
                    "frame from {from:?}: {:?}",
                    starling_wire::decode_frame(bytes)
                )
            }
            Self::Input(input) => format!("{input:?}"),
            Self::Tick => "tick".to_owned(),
            Self::Synced { .. } => "disk synced".to_owned(),
            Self::TaskEnds(task, epoch) => format!("task {task} of epoch {epoch} ends"),
            Self::DialArrives(peer) => format!("dial of {peer:?} arrives"),
        }
    }
}

pub(super) struct Queued {
    pub(super) at: Time,
    pub(super) seq: u64,
    pub(super) node: NodeId,
    pub(super) life: u64,
    pub(super) what: What,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}
