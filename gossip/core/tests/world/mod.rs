//! A little world for tests: gossip machines on one seeded event queue, joined by links that delay,
//! lose, break and refuse. It behaves as TCP does where that matters: frames of a link keep their
//! order, a killed process refuses dials, a cut-off machine lets them hang, and a peer that closed
//! its end while it could not be heard is found out at the next send.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use starling_gossip::{Gossip, GossipConfig, MemberState, Output, Seed};
use starling_wire::codec::{Message, encode_frame};
use starling_wire::gossip::GossipMessage;
use starling_wire::sign::Signature;
use starling_wire::{NodeId, NodeStatic, Signer, Time};

/// A cheap keyed digest instead of Ed25519.
pub struct Fake(pub NodeId);

pub fn digest(node: &NodeId, bytes: &[u8]) -> Signature {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in node.0.iter().chain(bytes) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    let mut signature = [0; 64];
    signature[..8].copy_from_slice(&hash.to_be_bytes());
    Signature(signature)
}

impl Signer for Fake {
    fn node(&self) -> NodeId {
        self.0
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        digest(&self.0, bytes)
    }

    fn verify(&self, node: &NodeId, bytes: &[u8], signature: &Signature) -> bool {
        digest(node, bytes) == *signature
    }
}

#[derive(Clone, Debug)]
enum Input {
    Frame(usize, GossipMessage, usize),
    Up(usize),
    Down(usize),
    Failed(usize, bool),
}

#[derive(Clone, Debug)]
enum Event {
    Input(usize, u32, Input),
    Wake(usize, u32),
    Resume(usize, u32),
    /// A dial of the second by the first arrives.
    Dialled(usize, u32, usize),
}

/// One membership change at one node.
#[derive(Clone, Debug)]
pub struct Change {
    pub at: Time,
    pub by: usize,
    pub node: usize,
    pub from: Option<MemberState>,
    pub to: MemberState,
    pub incarnation: u32,
}

pub struct Node {
    pub id: NodeId,
    pub gossip: Gossip,
    pub running: bool,
    pub book: Vec<Seed>,
    /// Saved observations.
    pub saved: BTreeMap<u64, Vec<u8>>,
    life: u32,
    paused: Option<Vec<Input>>,
    linked: BTreeSet<usize>,
    woken: Option<Time>,
}

impl Node {
    fn new(id: NodeId, gossip: Gossip) -> Self {
        Self {
            id,
            gossip,
            running: true,
            book: Vec::new(),
            saved: BTreeMap::new(),
            life: 0,
            paused: None,
            linked: BTreeSet::new(),
            woken: None,
        }
    }
}

pub struct World {
    pub now: Time,
    pub nodes: Vec<Node>,
    pub changes: Vec<Change>,
    /// The share of frames that is lost.
    pub loss: f64,
    /// One way, in microseconds.
    pub delay: (u64, u64),
    pub rng: ChaCha12Rng,
    /// Whether a resumed process sees its inputs before its clock.
    pub inputs_first: bool,
    /// Bytes and messages sent, by sender and kind.
    pub traffic: BTreeMap<(usize, String), (u64, u64)>,
    config: GossipConfig,
    /// Which island each node is on; frames do not cross.
    island: Vec<u32>,
    ids: BTreeMap<NodeId, usize>,
    queue: BTreeMap<(Time, u64), Event>,
    seq: u64,
    last: BTreeMap<(usize, usize), Time>,
}

