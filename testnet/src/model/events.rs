//! What happens in the model, in order of time and then of its making.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A message or a timer of the policy's own; what the numbers mean is the policy's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) kind: u32,
    pub(super) a: u32,
    pub(super) b: u32,
}

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A task ends that was started so many times; stale if it was started again since.
    End { machine: u32, task: u32, start: u32 },
    /// The next of a machine's tasks ends; stale if the machine has changed since.
    Next { machine: u32, version: u32 },
    /// A task reaches a machine.
    Claim { task: u32, machine: u32 },
    /// A machine's refusal reaches the scheduler.
    Refused { task: u32, machine: u32 },
    /// A task comes back to the policy.
    Retry { task: u32 },
    /// All machines of an ask are questioned at once: without latency.
    Round { ask: u32 },
    /// A question reaches a machine.
    Question { ask: u32, machine: u32 },
    /// Its answer reaches the scheduler.
    Answer {
        ask: u32,
        machine: u32,
        load: f32,
        other: f32,
    },
    /// A job's reservation is at the head of a machine's queue, and room is held for it.
    Reached { machine: u32, job: u32 },
    /// A job's reservation was lost with its machine.
    HoldLost { job: u32 },
    /// A machine's absence is noticed, unless it has begun another life.
    Noticed { machine: u32, life: u32 },
    /// The policy's own.
    Note(Note),
}

impl Event {
    /// What a digest needs to tell events apart.
    pub(super) fn words(&self) -> [u32; 4] {
        match *self {
            Self::End {
                machine,
                task,
                start,
            } => [1, machine, task, start],
            Self::Next { machine, version } => [2, machine, version, 0],
            Self::Claim { task, machine } => [3, task, machine, 0],
            Self::Refused { task, machine } => [4, task, machine, 0],
            Self::Retry { task } => [5, task, 0, 0],
            Self::Round { ask } => [6, ask, 0, 0],
            Self::Question { ask, machine } => [7, ask, machine, 0],
            Self::Answer {
                ask, machine, load, ..
            } => [8, ask, machine, load.to_bits()],
            Self::Reached { machine, job } => [9, machine, job, 0],
            Self::HoldLost { job } => [10, job, 0, 0],
            Self::Noticed { machine, life } => [11, machine, life, 0],
            Self::Note(note) => [12, note.kind, note.a, note.b],
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    seq: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

/// The event queue. What happens at once passes the heap by.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<Entry>>,
    now: VecDeque<Event>,
    seq: u64,
}

impl Events {
    /// Adds an event at a moment, in nanoseconds, that is not past.
    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.seq += 1;
        let seq = self.seq;
        self.heap.push(Reverse(Entry { at, seq, event }));
    }

    /// Adds an event that happens at this very moment, after those that already do.
    pub(super) fn now(&mut self, event: Event) {
        self.now.push_back(event);
    }

    /// The next of those that happen at this very moment.
    pub(super) fn pop_now(&mut self) -> Option<Event> {
        self.now.pop_front()
    }

    /// When the next later event is due.
    pub(super) fn due(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// The next later event.
    pub(super) fn pop(&mut self) -> Option<(u64, Event)> {
        self.heap
            .pop()
            .map(|Reverse(entry)| (entry.at, entry.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_time_and_then_by_making() {
        let mut events = Events::default();
        events.at(5, Event::Retry { task: 1 });
        events.at(3, Event::Retry { task: 2 });
        events.at(5, Event::Retry { task: 3 });
        let order: Vec<u32> = std::iter::from_fn(|| events.pop())
            .map(|(_, event)| event.words()[1])
            .collect();
        assert_eq!(order, [2, 1, 3]);
        assert_eq!(events.due(), None);
    }
}
