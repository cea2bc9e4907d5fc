//! The world: machines, a network, and one event queue.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use starling_engine::{
    CommandError, Config, Effects, Engine, Event, HostSample, Input, Reply, RequestId, Saved,
};
use starling_gossip::Seed;
use starling_placement::Resources;
use starling_wire::{Message, NodeId, NodeStatic, TaskId, Time};
use twox_hash::XxHash3_64;

use super::agenda::Agenda;
use super::effects::{Tally, write};
use super::fate::Fates;
use super::machine::{Machine, Machines};
use super::network::Network;
use super::queue::{Queue, Queued, What};
use super::signer::SimSigner;
use super::trace::Trace;
use crate::case;
use crate::truth::Truth;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The fleet.
    pub machines: Vec<case::Machine>,
    /// How fast what runs where.
    pub truth: Arc<Truth>,
    /// Settings of each engine; its static part and seeds are filled in.
    pub config: Config,
    /// How many other machines each knows at its first start; with 1 it is the same one for all.
    pub acquaintances: usize,
}

impl Options {
    /// `nodes` machines of four cores and 8 GiB, which know the first as their seed.
    pub fn new(nodes: usize) -> Self {
        let capacity = Resources {
            cpu: 4_000,
            memory: 8 << 30,
            disk: 100 << 30,
        };
        Self {
            machines: (0..nodes)
                .map(|index| case::Machine::new(format!("n{index}"), 0, capacity))
                .collect(),
            truth: Arc::new(Truth::uniform()),
            config: Config::default(),
            acquaintances: 1,
        }
    }

    /// Lets every disk take so long to sync, at least and at most.
    pub fn set_sync(&mut self, least: Duration, most: Duration) {
        for machine in &mut self.machines {
            machine.sync = (least, most);
        }
    }
}

/// Chooses frames that are lost, by sender, receiver and message.
pub type Loses = Box<dyn FnMut(NodeId, NodeId, &Message) -> bool>;

/// Machines, a network, and virtual time.
pub struct World {
    /// The machines, by the identity of their node.
    pub machines: Machines,
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
    /// Whether `events` and `starts` are kept, as tests want; a long run has no room for them.
    pub keeps_history: bool,
    pub(super) truth: Arc<Truth>,
    pub(super) jobs: Arc<Vec<case::Job>>,
    pub(super) seed: u64,
    /// The machines in the order in which they were given.
    pub(super) order: Vec<u32>,
    pub(super) signer: SimSigner,
    pub(super) tally: Tally,
    /// Frames that wait for a link, by sender and receiver.
    pub(super) outboxes: BTreeMap<(u32, u32), Vec<Vec<u8>>>,
    pub(super) fates: Fates,
    pub(super) agenda: Agenda,
    pub(super) trace: Trace,
    pub(super) violations: Vec<String>,
    /// How long a process takes to start, in microseconds, at least and below.
    pub(super) spawn: (u64, u64),
    pub(super) now: Time,
    pub(super) rng: ChaCha12Rng,
    pub(super) config: Config,
    acquaintances: usize,
    queue: Queue,
    pub(super) requests: RequestId,
    digest: XxHash3_64,
    handled: u64,
    /// Events since time last moved, to notice engines that keep each other busy for ever.
    standing: u32,
}

/// So many events at one instant and machine mean that time will never move again.
const LIVELOCK: u32 = 100_000;
/// How often the sensors are read.
const SAMPLE: Duration = Duration::from_secs(1);
/// So often an unchanged reading is told.
const SETTLED: u32 = 16;

