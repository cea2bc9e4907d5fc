//! Probing, after SWIM (Das et al. 2002): ping, ask others to ping, believe either. It differs in
//! whom it probes: not a random member each period, but always its successors in the ring of ids and
//! whoever it works with, and only when they are silent. So
//! the time to detection is bounded instead of geometric, and traffic of any kind saves probes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use starling_wire::gossip::{Claim, GossipMessage, Rumour};
use starling_wire::{NodeId, Time};

use crate::suspect::Suspicion;
use crate::timers::Timer;
use crate::view::{Entry, MemberState};
use crate::{Gossip, Output};

/// The most nodes that wait for the answer to one ping.
const MAX_ASKERS: usize = 8;
/// The most rumours that ride on a ping or an acknowledgement.
const RIDERS: usize = 4;
/// So much longer than a frame's does another's word spare a node from being pinged.
const VOUCHED: Duration = Duration::from_millis(500);
/// The same for a node that this one has no link to: it may be that it never gets one.
const VOUCHED_UNLINKED: Duration = Duration::from_secs(4);

/// A probe of a node that has not been heard since.
#[derive(Debug)]
pub(crate) struct Ping {
    seq: u32,
    pub(crate) sent: Time,
    /// Whether silence becomes an accusation.
    accuse: bool,
    /// Who wants to be told if it answers.
    askers: Vec<NodeId>,
}

/// Whom this node watches, probes and suspects.
#[derive(Debug, Default)]
pub(crate) struct Detect {
    /// Watched on behalf of this node's jobs, members or not.
    pub(crate) extra: BTreeSet<NodeId>,
    /// Not watched, but kept in the view on behalf of this node's jobs.
    pub(crate) known: BTreeSet<NodeId>,
    /// How often in a row those of both that are missing were asked for.
    pub(crate) sought: u32,
    /// The members that are watched.
    pub(crate) watch: BTreeSet<NodeId>,
    pub(crate) pings: BTreeMap<NodeId, Ping>,
    pub(crate) suspicions: BTreeMap<NodeId, Suspicion>,
    pub(crate) seq: u32,
    /// When all silent neighbours were last probed at once.
    pub(crate) swept: Option<Time>,
}

/// When there last was a sign of life of a member, directly or nearly so.
pub(crate) fn last_sign(entry: &Entry, linked: bool) -> Time {
    let bonus = if linked { VOUCHED } else { VOUCHED_UNLINKED };
    let vouched = entry.soft.vouched.map(|at| at + bonus);
    let heard = entry.soft.heard.max(vouched).unwrap_or_default();
    heard.max(entry.added).max(entry.since)
}

impl Gossip {
    /// A frame of `node` has arrived, or a link to it has come up: it lives.
    pub(crate) fn hear(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        if let Some(soft) = self.view.soft_mut(&node) {
            soft.heard = Some(now);
            soft.acquit();
        }
        if let Some(ping) = self.detect.pings.remove(&node) {
            self.timers.cancel(Timer::Ping(node));
            if now.since(ping.sent) <= self.config.ping_timeout {
                self.health.better();
            }
            for asker in ping.askers {
                self.vouch(now, node, asker, out);
            }
        }
        if self.detect.suspicions.contains_key(&node) {
            self.acquit(now, node, out);
        }
        let state = self.view.state(&node);
        if state.is_some_and(|state| !state.is_live()) && self.links.may_tell(&node, now) {
            let told = self.obituary(&node);
            self.send_rumours(now, node, told.into_iter().collect(), out);
        }
    }

    /// A watched node may have been silent for too long.
    pub(crate) fn on_watch(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        let Some(entry) = self.view.get(&node) else {
            return;
        };
        if !self.detect.watch.contains(&node) || !entry.state.is_live() {
            return;
        }
        // A newcomer that knows only a seed to whom all turn spares it.
        let alone = self.view.live().len() <= 1 + self.config.ring_watch;
        let patience = if alone { self.patience } else { 1 };
        let silence = self.silence(&node) * patience;
        // Of two that watch each other one asks, and the other hears it in time to spare its own.
        let courtesy = if self.me < node {
            Duration::ZERO
        } else {
            silence / 8
        };
        let due = last_sign(entry, self.links.is_linked(&node)) + silence + courtesy;
        // The answer to the last ping came a moment after it: one wake-up does for both.
        if due > now + silence / 8 {
            self.timers.set(Timer::Watch(node), due);
            return;
        }
        if entry.state == MemberState::Alive {
            self.start_ping(now, node, true, None, out);
        }
        let next = now + self.silence(&node);
        self.timers.set(Timer::Watch(node), next);
    }

    /// How long a watched node may be silent.
    pub(crate) fn silence(&self, node: &NodeId) -> Duration {
        if self.links.full {
            self.config.watch_after
        } else if self.detect.extra.contains(node) {
            // A cut is still found in time, and a large cluster has many of these.
            self.config.watch_after * 2
        } else {
            self.config.watch_far
        }
    }

    /// Probes `node`, unless a probe is under way.
    pub(crate) fn start_ping(
        &mut self,
        now: Time,
        node: NodeId,
        accuse: bool,
        asker: Option<NodeId>,
        out: &mut Vec<Output>,
    ) {
        let fresh = !self.detect.pings.contains_key(&node);
        let seq = self.detect.seq;
        let ping = self.detect.pings.entry(node).or_insert_with(|| Ping {
            seq,
            sent: now,
            accuse: false,
            askers: Vec::new(),
        });
        ping.accuse |= accuse;
        if let Some(asker) = asker
            && ping.askers.len() < MAX_ASKERS
            && !ping.askers.contains(&asker)
        {
            ping.askers.push(asker);
        }
        if fresh {
            self.detect.seq = self.detect.seq.wrapping_add(1);
            let half = now + self.config.ping_timeout / 2;
            self.timers.set(Timer::Ping(node), half);
            self.probe(now, node, seq, out);
        }
    }

