//! Rumours to be passed on with pings, acknowledgements and exchanges: SWIM's dissemination (Das et
//! al. 2002), each item a bounded number of times that grows with the logarithm of the cluster.
//! Unlike there, urgent news does not wait for a probe to ride on (see `tell`); these copies are for
//! whoever was not linked just then.

use std::collections::BTreeMap;
use std::time::Duration;

use starling_wire::gossip::{Claim, Rumour};
use starling_wire::{NodeId, Time};

/// The most rumours held; the least often owed go first.
const LIMIT: usize = 64;
/// A suspicion is settled after that, one way or the other.
const SUSPICION_TTL: Duration = Duration::from_secs(3);
/// Everybody has met somebody who knows by then.
const GONE_TTL: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Item {
    rumour: Rumour,
    left: u32,
    until: Time,
}

/// At most one rumour per node, the strongest.
#[derive(Debug, Default)]
pub(crate) struct Rumours {
    items: BTreeMap<NodeId, Item>,
}

impl Rumours {
    /// Takes a rumour to be passed on `times` times.
    pub(crate) fn add(&mut self, now: Time, rumour: Rumour, times: u32) {
        let held = self.items.get(&rumour.node);
        if held.is_some_and(|held| held.until > now && strength(&held.rumour) >= strength(&rumour))
        {
            return;
        }
        if held.is_none() && self.items.len() >= LIMIT {
            let least = self.items.iter().min_by_key(|(node, i)| (i.left, **node));
            if let Some(node) = least.map(|(node, _)| *node) {
                self.items.remove(&node);
            }
        }
        let ttl = match rumour.claim {
            Claim::Silent | Claim::Refused => SUSPICION_TTL,
            Claim::Dead | Claim::Left => GONE_TTL,
        };
        let item = Item {
            rumour,
            left: times,
            until: now + ttl,
        };
        self.items.insert(rumour.node, item);
    }

    /// Forgets what `incarnation` of `node` refutes.
    pub(crate) fn refuted(&mut self, node: &NodeId, incarnation: u32) {
        let held = self.items.get(node).map(|item| item.rumour.incarnation);
        if held.is_some_and(|held| held < incarnation) {
            self.items.remove(node);
        }
    }

    /// Forgets a suspicion, but not a death.
    pub(crate) fn settled(&mut self, node: &NodeId) {
        let held = self.items.get(node).map(|item| item.rumour.claim);
        if matches!(held, Some(Claim::Silent | Claim::Refused)) {
            self.items.remove(node);
        }
    }

    /// Up to `most` rumours for a message, those owed most often first.
    pub(crate) fn take(&mut self, now: Time, most: usize) -> Vec<Rumour> {
        if self.items.is_empty() {
            return Vec::new();
        }
        self.items
            .retain(|_, item| item.left > 0 && item.until > now);
        let mut owed: Vec<(u32, NodeId)> =
            self.items.iter().map(|(n, item)| (item.left, *n)).collect();
        owed.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        owed.truncate(most);
        let mut taken = Vec::with_capacity(owed.len());
        for (_, node) in owed {
            if let Some(item) = self.items.get_mut(&node) {
                item.left -= 1;
                taken.push(item.rumour);
            }
        }
        taken
    }
}

/// Of two rumours about a node the stronger is kept.
const fn strength(rumour: &Rumour) -> (u32, u8) {
    let rank = match rumour.claim {
        Claim::Silent => 0,
        Claim::Refused => 1,
        Claim::Dead => 2,
        Claim::Left => 3,
    };
    (rumour.incarnation, rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rumour(node: u8, incarnation: u32, claim: Claim) -> Rumour {
        Rumour {
            node: NodeId([node; 32]),
            incarnation,
            claim,
            by: NodeId([9; 32]),
        }
    }

    #[test]
    fn each_is_passed_on_so_often_and_the_stronger_wins() {
        let mut rumours = Rumours::default();
        rumours.add(Time::ZERO, rumour(1, 1, Claim::Silent), 2);
        rumours.add(Time::ZERO, rumour(1, 1, Claim::Dead), 2);
        rumours.add(Time::ZERO, rumour(1, 1, Claim::Silent), 9);
        rumours.add(Time::ZERO, rumour(2, 1, Claim::Left), 1);
        assert_eq!(rumours.take(Time::ZERO, 8).len(), 2);
        assert_eq!(rumours.take(Time::ZERO, 8), [rumour(1, 1, Claim::Dead)]);
        assert!(rumours.take(Time::ZERO, 8).is_empty());
        rumours.add(Time::ZERO, rumour(1, 2, Claim::Silent), 5);
        rumours.refuted(&NodeId([1; 32]), 3);
        assert!(rumours.take(Time::ZERO, 8).is_empty());
    }

    #[test]
    fn the_list_is_bounded() {
        let mut rumours = Rumours::default();
        for node in 0..=255 {
            rumours.add(Time::ZERO, rumour(node, 1, Claim::Dead), 3);
        }
        assert_eq!(rumours.items.len(), LIMIT);
    }
}
