//! The view: the newest record held of each member, which *is* the membership. Up to its limit it
//! holds the whole cluster, beyond that a random sample (the idea of Cyclon's views, Voulgaris et
//! al. 2005, without its shuffles: what is fresh displaces at random). The dead and the departed
//! stay as entries, but outside the checksum and the digests, so a newcomer never hears of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use starling_wire::{Load, NodeId, NodeStatic, OpenRecord, Record, StaticHash, Time};

/// What a member is held to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberState {
    /// It was heard of, and nothing speaks against it.
    Alive,
    /// It did not answer this node, or refused it; others are being asked.
    Suspect,
    /// It is held to be gone without a word.
    Dead,
    /// It said that it leaves.
    Left,
}

impl MemberState {
    /// Whether it still counts as a member to work with.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// A member as this node sees it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Who it is.
    pub node: NodeId,
    /// What it is held to be.
    pub state: MemberState,
    /// Its incarnation.
    pub incarnation: u32,
    /// Its static part, once that was fetched.
    pub fixed: Option<&'a NodeStatic>,
    /// Its load by its record, or by a fresher direct answer.
    pub load: Load,
    /// How old that load is.
    pub age: Duration,
    /// Whether there is a link to it.
    pub linked: bool,
    /// Since when it is in that state.
    pub since: Time,
}

/// Somebody else's accusation of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accuser {
    pub(crate) by: NodeId,
    pub(crate) refused: bool,
    pub(crate) at: Time,
}

/// What is known of a member besides its record; no index depends on it.
#[derive(Debug, Default)]
pub(crate) struct Soft {
    /// When a frame of its last arrived here.
    pub(crate) heard: Option<Time>,
    /// When somebody last vouched that it lives.
    pub(crate) vouched: Option<Time>,
    /// What most members have none of: a view of many stays small without it.
    rare: Option<Box<Rare>>,
}

/// What is known of some members only.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// A fresher load than the record's, from a direct answer.
    pub(crate) observed: Option<(Load, Time)>,
    /// Who else accuses its present incarnation.
    pub(crate) accusers: Vec<Accuser>,
    /// The greatest incarnation that is said to be gone.
    pub(crate) gone_as: u32,
    /// The static part before the present one, shown until that has arrived.
    pub(crate) previous: Option<StaticHash>,
}

impl Soft {
    /// What is known of this member and not of most.
    pub(crate) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    /// The same, to be changed.
    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Nobody accuses it any more.
    pub(crate) fn acquit(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.accusers.clear();
        }
    }
}

/// A member.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) open: Arc<OpenRecord>,
    /// When its node wrote the record, by the clock here.
    pub(crate) produced: Time,
    pub(crate) state: MemberState,
    pub(crate) since: Time,
    pub(crate) added: Time,
    pub(crate) soft: Soft,
}

impl Entry {
    /// Its node's word about itself.
    pub(crate) fn record(&self) -> &Record {
        &self.open.record
    }

    /// What its record takes in a message with its age, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.open.size + AGE_BYTES
    }

    /// The incarnation that a claim about it must reach, and a return must exceed.
    pub(crate) fn last_incarnation(&self) -> u32 {
        let gone_as = self.soft.rare().map_or(0, |rare| rare.gone_as);
        self.record().incarnation.max(gone_as)
    }

    /// Whether `record` shows that the node, held to be gone, has come back.
    pub(crate) fn is_back_with(&self, record: &Record) -> bool {
        let at_limit = record.incarnation == u32::MAX && record.stamp() > self.record().stamp();
        record.incarnation > self.last_incarnation() || at_limit
    }
}

/// All members, with what is needed to find the newest, the neighbours and the checksum cheaply.
#[derive(Debug)]
pub(crate) struct View {
    entries: BTreeMap<NodeId, Entry>,
    live: BTreeSet<NodeId>,
    by_age: BTreeSet<(Time, NodeId)>,
    gone: BTreeSet<(Time, NodeId)>,
    sum: u64,
}

