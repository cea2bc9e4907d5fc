//! Gossip: who is in the cluster, how loaded each is, and who is gone. A deterministic state
//! machine: it does no I/O, reads no clock and draws every random number from the generator handed
//! in, so the daemon and the simulator run the same code and a seed replays to the byte.
//!
//! Membership is the view, one signed record per node, spread by push-pull exchange (`exchange`)
//! within a byte budget (`budget`). Failures are found by watching ring neighbours (`detect`), and
//! suspicion is confirmed by others before it becomes death (`suspect`, `tell`). The dial loop
//! (`links`) keeps the links that all of this needs. See the README for a picture.

mod book;
mod budget;
mod config;
mod counters;
mod detect;
mod digest;
mod exchange;
mod fetch;
mod health;
mod input;
mod links;
pub mod observations;
mod output;
mod own;
mod records;
mod ring;
mod rumours;
mod seek;
mod statics;
mod suspect;
mod tell;
mod timers;
mod view;

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use starling_wire::gossip::GossipMessage;
use starling_wire::{Load, NodeId, NodeStatic, Signer, Time};

use budget::Budget;
use detect::Detect;
use health::Health;
use links::Links;
use observations::{Limits, Measured, Observations};
use own::Own;
use rumours::Rumours;
use statics::Statics;
use timers::{Timer, Timers};
use view::View;

pub use config::GossipConfig;
pub use counters::Counters;
pub use observations::{Observations as Table, Summary};
pub use output::{Output, Seed};
pub use view::{Member, MemberState};

/// The gossip state machine of one node. See the crate's documentation.
///
/// Whoever drives it hands every input in at once with the present time, carries out what is put
/// into the output list in order, and calls [`Gossip::tick`] when [`Gossip::next_deadline`] comes.
pub struct Gossip {
    config: GossipConfig,
    signer: Box<dyn Signer>,
    rng: ChaCha12Rng,
    me: NodeId,
    own: Own,
    /// When the own record is to be signed anew though nothing changed.
    own_refresh: Time,
    view: View,
    statics: Statics,
    links: Links,
    detect: Detect,
    rumours: Rumours,
    budget: Budget,
    /// What was measured of classes, here and elsewhere.
    table: Observations,
    measured: Measured,
    /// By how much exchanges are slowed down because partners have no budget left.
    patience: u32,
    /// When a newcomer was last passed on to another for want of budget.
    introduced: Option<Time>,
    health: Health,
    timers: Timers,
    counters: Counters,
    /// Who sent how many unfit records.
    quarantine: BTreeMap<NodeId, u64>,
    /// Urgent rumours of the present input.
    news: Vec<starling_wire::gossip::Rumour>,
    /// Outputs of inputs that have no output list.
    pending: Vec<Output>,
    now: Time,
    /// Whether this node has left.
    left: bool,
}

impl Gossip {
    /// A node that knows only itself and its seeds, which it dials at the first tick.
    ///
    /// `incarnation` must exceed that of every earlier life of the node (it is taken as 1 if it is
    /// 0); `fixed` is cut down to what other nodes accept; `rng` must be seeded by the caller.
    pub fn new(
        config: GossipConfig,
        signer: Box<dyn Signer>,
        incarnation: u32,
        fixed: NodeStatic,
        seeds: Vec<Seed>,
        rng: ChaCha12Rng,
        now: Time,
    ) -> Self {
        let me = signer.node();
        let budget = Budget::new(config.byte_budget, now);
        let fixed = statics::clipped(fixed);
        let mut gossip = Self {
            own: Own::new(incarnation, fixed, now),
            own_refresh: now,
            view: View::new(),
            statics: Statics::default(),
            links: Links::default(),
            detect: Detect::default(),
            rumours: Rumours::default(),
            health: Health::default(),
            timers: Timers::default(),
            counters: Counters::default(),
            quarantine: BTreeMap::new(),
            news: Vec::new(),
            pending: Vec::new(),
            left: false,
            patience: 1,
            introduced: None,
            table: Observations::new(Limits::of(config.table_limit)),
            measured: Measured::default(),
            config,
            signer,
            rng,
            me,
            budget,
            now,
        };
        gossip.timers.advance(now);
        gossip.found_own(now);
        gossip.reconsider(now);
        gossip
            .timers
            .set(Timer::Exchange, now + gossip.config.period);
        for seed in seeds {
            for addr in seed.addrs.into_iter().rev() {
                gossip.enter_book(seed.node, addr);
            }
            gossip.want(now, seed.node, Duration::ZERO);
        }
        gossip
    }

    /// Takes a message of a peer; `frame_bytes` is what it took on the wire.
    pub fn handle(
        &mut self,
        now: Time,
        from: NodeId,
        message: GossipMessage,
        frame_bytes: usize,
        out: &mut Vec<Output>,
    ) {
        let now = self.enter(now);
        self.counters.bytes_received += frame_bytes as u64;
        self.counters.messages_received += 1;
        self.budget.spend(now, frame_bytes);
        if self.left || from == self.me {
            return;
        }
        self.hear(now, from, out);
        self.dispatch(now, from, message, out);
        self.leave_with(now, out);
    }

    /// Another frame of `from` arrived, which shows that it lives. What this causes goes out with
    /// the next input that has an output list, at the latest with the tick that is due at once.
    pub fn heard(&mut self, now: Time, from: NodeId) {
        let now = self.enter(now);
        if self.left || from == self.me {
            return;
        }
        let mut out = std::mem::take(&mut self.pending);
        self.hear(now, from, &mut out);
        if !out.is_empty() {
            self.timers.set(Timer::Flush, now);
        }
        self.pending = out;
    }

