//! Taking records in: a merge that is commutative, associative and idempotent, since of two records
//! of a node the greater (incarnation, version) wins in whatever order they come. What does not
//! decode, is out of range or is wrongly signed is counted against whoever sent it and goes no
//! further.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use starling_wire::gossip::{MAX_RECORDS, Rumour};
use starling_wire::record::Aged;
use starling_wire::{Load, NodeId, OpenRecord, Time};

use crate::timers::Timer;
use crate::view::{Entry, MemberState, Soft};
use crate::{Gossip, Output};

/// After so many unfit records the rest of a message is not looked at.
const PATIENCE: usize = 4;
/// The most peers whose unfit records are counted one by one.
const ORIGINS: usize = 64;
/// A record that was written so long after a suspicion began speaks against it.
const AFTER: Duration = Duration::from_millis(100);

impl Gossip {
    /// Takes the records of a message.
    pub(crate) fn on_records(
        &mut self,
        now: Time,
        from: NodeId,
        records: Vec<Aged>,
        out: &mut Vec<Output>,
    ) {
        let (mut bad, mut gone) = (0, Vec::new());
        for aged in records.into_iter().take(MAX_RECORDS) {
            match self.take_record(now, from, aged, out) {
                Ok(rumour) => gone.extend(rumour),
                Err(()) => bad += 1,
            }
            if bad == PATIENCE {
                break;
            }
        }
        if !gone.is_empty() {
            self.send_rumours(now, from, gone, out);
        }
        self.fetch_from(now, from, out);
    }

    /// Takes one record. If its node is held to be gone, what to tell the sender.
    fn take_record(
        &mut self,
        now: Time,
        from: NodeId,
        aged: Aged,
        out: &mut Vec<Output>,
    ) -> Result<Option<Rumour>, ()> {
        let opened = self.signer.open(&aged.record);
        let Some(open) = opened.ok().filter(|open| in_range(&open.record.load)) else {
            self.quarantine(from);
            return Err(());
        };
        let record = &open.record;
        let node = record.node;
        if node == self.me {
            let own = (self.own.incarnation, self.own.version);
            if record.stamp() > own {
                // Left over from an earlier life that was not remembered.
                self.refute(now, record.incarnation, from, out);
            }
            return Ok(None);
        }
        let produced = now - Duration::from_millis(aged.age_ms.into());
        let Some(held) = self.view.get(&node) else {
            self.admit(now, from, open, produced, out);
            return Ok(None);
        };
        if record.stamp() <= held.record().stamp() {
            let direct = from == node;
            return Ok(self.obituary(&node).filter(|_| !direct));
        }
        if !held.state.is_live() && !held.is_back_with(record) {
            return Ok(self.obituary(&node).filter(|_| from != node));
        }
        self.renew(now, from, open, produced, out);
        Ok(None)
    }

    /// A member that was not known.
    fn admit(
        &mut self,
        now: Time,
        from: NodeId,
        open: Arc<OpenRecord>,
        produced: Time,
        out: &mut Vec<Output>,
    ) {
        if self.view.len() >= self.config.view_limit && !self.evict(now) {
            return;
        }
        let (node, incarnation) = (open.record.node, open.record.incarnation);
        self.counters.records_taken += 1;
        self.statics.acquire(open.record.fixed, node, from);
        self.view.insert(Entry {
            open,
            produced,
            state: MemberState::Alive,
            since: now,
            added: now,
            soft: Soft::default(),
        });
        if let Some(soft) = self.view.soft_mut(&node)
            && from == node
        {
            soft.heard = Some(now);
        }
        out.push(Output::Changed {
            node,
            from: None,
            to: MemberState::Alive,
            incarnation,
        });
        self.reconsider_for(now, &node);
        let courtesy = self.courtesy(&node);
        self.want(now, node, courtesy);
    }

