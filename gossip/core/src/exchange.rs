//! Push-pull anti-entropy (Demers et al. 1987): each period with one random member, newest first,
//! within the byte budget. It differs from sending tables in going by steps: checksums first, which
//! agree in an idle cluster; then the stamps of what changed lately; then records, only those that
//! the other lacks. If the recent stamps do not explain the difference, all stamps follow.

use std::time::Duration;

use rand::RngExt;
use starling_wire::gossip::{GossipMessage, Head, MAX_HEADS, MAX_RECORDS, Rumour};
use starling_wire::record::Aged;
use starling_wire::{NodeId, Time};

use crate::digest::Difference;
use crate::timers::Timer;
use crate::view::Entry;
use crate::{Gossip, MemberState, Output};

/// An exchange is opened, or its heads sent, only with so many bytes to spend.
pub(crate) const LEAST: usize = 512;
/// About what a wanted record will take.
pub(crate) const RECORD_BYTES: usize = 230;
/// A message carries at most one record for so many bytes per second of the budget.
const BUDGET_PER_RECORD: usize = 512;
/// With so few links an exchange with a new one is opened at once.
const FEW: usize = 3;
/// A node whose partners are at the end of their budget opens exchanges so much less often.
const MOST_PATIENCE: u32 = 8;
/// At least so long between two introductions.
const INTRODUCE_EVERY: Duration = Duration::from_millis(250);
/// The share of exchanges that a well-linked node of a large cluster opens with a new partner.
const NEW: f64 = 0.25;
/// The most rumours that ride on an exchange.
const RIDERS: usize = 8;

/// A record with its present age.
pub(crate) fn aged(entry: &Entry, now: Time) -> Aged {
    let age = now.since(entry.produced).as_millis();
    Aged {
        record: std::sync::Arc::clone(&entry.open.signed),
        age_ms: u32::try_from(age).unwrap_or(u32::MAX),
    }
}

impl Gossip {
    /// The period is over: one exchange, if the budget allows.
    pub(crate) fn on_exchange(&mut self, now: Time, out: &mut Vec<Output>) {
        let jitter = self.rng.random_range(0.9..1.1);
        let mut next = self.config.period.mul_f64(jitter) * self.patience;
        if self.budget.available(now) < LEAST {
            self.counters.budget_drops += 1;
            next = next.min(self.budget.wait(now, LEAST));
        } else {
            self.check_oldest(now, out);
            if let Some(peer) = self.partner(now, out) {
                self.open_exchange(now, peer, out);
            }
        }
        self.timers.set(Timer::Exchange, now + next);
    }

    /// A link is new: tells the peer who this is and opens an exchange; the lower id begins.
    pub(crate) fn greet(&mut self, now: Time, peer: NodeId, out: &mut Vec<Output>) {
        let young = now.since(self.own.raised_at) < Duration::from_secs(10);
        let news = young || self.view.get(&peer).is_none();
        let raised = self.own.raised_at;
        if news && self.budget.available(now) >= LEAST && self.links.may_greet(&peer, raised, now) {
            self.send_own(now, peer, out);
        }
        let asked = self.links.owed.contains(&peer);
        if self.me > peer && !asked {
            return;
        }
        if asked || self.links.linked().len() <= FEW {
            self.links.owed.remove(&peer);
            self.open_exchange(now, peer, out);
        } else {
            // Many links at once: by then most of them have nothing left to exchange.
            self.links.owed.insert(peer);
            let pause = Duration::from_millis(self.rng.random_range(50..400));
            self.timers.set_if_idle(Timer::Owed, now + pause);
        }
    }

    /// A newcomer finds this node at the end of its budget, perhaps because very many join at once:
    /// it is passed on to a random other, before all else that the budget is for.
    fn introduce(&mut self, now: Time, to: NodeId, out: &mut Vec<Output>) {
        let lately = |at: Time| now.since(at) < INTRODUCE_EVERY;
        if self.introduced.is_some_and(lately) {
            return;
        }
        let Some(other) = self.random_linked(1, &to).first().copied() else {
            return;
        };
        let Some(entry) = self.view.get(&other) else {
            return;
        };
        let Some(bytes) = self.statics.bytes(&entry.record().fixed).cloned() else {
            return;
        };
        let message = GossipMessage::Delta {
            records: vec![aged(entry, now)],
            wants: Vec::new(),
            rumours: Vec::new(),
        };
        self.introduced = Some(now);
        self.send(now, to, message, false, out);
        self.send(now, to, GossipMessage::Statics(vec![bytes]), false, out);
    }

    /// Opens the exchanges that are owed, as far as the budget goes.
    pub(crate) fn on_owed(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some(peer) = self.links.owed.first().copied() {
            if self.budget.available(now) < LEAST {
                self.counters.budget_drops += 1;
                let wait = self.budget.wait(now, LEAST);
                self.timers.set(Timer::Owed, now + wait);
                return;
            }
            self.links.owed.remove(&peer);
            if self.links.is_linked(&peer) && self.links.is_fresh(&peer) {
                self.open_exchange(now, peer, out);
            }
        }
    }