    /// A link to `peer` is up, by whichever side.
    pub fn link_up(&mut self, now: Time, peer: NodeId, out: &mut Vec<Output>) {
        let now = self.enter(now);
        if self.left || peer == self.me {
            return;
        }
        self.on_link_up(now, peer, out);
        self.leave_with(now, out);
    }

    /// The last link to `peer` is down.
    pub fn link_down(&mut self, now: Time, peer: NodeId, out: &mut Vec<Output>) {
        let now = self.enter(now);
        self.on_link_down(now, peer, out);
        self.leave_with(now, out);
    }

    /// A dial failed; `refused` if an address of the peer answered that nobody listens there.
    pub fn dial_failed(&mut self, now: Time, peer: NodeId, refused: bool, out: &mut Vec<Output>) {
        let now = self.enter(now);
        if self.left {
            return;
        }
        self.on_dial_failed(now, peer, refused, out);
        self.leave_with(now, out);
    }

    /// An address of `peer` was found on the local network, or given by an operator.
    pub fn discovered(&mut self, now: Time, peer: NodeId, addr: String, out: &mut Vec<Output>) {
        let now = self.enter(now);
        if self.left || peer == self.me {
            return;
        }
        self.on_discovered(now, peer, addr, out);
        self.leave_with(now, out);
    }

    /// The load of this node. A great change makes a new version of its record at once, but at most
    /// one per second; small ones wait for ten seconds.
    pub fn set_load(&mut self, now: Time, load: Load, out: &mut Vec<Output>) {
        let now = self.enter(now);
        if self.left {
            return;
        }
        self.take_load(now, load);
        self.leave_with(now, out);
    }

    /// The static part of this node, for example with other addresses.
    pub fn set_fixed(&mut self, now: Time, fixed: NodeStatic, out: &mut Vec<Output>) {
        let now = self.enter(now);
        if self.left {
            return;
        }
        self.take_fixed(now, fixed);
        self.leave_with(now, out);
    }

    /// A direct answer of `node` told its load; it is shown until a younger record arrives, and
    /// goes no further.
    pub fn observe_load(&mut self, now: Time, node: NodeId, load: Load) {
        let now = self.enter(now);
        if let Some(soft) = self.view.soft_mut(&node) {
            soft.rare_mut().observed = Some((load, now));
        }
    }

    /// Somebody has something to say to `node`: dials it unless it is linked or being dialled.
    pub fn reach(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        let now = self.enter(now);
        self.dial_now(now, node, out);
    }

    /// Whether there is a link to `node`.
    pub fn is_linked(&self, node: &NodeId) -> bool {
        self.links.is_linked(node)
    }

    /// Whether there is no link to anybody.
    pub fn is_alone(&self) -> bool {
        self.links.linked().is_empty()
    }

    /// This node leaves: it says so to everybody and takes part no more.
    pub fn leave(&mut self, now: Time, out: &mut Vec<Output>) {
        let now = self.enter(now);
        if self.left {
            return;
        }
        self.say_goodbye(now, out);
        self.leave_with(now, out);
        self.view.set_state(&self.me, MemberState::Left, now);
        self.left = true;
        self.timers.clear();
    }

    /// Does what is due. Afterwards [`Gossip::next_deadline`] lies after `now`.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        let now = self.enter(now);
        while let Some(timer) = self.timers.pop(now) {
            self.fire(now, timer, out);
        }
        self.leave_with(now, out);
    }

    /// When [`Gossip::tick`] is to be called next; never again once it has left.
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.first()
    }

    /// When the last input came.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// This node.
    pub const fn me(&self) -> NodeId {
        self.me
    }

    /// This node's incarnation: as given at first, greater after it refuted a suspicion.
    pub const fn my_incarnation(&self) -> u32 {
        self.own.incarnation
    }

    /// This node's static part as it is told to others.
    pub const fn my_fixed(&self) -> &NodeStatic {
        &self.own.fixed
    }

    /// This node's load as last set, told to others or not.
    pub const fn my_load(&self) -> Load {
        self.own.load
    }

    /// A member, if it is in the view. Its age is that at the last input.
    pub fn member(&self, node: &NodeId) -> Option<Member<'_>> {
        self.view.get(node).map(|entry| self.describe(entry))
    }

    /// All members, this node among them, ordered by id.
    pub fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.view.entries().map(|(_, entry)| self.describe(entry))
    }

    /// All members, those first whose ids follow `start`. Ids are random, so from a random `start`
    /// the first few are random members.
    pub fn members_from(&self, start: &NodeId) -> impl Iterator<Item = Member<'_>> {
        let around = self.view.entries_from(start);
        around.map(|entry| self.describe(entry))
    }

    /// How many members there are, the gone among them.
    pub fn member_count(&self) -> usize {
        self.view.len()
    }

    /// What was done so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Who sent how many records or static parts that were unfit; a bounded number of peers.
    pub const fn quarantined(&self) -> &BTreeMap<NodeId, u64> {
        &self.quarantine
    }

    fn describe<'a>(&'a self, entry: &'a view::Entry) -> Member<'a> {
        let record = entry.record();
        let node = record.node;
        let observed = entry.soft.rare().and_then(|rare| rare.observed);
        let observed = observed.filter(|(_, at)| *at > entry.produced);
        let (load, at) = match observed {
            _ if node == self.me => (self.own.load, self.now),
            Some(observed) => observed,
            None => (record.load, entry.produced),
        };
        Member {
            node,
            state: entry.state,
            incarnation: record.incarnation,
            fixed: self.fixed_of(entry),
            load,
            age: self.now.since(at),
            linked: self.links.is_linked(&node),
            since: entry.since,
        }
    }
}
