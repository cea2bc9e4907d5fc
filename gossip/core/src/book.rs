//! The address book: where each peer may be, from its static part, from discovery and from the last
//! life. A node is its key, so an address that is wrong costs a dial and no more.

use std::collections::BTreeSet;

use starling_wire::{NodeId, Time};

use crate::config::MAX_TEXT;
use crate::timers::Timer;
use crate::view::MemberState;
use crate::{Gossip, Output, Seed};

/// The most addresses tried of one peer.
const ADDRS_PER_PEER: usize = 8;

impl Gossip {
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
            // A large book changes all the time, and each of its entries matters the less.
            Some(saved) => {
                let larger = u32::try_from(self.view.len() / 32).unwrap_or(u32::MAX);
                let times = larger.saturating_add(1).saturating_pow(2);
                saved + self.config.book_period.saturating_mul(times)
            }
            None => now + self.config.book_period / 20,
        };
        self.timers.set_if_idle(Timer::Book, at);
    }

    /// Enters an address; whether it is new.
    pub(crate) fn enter_book(&mut self, node: NodeId, addr: String) -> bool {
        let room = self.links.book.len() < self.config.book_limit;
        if node == self.me
            || addr.len() > MAX_TEXT
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

    /// By its static part, then as seeds and discovery have it.
    pub(crate) fn addrs(&self, node: &NodeId) -> Vec<String> {
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
}