impl View {
    pub(crate) const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            live: BTreeSet::new(),
            by_age: BTreeSet::new(),
            gone: BTreeSet::new(),
            sum: 0,
        }
    }

    /// Puts an entry in, replacing one of the same node.
    pub(crate) fn insert(&mut self, entry: Entry) {
        let node = entry.record().node;
        self.remove(&node);
        self.index(&entry);
        self.entries.insert(node, entry);
    }

    pub(crate) fn remove(&mut self, node: &NodeId) -> Option<Entry> {
        let entry = self.entries.remove(node)?;
        self.unindex(&entry);
        Some(entry)
    }

    /// Replaces the record of a member.
    pub(crate) fn set_record(&mut self, open: Arc<OpenRecord>, produced: Time) {
        let node = open.record.node;
        let Some(entry) = self.entries.get_mut(&node) else {
            return;
        };
        let before = (entry.produced, stamp_hash(entry.record()));
        entry.produced = before.0.max(produced);
        entry.open = open;
        if entry.state.is_live() {
            if entry.produced != before.0 {
                self.by_age.remove(&(before.0, node));
                self.by_age.insert((entry.produced, node));
            }
            let hash = stamp_hash(entry.record());
            self.sum = self.sum.wrapping_sub(before.1).wrapping_add(hash);
        }
    }

    /// Changes the state of a member and returns what it was.
    pub(crate) fn set_state(
        &mut self,
        node: &NodeId,
        state: MemberState,
        now: Time,
    ) -> Option<MemberState> {
        let mut entry = self.remove(node)?;
        let before = entry.state;
        if before != state {
            entry.state = state;
            entry.since = now;
        }
        self.index(&entry);
        self.entries.insert(*node, entry);
        Some(before)
    }

    pub(crate) fn soft_mut(&mut self, node: &NodeId) -> Option<&mut Soft> {
        self.entries.get_mut(node).map(|entry| &mut entry.soft)
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<&Entry> {
        self.entries.get(node)
    }

    pub(crate) fn state(&self, node: &NodeId) -> Option<MemberState> {
        self.entries.get(node).map(|entry| entry.state)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&NodeId, &Entry)> {
        self.entries.iter()
    }

    /// All entries, those first whose ids follow `start`.
    pub(crate) fn entries_from(&self, start: &NodeId) -> impl Iterator<Item = &Entry> {
        let after = self.entries.range(start..);
        let around = after.chain(self.entries.range(..start));
        around.map(|(_, entry)| entry)
    }

    /// The members that are alive or suspect, this node among them.
    pub(crate) const fn live(&self) -> &BTreeSet<NodeId> {
        &self.live
    }

    /// Live members, the newest record first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Entry> {
        self.newest_after(0)
    }

    /// Live members but the newest `skipped`, the newest record first.
    pub(crate) fn newest_after(&self, skipped: usize) -> impl Iterator<Item = &Entry> {
        // Skipped before they are looked up: that is what costs.
        let ids = self.by_age.iter().rev().skip(skipped);
        ids.filter_map(|(_, node)| self.entries.get(node))
    }

    /// Live members, the oldest record first.
    pub(crate) fn oldest(&self) -> impl Iterator<Item = &Entry> {
        let ids = self.by_age.iter();
        ids.filter_map(|(_, node)| self.entries.get(node))
    }

    /// The dead and departed, the longest gone first.
    pub(crate) fn gone(&self) -> impl Iterator<Item = NodeId> {
        self.gone.iter().map(|(_, node)| *node)
    }

    pub(crate) fn gone_len(&self) -> usize {
        self.gone.len()
    }

    /// The members whose ids begin with `tag`: rarely more than one.
    pub(crate) fn tagged(&self, tag: u32) -> impl Iterator<Item = &Entry> {
        let (mut low, mut high) = (NodeId([0; 32]), NodeId([0xff; 32]));
        low.0[..4].copy_from_slice(&tag.to_be_bytes());
        high.0[..4].copy_from_slice(&tag.to_be_bytes());
        self.entries.range(low..=high).map(|(_, entry)| entry)
    }

    /// A checksum over the stamps of all live members: equal views have equal ones.
    pub(crate) const fn sum(&self) -> u64 {
        self.sum
    }

    /// The live members that follow `node` in the ring of ids, nearest first.
    pub(crate) fn successors(&self, node: &NodeId) -> impl Iterator<Item = NodeId> {
        let after = (Bound::Excluded(*node), Bound::Unbounded);
        let ring = self.live.range(after).chain(self.live.range(..*node));
        ring.copied()
    }

    /// The live members that precede `node` in the ring of ids, nearest first.
    pub(crate) fn predecessors(&self, node: &NodeId) -> impl Iterator<Item = NodeId> {
        let after = (Bound::Excluded(*node), Bound::Unbounded);
        let before = self.live.range(..*node).rev();
        before.chain(self.live.range(after).rev()).copied()
    }

    fn index(&mut self, entry: &Entry) {
        let node = entry.record().node;
        if entry.state.is_live() {
            self.live.insert(node);
            self.by_age.insert((entry.produced, node));
            self.sum = self.sum.wrapping_add(stamp_hash(entry.record()));
        } else {
            self.gone.insert((entry.since, node));
        }
    }

    fn unindex(&mut self, entry: &Entry) {
        let node = entry.record().node;
        if entry.state.is_live() {
            self.live.remove(&node);
            self.by_age.remove(&(entry.produced, node));
            self.sum = self.sum.wrapping_sub(stamp_hash(entry.record()));
        } else {
            self.gone.remove(&(entry.since, node));
        }
    }
}

/// What a record's age and its place in a list take in a message, in bytes.
const AGE_BYTES: usize = 10;

/// SplitMix64 over the id and the stamp; addition makes the sum independent of the order.
fn stamp_hash(record: &Record) -> u64 {
    let (incarnation, version) = record.stamp();
    let mut hash = u64::from(incarnation) << 32 | u64::from(version);
    for chunk in record.node.0.chunks_exact(8) {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        hash = mix(hash ^ u64::from_be_bytes(word));
    }
    hash
}

const fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
