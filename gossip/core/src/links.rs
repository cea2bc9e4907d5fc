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
use crate::{Gossip, Output, Seed};

/// The most addresses tried of one peer.
const ADDRS_PER_PEER: usize = 8;
/// A link that breaks again so soon is not redialled at once a second time.
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
        let first = self.config.dial_first;
        let flaps = self.links.peers.get_mut(&node).is_some_and(|peer| {
            let flaps = now.since(up) < FLAP && peer.backoff.is_some();
            if !flaps {
                peer.backoff = Some(first);
            }
            flaps
        });
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

    pub(crate) fn on_discovered(
        &mut self,
        now: Time,
        node: NodeId,
        addr: String,
        out: &mut Vec<Output>,
    ) {
        if self.view.state(&node) == Some(MemberState::Left) || !self.enter_book(node, addr) {
            return;
        }
        self.touch_book(now);
        if !self.links.is_linked(&node) && self.wanted(&node) {
            self.links.reset(&node);
            self.dial_now(now, node, out);
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
                (node.tag() as usize).is_multiple_of(share)
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

    /// Recomputes whom this node watches and whose links it needs, after the membership changed.
    pub(crate) fn reconsider(&mut self, now: Time) {
        let me = self.me;
        let mut watch: BTreeSet<NodeId> = self
            .view
            .successors(&me)
            .take(self.config.ring_watch)
            .collect();
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
            let due = last.unwrap_or(now) + self.config.watch_after;
            self.timers.set(Timer::Watch(*node), due);
        }
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

    /// Hands out the address book.
    pub(crate) fn on_book(&mut self, now: Time, out: &mut Vec<Output>) {
        self.links.book_saved = Some(now);
        let mut nodes: BTreeSet<NodeId> = self.links.book.keys().copied().collect();
        nodes.extend(self.view.entries().map(|(node, _)| *node));
        nodes.remove(&self.me);
        let seeds = nodes.into_iter().map(|node| Seed {
            node,
            addrs: self.addrs(&node),
        });
        let known = seeds.filter(|seed| !seed.addrs.is_empty());
        let seeds = known.take(self.config.book_limit).collect();
        out.push(Output::AddressBook(seeds));
    }

    /// The address book has changed.
    pub(crate) fn touch_book(&mut self, now: Time) {
        let at = match self.links.book_saved {
            Some(saved) => saved + self.config.book_period,
            None => now + self.config.book_period / 20,
        };
        self.timers.set_if_idle(Timer::Book, at);
    }

    /// Enters an address; whether it is new.
    pub(crate) fn enter_book(&mut self, node: NodeId, addr: String) -> bool {
        let room = self.links.book.len() < self.config.book_limit;
        if node == self.me
            || addr.len() > crate::config::MAX_TEXT
            || !(room || self.links.book.contains_key(&node))
        {
            return false;
        }
        let addrs = self.links.book.entry(node).or_default();
        if addrs.contains(&addr) {
            return false;
        }
        addrs.insert(0, addr);
        addrs.truncate(ADDRS_PER_PEER);
        true
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

    /// By its static part, then as seeds and discovery have it.
    fn addrs(&self, node: &NodeId) -> Vec<String> {
        let fixed = self.view.get(node).and_then(|entry| self.fixed_of(entry));
        let mut addrs: Vec<String> = Vec::new();
        let own = fixed.map_or(&[][..], |fixed| &fixed.addrs);
        let book = self.links.book.get(node).map_or(&[][..], |addrs| addrs);
        for addr in own.iter().chain(book) {
            if addrs.len() < ADDRS_PER_PEER && !addrs.contains(addr) {
                addrs.push(addr.clone());
            }
        }
        addrs
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

    /// Whether a node is watched or a neighbour in the ring.
    pub(crate) fn is_protected(&self, node: &NodeId) -> bool {
        *node == self.me || self.links.ring.contains(node) || self.detect.watch.contains(node)
    }
}