    /// A newer record of a member.
    fn renew(
        &mut self,
        now: Time,
        from: NodeId,
        open: Arc<OpenRecord>,
        produced: Time,
        out: &mut Vec<Output>,
    ) {
        let record = &open.record;
        let node = record.node;
        let Some(held) = self.view.get(&node) else {
            return;
        };
        let (state, incarnation) = (held.state, record.incarnation);
        let greater = incarnation > held.record().incarnation;
        self.counters.records_taken += 1;
        let fixed = held.record().fixed;
        self.swap_statics(record, fixed, from);
        self.view.set_record(open, produced);
        if !state.is_live() {
            self.counters.returns += 1;
            self.rumours.refuted(&node, incarnation);
            self.links.reset(&node);
            self.move_to(now, node, MemberState::Alive, out);
            self.reconsider(now);
            let courtesy = self.courtesy(&node);
            self.want(now, node, courtesy);
        } else if greater {
            self.links.reset(&node);
            self.rumours.refuted(&node, incarnation);
            if let Some(soft) = self.view.soft_mut(&node) {
                soft.acquit();
            }
            if state == MemberState::Suspect {
                self.acquit(now, node, out);
            } else {
                let (from, to) = (Some(state), state);
                out.push(Output::Changed {
                    node,
                    from,
                    to,
                    incarnation,
                });
            }
        } else if let Some(suspicion) = self.detect.suspicions.get(&node)
            && produced > suspicion.start + AFTER
        {
            self.vouched(now, node, out);
        }
    }

    /// Drops a member entirely.
    pub(crate) fn forget(&mut self, node: &NodeId) {
        let Some(entry) = self.view.remove(node) else {
            return;
        };
        self.statics.release(&entry.record().fixed);
        if let Some(previous) = entry.soft.rare().and_then(|rare| rare.previous) {
            self.statics.release(&previous);
        }
        self.drop_case(node);
        self.timers.cancel(Timer::Watch(*node));
        if !self.links.is_linked(node) {
            self.timers.cancel(Timer::Dial(*node));
            self.timers.cancel(Timer::DialTimeout(*node));
            self.links.forget(node);
            self.links.book.remove(node);
        }
    }

    /// Makes room in a full view: the longest gone, else one that nobody has heard of for long, else
    /// a random member that nothing needs.
    fn evict(&mut self, now: Time) -> bool {
        let stale = self.refresh() * 4;
        let old =
            self.view.oldest().take(8).find(|entry| {
                self.is_spare(&entry.record().node) && now.since(entry.produced) > stale
            });
        let mut chosen = self.view.gone().find(|node| !self.is_kept(node));
        chosen = chosen.or_else(|| old.map(|entry| entry.record().node));
        if chosen.is_none() {
            // Identities are random, so those after a random one are random members.
            let start = NodeId(self.rng.random());
            let around = self.view.successors(&start).take(64);
            chosen = around.into_iter().find(|node| self.is_spare(node));
        }
        let Some(node) = chosen else {
            return false;
        };
        self.counters.evictions += 1;
        self.forget(&node);
        true
    }

    pub(crate) fn is_spare(&self, node: &NodeId) -> bool {
        !self.is_kept(node) && !self.links.is_linked(node)
    }

    pub(crate) fn quarantine(&mut self, from: NodeId) {
        self.counters.quarantined += 1;
        if self.quarantine.len() < ORIGINS || self.quarantine.contains_key(&from) {
            *self.quarantine.entry(from).or_default() += 1;
        }
    }
}

/// Whether a load is possible on any machine of this century.
fn in_range(load: &Load) -> bool {
    const CPU: u32 = 1_000_000_000;
    const BYTES: u64 = 1 << 62;
    const COUNT: u32 = 1 << 30;
    load.free.cpu <= CPU
        && load.idle_cpu <= CPU
        && load.free.memory <= BYTES
        && load.free.disk <= BYTES
        && load.running <= COUNT
        && load.queue <= COUNT
        && load.waiting <= COUNT
}
