//! Links: whom to be connected to, and the dial loop that makes it so, for ever. Up to a limit each
//! node is linked to each; beyond, to its neighbours in the ring of ids, to whom it watches and to
//! recent partners of exchanges, the idlest of which go first (HyParView's active view, Leitao et
//! al. 2007, held by need instead of by shuffles). The dead are dialled too, at the lowest rate.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;
use starling_wire::{NodeId, Time};

use crate::timers::Timer;
use crate::view::MemberState;
use crate::{Gossip, Output};

/// A link that breaks so soon, and again so within a minute, is not redialled at once.
const FLAP: Duration = Duration::from_secs(10);
/// At least so long between two corrections sent to one peer.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// At least so long between two greetings of one peer.
const GREET_EVERY: Duration = Duration::from_secs(60);
/// In a cluster beyond the link limit, seeds are dialled while fewer links than this are up.
const LONELY: usize = 4;

/// What is known of the way to a peer.
#[derive(Debug, Default)]
struct Peer {
    up: Option<Time>,
    /// No exchange has agreed since the link came up.
    fresh: bool,
    dialling: bool,
    /// Whether a dial failed since the last link.
    failed: bool,
    /// When a link of it last broke soon after it came up.
    closed: Option<Time>,
    /// The pause after the next failure.
    backoff: Option<Duration>,
    told: Option<Time>,
    /// When it was last told who this is.
    greeted: Option<Time>,
}

/// All peers that are linked, being dialled, or to be dialled.
#[derive(Debug, Default)]
pub(crate) struct Links {
    peers: BTreeMap<NodeId, Peer>,
    linked: BTreeSet<NodeId>,
    /// Neighbours in the ring, in a cluster beyond the link limit.
    pub(crate) ring: BTreeSet<NodeId>,
    /// Whether each is to be linked to each.
    pub(crate) full: bool,
    /// Exchanges to open when there is budget for them.
    pub(crate) owed: BTreeSet<NodeId>,
    /// Addresses of seeds and of discovered nodes.
    pub(crate) book: BTreeMap<NodeId, Vec<String>>,
    pub(crate) book_saved: Option<Time>,
}

impl Links {
    pub(crate) fn is_linked(&self, node: &NodeId) -> bool {
        self.linked.contains(node)
    }

    pub(crate) const fn linked(&self) -> &BTreeSet<NodeId> {
        &self.linked
    }

    pub(crate) fn is_fresh(&self, node: &NodeId) -> bool {
        self.peers.get(node).is_some_and(|peer| peer.fresh)
    }

    /// Whether the silence of `node` means anything: there is a link, or none comes about. While a
    /// link that the other side closed waits to be dialled again, it means nothing.
    pub(crate) fn would_hear(&self, node: &NodeId) -> bool {
        let peer = self.peers.get(node);
        peer.is_some_and(|peer| peer.up.is_some() || peer.failed || peer.dialling)
    }

    /// An exchange with `node` has agreed.
    pub(crate) fn settled(&mut self, node: &NodeId) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.fresh = false;
        }
    }

    /// Whether a correction may be sent to `node`; not more than a few a second.
    pub(crate) fn may_tell(&mut self, node: &NodeId, now: Time) -> bool {
        let Some(peer) = self.peers.get_mut(node) else {
            return false;
        };
        let may = peer.told.is_none_or(|told| now.since(told) >= TELL_EVERY);
        if may {
            peer.told = Some(now);
        }
        may
    }

    /// Whether `node` is to be told who this is, as far as it was not told since `since` or lately.
    pub(crate) fn may_greet(&mut self, node: &NodeId, since: Time, now: Time) -> bool {
        let Some(peer) = self.peers.get_mut(node) else {
            return false;
        };
        let told = |at: Time| at >= since && now.since(at) < GREET_EVERY;
        let may = !peer.greeted.is_some_and(told);
        if may {
            peer.greeted = Some(now);
        }
        may
    }

    /// Starts the dial loop of `node` from its shortest pause.
    pub(crate) fn reset(&mut self, node: &NodeId) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.backoff = None;
            peer.closed = None;
        }
    }

    pub(crate) fn forget(&mut self, node: &NodeId) {
        self.peers.remove(node);
        self.linked.remove(node);
        self.ring.remove(node);
        self.owed.remove(node);
    }

    fn drop_link(&mut self, node: &NodeId) -> Option<Time> {
        self.linked.remove(node);
        self.owed.remove(node);
        let peer = self.peers.get_mut(node)?;
        peer.fresh = false;
        peer.up.take()
    }

    /// The linked peer that `spare` allows to go and that was dialled or came up first.
    fn oldest(&self, spare: impl Fn(&NodeId) -> bool) -> Option<NodeId> {
        let spared = self.linked.iter().filter(|node| spare(node));
        let up = |node: &&NodeId| self.peers.get(*node).and_then(|peer| peer.up);
        spared.min_by_key(|node| (up(node), **node)).copied()
    }
}

impl Gossip {
    pub(crate) fn on_link_up(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        let peer = self.links.peers.entry(node).or_default();
        peer.dialling = false;
        peer.failed = false;
        let first = peer.up.is_none();
        if first {
            peer.up = Some(now);
            peer.fresh = true;
        }
        self.links.linked.insert(node);
        self.timers.cancel(Timer::Dial(node));
        self.timers.cancel(Timer::DialTimeout(node));
        self.hear(now, node, out);
        if first {
            self.greet(now, node, out);
            self.trim(&node, out);
        }
    }

