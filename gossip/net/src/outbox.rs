//! The bounded queue in front of one link. A peer that stalls fills only its own queue; what no longer
//! fits is dropped and counted, gossip before urgent frames and old before new, because gossip is
//! repeated anyway and its newest state is the one worth having. Urgent frames overtake gossip; within
//! a class the order is kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::stats::Counters;

/// The bytes, headers included, that may wait for one peer.
pub const OUTBOX_CAP: usize = 256 * 1024;

/// The bytes that one write hands to the transport: many small frames cost one system call.
const BATCH: usize = 64 * 1024;

/// The bytes of a frame's header: its length, with the top bit set if it is urgent.
pub(crate) const HEADER: usize = 4;

/// The header bit of an urgent frame.
pub(crate) const URGENT: u32 = 1 << 31;

/// The header that says "from now on I send on another link". It is no length.
pub(crate) const MOVED: u32 = u32::MAX;

/// How a link is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// Not at all.
    No,
    /// Once what is queued has been written.
    Drain,
    /// At once.
    Abort,
}

/// What the writer is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write the buffer; it holds so many frames and bytes of each class (gossip, urgent).
    Write([(usize, usize); 2]),
    /// Close the stream; nothing comes any more.
    Close,
}

struct Queued {
    since: Instant,
    frame: Vec<u8>,
}

impl Queued {
    const fn cost(&self) -> usize {
        self.frame.len() + HEADER
    }
}

#[derive(Default)]
struct State {
    /// Gossip and urgent frames.
    queues: [VecDeque<Queued>; 2],
    bytes: usize,
    /// The `MOVED` header is to be written once the queues are empty.
    moving: bool,
    /// A dial has been asked for on behalf of what waits here.
    asked: bool,
}

/// The queue. Shared by whoever sends and the one task that writes.
pub(crate) struct Outbox {
    state: Mutex<State>,
    wake: Notify,
    stop: watch::Sender<Stop>,
    stats: Arc<Counters>,
}

