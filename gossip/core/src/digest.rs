//! Digests: the stamps of what a node holds, newest first, and what two nodes' digests say that
//! each lacks. Tags of four bytes stand for ids of 32; two nodes that share one cost an exchange
//! some needless records, never a wrong one.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use starling_wire::gossip::{Head, MAX_HEADS, MAX_RECORDS, Rumour};
use starling_wire::{NodeId, Time};

use crate::Gossip;
use crate::exchange::LEAST;
use crate::view::Entry;

/// About what a head takes in a message.
const HEAD_BYTES: usize = 14;
/// Heads of records younger than so many periods count as recent.
const RECENT: u32 = 5;
/// At least so many heads are sent.
const FEW: usize = 3;
/// Ages differ by less than that from node to node.
const SLACK_MS: u128 = 100;
/// The most members a full view wants to learn of in one exchange.
const STRANGERS: usize = 2;

/// What an exchange must still do.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) give: Vec<NodeId>,
    pub(crate) want: Vec<u32>,
    pub(crate) gone: Vec<Rumour>,
}

impl Gossip {
    /// The stamps of recent records, or of as many as a message takes, newest first; and below which
    /// age in milliseconds none is left out.
    pub(crate) fn heads(&mut self, now: Time, all: bool) -> (Vec<Head>, u32) {
        let available = self.budget.available(now);
        if available < LEAST {
            self.counters.budget_drops += 1;
            return (Vec::new(), 0);
        }
        let live = self.view.live().len();
        let most = MAX_HEADS.min(available / 2 / HEAD_BYTES);
        let recent = self.config.period * RECENT;
        // Where not all fit, a quarter of the room goes to random older ones.
        let head_room = if all && live > most {
            most - most / 4
        } else {
            most
        };
        let mut heads = Vec::new();
        let mut within = u32::MAX;
        for entry in self.view.newest() {
            let age = now.since(entry.produced);
            let enough = !all && heads.len() >= FEW && age > recent;
            if enough || heads.len() >= head_room {
                within = u32::try_from(age.as_millis()).unwrap_or(u32::MAX);
                break;
            }
            heads.push(head(entry));
        }
        if live > heads.len() && (all || !self.links.full) {
            let older = live - heads.len();
            let start = heads.len() + self.rng.random_range(0..older);
            let room = if all { most } else { heads.len() + FEW };
            let room = room.min(most).saturating_sub(heads.len());
            heads.extend(self.view.newest_after(start).take(room).map(head));
        }
        (heads, within)
    }

    pub(crate) fn compare(&self, now: Time, heads: &[Head], within_ms: u32) -> Difference {
        let mut listed: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        for Head(tag, incarnation, version) in heads.iter().take(MAX_HEADS) {
            let stamps = listed.entry(*tag).or_default();
            stamps.push((*incarnation, *version));
        }
        let full = self.view.len() >= self.config.view_limit;
        let (mut result, mut strangers) = (Difference::default(), 0);
        for Head(tag, incarnation, version) in heads.iter().take(MAX_HEADS) {
            let stamp = (*incarnation, *version);
            let held: Vec<&Entry> = self.view.tagged(*tag).collect();
            let over = held
                .iter()
                .find(|entry| !entry.state.is_live() && *incarnation <= entry.last_incarnation());
            if let (Some(entry), [_]) = (over, &held[..]) {
                result.gone.extend(self.obituary(&entry.record().node));
                continue;
            }
            // Two nodes with one tag: only equal stamps tell that a record is held.
            let known = held.iter().any(|entry| {
                let mine = entry.record().stamp();
                mine == stamp || held.len() == 1 && mine > stamp
            });
            strangers += usize::from(held.is_empty());
            let too_many = held.is_empty() && full && strangers > STRANGERS;
            if !known && !too_many && !result.want.contains(tag) {
                result.want.push(*tag);
            }
        }
        let lacks = |entry: &Entry| {
            let mine = entry.record().stamp();
            match listed.get(&entry.record().node.tag()) {
                Some(stamps) if stamps.len() == 1 => stamps[0] < mine,
                Some(stamps) => !stamps.contains(&mine),
                None => {
                    let age = now.since(entry.produced).as_millis();
                    within_ms == u32::MAX || age + SLACK_MS < u128::from(within_ms)
                }
            }
        };
        // Beyond `within_ms` only what is listed can be lacking, so a large view is not walked.
        let recent = |entry: &&Entry| {
            let age = now.since(entry.produced).as_millis();
            within_ms == u32::MAX || age + SLACK_MS < u128::from(within_ms)
        };
        let younger = self.view.newest().take_while(recent);
        let mut give: BTreeSet<(Time, NodeId)> = younger
            .filter(|entry| lacks(entry))
            .take(MAX_RECORDS)
            .map(|entry| (entry.produced, entry.record().node))
            .collect();
        for tag in listed.keys() {
            let held = self.view.tagged(*tag).filter(|entry| entry.state.is_live());
            let lacking = held.filter(|entry| lacks(entry));
            give.extend(lacking.map(|entry| (entry.produced, entry.record().node)));
        }
        let newest = give.into_iter().rev().take(MAX_RECORDS);
        result.give = newest.map(|(_, node)| node).collect();
        result
    }
}

fn head(entry: &Entry) -> Head {
    let (incarnation, version) = entry.record().stamp();
    Head(entry.record().node.tag(), incarnation, version)
}
