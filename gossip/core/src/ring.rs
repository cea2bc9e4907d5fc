//! The ring: live members in the order of their ids. Each node watches its neighbours, half of them
//! on each side, so each is watched by as many, evenly and without any agreement but the view (as in
//! Chord, Stoica et al. 2001, from whom the successor list comes). Two neighbours watch each other:
//! the ping of either spares the other its own.

use std::collections::BTreeSet;
use std::time::Duration;

use starling_wire::{NodeId, Time};

use crate::Gossip;
use crate::timers::Timer;

impl Gossip {
    /// Recomputes whom this node watches and whose links it needs, after the membership changed.
    pub(crate) fn reconsider(&mut self, now: Time) {
        let me = self.me;
        let behind = self.config.ring_watch / 2;
        let ahead = self.config.ring_watch - behind;
        let mut watch: BTreeSet<NodeId> = self.view.successors(&me).take(ahead).collect();
        watch.extend(self.view.predecessors(&me).take(behind));
        let live = self.view.live();
        watch.extend(self.detect.extra.intersection(live));
        watch.remove(&me);
        let full = live.len() <= self.config.link_limit;
        let mut ring = BTreeSet::new();
        if !full {
            let half = self.config.ring_links / 2;
            ring.extend(self.view.successors(&me).take(half));
            ring.extend(self.view.predecessors(&me).take(half));
        }
        let mut needed: BTreeSet<NodeId> = watch.difference(&self.detect.watch).copied().collect();
        needed.extend(ring.difference(&self.links.ring));
        if full && !self.links.full {
            needed.extend(live);
        }
        let before = std::mem::replace(&mut self.detect.watch, watch);
        self.links.ring = ring;
        self.links.full = full;
        for node in before.difference(&self.detect.watch) {
            self.timers.cancel(Timer::Watch(*node));
        }
        for node in needed {
            self.want(now, node, Duration::ZERO);
        }
        for node in self.detect.watch.difference(&before) {
            let linked = self.links.is_linked(node);
            let entry = self.view.get(node);
            let last = entry.map(|entry| crate::detect::last_sign(entry, linked));
            let due = last.unwrap_or(now) + self.silence(node);
            self.timers.set(Timer::Watch(*node), due);
        }
    }

    /// The same after `node` came or went, which in a large cluster mostly concerns others.
    pub(crate) fn reconsider_for(&mut self, now: Time, node: &NodeId) {
        let far = !self.links.full && self.view.live().len() > self.config.link_limit + 1;
        if far && !self.is_protected(node) && !self.detect.extra.contains(node) {
            let reach = (self.config.ring_links / 2).max(self.config.ring_watch);
            let mut near = self.view.successors(&self.me).take(reach);
            let mut near_before = self.view.predecessors(&self.me).take(reach);
            if !near.any(|near| near == *node) && !near_before.any(|near| near == *node) {
                return;
            }
        }
        self.reconsider(now);
    }

    /// Whether a node is watched or a neighbour in the ring.
    pub(crate) fn is_protected(&self, node: &NodeId) -> bool {
        *node == self.me || self.links.ring.contains(node) || self.detect.watch.contains(node)
    }
}