    pub(crate) fn on_sync(
        &mut self,
        now: Time,
        from: NodeId,
        sum: u64,
        heads: &[Head],
        (within_ms, answer): (u32, bool),
        out: &mut Vec<Output>,
    ) {
        if sum == self.view.sum() {
            self.patience = 1;
            self.links.settled(&from);
            if !answer {
                self.sync(now, from, &[], (0, true), out);
            }
            return;
        }
        if heads.is_empty() {
            if answer {
                // It has nothing left to spend, perhaps because all turn to it.
                self.patience = (self.patience * 2).min(MOST_PATIENCE);
                return;
            }
            let all = self.links.is_fresh(&from);
            if all && self.budget.available(now) < LEAST {
                self.introduce(now, from, out);
            }
            let (mine, within) = self.heads(now, all);
            return self.sync(now, from, &mine, (within, true), out);
        }
        self.patience = 1;
        let difference = self.compare(now, heads, within_ms);
        let Difference { give, want, gone } = difference;
        if give.is_empty() && want.is_empty() && gone.is_empty() {
            let (mine, within) = self.heads(now, true);
            // Each answer lists more than the one before: this ends.
            if mine.len() > heads.len() {
                self.sync(now, from, &mine, (within, true), out);
            }
            return;
        }
        self.delta(now, from, give, want, gone, out);
    }

    /// The other asks for records, by tag.
    pub(crate) fn on_wants(
        &mut self,
        now: Time,
        from: NodeId,
        wants: &[u32],
        out: &mut Vec<Output>,
    ) {
        let mut give = Vec::new();
        for tag in wants.iter().take(MAX_HEADS) {
            let held = self.view.tagged(*tag).filter(|entry| entry.state.is_live());
            give.extend(held.map(|entry| entry.record().node));
        }
        if !give.is_empty() {
            self.delta(now, from, give, Vec::new(), Vec::new(), out);
        }
    }

    fn open_exchange(&mut self, now: Time, peer: NodeId, out: &mut Vec<Output>) {
        self.counters.exchanges += 1;
        self.sync(now, peer, &[], (0, false), out);
    }

    fn sync(
        &mut self,
        now: Time,
        to: NodeId,
        heads: &[Head],
        (within_ms, answer): (u32, bool),
        out: &mut Vec<Output>,
    ) {
        let sync = GossipMessage::Sync {
            sum: self.view.sum(),
            heads: heads.to_vec(),
            within_ms,
            answer,
            seen: if answer { 0 } else { self.table.sum() },
        };
        self.send(now, to, sync, false, out);
    }

    /// A random live member; in a large cluster one without a link is dialled first.
    fn partner(&mut self, now: Time, out: &mut Vec<Output>) -> Option<NodeId> {
        let me = self.me;
        if let Some(stranger) = self.linked_stranger() {
            self.send_own(now, stranger, out);
            return Some(stranger);
        }
        if self.links.full {
            return self.random_linked(1, &me).first().copied();
        }
        // Recent partners are random members themselves; a new one now and then keeps them so.
        if self.links.linked().len() > self.config.link_limit / 2 && !self.rng.random_bool(NEW) {
            return self.random_linked(1, &me).first().copied();
        }
        let start = NodeId(self.rng.random());
        let node = self.view.successors(&start).next()?;
        if node == me || self.links.is_linked(&node) {
            return Some(node).filter(|node| *node != me);
        }
        if self.dial_now(now, node, out) {
            self.links.owed.insert(node);
            return None;
        }
        self.random_linked(1, &me).first().copied()
    }

    /// Somebody at the other end of a link who is no live member: the first greeting got lost. Every
    /// other time at most, so that one who stays mute does not keep the others waiting.
    fn linked_stranger(&mut self) -> Option<NodeId> {
        let live = |node: &NodeId| self.view.state(node).is_some_and(MemberState::is_live);
        let stranger = self
            .links
            .linked()
            .iter()
            .copied()
            .find(|node| !live(node))?;
        self.rng.random_bool(0.5).then_some(stranger)
    }

    /// A live member of whom nothing was heard for very long is probed: nobody else may have.
    fn check_oldest(&mut self, now: Time, out: &mut Vec<Output>) {
        let me = self.me;
        let long = self.refresh() * 4;
        let mut others = self.view.oldest().filter(|entry| entry.record().node != me);
        let Some((node, produced)) = others
            .next()
            .map(|entry| (entry.record().node, entry.produced))
        else {
            return;
        };
        drop(others);
        let age = now.since(produced);
        if age > long && !self.heard_within(now, &node, long) {
            self.start_ping(now, node, true, None, out);
        }
    }

    /// Sends records, newest first, and asks for others, as far as the budget goes.
    fn delta(
        &mut self,
        now: Time,
        to: NodeId,
        give: Vec<NodeId>,
        mut wants: Vec<u32>,
        gone: Vec<Rumour>,
        out: &mut Vec<Output>,
    ) {
        let available = self.budget.available(now);
        let share = available / if give.is_empty() { 1 } else { 2 };
        let before = wants.len() + give.len();
        // A share for each: of many newcomers the first must not take all there is.
        let most = (self.config.byte_budget as usize / BUDGET_PER_RECORD).clamp(4, MAX_RECORDS);
        wants.truncate(most.min(share / RECORD_BYTES));
        let left = available.saturating_sub(wants.len() * RECORD_BYTES);
        let mut left = left.min(most * RECORD_BYTES);
        let mut records = Vec::new();
        for node in give {
            let Some(entry) = self.view.get(&node) else {
                continue;
            };
            // In a large cluster whoever hears of a node here has nobody else to ask about it.
            if !self.links.full && self.fixed_of(entry).is_none() {
                continue;
            }
            if entry.size() > left || records.len() >= MAX_RECORDS {
                break;
            }
            left -= entry.size();
            records.push(aged(entry, now));
        }
        if wants.len() + records.len() < before {
            self.counters.budget_drops += 1;
        }
        let mut rumours = gone;
        rumours.truncate(RIDERS);
        rumours.extend(self.rumours.take(now, RIDERS));
        if records.is_empty() && wants.is_empty() && rumours.is_empty() {
            return;
        }
        let message = GossipMessage::Delta {
            records,
            wants,
            rumours,
        };
        self.send(now, to, message, false, out);
    }
}
