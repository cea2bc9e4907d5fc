//! This node's own record: when a new version is worth its bytes, and how an accusation is refuted.
//! SWIM's incarnation numbers (Das et al. 2002): only a node itself may raise its own. Besides, it
//! raises it at each start, so a restarted node is never taken for the one that died.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use starling_placement::Resources;
use starling_wire::gossip::GossipMessage;
use starling_wire::{Load, NodeId, NodeStatic, OpenRecord, Record, SignedRecord, StaticHash, Time};

use crate::exchange::RECORD_BYTES;
use crate::statics::clipped;
use crate::view::{Entry, MemberState, Soft};
use crate::{Gossip, Output};

/// A change of more than one part in so many is worth a new version at once.
const GREAT: u64 = 8;
/// At most so often is a refutation spread to everybody.
const REFUTE_EVERY: Duration = Duration::from_millis(250);

/// What this node says about itself.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) incarnation: u32,
    pub(crate) version: u32,
    pub(crate) fixed: NodeStatic,
    pub(crate) hash: StaticHash,
    pub(crate) load: Load,
    pub(crate) published: Load,
    pub(crate) published_at: Time,
    /// When the present incarnation began.
    pub(crate) raised_at: Time,
    /// When it last refuted to everybody.
    pub(crate) refuted_at: Option<Time>,
}

impl Own {
    pub(crate) fn new(incarnation: u32, fixed: NodeStatic, now: Time) -> Self {
        Self {
            incarnation: incarnation.max(1),
            version: 0,
            fixed,
            hash: StaticHash::default(),
            load: Load::default(),
            published: Load::default(),
            published_at: now,
            raised_at: now,
            refuted_at: None,
        }
    }
}

impl Gossip {
    /// Puts this node into its own view and cache.
    pub(crate) fn found_own(&mut self, now: Time) {
        self.install_fixed(self.own.fixed.clone());
        let open = self.own_record();
        self.view.insert(Entry {
            open,
            produced: now,
            state: MemberState::Alive,
            since: now,
            added: now,
            soft: Soft::default(),
        });
        self.own.version = 1;
        self.publish(now);
    }

    /// A new load; a new version follows as soon as it is worth sending.
    pub(crate) fn take_load(&mut self, now: Time, load: Load) {
        self.own.load = load;
        let at = self.publish_at();
        // Until the first reading the record shows a node without room; nobody should plan with that.
        let first = self.own.published == Load::default() && load != Load::default();
        if first || at <= now {
            self.publish(now);
        } else {
            self.timers.set(crate::timers::Timer::Publish, at);
        }
    }

    pub(crate) fn take_fixed(&mut self, now: Time, fixed: NodeStatic) {
        let fixed = clipped(fixed);
        if fixed == self.own.fixed {
            return;
        }
        let old = self.own.hash;
        self.install_fixed(fixed);
        self.statics.release(&old);
        self.publish(now);
    }

    /// Signs and installs a new version of the own record.
    pub(crate) fn publish(&mut self, now: Time) {
        match self.own.version.checked_add(1) {
            Some(version) => self.own.version = version,
            None if self.own.incarnation < u32::MAX => {
                self.own.incarnation += 1;
                self.own.version = 1;
            }
            None => {}
        }
        self.own.published = self.own.load;
        self.own.published_at = now;
        let open = self.own_record();
        self.view.set_record(open, now);
        let refresh = self.refresh();
        let jitter = self.rng.random_range(0.9..1.0);
        self.own_refresh = now + refresh.mul_f64(jitter);
        self.timers
            .set(crate::timers::Timer::Publish, self.own_refresh);
    }

    /// Somebody claims that this node's `claimed` incarnation is gone: raises it beyond and tells
    /// everybody, or, if that was done a moment ago, the accuser.
    pub(crate) fn refute(&mut self, now: Time, claimed: u32, to: NodeId, out: &mut Vec<Output>) {
        let lately = |at: Time| now.since(at) < REFUTE_EVERY;
        let lately = self.own.refuted_at.is_some_and(lately);
        if claimed < self.own.incarnation {
            let told = lately && self.links.linked().len() <= self.config.tell_all;
            if !told && self.links.may_tell(&to, now) {
                self.send_own(now, to, out);
            }
            return;
        }
        let before = self.own.incarnation;
        self.own.incarnation = claimed.saturating_add(1);
        if self.own.incarnation > before {
            self.own.version = 0;
            self.own.raised_at = now;
            out.push(Output::Changed {
                node: self.me,
                from: Some(MemberState::Alive),
                to: MemberState::Alive,
                incarnation: self.own.incarnation,
            });
        }
        self.publish(now);
        if lately {
            self.send_own(now, to, out);
            return;
        }
        self.own.refuted_at = Some(now);
        let mut targets = self.news_targets();
        if self.links.is_linked(&to) && !targets.contains(&to) {
            targets.push(to);
        }
        for target in targets {
            self.send_own(now, target, out);
        }
    }

