//! The simulated network: links between machines, delay, loss, and cuts.
//!
//! A link behaves as TCP does: frames arrive in order; a machine that dies resets its links at
//! once; a cut is silence.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use starling_wire::{NodeId, Time};

/// Delays, losses and cuts between machines.
#[derive(Clone, Debug)]
pub struct Network {
    /// One-way delay, at least and at most.
    pub delay: (Duration, Duration),
    /// The share of frames lost, 0 to 1.
    pub loss: f64,
    /// The share of frames delivered twice, 0 to 1.
    pub duplication: f64,
    /// Pairs of nodes between which nothing passes, by (from, to).
    cuts: BTreeSet<(NodeId, NodeId)>,
    links: BTreeSet<(NodeId, NodeId)>,
    /// When the last frame on a link arrives: the next one is not earlier.
    arrivals: BTreeMap<(NodeId, NodeId), Time>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            delay: (Duration::from_micros(100), Duration::from_micros(600)),
            loss: 0.0,
            duplication: 0.0,
            cuts: BTreeSet::new(),
            links: BTreeSet::new(),
            arrivals: BTreeMap::new(),
        }
    }
}

fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    if a < b { (a, b) } else { (b, a) }
}

impl Network {
    /// Lets nothing pass between the two groups any more, in either direction.
    pub fn cut(&mut self, some: &[NodeId], others: &[NodeId]) {
        for a in some {
            for b in others {
                self.cuts.insert((*a, *b));
                self.cuts.insert((*b, *a));
            }
        }
    }

    /// Lets everything pass again.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Whether frames pass from one node to another.
    pub fn passes(&self, from: NodeId, to: NodeId) -> bool {
        !self.cuts.contains(&(from, to))
    }

    pub(crate) fn linked(&self, a: NodeId, b: NodeId) -> bool {
        self.links.contains(&pair(a, b))
    }

    /// Links two nodes; false if they were linked.
    pub(crate) fn link(&mut self, a: NodeId, b: NodeId) -> bool {
        self.links.insert(pair(a, b))
    }

    /// Unlinks two nodes; false if they were not linked.
    pub(crate) fn unlink(&mut self, a: NodeId, b: NodeId) -> bool {
        self.arrivals.remove(&(a, b));
        self.arrivals.remove(&(b, a));
        self.links.remove(&pair(a, b))
    }

    /// All nodes that `node` is linked to.
    pub(crate) fn peers(&self, node: NodeId) -> Vec<NodeId> {
        self.links
            .iter()
            .filter_map(|(a, b)| match node {
                n if n == *a => Some(*b),
                n if n == *b => Some(*a),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn one_way(&self, rng: &mut ChaCha12Rng) -> Duration {
        if self.delay.0 >= self.delay.1 {
            return self.delay.0;
        }
        let (least, most) = (self.delay.0.as_micros(), self.delay.1.as_micros());
        Duration::from_micros(u64::try_from(rng.random_range(least..most)).unwrap_or(u64::MAX))
    }

    /// When a frame sent now arrives: never, once, or twice.
    pub(crate) fn carry(
        &mut self,
        now: Time,
        from: NodeId,
        to: NodeId,
        rng: &mut ChaCha12Rng,
    ) -> Vec<Time> {
        if !self.linked(from, to) || !self.passes(from, to) || rng.random_bool(self.loss) {
            return Vec::new();
        }
        let last = self
            .arrivals
            .get(&(from, to))
            .copied()
            .unwrap_or(Time::ZERO);
        let at = (now + self.one_way(rng)).max(last + Duration::from_micros(1));
        self.arrivals.insert((from, to), at);
        if self.duplication > 0.0 && rng.random_bool(self.duplication) {
            return vec![at, at + self.one_way(rng)];
        }
        vec![at]
    }
}