    /// A ping has not been answered: it is repeated once, then it becomes an accusation; while the
    /// suspicion lasts it is repeated on.
    pub(crate) fn on_ping_timer(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        let Some(ping) = self.detect.pings.get(&node) else {
            return;
        };
        let (due, seq, accuse) = (ping.sent + self.config.ping_timeout, ping.seq, ping.accuse);
        if now < due {
            self.timers.set(Timer::Ping(node), due);
            self.probe(now, node, seq, out);
            return;
        }
        if accuse && self.links.would_hear(&node) {
            self.accuse(now, node, out);
        }
        if self.detect.suspicions.contains_key(&node) {
            let again = now + self.config.ping_timeout / 2;
            self.timers.set(Timer::Ping(node), again);
            self.probe(now, node, seq, out);
        } else {
            self.detect.pings.remove(&node);
        }
    }

    pub(crate) fn on_ping(&mut self, now: Time, from: NodeId, seq: u32, out: &mut Vec<Output>) {
        let rumours = self.rumours.take(now, RIDERS);
        let ack = GossipMessage::Ack { seq, rumours };
        self.send(now, from, ack, true, out);
    }

    /// `from` asks this node to probe `target`.
    pub(crate) fn on_ping_for(
        &mut self,
        now: Time,
        from: NodeId,
        target: NodeId,
        out: &mut Vec<Output>,
    ) {
        if target == self.me || self.has_just_heard(now, &target) {
            self.vouch(now, target, from, out);
        } else if self.view.state(&target).is_some_and(MemberState::is_live) {
            self.start_ping(now, target, false, Some(from), out);
        }
    }

    /// `from` has heard `target` since this node asked.
    pub(crate) fn on_ack_for(
        &mut self,
        now: Time,
        from: NodeId,
        target: NodeId,
        incarnation: u32,
        out: &mut Vec<Output>,
    ) {
        let held = self
            .view
            .get(&target)
            .map(|entry| entry.record().incarnation);
        if from == target || target == self.me || held.is_none_or(|held| incarnation < held) {
            return;
        }
        self.vouched(now, target, out);
    }

    /// There is good reason to believe that `node` lives, although this node does not hear it.
    pub(crate) fn vouched(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        if let Some(soft) = self.view.soft_mut(&node) {
            soft.vouched = Some(now);
            soft.acquit();
        }
        if let Some(suspicion) = self.detect.suspicions.get(&node) {
            if suspicion.refused.is_none() {
                self.health.worse();
            }
            self.acquit(now, node, out);
        }
    }

    /// Whether `node` was heard so lately that nobody need ask.
    pub(crate) fn has_just_heard(&self, now: Time, node: &NodeId) -> bool {
        self.heard_within(now, node, self.config.watch_after / 2)
    }

    pub(crate) fn heard_within(&self, now: Time, node: &NodeId, time: Duration) -> bool {
        let heard = self.view.get(node).and_then(|entry| entry.soft.heard);
        heard.is_some_and(|heard| now.since(heard) <= time)
    }

    /// Tells `asker` that `target` lives.
    pub(crate) fn vouch(
        &mut self,
        now: Time,
        target: NodeId,
        asker: NodeId,
        out: &mut Vec<Output>,
    ) {
        let Some(entry) = self.view.get(&target) else {
            return;
        };
        if asker == target || asker == self.me || !entry.state.is_live() {
            return;
        }
        let incarnation = entry.record().incarnation;
        let answer = GossipMessage::AckFor {
            target,
            incarnation,
        };
        self.send(now, asker, answer, true, out);
    }

    /// Probes all linked members that are silent, when one of them already failed to answer: if it
    /// is this node that was cut off, it should know soon.
    pub(crate) fn sweep(&mut self, now: Time, out: &mut Vec<Output>) {
        let lately = |at: Time| now.since(at) < Duration::from_secs(1);
        if self.links.linked().len() > self.config.tell_all || self.detect.swept.is_some_and(lately)
        {
            return;
        }
        self.detect.swept = Some(now);
        let linked: Vec<NodeId> = self.links.linked().iter().copied().collect();
        for node in linked {
            let alive = self.view.state(&node) == Some(MemberState::Alive);
            if alive && !self.heard_within(now, &node, self.config.watch_after) {
                self.start_ping(now, node, true, None, out);
            }
        }
    }

    /// What is to be told to or about a member that is held to be gone.
    pub(crate) fn obituary(&self, node: &NodeId) -> Option<Rumour> {
        let entry = self.view.get(node)?;
        let claim = match entry.state {
            MemberState::Alive | MemberState::Suspect => return None,
            MemberState::Dead => Claim::Dead,
            MemberState::Left => Claim::Left,
        };
        Some(Rumour {
            node: *node,
            incarnation: entry.last_incarnation(),
            claim,
            by: self.me,
        })
    }

    /// One ping, or the dial without which none can be sent.
    fn probe(&mut self, now: Time, node: NodeId, seq: u32, out: &mut Vec<Output>) {
        if self.links.is_linked(&node) {
            let rumours = self.rumours.take(now, RIDERS);
            let ping = GossipMessage::Ping { seq, rumours };
            self.send(now, node, ping, true, out);
        } else if !self.timers.is_set(Timer::Dial(node)) {
            self.dial_now(now, node, out);
        }
    }
}
