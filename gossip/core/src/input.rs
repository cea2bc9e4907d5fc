//! The way in and out: every input passes here, is measured, and finds the part that it concerns.
//! A process that was starved notices by its own deadlines (Lifeguard's local awareness, Dadgar et
//! al. 2018): it then puts its accusations off by as long as it was away, because the answers it
//! misses may be waiting to be read.

use std::time::Duration;

use starling_wire::codec::{Message, encode_frame};
use starling_wire::gossip::GossipMessage;
use starling_wire::{NodeId, Time};

use crate::timers::Timer;
use crate::{Gossip, Output};

/// What the transport puts before each frame, in bytes.
const PREFIX: usize = 4;

impl Gossip {
    /// Before each input: the time only goes forward, and starvation is noticed.
    pub(crate) fn enter(&mut self, now: Time) -> Time {
        let now = now.max(self.now);
        if let Some(first) = self.timers.first() {
            let late = now.since(first.max(self.now));
            if late > self.config.stall {
                self.stalled(late);
            }
        }
        self.now = now;
        self.timers.advance(now);
        now
    }

    /// After each input: what it caused goes out.
    pub(crate) fn leave_with(&mut self, now: Time, out: &mut Vec<Output>) {
        self.flush_news(now, out);
        if !self.pending.is_empty() {
            out.splice(0..0, std::mem::take(&mut self.pending));
        }
        self.timers.cancel(Timer::Flush);
    }

    pub(crate) fn dispatch(
        &mut self,
        now: Time,
        from: NodeId,
        message: GossipMessage,
        out: &mut Vec<Output>,
    ) {
        match message {
            GossipMessage::Ping { seq, rumours } => {
                self.on_ping(now, from, seq, out);
                self.on_rumours(now, from, rumours, out);
            }
            GossipMessage::Ack { rumours, .. } | GossipMessage::Rumours(rumours) => {
                self.on_rumours(now, from, rumours, out);
            }
            GossipMessage::PingFor { target } => self.on_ping_for(now, from, target, out),
            GossipMessage::AckFor {
                target,
                incarnation,
            } => self.on_ack_for(now, from, target, incarnation, out),
            GossipMessage::Sync {
                sum,
                heads,
                within_ms,
                answer,
                seen,
            } => {
                self.on_sync(now, from, sum, &heads, (within_ms, answer), out);
                if !answer {
                    self.on_table(now, from, seen, out);
                }
            }
            GossipMessage::Delta {
                records,
                wants,
                rumours,
            } => {
                self.on_records(now, from, records, out);
                self.on_rumours(now, from, rumours, out);
                self.on_wants(now, from, &wants, out);
            }
            GossipMessage::Sums { of, sums } => self.on_sums(now, from, of, &sums, out),
            GossipMessage::Marks { of, marks } => self.on_marks(now, from, &of, &marks, out),
            GossipMessage::Seen { cells, wants } => {
                self.on_seen(now, from, cells);
                self.on_seen_wanted(now, from, &wants, out);
            }
            GossipMessage::Fetch(hashes) => self.on_fetch(now, from, &hashes, out),
            GossipMessage::Statics(parts) => self.on_statics(now, from, &parts, out),
        }
    }

    pub(crate) fn fire(&mut self, now: Time, timer: Timer, out: &mut Vec<Output>) {
        match timer {
            Timer::Flush => {}
            Timer::Exchange => self.on_exchange(now, out),
            Timer::Owed => self.on_owed(now, out),
            Timer::Publish => self.publish(now),
            Timer::Statics => self.on_missing(now, out),
            Timer::Book => self.on_book(now, out),
            Timer::Observe => self.on_observe(now),
            Timer::Save => self.on_save(now, out),
            Timer::Seek => self.on_seek(now, out),
            Timer::Watch(node) => self.on_watch(now, node, out),
            Timer::Ping(node) => self.on_ping_timer(now, node, out),
            Timer::Suspicion(node) => self.judge(now, node, out),
            Timer::Refused(node) => self.on_refused_timer(now, node, out),
            Timer::Dial(node) => self.on_dial(now, node, out),
            Timer::DialTimeout(node) => self.on_dial_failed(now, node, false, out),
        }
    }

    /// Hands a message out and charges it.
    pub(crate) fn send(
        &mut self,
        now: Time,
        to: NodeId,
        message: GossipMessage,
        urgent: bool,
        out: &mut Vec<Output>,
    ) {
        if !self.links.is_linked(&to) {
            self.dial_now(now, to, out);
        }
        let message = Message::Gossip(message);
        let frame = encode_frame(&message);
        let bytes = frame.len() + PREFIX;
        let Message::Gossip(message) = message else {
            return;
        };
        self.counters.bytes_sent += bytes as u64;
        self.counters.messages_sent += 1;
        self.budget.spend(now, bytes);
        out.push(Output::Send {
            to,
            message,
            frame,
            urgent,
        });
    }

    /// This process was away for `late`: what it waits for gets that much more time.
    fn stalled(&mut self, late: Duration) {
        self.counters.stalls += 1;
        self.health.worse();
        for ping in self.detect.pings.values_mut() {
            ping.sent = ping.sent + late;
        }
        for suspicion in self.detect.suspicions.values_mut() {
            suspicion.start = suspicion.start + late;
            suspicion.refused = suspicion.refused.map(|at| at + late);
        }
        self.timers.delay(late, |timer| {
            matches!(
                timer,
                Timer::Ping(_) | Timer::Suspicion(_) | Timer::Refused(_) | Timer::DialTimeout(_)
            )
        });
    }
}
