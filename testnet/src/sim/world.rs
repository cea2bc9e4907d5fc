//! The world: machines, a network, and one event queue.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use sha2::{Digest, Sha256};
use starling_engine::{
    Command, CommandError, Config, Effects, Engine, Event, HostSample, Input, Job, Reply,
    RequestId, Saved,
};
use starling_gossip::{MemberState, Seed};
use starling_placement::Resources;
use starling_wire::{JobId, JobSpec, Message, NodeId, NodeStatic, TaskId, Time, encode_frame};

use super::effects::write;
use super::machine::{Machine, SimSigner};
use super::network::Network;
use super::queue::{Queued, What};

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many machines.
    pub nodes: usize,
    /// What each can give to tasks.
    pub capacity: Resources,
    /// Settings of each engine; its static part and seeds are filled in.
    pub config: Config,
    /// How long a disk takes to sync, at least and at most.
    pub sync: (Duration, Duration),
}

impl Options {
    /// `nodes` machines of four cores and 8 GiB.
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes,
            capacity: Resources {
                cpu: 4_000,
                memory: 8 << 30,
                disk: 100 << 30,
            },
            config: Config::default(),
            sync: (Duration::from_micros(300), Duration::from_millis(3)),
        }
    }
}

/// Chooses frames that are lost, by sender, receiver and message.
pub type Loses = Box<dyn FnMut(NodeId, NodeId, &Message) -> bool>;

/// Machines, a network, and virtual time.
pub struct World {
    /// The machines, by the identity of their node.
    pub machines: BTreeMap<NodeId, Machine>,
    /// The network between them.
    pub network: Network,
    /// What engines told, with when and who.
    pub events: Vec<(Time, NodeId, Event)>,
    /// Answers to commands.
    pub replies: BTreeMap<RequestId, Result<Reply, CommandError>>,
    /// How often each placement was started, to find what ran twice.
    pub starts: BTreeMap<TaskId, Vec<(Time, NodeId)>>,
    /// Frames for which it holds, by sender, receiver and message, are lost.
    pub loses: Option<Loses>,
    pub(super) options: Options,
    pub(super) now: Time,
    pub(super) queue: BinaryHeap<Reverse<Queued>>,
    pub(super) seq: u64,
    pub(super) requests: RequestId,
    pub(super) rng: ChaCha12Rng,
    pub(super) digest: Sha256,
    pub(super) handled: u64,
    /// Events since time last moved, to notice engines that keep each other busy for ever.
    pub(super) standing: u32,
}

/// So many events at one instant mean that time will never move again.
const LIVELOCK: u32 = 100_000;
/// How often the sensors are read.
const SAMPLE: Duration = Duration::from_secs(1);

impl World {
    /// A world of `options.nodes` machines that are all up and know the first as their seed.
    pub fn new(seed: u64, options: Options) -> Self {
        let mut world = Self {
            machines: BTreeMap::new(),
            network: Network::default(),
            events: Vec::new(),
            replies: BTreeMap::new(),
            starts: BTreeMap::new(),
            loses: None,
            now: Time::ZERO,
            queue: BinaryHeap::new(),
            seq: 0,
            requests: 0,
            rng: ChaCha12Rng::seed_from_u64(seed),
            digest: Sha256::new(),
            handled: 0,
            standing: 0,
            options,
        };
        for index in 0..world.options.nodes {
            let node = NodeId(world.rng.random());
            let name = format!("n{index}");
            let mut fixed = NodeStatic {
                platform: "sim".to_owned(),
                capacity: world.options.capacity,
                addrs: vec![format!("/memory/{}", index + 1)],
                ..NodeStatic::default()
            };
            fixed.labels.insert("name".to_owned(), name.clone());
            fixed.name = name;
            world.machines.insert(node, Machine::new(fixed));
        }
        for node in world.nodes() {
            world.boot(node);
        }
        world
    }

