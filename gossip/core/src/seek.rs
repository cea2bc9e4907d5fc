//! Members that this node works with: they keep their place in a full view, and those that it lacks
//! are asked for, first of others that it works with, for those work with the same. Up to the view
//! limit exchanges would bring everybody, but not as soon.

use std::collections::BTreeSet;
use std::time::Duration;

use starling_wire::gossip::GossipMessage;
use starling_wire::{NodeId, Time};

use crate::timers::Timer;
use crate::view::MemberState;
use crate::{Gossip, Output};

/// From a question that was not answered to the next, at first; it doubles.
const FIRST: Duration = Duration::from_millis(250);
/// The pause doubles so often: at most 32 s.
const DOUBLINGS: u32 = 7;
/// How many are asked at a time.
const ASKED: usize = 3;
/// The most members asked for at a time.
const MAX_SOUGHT: usize = 32;

impl Gossip {
    /// Nodes that this one works with, the most important first: the `watched` are probed, and like
    /// the `known` they stay in a full view, and are sought where it lacks them. Of the watched at
    /// most three quarters of what the view holds count, of all together seven eighths.
    pub fn set_ties(
        &mut self,
        watched: impl IntoIterator<Item = NodeId>,
        known: impl IntoIterator<Item = NodeId>,
    ) {
        if self.left {
            return;
        }
        let limit = self.config.view_limit;
        let mut extra = BTreeSet::new();
        for node in watched {
            if extra.len() >= limit / 4 * 3 {
                break;
            }
            extra.insert(node);
        }
        let mut others = BTreeSet::new();
        for node in known {
            if extra.len() + others.len() >= limit / 8 * 7 {
                break;
            }
            if !extra.contains(&node) {
                others.insert(node);
            }
        }
        if extra == self.detect.extra && others == self.detect.known {
            return;
        }
        let is_new = |node: &&NodeId| {
            !self.detect.extra.contains(*node)
                && !self.detect.known.contains(*node)
                && self.view.get(node).is_none()
        };
        let seeks = extra.iter().chain(&others).find(is_new).is_some();
        let watches = extra != self.detect.extra;
        self.detect.extra = extra;
        self.detect.known = others;
        if watches {
            self.reconsider(self.now);
        }
        if seeks {
            self.detect.sought = 0;
            self.timers.set(Timer::Seek, self.now);
        }
    }

    /// Whether the view holds the whole cluster, as far as can be known: whoever is not in it is
    /// then not there, or has just come.
    pub fn sees_all(&self) -> bool {
        let limit = self.config.view_limit / 2;
        self.view.len() < limit && self.links.book.len() < limit
    }

    /// Whether a node has a place in the view that nobody else may take.
    pub(crate) fn is_kept(&self, node: &NodeId) -> bool {
        self.is_protected(node)
            || self.detect.extra.contains(node)
            || self.detect.known.contains(node)
    }

    /// Asks for the members that are missing, until they are found or nobody works with them.
    pub(crate) fn on_seek(&mut self, now: Time, out: &mut Vec<Output>) {
        let ties = || self.detect.extra.iter().chain(&self.detect.known);
        let missing: Vec<NodeId> = ties()
            .filter(|node| **node != self.me && self.view.get(node).is_none())
            .take(MAX_SOUGHT)
            .copied()
            .collect();
        if missing.is_empty() {
            return;
        }
        // Themselves, if they have come here; others that work with them; and anybody.
        let mut asked: Vec<NodeId> = missing.clone();
        asked.retain(|node| self.links.is_linked(node));
        let alive = |node: &&NodeId| {
            self.links.is_linked(node) && self.view.state(node) == Some(MemberState::Alive)
        };
        let mut near: Vec<NodeId> = ties().filter(alive).copied().collect();
        let turn = self.detect.sought as usize * ASKED % near.len().max(1);
        near.rotate_left(turn);
        near.truncate(ASKED);
        asked.extend(near);
        for node in self.random_linked(ASKED, &self.me.clone()) {
            if asked.len() < ASKED || self.detect.sought > 2 {
                asked.push(node);
            }
        }
        asked.sort_unstable();
        asked.dedup();
        let wants: Vec<u32> = missing.iter().map(NodeId::tag).collect();
        for node in asked {
            let ask = GossipMessage::Delta {
                records: Vec::new(),
                wants: wants.clone(),
                rumours: Vec::new(),
            };
            self.send(now, node, ask, true, out);
        }
        let pause = FIRST * (1 << self.detect.sought.min(DOUBLINGS));
        self.detect.sought = self.detect.sought.saturating_add(1);
        self.timers.set(Timer::Seek, now + pause);
    }
}