    /// Sends the own record.
    pub(crate) fn send_own(&mut self, now: Time, to: NodeId, out: &mut Vec<Output>) {
        let Some(entry) = self.view.get(&self.me) else {
            return;
        };
        let message = GossipMessage::Delta {
            records: vec![crate::exchange::aged(entry, now)],
            wants: Vec::new(),
            rumours: Vec::new(),
        };
        self.send(now, to, message, true, out);
    }

    fn install_fixed(&mut self, fixed: NodeStatic) {
        let bytes = starling_wire::encode(&fixed);
        self.own.hash = StaticHash::of(&bytes);
        self.own.fixed = fixed.clone();
        self.statics.put_own(self.own.hash, fixed, bytes);
    }

    /// The own record as it is now, signed.
    fn own_record(&self) -> Arc<OpenRecord> {
        let record = Record {
            node: self.me,
            incarnation: self.own.incarnation,
            version: self.own.version,
            fixed: self.own.hash,
            load: self.own.load,
        };
        let signed = Arc::new(SignedRecord::sign(&record, &*self.signer));
        let size = starling_wire::encode(&signed).len();
        Arc::new(OpenRecord {
            record,
            signed,
            size,
        })
    }

    /// After how long an unchanged record is signed anew: in a large cluster so seldom that all of
    /// them together take a quarter of the budget.
    pub(crate) fn refresh(&self) -> Duration {
        let members = self.view.live().len() as u64;
        let budget = u64::from(self.config.byte_budget / 4).max(1);
        let share = Duration::from_millis(members * 2 * RECORD_BYTES as u64 * 1_000 / budget);
        self.config.idle_refresh.max(share)
    }

    /// When the next version is due, given the present load.
    fn publish_at(&self) -> Time {
        let (old, new) = (&self.own.published, &self.own.load);
        if old == new {
            return self.own_refresh;
        }
        let wait = if is_great(old, new, &self.own.fixed.capacity) {
            self.config.load_urgent
        } else {
            self.config.load_small
        };
        (self.own.published_at + wait).min(self.own_refresh)
    }
}

/// Whether a change of load is worth telling at once.
fn is_great(old: &Load, new: &Load, capacity: &Resources) -> bool {
    let differs = |a: u64, b: u64, whole: u64| {
        (a == 0) != (b == 0) || u128::from(a.abs_diff(b)) * u128::from(GREAT) > u128::from(whole)
    };
    let pressure = |a: u8, b: u8| u64::from(a.abs_diff(b)) > 255 / GREAT;
    let (cpu, a, b) = (u64::from(capacity.cpu), &old.free, &new.free);
    old.draining != new.draining
        || differs(a.cpu.into(), b.cpu.into(), cpu)
        || differs(a.memory, b.memory, capacity.memory)
        || differs(a.disk, b.disk, capacity.disk)
        || u64::from(old.idle_cpu.abs_diff(new.idle_cpu)) * GREAT > cpu
        || (old.waiting == 0) != (new.waiting == 0)
        || differs(old.queue.into(), new.queue.into(), old.queue.max(8).into())
        || pressure(old.pressure.cpu, new.pressure.cpu)
        || pressure(old.pressure.memory, new.pressure.memory)
        || pressure(old.pressure.io, new.pressure.io)
        || pressure(old.pressure.network, new.pressure.network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn great_changes_are_told_from_small_ones() {
        let capacity = Resources {
            cpu: 8_000,
            memory: 8 << 30,
            disk: 0,
        };
        let old = Load {
            free: capacity,
            idle_cpu: 8_000,
            ..Load::default()
        };
        let with = |change: fn(&mut Load)| {
            let mut new = old;
            change(&mut new);
            is_great(&old, &new, &capacity)
        };
        assert!(!with(|load| load.free.cpu -= 1_000));
        assert!(with(|load| load.free.cpu -= 1_001));
        assert!(with(|load| load.free.memory = 0));
        assert!(with(|load| load.draining = true));
        assert!(with(|load| load.queue = 1));
        assert!(!with(|load| load.running = 1));
        assert!(with(|load| load.pressure.io = 40));
        assert!(!with(|load| load.idle_cpu = 7_500));
    }
}