    /// The machines' nodes, in a fixed order.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.machines.keys().copied().collect()
    }

    /// The virtual time.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Events handled by engines so far.
    pub const fn handled(&self) -> u64 {
        self.handled
    }

    /// A digest of everything that was fed to engines so far: equal seeds, equal digests.
    pub fn digest(&self) -> String {
        self.digest
            .clone()
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Starts a machine's daemon from what is on its disk.
    pub fn boot(&mut self, node: NodeId) {
        let seeds = self.machines.iter().next().map(|(first, machine)| Seed {
            node: *first,
            addrs: machine.fixed.addrs.clone(),
        });
        let seed = self.rng.random();
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        let saved = Saved {
            rows: machine
                .disk
                .iter()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            held: machine.held(),
        };
        let config = Config {
            fixed: machine.fixed.clone(),
            seeds: seeds.into_iter().filter(|seed| seed.node != node).collect(),
            ..self.options.config.clone()
        };
        let mut fx = Effects::default();
        let rng = ChaCha12Rng::seed_from_u64(seed);
        let signer = Box::new(SimSigner(node));
        let engine = Engine::new(config, signer, &saved, rng, self.now, &mut fx);
        machine.engine = Some(engine.expect("a simulated disk is never damaged"));
        machine.life += 1;
        machine.wake = None;
        // What is to be durable before anything else happens is so at once: the daemon waits.
        write(&mut machine.disk, std::mem::take(&mut fx.saves));
        let jitter = Duration::from_micros(self.rng.random_range(0..1_000_000));
        self.push(
            self.now + jitter,
            node,
            What::Input(Input::Sample(HostSample::default())),
        );
        self.carry_out(node, fx);
        self.schedule(node);
    }

    /// Kills a machine's daemon, with its tasks or without; its links break at once.
    pub fn kill(&mut self, node: NodeId, tasks_too: bool) {
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        machine.engine = None;
        machine.life += 1;
        if tasks_too {
            machine.tasks.clear();
        }
        for peer in self.network.peers(node) {
            self.network.unlink(node, peer);
            if self.network.passes(node, peer) {
                let delay = self.network.one_way(&mut self.rng);
                self.push(self.now + delay, peer, What::Input(Input::LinkDown(node)));
            }
        }
    }

    /// Stops a machine's daemon for a while, as SIGSTOP does.
    pub fn pause(&mut self, node: NodeId, length: Duration) {
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.paused = self.now + length;
        }
    }

    /// Gives a command to a node's engine; the answer will be among [`World::replies`].
    pub fn command(&mut self, node: NodeId, command: Command) -> RequestId {
        self.requests += 1;
        let request = self.requests;
        self.push(
            self.now,
            node,
            What::Input(Input::Command { request, command }),
        );
        request
    }

    /// Lets a frame arrive that the sender's engine did not send.
    pub fn inject(&mut self, from: NodeId, to: NodeId, message: &Message) {
        let bytes = encode_frame(message);
        self.push(self.now, to, What::Input(Input::Frame { from, bytes }));
    }

    /// Submits a job and runs until it is acknowledged.
    pub fn submit(&mut self, node: NodeId, spec: JobSpec) -> Result<JobId, CommandError> {
        let request = self.command(node, Command::Submit(spec));
        self.run_until(Duration::from_secs(1), |world| {
            world.replies.contains_key(&request)
        });
        match self.replies.get(&request) {
            Some(Ok(Reply::Submitted { job, .. })) => Ok(*job),
            Some(Err(error)) => Err(error.clone()),
            other => panic!("no acknowledgement within a second: {other:?}"),
        }
    }

    /// Runs for a while.
    pub fn run_for(&mut self, length: Duration) {
        let end = self.now + length;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until something holds, for at most `limit`; says whether it held.
    pub fn run_until(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if holds(self) {
                return true;
            }
            if !self.step(end) {
                self.now = end.max(self.now);
                return holds(self);
            }
        }
    }

    /// The engine of a node whose daemon runs.
    pub fn engine(&self, node: NodeId) -> Option<&Engine> {
        self.machines.get(&node)?.engine.as_ref()
    }

    /// A job as its owner sees it.
    pub fn job(&self, owner: NodeId, id: JobId) -> Option<&Job> {
        self.engine(owner)?.job(id)
    }

    /// Whether each running daemon sees all others that run, and nobody else, alive.
    pub fn is_formed(&self) -> bool {
        let up: Vec<_> = self
            .machines
            .iter()
            .filter_map(|(n, m)| Some((n, m.engine.as_ref()?)))
            .collect();
        up.iter().all(|(_, engine)| {
            let alive = engine
                .gossip()
                .members()
                .filter(|member| member.state == MemberState::Alive && member.fixed.is_some());
            alive.count() == up.len()
        })
    }

    /// Who sees whom how, for the message of a test that failed.
    pub fn views(&self) -> String {
        let mut text = String::new();
        for (node, machine) in &self.machines {
            let Some(engine) = &machine.engine else {
                text += &format!("\n{node:?} is down");
                continue;
            };
            text += &format!("\n{node:?} sees");
            for member in engine.gossip().members() {
                let known = if member.fixed.is_some() {
                    ""
                } else {
                    ", nameless"
                };
                let linked = if self.network.linked(*node, member.node) {
                    ", linked"
                } else {
                    ""
                };
                text += &format!(" {:?} {:?}{known}{linked};", member.node, member.state);
            }
        }
        text
    }

    /// What must hold after every event: no node runs more than it has.
    fn check(&self, node: NodeId) {
        let Some(machine) = self.machines.get(&node) else {
            return;
        };
        let Some(engine) = &machine.engine else {
            return;
        };
        let reserved = engine
            .held()
            .fold(Resources::default(), |sum, held| sum.plus(&held.reserves));
        assert!(
            reserved.fits(&machine.fixed.capacity),
            "at {} node {node:?} has promised {reserved:?} of {:?}",
            self.now,
            machine.fixed.capacity
        );
    }

    pub(super) fn push(&mut self, at: Time, node: NodeId, what: What) {
        let life = self.machines.get(&node).map_or(0, |machine| machine.life);
        self.seq += 1;
        self.queue.push(Reverse(Queued {
            at,
            seq: self.seq,
            node,
            life,
            what,
        }));
    }

    /// Handles the next event if it comes before `end`.
    fn step(&mut self, end: Time) -> bool {
        if self.queue.peek().is_none_or(|Reverse(next)| next.at > end) {
            return false;
        }
        let Some(Reverse(next)) = self.queue.pop() else {
            return false;
        };
        self.standing = if next.at > self.now {
            0
        } else {
            self.standing + 1
        };
        assert!(
            self.standing < LIVELOCK,
            "at {} time stands still at node {:?}: {}",
            self.now,
            next.node,
            next.what.describe()
        );
        self.now = next.at.max(self.now);
        let Some(machine) = self.machines.get_mut(&next.node) else {
            return true;
        };
        let daemon_gone = machine.life != next.life || machine.engine.is_none();
        match next.what {
            What::TaskEnds(task, epoch) => self.task_ends(next.node, task, epoch),
            What::DialArrives(peer) => {
                if !daemon_gone {
                    self.dial_arrives(next.node, peer);
                }
            }
            _ if daemon_gone => {}
            what if machine.paused > self.now => {
                let at = machine.paused;
                self.seq += 1;
                let queued = Queued {
                    at,
                    seq: self.seq,
                    what,
                    ..next
                };
                self.queue.push(Reverse(queued));
            }
            What::Input(input) => self.feed(next.node, input),
            What::Tick => self.tick(next.node),
            What::Synced { saves, after } => {
                write(&mut machine.disk, saves);
                self.act(next.node, after);
            }
        }
        true
    }

    fn feed(&mut self, node: NodeId, input: Input) {
        self.record(node, &input);
        if matches!(input, Input::Sample(_)) {
            self.push(
                self.now + SAMPLE,
                node,
                What::Input(Input::Sample(HostSample::default())),
            );
        }
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        let input = match input {
            Input::Sample(_) => Input::Sample(sample(machine)),
            input => input,
        };
        let Some(engine) = &mut machine.engine else {
            return;
        };
        let mut fx = Effects::default();
        engine.handle(self.now, input, &mut fx);
        engine.tick(self.now, &mut fx);
        self.handled += 1;
        self.carry_out(node, fx);
        self.schedule(node);
        self.check(node);
    }

    fn tick(&mut self, node: NodeId) {
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        machine.wake = None;
        let Some(engine) = &mut machine.engine else {
            return;
        };
        if engine
            .next_deadline()
            .is_some_and(|deadline| deadline <= self.now)
        {
            let mut fx = Effects::default();
            engine.tick(self.now, &mut fx);
            self.handled += 1;
            self.carry_out(node, fx);
        }
        self.schedule(node);
    }

    /// Queues a tick for the engine's next deadline, unless an earlier one is queued.
    fn schedule(&mut self, node: NodeId) {
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        let Some(engine) = &machine.engine else {
            return;
        };
        let Some(deadline) = engine.next_deadline() else {
            return;
        };
        let at = deadline.max(self.now);
        if machine.wake.is_none_or(|wake| wake > at) {
            machine.wake = Some(at);
            self.push(at, node, What::Tick);
        }
    }

    fn record(&mut self, node: NodeId, input: &Input) {
        self.digest.update(self.now.as_micros().to_be_bytes());
        self.digest.update(node.0);
        match input {
            Input::Frame { from, bytes } => {
                self.digest.update(from.0);
                self.digest.update(bytes);
            }
            other => self.digest.update(starling_wire::encode(other)),
        }
    }
}

/// What the sensors of a machine show: each running task uses what it reserved.
fn sample(machine: &Machine) -> HostSample {
    let own: u32 = machine.engine.as_ref().map_or(0, |engine| {
        engine.held().map(|held| held.reserves.cpu).sum()
    });
    HostSample {
        cpu_used: own.saturating_add(machine.foreign_cpu),
        own_cpu_used: own,
        memory_available: machine.fixed.capacity.memory,
        disk_free: machine.fixed.capacity.disk,
        ..HostSample::default()
    }
}
