//! Fetching static parts: what seldom changes about a node travels once, asked for by its hash
//! after the record that names it; from the record's sender first, then from its owner or anybody.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_bytes::ByteBuf;
use starling_wire::gossip::{GossipMessage, MAX_STATICS};
use starling_wire::{NodeId, NodeStatic, Record, StaticHash, Time};

use crate::statics::{Accepted, Missing};
use crate::timers::Timer;
use crate::view::Entry;
use crate::{Gossip, Output};

/// About what a static part takes on the way.
const STATIC_BYTES: usize = 350;
/// Between two of the first attempts to get what is missing.
const FETCH_EVERY: Duration = Duration::from_millis(500);
/// After so many attempts each pause is twice the one before in a large cluster, where nobody in reach
/// may have the part.
const EAGER: u32 = 4;
/// So often the pause doubles.
const DOUBLINGS: u32 = 6;
/// After so many attempts in vain a member of a large view makes room for one that is of use.
const VAIN: u32 = 6;

impl Gossip {
    /// Sends the static parts that a peer asks for, within the budget.
    pub(crate) fn on_fetch(
        &mut self,
        now: Time,
        from: NodeId,
        hashes: &[StaticHash],
        out: &mut Vec<Output>,
    ) {
        let mut left = self.budget.available(now);
        let mut parts: Vec<ByteBuf> = Vec::new();
        for hash in hashes.iter().take(MAX_STATICS) {
            let Some(bytes) = self.statics.bytes(hash) else {
                continue;
            };
            if bytes.len() + 8 > left {
                self.counters.budget_drops += 1;
                break;
            }
            left -= bytes.len() + 8;
            parts.push(bytes.clone());
        }
        if !parts.is_empty() {
            self.send(now, from, GossipMessage::Statics(parts), false, out);
        }
    }

    pub(crate) fn on_statics(
        &mut self,
        now: Time,
        from: NodeId,
        parts: &[ByteBuf],
        out: &mut Vec<Output>,
    ) {
        for bytes in parts.iter().take(MAX_STATICS) {
            match self.statics.accept(bytes, &*self.signer) {
                Accepted::Taken(owner) => {
                    self.touch_book(now);
                    let courtesy = self.courtesy(&owner);
                    self.want(now, owner, courtesy);
                }
                Accepted::Refused => self.quarantine(from),
                Accepted::Unwanted => {}
            }
        }
        self.fetch_from(now, from, out);
        if !self.statics.is_missing() {
            self.timers.cancel(Timer::Statics);
        }
    }

    /// Asks again for what is still missing: its owner, then whoever named it, then anybody.
    pub(crate) fn on_missing(&mut self, now: Time, out: &mut Vec<Output>) {
        if !self.links.full {
            let vain = |missing: &Missing| missing.asked > VAIN && missing.due <= now;
            let given_up = self.statics.missing().filter(|missing| vain(missing));
            let given_up: Vec<NodeId> = given_up.map(|missing| missing.owner).collect();
            for node in given_up {
                if self.is_spare(&node) {
                    self.forget(&node);
                }
            }
        }
        let anybody = self.random_linked(1, &self.me.clone()).first().copied();
        let mut by_target: BTreeMap<NodeId, Vec<StaticHash>> = BTreeMap::new();
        let mut room = self.budget.available(now) / STATIC_BYTES;
        let soonest = if room > 0 {
            now + FETCH_EVERY
        } else {
            now + FETCH_EVERY.max(self.budget.wait(now, STATIC_BYTES))
        };
        for (hash, missing) in self.statics.missing_mut() {
            if missing.due > now {
                continue;
            }
            let known = [Some(missing.owner), Some(missing.source), anybody];
            let linked = known.iter().flatten().filter(|n| self.links.is_linked(n));
            let options: Vec<NodeId> = linked.copied().collect();
            let turn = missing.asked as usize % options.len().max(1);
            let Some(target) = options.get(turn) else {
                continue;
            };
            let asked = by_target.entry(*target).or_default();
            if room == 0 || asked.len() >= MAX_STATICS {
                continue;
            }
            room -= 1;
            let doubled = if self.links.full {
                0
            } else {
                missing.asked.saturating_sub(EAGER).min(DOUBLINGS)
            };
            missing.due = now + FETCH_EVERY * (1 << doubled);
            missing.asked = missing.asked.saturating_add(1);
            asked.push(*hash);
        }
        for (target, hashes) in by_target {
            if !hashes.is_empty() {
                self.send(now, target, GossipMessage::Fetch(hashes), false, out);
            }
        }
        if let Some(due) = self.statics.due() {
            self.timers.set(Timer::Statics, due.max(soonest));
        }
    }

    /// Asks `from` for static parts that its records name and that nobody was asked for yet.
    pub(crate) fn fetch_from(&mut self, now: Time, from: NodeId, out: &mut Vec<Output>) {
        if !self.statics.is_missing() {
            return;
        }
        let room = self.budget.available(now) / STATIC_BYTES;
        let mut hashes = Vec::new();
        for (hash, missing) in self.statics.missing_mut() {
            if hashes.len() < room.min(MAX_STATICS) && missing.asked == 0 && missing.source == from
            {
                missing.asked = 1;
                missing.due = now + FETCH_EVERY;
                hashes.push(*hash);
            }
        }
        if !hashes.is_empty() {
            self.send(now, from, GossipMessage::Fetch(hashes), false, out);
        }
        self.timers.set_sooner(Timer::Statics, now + FETCH_EVERY);
    }

    /// A record names another static part; the old one is shown until the new one is here.
    pub(crate) fn swap_statics(&mut self, record: &Record, old: StaticHash, from: NodeId) {
        if record.fixed == old {
            return;
        }
        self.statics.acquire(record.fixed, record.node, from);
        let known = self.statics.get(&old).is_some();
        let released = match self.view.soft_mut(&record.node) {
            Some(soft) if known => soft.rare_mut().previous.replace(old),
            _ => Some(old),
        };
        if let Some(released) = released {
            self.statics.release(&released);
        }
    }

    pub(crate) fn fixed_of(&self, entry: &Entry) -> Option<&NodeStatic> {
        let previous = || self.statics.get(&entry.soft.rare()?.previous?);
        self.statics.get(&entry.record().fixed).or_else(previous)
    }
}