impl World {
    /// A world whose machines are all up, unless their description says otherwise.
    pub fn new(seed: u64, options: Options) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut list = Vec::with_capacity(options.machines.len());
        for (index, spec) in (1..).zip(&options.machines) {
            list.push(Machine::new(
                NodeId(rng.random()),
                fixed(index, spec, &options.truth),
                spec,
            ));
        }
        let ids: Vec<NodeId> = list.iter().map(|machine| machine.node).collect();
        let machines = Machines::new(list);
        let order: Vec<u32> = ids.iter().filter_map(|id| machines.find(id)).collect();
        let mut network = Network::new(machines.len());
        for (at, spec) in order.iter().zip(&options.machines) {
            network.place(*at, spec.zone, spec.nat);
        }
        let signer = SimSigner::new(ids.first().copied().unwrap_or(NodeId([0; 32])));
        let mut world = Self {
            machines,
            network,
            events: Vec::new(),
            replies: BTreeMap::new(),
            starts: BTreeMap::new(),
            loses: None,
            keeps_history: true,
            truth: options.truth,
            jobs: Arc::default(),
            seed,
            order,
            signer,
            tally: Tally::default(),
            outboxes: BTreeMap::new(),
            fates: Fates::default(),
            agenda: Agenda::default(),
            trace: Trace::default(),
            violations: Vec::new(),
            spawn: (300, 1_500),
            now: Time::ZERO,
            rng,
            config: options.config,
            acquaintances: options.acquaintances,
            queue: Queue::default(),
            requests: 0,
            digest: XxHash3_64::new(),
            handled: 0,
            standing: 0,
        };
        let up = options.machines.iter().map(|spec| spec.up);
        let up: Vec<u32> = up
            .zip(world.order.clone())
            .filter_map(|(up, at)| up.then_some(at))
            .collect();
        for at in up {
            world.boot_at(at);
        }
        world
    }

    /// The machines' nodes, in a fixed order.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.machines.iter().map(|machine| machine.node).collect()
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
        format!("{:016x}", self.digest.finish())
    }

    /// Starts a machine's daemon from what is on its disk.
    pub fn boot(&mut self, node: NodeId) {
        if let Some(at) = self.machines.find(&node) {
            self.boot_at(at);
        }
    }

    pub(super) fn boot_at(&mut self, at: u32) {
        let seeds = self.seeds_for(at);
        let seed = self.rng.random();
        let machine = self.machines.at_mut(at);
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
            seeds,
            ..self.config.clone()
        };
        let mut fx = Effects::default();
        let rng = ChaCha12Rng::seed_from_u64(seed);
        let signer = Box::new(self.signer.of(machine.node));
        let local = machine.clock.at(self.now);
        let engine = Engine::new(config, signer, &saved, rng, local, &mut fx);
        machine.engine = Some(engine.expect("a simulated disk is never damaged"));
        machine.life += 1;
        machine.paused = Time::ZERO;
        machine.wake = None;
        machine.sampled = (HostSample::default(), 0);
        machine.unread_since = None;
        // What is to be durable before anything else happens is so at once: the daemon waits.
        write(&mut machine.disk, std::mem::take(&mut fx.saves));
        let jitter = Duration::from_micros(self.rng.random_range(0..1_000_000));
        self.push(self.now + jitter, at, What::Sample);
        self.carry_out(at, fx);
        self.schedule(at);
    }

    /// Whom a machine knows when it starts: somebody given on its command line, or an address book.
    fn seeds_for(&mut self, at: u32) -> Vec<Seed> {
        let mut known = Vec::new();
        let count = self.machines.len();
        if self.acquaintances <= 1 {
            known.extend(self.machines.iter().next().map(|first| first.node));
        } else {
            for _ in 0..self.acquaintances {
                let other = u32::try_from(self.rng.random_range(0..count)).unwrap_or(0);
                known.push(self.machines.at(other).node);
            }
        }
        let me = self.machines.at(at).node;
        known.sort_unstable();
        known.dedup();
        known
            .into_iter()
            .filter(|node| *node != me)
            .map(|node| Seed {
                node,
                addrs: self.machines[&node].fixed.addrs.clone(),
            })
            .collect()
    }

    pub(super) fn stop_daemon(&mut self, at: u32, tasks_too: bool) {
        let machine = self.machines.at_mut(at);
        let node = machine.node;
        machine.engine = None;
        machine.life += 1;
        self.outboxes.retain(|(from, _), _| *from != at);
        let machine = self.machines.at_mut(at);
        if tasks_too {
            machine.tasks.clear();
        }
        for peer in self.network.peers(at) {
            self.network.unlink(at, peer);
            if self.network.passes(at, peer) {
                let delay = self.network.one_way(at, peer, &mut self.rng);
                self.push(self.now + delay, peer, What::Input(Input::LinkDown(node)));
            }
        }
    }

    pub(super) fn push(&mut self, at: Time, machine: u32, what: What) {
        let life = self.machines.at(machine).life;
        self.queue.push(Queued {
            at,
            machine,
            life,
            what,
        });
    }

    /// Handles the next event if it comes before `end`.
    pub(super) fn step(&mut self, end: Time) -> bool {
        if self.queue.next_at().is_none_or(|at| at > end) {
            return false;
        }
        let Some(next) = self.queue.pop() else {
            return false;
        };
        self.standing = if next.at > self.now {
            0
        } else {
            self.standing + 1
        };
        assert!(
            self.standing < LIVELOCK,
            "at {} time stands still at machine {}: {}",
            self.now,
            next.machine,
            next.what.describe()
        );
        self.now = next.at.max(self.now);
        let at = next.machine;
        let machine = self.machines.at_mut(at);
        let daemon_gone = machine.life != next.life || machine.engine.is_none();
        match next.what {
            What::Agenda => self.do_agenda(),
            What::TaskEnds(task, epoch) => self.task_ends(at, task, epoch),
            What::LeaseEnds(task, epoch) => self.lease_ends(at, task, epoch),
            What::DialArrives(peer) => {
                if !daemon_gone {
                    self.dial_arrives(at, peer);
                }
            }
            _ if daemon_gone => {}
            What::Reset(peer) => {
                if !self.network.is_linked(at, peer) {
                    let peer = self.machines.at(peer).node;
                    self.feed(at, Input::LinkDown(peer));
                }
            }
            what if machine.paused > self.now => {
                let until = machine.paused;
                if matches!(what, What::Tick) && machine.wake == Some(next.at) {
                    machine.wake = Some(until);
                }
                self.queue.push(Queued {
                    at: until,
                    what,
                    ..next
                });
            }
            What::Frame { from, bytes } => {
                let from = self.machines.at(from).node;
                self.feed(at, Input::Frame { from, bytes });
            }
            What::Input(input) => {
                self.links_changed(at, &input);
                self.feed(at, input);
            }
            What::Sample => {
                let sample = sample(machine, &self.truth);
                let known = &mut machine.sampled;
                if known.0 == sample {
                    known.1 = known.1.saturating_add(1);
                } else {
                    *known = (sample, 0);
                }
                // What has been the same for so long is smoothed out: to hear it again changes
                // nothing.
                if machine.sampled.1 < SETTLED {
                    self.push(self.now + SAMPLE, at, What::Sample);
                    self.feed(at, Input::Sample(sample));
                } else {
                    machine.unread_since = Some(self.now);
                }
            }
            // Others were overtaken by a sooner deadline; they would only multiply.
            What::Tick if machine.wake == Some(next.at) => self.tick(at),
            What::Tick => {}
            What::Synced { saves, after } => {
                write(&mut machine.disk, saves);
                self.act(at, after);
            }
        }
        true
    }

    /// What waited for a link goes when it is up, and is lost with the dial that failed.
    fn links_changed(&mut self, at: u32, input: &Input) {
        if self.outboxes.is_empty() {
            return;
        }
        match input {
            Input::LinkUp(peer) => {
                if let Some(peer) = self.machines.find(peer) {
                    self.flush(at, peer);
                }
            }
            Input::DialFailed { peer, .. } => {
                if let Some(peer) = self.machines.find(peer) {
                    self.outboxes.remove(&(at, peer));
                }
            }
            _ => {}
        }
    }

    fn feed(&mut self, at: u32, input: Input) {
        self.record(at, &input);
        self.trace.note(self.now, at, &input);
        let machine = self.machines.at_mut(at);
        let local = machine.clock.at(self.now);
        let Some(engine) = &mut machine.engine else {
            return;
        };
        let mut fx = Effects::default();
        engine.handle(local, input, &mut fx);
        engine.tick(local, &mut fx);
        self.handled += 1;
        if !fx.is_empty() {
            self.carry_out(at, fx);
        }
        self.schedule(at);
        self.check(at);
    }

    fn tick(&mut self, at: u32) {
        let now = self.now;
        let machine = self.machines.at_mut(at);
        machine.wake = None;
        let local = machine.clock.at(now);
        let Some(engine) = &mut machine.engine else {
            return;
        };
        if engine
            .next_deadline()
            .is_some_and(|deadline| deadline <= local)
        {
            let mut fx = Effects::default();
            engine.tick(local, &mut fx);
            self.handled += 1;
            self.digest.write_u64(now.as_micros());
            self.digest.write_u32(at);
            self.trace.note_tick(now, at);
            if !fx.is_empty() {
                self.carry_out(at, fx);
            }
        }
        self.schedule(at);
    }

    /// Queues a tick for the engine's next deadline, unless an earlier one is queued.
    fn schedule(&mut self, at: u32) {
        let now = self.now;
        let machine = self.machines.at_mut(at);
        if machine.unread_since.is_some() {
            self.read_sensors(at);
        }
        let machine = self.machines.at_mut(at);
        let Some(engine) = &machine.engine else {
            return;
        };
        let Some(deadline) = engine.next_deadline() else {
            return;
        };
        let due = machine.clock.reaches(deadline).max(now);
        if machine.wake.is_none_or(|wake| wake > due) {
            machine.wake = Some(due);
            self.push(due, at, What::Tick);
        }
    }

    /// Sensors that nobody reads are read again, in step, once they show something else.
    pub(super) fn read_sensors(&mut self, at: u32) {
        let now = self.now;
        let machine = self.machines.at_mut(at);
        let Some(last) = machine.unread_since else {
            return;
        };
        if sample(machine, &self.truth) != machine.sampled.0 {
            machine.unread_since = None;
            let every = SAMPLE.as_micros();
            let whole = now.since(last).as_micros() / every + 1;
            let next = last + SAMPLE * u32::try_from(whole).unwrap_or(u32::MAX);
            self.push(next, at, What::Sample);
        }
    }

    fn record(&mut self, at: u32, input: &Input) {
        let digest = &mut self.digest;
        digest.write_u64(self.now.as_micros());
        digest.write_u32(at);
        match input {
            Input::Frame { from, bytes } => {
                digest.write(&from.0[..8]);
                digest.write(bytes);
            }
            Input::LinkUp(peer) | Input::LinkDown(peer) => digest.write(&peer.0[..8]),
            Input::Sample(sample) => {
                digest.write_u32(sample.cpu_used);
                digest.write(&<[u8; 4]>::from(sample.pressure));
            }
            other => digest.write(&starling_wire::encode(other)),
        }
    }
}

/// What a machine's daemon advertises.
fn fixed(index: usize, spec: &case::Machine, truth: &Truth) -> NodeStatic {
    let platform = truth.platforms.get(usize::from(spec.platform));
    let mut fixed = NodeStatic {
        name: spec.name.clone(),
        platform: platform.cloned().unwrap_or_else(|| "sim".to_owned()),
        capacity: spec.capacity,
        addrs: vec![format!("/memory/{index}")],
        ..NodeStatic::default()
    };
    fixed.labels.insert("name".to_owned(), spec.name.clone());
    fixed.labels.extend(spec.labels.iter().cloned());
    fixed
}

/// What the sensors of a machine show: each running task uses what it reserved, and presses as its
/// class does.
fn sample(machine: &Machine, truth: &Truth) -> HostSample {
    let own: u32 = machine
        .engine
        .as_ref()
        .map_or(0, |engine| engine.reserved().cpu);
    HostSample {
        cpu_used: own.saturating_add(machine.foreign_cpu),
        own_cpu_used: own,
        memory_available: machine.fixed.capacity.memory,
        disk_free: machine.fixed.capacity.disk,
        pressure: truth.pressure(machine.platform, machine.running()).into(),
    }
}
