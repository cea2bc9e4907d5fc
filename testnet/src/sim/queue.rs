//! What waits in the world's event queue, ordered by time and then by the order of its making.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use starling_engine::{Effect, Input, Save};
use starling_wire::{TaskId, Time};

pub(super) enum What {
    Input(Input),
    /// A frame from a machine, whose link may be gone by the time it arrives.
    Frame {
        from: u32,
        bytes: Vec<u8>,
    },
    Tick,
    Sample,
    Synced {
        saves: Vec<Save>,
        after: Vec<Effect>,
    },
    /// The task may have come to its end, unless its rate has changed since.
    TaskEnds(TaskId, u64),
    /// The task's lease may be over, unless it was renewed.
    LeaseEnds(TaskId, u64),
    DialArrives(u32),
    /// The other end of a link has no such link.
    Reset(u32),
    /// The next thing on the world's own agenda: a submission, a fault, a moment to be noted.
    Agenda,
}

impl What {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Frame { from, bytes } => {
                format!(
                    "frame from machine {from}: {:?}",
                    starling_wire::decode_frame(bytes)
                )
            }
            Self::Input(input) => format!("{input:?}"),
            Self::Tick => "tick".to_owned(),
            Self::Sample => "sensors read".to_owned(),
            Self::Synced { .. } => "disk synced".to_owned(),
            Self::TaskEnds(task, epoch) => format!("task {task} of epoch {epoch} ends"),
            Self::LeaseEnds(task, epoch) => format!("lease of task {task} of epoch {epoch} ends"),
            Self::DialArrives(from) => format!("dial by machine {from} arrives"),
            Self::Reset(peer) => format!("link to machine {peer} is reset"),
            Self::Agenda => "agenda".to_owned(),
        }
    }
}

pub(super) struct Queued {
    pub(super) at: Time,
    pub(super) machine: u32,
    /// The life of the daemon that it is meant for.
    pub(super) life: u32,
    pub(super) what: What,
}

/// A heap of small keys over a slab of what they stand for, so that sifting moves few bytes.
#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    slab: Vec<Option<Queued>>,
    free: Vec<u32>,
    made: u64,
}

impl Queue {
    pub(super) fn push(&mut self, queued: Queued) {
        self.made += 1;
        let at = queued.at;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slab[slot as usize] = Some(queued);
                slot
            }
            None => {
                self.slab.push(Some(queued));
                u32::try_from(self.slab.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.heap.push(Reverse((at, self.made, slot)));
    }

    pub(super) fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let Reverse((_, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.slab[slot as usize].take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_goes_first_and_equals_keep_their_order() {
        let mut queue = Queue::default();
        for (at, machine) in [(5, 0), (3, 1), (5, 2), (1, 3), (3, 4)] {
            queue.push(Queued {
                at: Time(at),
                machine,
                life: 0,
                what: What::Tick,
            });
        }
        let mut order = Vec::new();
        while let Some(next) = queue.pop() {
            order.push((next.at.0, next.machine));
        }
        assert_eq!(order, [(1, 3), (3, 1), (3, 4), (5, 0), (5, 2)]);
    }
}
