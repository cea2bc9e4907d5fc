//! Counters. Every limit in this crate has one, so that a drop is never silent. They are plain
//! relaxed atomics: readers want totals, not an order of events.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    pub(crate) fn set(&self, n: usize) {
        self.0.store(n as u64, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The counters of one class of frames.
#[derive(Debug, Default)]
pub(crate) struct ClassCounters {
    pub(crate) frames_sent: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) frames_received: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) frames_dropped: Counter,
}

impl ClassCounters {
    fn snapshot(&self) -> ClassStats {
        ClassStats {
            frames_sent: self.frames_sent.get(),
            bytes_sent: self.bytes_sent.get(),
            frames_received: self.frames_received.get(),
            bytes_received: self.bytes_received.get(),
            frames_dropped: self.frames_dropped.get(),
        }
    }
}

/// All counters of one network.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    urgent: ClassCounters,
    gossip: ClassCounters,
    pub(crate) call_bytes_sent: Counter,
    pub(crate) call_bytes_received: Counter,
    pub(crate) calls_made: Counter,
    pub(crate) calls_taken: Counter,
    pub(crate) calls_refused: Counter,
    pub(crate) links_up: Counter,
    pub(crate) connections: Counter,
    pub(crate) dials: Counter,
    pub(crate) dials_failed: Counter,
    pub(crate) peers_refused: Counter,
    pub(crate) commands_dropped: Counter,
    pub(crate) events_dropped: Counter,
}

impl Counters {
    pub(crate) const fn class(&self, urgent: bool) -> &ClassCounters {
        if urgent { &self.urgent } else { &self.gossip }
    }

    pub(crate) fn snapshot(&self) -> NetStats {
        NetStats {
            urgent: self.urgent.snapshot(),
            gossip: self.gossip.snapshot(),
            call_bytes_sent: self.call_bytes_sent.get(),
            call_bytes_received: self.call_bytes_received.get(),
            calls_made: self.calls_made.get(),
            calls_taken: self.calls_taken.get(),
            calls_refused: self.calls_refused.get(),
            links_up: self.links_up.get(),
            connections: self.connections.get(),
            dials: self.dials.get(),
            dials_failed: self.dials_failed.get(),
            peers_refused: self.peers_refused.get(),
            commands_dropped: self.commands_dropped.get(),
            events_dropped: self.events_dropped.get(),
        }
    }
}

/// What one class of frames (urgent or gossip) has cost since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassStats {
    /// Frames handed to the transport.
    pub frames_sent: u64,
    /// Their bytes, with the four-byte headers.
    pub bytes_sent: u64,
    /// Frames that arrived.
    pub frames_received: u64,
    /// Their bytes, with the four-byte headers.
    pub bytes_received: u64,
    /// Frames that were never handed to the transport: queue full, no link, too old, too large.
    pub frames_dropped: u64,
}

/// The network's counters since the start, except where a field says "now".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Urgent frames.
    pub urgent: ClassStats,
    /// The other frames.
    pub gossip: ClassStats,
    /// Bytes of requests and chunks sent in calls.
    pub call_bytes_sent: u64,
    /// Bytes of requests and chunks received in calls.
    pub call_bytes_received: u64,
    /// Calls that this node made and that reached the other side.
    pub calls_made: u64,
    /// Calls from peers that were handed on.
    pub calls_taken: u64,
    /// Calls from peers that were turned away: not admitted, malformed or too many at once.
    pub calls_refused: u64,
    /// Peers whose link is up now.
    pub links_up: u64,
    /// Connections now, admitted or not.
    pub connections: u64,
    /// Dials begun.
    pub dials: u64,
    /// Dials that ended in `DialFailed`.
    pub dials_failed: u64,
    /// Times that somebody was turned away, or we were.
    pub peers_refused: u64,
    /// Commands (dial, hang up) lost because the network task was overwhelmed.
    pub commands_dropped: u64,
    /// `Refused` and `Discovered` events not reported because there were too many.
    pub events_dropped: u64,
}