impl World {
    /// `n` nodes that all know the first, started within a few milliseconds.
    pub fn new(seed: u64, n: usize, config: GossipConfig) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let ids: Vec<NodeId> = (0..n).map(|_| NodeId(rng.random())).collect();
        let now = Time::from_millis(1_000);
        let mut world = Self {
            now,
            nodes: Vec::new(),
            changes: Vec::new(),
            loss: 0.0,
            delay: (200, 5_000),
            inputs_first: true,
            traffic: BTreeMap::new(),
            config,
            island: vec![0; n],
            ids: ids.iter().enumerate().map(|(i, id)| (*id, i)).collect(),
            queue: BTreeMap::new(),
            seq: 0,
            last: BTreeMap::new(),
            rng,
        };
        for (index, id) in ids.iter().enumerate() {
            let seeds = vec![Seed {
                node: ids[0],
                addrs: vec![addr(0)],
            }];
            let gossip = world.machine(index, *id, 1, seeds);
            world.nodes.push(Node::new(*id, gossip));
            world.settle(index, Vec::new());
        }
        world
    }

    /// A cluster that has come together and rests at a random phase.
    pub fn settled(seed: u64, n: usize) -> Self {
        let mut world = Self::new(seed, n, GossipConfig::default());
        world.run_until_joined(Duration::from_secs(30));
        // Some are settled for long: allowances of the start are gone.
        let old = if seed.is_multiple_of(4) {
            25_000
        } else {
            1_000
        };
        let phase = old + world.rng.random_range(0..2_000);
        world.run(Duration::from_millis(phase));
        world.changes.clear();
        world
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((&(at, seq), _)) = self.queue.first_key_value() {
            if at > end {
                break;
            }
            self.now = at;
            if let Some(event) = self.queue.remove(&(at, seq)) {
                self.event(event);
            }
        }
        self.now = end;
    }

    /// Runs until each node holds each as alive, with its static part and a link; how long it took.
    pub fn run_until_joined(&mut self, most: Duration) -> Duration {
        let start = self.now;
        while !self.is_joined() {
            let late = self.now.since(start) >= most;
            assert!(!late, "not joined in {most:?}:\n{}", self.picture());
            self.run(Duration::from_millis(50));
        }
        self.now.since(start)
    }

    pub fn is_joined(&self) -> bool {
        let running: Vec<&Node> = self.nodes.iter().filter(|node| node.running).collect();
        let links = if running.len() > 64 {
            4
        } else {
            running.len() - 1
        };
        running.iter().all(|node| {
            node.linked.len() >= links
                && running.iter().all(|other| {
                    node.gossip.member(&other.id).is_some_and(|member| {
                        member.state == MemberState::Alive && member.fixed.is_some()
                    })
                })
        })
    }

    /// What each node knows of each, for a person to read.
    pub fn picture(&self) -> String {
        let mut text = String::new();
        for (index, node) in self.nodes.iter().enumerate() {
            text.push_str(&format!("{index} links {:?}:", node.linked));
            for other in &self.nodes {
                let member = node.gossip.member(&other.id);
                let state = member.map(|member| (member.state, member.fixed.is_some()));
                text.push_str(&format!(" {state:?}"));
            }
            text.push_str(&format!(" {:?}\n", node.gossip.counters()));
        }
        text
    }

    /// Starts one more node, which knows the first.
    pub fn add(&mut self) -> usize {
        let (index, id) = (self.nodes.len(), NodeId(self.rng.random()));
        self.ids.insert(id, index);
        self.island.push(0);
        let seeds = vec![Seed {
            node: self.nodes[0].id,
            addrs: vec![addr(0)],
        }];
        let gossip = self.machine(index, id, 1, seeds);
        self.nodes.push(Node::new(id, gossip));
        self.settle(index, Vec::new());
        index
    }

    /// Kills a process: its links break, its port refuses.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].running = false;
        self.nodes[index].life += 1;
        let peers = std::mem::take(&mut self.nodes[index].linked);
        for peer in peers {
            if self.nodes[peer].linked.remove(&index) {
                self.deliver(index, peer, Input::Down(index));
            }
        }
    }

    /// Starts a killed process again, with its address book and a greater incarnation.
    pub fn restart(&mut self, index: usize) {
        let node = &self.nodes[index];
        let incarnation = node.gossip.my_incarnation() + 1;
        let (id, seeds) = (node.id, node.book.clone());
        let mut gossip = self.machine(index, id, incarnation, seeds);
        let saved = self.nodes[index].saved.clone();
        gossip.restore_observations(self.now, saved);
        self.nodes[index].gossip = gossip;
        self.nodes[index].running = true;
        self.nodes[index].woken = None;
        self.settle(index, Vec::new());
    }

    /// Cuts nodes off together: frames and dials vanish between them and the rest.
    pub fn isolate(&mut self, indexes: &[usize]) {
        let island = self.island.iter().max().unwrap() + 1;
        for index in indexes {
            self.island[*index] = island;
        }
    }

    pub fn heal(&mut self) {
        self.island.fill(0);
    }

    /// Stops a process for a while; what arrives meanwhile waits for it.
    pub fn pause(&mut self, index: usize, time: Duration) {
        if self.nodes[index].paused.is_some() {
            return;
        }
        self.nodes[index].paused = Some(Vec::new());
        let life = self.nodes[index].life;
        self.push(self.now + time, Event::Resume(index, life));
    }

    /// Calls an input of a node's machine.
    pub fn with(&mut self, index: usize, call: impl FnOnce(&mut Gossip, Time, &mut Vec<Output>)) {
        let mut out = Vec::new();
        call(&mut self.nodes[index].gossip, self.now, &mut out);
        self.settle(index, out);
    }

    /// What one node holds another to be.
    pub fn state(&self, at: usize, of: usize) -> Option<MemberState> {
        let member = self.nodes[at].gossip.member(&self.nodes[of].id);
        member.map(|member| member.state)
    }

    /// Whether all running nodes hold exactly the same members as alive, in the same incarnations.
    pub fn agrees(&self) -> bool {
        let running: Vec<&Node> = self.nodes.iter().filter(|node| node.running).collect();
        running.iter().all(|node| {
            running.iter().all(|other| {
                node.gossip.member(&other.id).is_some_and(|member| {
                    let now = other.gossip.my_incarnation();
                    member.state == MemberState::Alive && member.incarnation == now
                })
            })
        })
    }

    pub fn bytes(&self) -> Vec<u64> {
        let bytes = |node: &Node| {
            let counters = node.gossip.counters();
            counters.bytes_sent + counters.bytes_received
        };
        self.nodes.iter().map(bytes).collect()
    }

    fn machine(&mut self, index: usize, id: NodeId, incarnation: u32, seeds: Vec<Seed>) -> Gossip {
        let fixed = NodeStatic {
            name: format!("node-{index}"),
            platform: "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz".into(),
            labels: [("arch", "x86_64"), ("os", "linux"), ("zone", "kitchen")]
                .map(|(key, value)| (key.into(), value.into()))
                .into(),
            addrs: vec![addr(index)],
            version: "0.1.0".into(),
            ..NodeStatic::default()
        };
        let rng = ChaCha12Rng::seed_from_u64(self.rng.random());
        let signer = Box::new(Fake(id));
        let config = self.config.clone();
        Gossip::new(config, signer, incarnation, fixed, seeds, rng, self.now)
    }

    fn push(&mut self, at: Time, event: Event) {
        self.seq += 1;
        self.queue.insert((at, self.seq), event);
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(self.delay.0..=self.delay.1))
    }

    /// Brings an input from one node to another, in order.
    fn deliver(&mut self, from: usize, to: usize, input: Input) {
        let latency = self.latency();
        let last = self.last.entry((from, to)).or_default();
        let at = (self.now + latency).max(*last);
        *last = at;
        let life = self.nodes[to].life;
        self.push(at, Event::Input(to, life, input));
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        self.island[from] == self.island[to]
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Input(index, life, input) if self.lives(index, life) => self.input(index, input),
            Event::Wake(index, life) if self.lives(index, life) => {
                let node = &mut self.nodes[index];
                let due = node.gossip.next_deadline();
                if node.paused.is_none() && due.is_some_and(|due| due <= self.now) {
                    self.tick(index);
                }
            }
            Event::Resume(index, life) if self.lives(index, life) => {
                let inputs = self.nodes[index].paused.take().unwrap_or_default();
                if !self.inputs_first {
                    self.tick(index);
                }
                for input in inputs {
                    self.input(index, input);
                }
                self.tick(index);
            }
            Event::Dialled(from, life, to) if self.lives(from, life) => self.dialled(from, to),
            _ => {}
        }
    }

    fn lives(&self, index: usize, life: u32) -> bool {
        self.nodes[index].running && self.nodes[index].life == life
    }

    fn tick(&mut self, index: usize) {
        let now = self.now;
        let mut out = Vec::new();
        let node = &mut self.nodes[index];
        node.gossip.tick(now, &mut out);
        let next = node.gossip.next_deadline();
        assert!(
            next.is_none_or(|next| next > now),
            "a tick without progress"
        );
        self.settle(index, out);
    }

    fn input(&mut self, index: usize, input: Input) {
        if let Some(waiting) = &mut self.nodes[index].paused {
            waiting.push(input);
            return;
        }
        let (now, mut out) = (self.now, Vec::new());
        let peer = match &input {
            Input::Frame(peer, ..) | Input::Up(peer) | Input::Down(peer) => *peer,
            Input::Failed(peer, _) => *peer,
        };
        let id = self.nodes[peer].id;
        let gossip = &mut self.nodes[index].gossip;
        match input {
            Input::Frame(_, message, bytes) => gossip.handle(now, id, message, bytes, &mut out),
            Input::Up(_) => gossip.link_up(now, id, &mut out),
            Input::Down(_) => gossip.link_down(now, id, &mut out),
            Input::Failed(_, refused) => gossip.dial_failed(now, id, refused, &mut out),
        }
        self.settle(index, out);
    }

    /// A dial arrives: a link, a refusal, or nothing for three seconds.
    fn dialled(&mut self, from: usize, to: usize) {
        if !self.reaches(from, to) {
            let life = self.nodes[from].life;
            let failed = Event::Input(from, life, Input::Failed(to, false));
            return self.push(self.now + Duration::from_secs(3), failed);
        }
        if !self.nodes[to].running {
            return self.deliver(to, from, Input::Failed(to, true));
        }
        self.nodes[from].linked.insert(to);
        self.nodes[to].linked.insert(from);
        self.deliver(to, from, Input::Up(to));
        self.deliver(from, to, Input::Up(from));
    }

    /// Carries a node's outputs out and sets its next wake-up.
    fn settle(&mut self, index: usize, out: Vec<Output>) {
        for output in out {
            self.output(index, output);
        }
        let Some(due) = self.nodes[index].gossip.next_deadline() else {
            return;
        };
        if self.nodes[index].woken != Some(due) {
            self.nodes[index].woken = Some(due);
            let late = Duration::from_micros(self.rng.random_range(0..500));
            let life = self.nodes[index].life;
            self.push(due.max(self.now) + late, Event::Wake(index, life));
        }
    }

    fn output(&mut self, index: usize, output: Output) {
        match output {
            Output::Send { to, message, .. } => {
                if let Some(to) = self.ids.get(&to).copied() {
                    self.transmit(index, to, message);
                }
            }
            Output::Dial { peer, addrs } => {
                assert!(!addrs.is_empty());
                let (at, life) = (self.now + 2 * self.latency(), self.nodes[index].life);
                if let Some(peer) = self.ids.get(&peer).copied() {
                    self.push(at, Event::Dialled(index, life, peer));
                }
            }
            Output::HangUp { peer } => {
                let peer = self.ids[&peer];
                self.nodes[index].linked.remove(&peer);
                if self.reaches(index, peer) && self.nodes[peer].linked.remove(&index) {
                    self.deliver(index, peer, Input::Down(index));
                }
            }
            Output::Changed {
                node,
                from,
                to,
                incarnation,
            } => self.changes.push(Change {
                at: self.now,
                by: index,
                node: self.ids[&node],
                from,
                to,
                incarnation,
            }),
            Output::AddressBook(book) => self.nodes[index].book = book,
            Output::Observations(rows) => {
                for (tag, bytes) in rows {
                    match bytes {
                        Some(bytes) => self.nodes[index].saved.insert(tag, bytes),
                        None => self.nodes[index].saved.remove(&tag),
                    };
                }
            }
        }
    }

    fn transmit(&mut self, from: usize, to: usize, message: GossipMessage) {
        if !self.nodes[from].linked.contains(&to) || !self.reaches(from, to) {
            return;
        }
        if !self.nodes[to].linked.contains(&from) {
            self.nodes[from].linked.remove(&to);
            return self.deliver(to, from, Input::Down(to));
        }
        let frame = encode_frame(&Message::Gossip(message.clone()));
        assert!(frame.len() <= starling_wire::MAX_FRAME);
        let kind = format!("{message:?}");
        let kind = kind.split(|c: char| !c.is_alphabetic()).next().unwrap();
        let sent = self.traffic.entry((from, kind.into())).or_default();
        *sent = (sent.0 + frame.len() as u64 + 4, sent.1 + 1);
        if self.loss > 0.0 && self.rng.random_bool(self.loss) {
            return;
        }
        self.deliver(from, to, Input::Frame(from, message, frame.len() + 4));
    }
}

pub fn addr(index: usize) -> String {
    format!("/ip4/10.0.{}.{}/tcp/7000", index / 256, index % 256)
}

/// Calls `run` for every seed on all cores; a panic names its seed.
pub fn for_seeds<T: Send>(seeds: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    std::thread::scope(|scope| {
        let run = &run;
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || {
                    let mine = (first..seeds).step_by(threads as usize);
                    mine.map(|seed| (seed, run(seed))).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut results: Vec<(u64, T)> = workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a seed failed, see above"))
            .collect();
        results.sort_by_key(|(seed, _)| *seed);
        results.into_iter().map(|(_, result)| result).collect()
    })
}