impl Outbox {
    pub(crate) fn new(stats: Arc<Counters>) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self {
            state,
            wake: Notify::new(),
            stop: watch::Sender::new(Stop::No),
            stats,
        })
    }

    /// Queues a frame, making room as the drop policy says.
    pub(crate) fn push(&self, urgent: bool, frame: Vec<u8>) {
        if *self.stop.borrow() != Stop::No {
            return self.dropped(urgent, 1);
        }
        self.queue(
            &mut self.lock(),
            urgent,
            Queued {
                since: Instant::now(),
                frame,
            },
        );
        self.wake.notify_one();
    }

    /// Takes over what waits in `other`, except what has waited longer than `age`.
    pub(crate) fn absorb(&self, other: &Self, age: Duration) {
        let taken = {
            let mut state = other.lock();
            state.bytes = 0;
            std::mem::take(&mut state.queues)
        };
        let mut state = self.lock();
        for (urgent, queue) in [false, true].into_iter().zip(taken) {
            for queued in queue {
                match queued.since.elapsed() <= age {
                    true => self.queue(&mut state, urgent, queued),
                    false => self.dropped(urgent, 1),
                }
            }
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Whether this is the first time since the outbox came to be that a dial is worth asking for.
    pub(crate) fn ask_once(&self) -> bool {
        !std::mem::replace(&mut self.lock().asked, true)
    }

    /// Tells the peer, after what is queued, that we send on another link from now on.
    pub(crate) fn move_on(&self) {
        self.lock().moving = true;
        self.wake.notify_one();
    }

    /// Takes [`Self::move_on`] back, if the peer has not been told; if it has, the next frame does.
    pub(crate) fn come_back(&self) {
        self.lock().moving = false;
    }

    /// Ends the link that this queue belongs to.
    pub(crate) fn stop(&self, how: Stop) {
        self.stop.send_if_modified(|stop| {
            let more = how > *stop;
            *stop = (*stop).max(how);
            more
        });
        self.wake.notify_one();
    }

    /// Waits until the link is to end, at least in the given way.
    pub(crate) async fn stopped(&self, how: Stop) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.stop.subscribe().wait_for(|stop| *stop >= how).await;
    }

    /// Waits for something to do and fills the buffer, which must be empty. Only the one task that
    /// writes may call this. Cancelling it loses nothing.
    pub(crate) async fn next(&self, buffer: &mut Vec<u8>) -> Step {
        loop {
            if let Some(step) = self.fill(buffer) {
                return step;
            }
            self.wake.notified().await;
        }
    }

    fn fill(&self, buffer: &mut Vec<u8>) -> Option<Step> {
        let mut state = self.lock();
        let mut counts = [(0, 0); 2];
        for class in [1, 0] {
            while let Some(next) = state.queues[class].front() {
                if !buffer.is_empty() && buffer.len() + next.cost() > BATCH {
                    return Some(Step::Write(counts));
                }
                let Some(queued) = state.queues[class].pop_front() else {
                    break;
                };
                state.bytes -= queued.cost();
                counts[class].0 += 1;
                counts[class].1 += queued.cost();
                // The frame's length was checked when it was sent, so it fits beside the bit.
                let header = queued.frame.len() as u32 | if class == 1 { URGENT } else { 0 };
                buffer.extend_from_slice(&header.to_be_bytes());
                buffer.extend_from_slice(&queued.frame);
            }
        }
        if std::mem::take(&mut state.moving) {
            buffer.extend_from_slice(&MOVED.to_be_bytes());
        }
        if !buffer.is_empty() {
            return Some(Step::Write(counts));
        }
        (*self.stop.borrow() != Stop::No).then_some(Step::Close)
    }

    fn queue(&self, state: &mut State, urgent: bool, queued: Queued) {
        let fits = |state: &State| state.bytes + queued.cost() <= OUTBOX_CAP;
        while !fits(state) {
            let Some(oldest) = state.queues[0].pop_front() else {
                return self.dropped(urgent, 1);
            };
            state.bytes -= oldest.cost();
            self.dropped(false, 1);
        }
        state.bytes += queued.cost();
        state.queues[usize::from(urgent)].push_back(queued);
    }

    fn dropped(&self, urgent: bool, frames: usize) {
        self.stats.class(urgent).frames_dropped.add(frames);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (urgent, queue) in [false, true].into_iter().zip(&state.queues) {
            self.stats.class(urgent).frames_dropped.add(queue.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(stats: &Counters) -> (u64, u64) {
        let stats = stats.snapshot();
        (stats.gossip.frames_dropped, stats.urgent.frames_dropped)
    }

    #[tokio::test]
    async fn urgent_frames_overtake_and_many_frames_make_one_write() {
        let outbox = Outbox::new(Arc::default());
        outbox.push(false, b"slow".to_vec());
        outbox.push(true, b"fast".to_vec());
        let mut buffer = Vec::new();
        assert_eq!(
            outbox.next(&mut buffer).await,
            Step::Write([(1, 8), (1, 8)])
        );
        assert_eq!(buffer, b"\x80\0\0\x04fast\0\0\0\x04slow");
    }

    #[tokio::test]
    async fn a_full_outbox_drops_the_oldest_gossip_first_and_counts() {
        let stats = Arc::new(Counters::default());
        let outbox = Outbox::new(stats.clone());
        let frame = OUTBOX_CAP / 8 - HEADER;
        for n in 0..8 {
            outbox.push(n % 2 == 0, vec![n; frame]);
        }
        assert_eq!(dropped(&stats), (0, 0));
        outbox.push(true, vec![8; frame]);
        outbox.push(false, vec![9; frame]);
        assert_eq!(dropped(&stats), (2, 0));
        for _ in 0..3 {
            outbox.push(true, vec![10; frame]);
        }
        assert_eq!(dropped(&stats), (5, 0), "the newest gossip went last");
        outbox.push(false, vec![11; frame]);
        outbox.push(true, vec![12; frame]);
        assert_eq!(dropped(&stats), (6, 1));
        drop(outbox);
        assert_eq!(dropped(&stats), (6, 9));
    }

    #[tokio::test]
    async fn moving_is_said_after_what_is_queued_and_can_be_taken_back() {
        let (old, new) = (Outbox::new(Arc::default()), Outbox::new(Arc::default()));
        old.push(false, b"x".to_vec());
        old.move_on();
        let mut buffer = Vec::new();
        old.next(&mut buffer).await;
        assert_eq!(buffer, b"\0\0\0\x01x\xff\xff\xff\xff");
        old.move_on();
        old.come_back();
        old.push(true, b"y".to_vec());
        new.absorb(&old, Duration::from_secs(2));
        old.stop(Stop::Drain);
        buffer.clear();
        assert_eq!(old.next(&mut buffer).await, Step::Close);
        assert_eq!(new.next(&mut buffer).await, Step::Write([(0, 0), (1, 5)]));
    }
}