    pub(crate) fn on_link_down(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        let Some(up) = self.links.drop_link(&node) else {
            return;
        };
        if !self.wanted(&node) {
            self.timers.cancel(Timer::Dial(node));
            self.forget_stranger(&node);
            return;
        }
        // At once, for the answer tells whether it is gone; but a link that is closed again and
        // again is not wanted on the other side.
        let short = now.since(up) < FLAP;
        let lately = |at: Time| now.since(at) < FLAP * 6;
        let closed = self.links.peers.get(&node).and_then(|peer| peer.closed);
        let flaps = short && closed.is_some_and(lately);
        if !flaps {
            self.links.reset(&node);
        }
        if let Some(peer) = self.links.peers.get_mut(&node) {
            peer.closed = short.then_some(now);
        }
        if flaps || !self.dial_now(now, node, out) {
            self.dial_later(now, node);
        }
    }

    pub(crate) fn on_dial_failed(
        &mut self,
        now: Time,
        node: NodeId,
        refused: bool,
        out: &mut Vec<Output>,
    ) {
        self.timers.cancel(Timer::DialTimeout(node));
        let Some(peer) = self.links.peers.get_mut(&node) else {
            return;
        };
        peer.dialling = false;
        peer.failed = true;
        if peer.up.is_some() {
            return;
        }
        if self.wanted(&node) {
            self.dial_later(now, node);
        } else {
            self.forget_stranger(&node);
        }
        if refused {
            self.on_refused(now, node, out);
        }
    }

    /// The dial loop of `node` is due.
    pub(crate) fn on_dial(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        let wanted = self.wanted(&node);
        if wanted && !self.dial_now(now, node, out) && !self.is_on_the_way(&node) {
            self.dial_later(now, node);
        }
    }

    /// Whether a link to `node` is wanted.
    pub(crate) fn wanted(&self, node: &NodeId) -> bool {
        if *node == self.me || self.left {
            return false;
        }
        match self.view.state(node) {
            None => {
                self.links.book.contains_key(node)
                    && (self.links.full || self.links.linked.len() < LONELY)
            }
            Some(MemberState::Left) => false,
            Some(MemberState::Dead) => {
                // Of very many dead a fixed share is probed.
                let share = self.view.gone_len() / self.config.link_limit.max(1) + 1;
                (node.tag() as usize).is_multiple_of(share) || self.is_kept(node)
            }
            Some(MemberState::Alive | MemberState::Suspect) => {
                self.links.full
                    || self.links.ring.contains(node)
                    || self.detect.watch.contains(node)
            }
        }
    }

    /// Begins the dial loop of `node` after `delay`, unless it runs or the link is up.
    pub(crate) fn want(&mut self, now: Time, node: NodeId, delay: Duration) {
        if !self.is_on_the_way(&node) && self.wanted(&node) {
            self.timers.set_sooner(Timer::Dial(node), now + delay);
        }
    }

    /// Dials `node` unless it is linked, being dialled, or no address is known.
    pub(crate) fn dial_now(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) -> bool {
        if self.left || self.is_on_the_way(&node) {
            return false;
        }
        let addrs = self.addrs(&node);
        if addrs.is_empty() {
            return false;
        }
        let peer = self.links.peers.entry(node).or_default();
        peer.dialling = true;
        self.timers.cancel(Timer::Dial(node));
        let timeout = now + self.config.dial_timeout;
        self.timers.set(Timer::DialTimeout(node), timeout);
        out.push(Output::Dial { peer: node, addrs });
        true
    }

    /// The link to `node` is to be closed; it counts as down from now on.
    pub(crate) fn hang_up(&mut self, node: NodeId, out: &mut Vec<Output>) {
        if self.links.drop_link(&node).is_some() {
            out.push(Output::HangUp { peer: node });
        }
    }

    /// How long to wait before dialling a new member: one of the two sides goes first.
    pub(crate) fn courtesy(&self, node: &NodeId) -> Duration {
        if self.me < *node {
            Duration::ZERO
        } else {
            self.config.dial_courtesy
        }
    }

    fn dial_later(&mut self, now: Time, node: NodeId) {
        let (first, longest) = (self.config.dial_first, self.config.dial_longest);
        let peer = self.links.peers.entry(node).or_default();
        let pause = peer.backoff.unwrap_or(first);
        peer.backoff = Some((pause * 8 / 5).min(longest));
        let pause = pause.mul_f64(self.rng.random_range(0.7..1.0));
        self.timers.set(Timer::Dial(node), now + pause);
    }

    /// Nothing is kept of a peer that is neither member nor linked nor wanted.
    fn forget_stranger(&mut self, node: &NodeId) {
        if self.view.get(node).is_none() && !self.links.is_linked(node) {
            self.links.forget(node);
        }
    }

    fn is_on_the_way(&self, node: &NodeId) -> bool {
        let peer = self.links.peers.get(node);
        peer.is_some_and(|peer| peer.dialling || peer.up.is_some())
    }

    /// Closes links that nothing needs when there are more than the limit.
    fn trim(&mut self, newest: &NodeId, out: &mut Vec<Output>) {
        while !self.links.full && self.links.linked.len() > self.config.link_limit {
            let spare = |node: &NodeId| node != newest && !self.is_protected(node);
            let Some(node) = self.links.oldest(spare) else {
                return;
            };
            self.hang_up(node, out);
        }
    }
}
