//! Dodoor (arXiv 2510.12889): two choices on snapshots that a central store pushes to all schedulers
//! after each so many decisions. Schedulers report placements, machines overwrite their state when a
//! task ends. As published, the second candidate's load is divided by the first one's capacity;
//! corrected, by its own. Every placement is reported by itself: batches of several, as published,
//! would leave the store behind where every machine is a scheduler. While the store is dead,
//! schedulers go on with what they heard last.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use starling_placement::Resources;

use super::Policy;
use crate::case::{Beliefs, Case, SERVICE};
use crate::model::beliefs::Belief;
use crate::model::chance::{below, unit};
use crate::model::events::Note;
use crate::model::fleet::HOLD;
use crate::model::net::CENTRE;
use crate::model::world::{ENTRY, MESSAGE, World};

/// Decisions between two pushes.
const BATCH: u64 = 80;
/// The share of placements that look at a second candidate.
const BETA: f64 = 1.0;
/// The weight of pending time against load.
const ALPHA: f64 = 0.5;

const PLACED: u32 = 0;
const STATE: u32 = 1;
const PUSH: u32 = 2;

#[derive(Clone, Copy, Default)]
struct Node {
    load: [f64; 3],
    /// Seconds of work that wait or run.
    pending: f64,
}

struct Snapshot {
    at: u64,
    nodes: Vec<Node>,
}

/// Two choices on a store's snapshots.
pub(super) struct Dodoor {
    corrected: bool,
    belief: Belief,
    store: Vec<Node>,
    decisions: u64,
    /// Snapshots under way, and the number of the first.
    pushed: VecDeque<Rc<Snapshot>>,
    first: u32,
    heard: Vec<Rc<Snapshot>>,
}

impl Dodoor {
    pub(super) fn new(case: &Case, corrected: bool) -> Self {
        let n = case.machines.len();
        let nodes = vec![Node::default(); n];
        let empty = Rc::new(Snapshot {
            at: 0,
            nodes: nodes.clone(),
        });
        // Dodoor is given the durations on each kind of machine, as it is given demands.
        let beliefs = match case.beliefs {
            Beliefs::Learned => Beliefs::Nothing,
            given => given,
        };
        Self {
            corrected,
            belief: Belief::new(case, beliefs),
            store: nodes,
            decisions: 0,
            pushed: VecDeque::new(),
            first: 0,
            heard: vec![empty; n],
        }
    }

    /// The seconds that a task is expected to take at a machine.
    fn duration(&self, world: &World<'_>, task: u32, machine: u32) -> f64 {
        let job = world.job(task);
        let work = job.tasks[world.tasks.index(task) as usize];
        if work == SERVICE {
            return 0.0;
        }
        let platform = world.fleet.host(machine).platform;
        let speed = self.belief.speed(job.class, platform);
        work.as_secs_f64() / speed.max(1e-9)
    }

    fn better(&self, world: &World<'_>, task: u32, one: u32, other: u32, toss: bool) -> u32 {
        let Some(heard) = self.heard.get(world.tasks.scheduler(task) as usize) else {
            return one;
        };
        let (a, b) = (&heard.nodes[one as usize], &heard.nodes[other as usize]);
        let need = world.job(task).need;
        let first = world.fleet.host(one).capacity;
        let second = if self.corrected {
            world.fleet.host(other).capacity
        } else {
            first
        };
        let load = share(relative(a, &need, &first), relative(b, &need, &second));
        let pending = share(a.pending, b.pending);
        let score = (1.0 - ALPHA) * load + ALPHA * pending;
        // The score is the first one's part of the whole.
        if score < 0.5 || (score == 0.5 && toss) {
            one
        } else {
            other
        }
    }

    fn push(&mut self, world: &mut World<'_>) {
        let snapshot = Rc::new(Snapshot {
            at: world.now,
            nodes: self.store.clone(),
        });
        let number = self.first + self.pushed.len() as u32;
        self.pushed.push_back(snapshot);
        let members = world.fleet.members.clone();
        let bytes = MESSAGE + ENTRY * members.len() as u64;
        world.count_spread(members.len() as u64, bytes * members.len() as u64);
        for machine in members {
            let note = Note {
                kind: PUSH,
                a: machine,
                b: number,
            };
            world.send(CENTRE, machine, note);
        }
        // Latencies are far below the time of so many batches.
        while self.pushed.len() > 64 {
            self.pushed.pop_front();
            self.first += 1;
        }
    }

    fn state(&self, world: &World<'_>, machine: u32) -> Node {
        let host = world.fleet.host(machine);
        if host.liar {
            return Node::default();
        }
        let running = host.running.iter().map(|run| run.task);
        let queued = host.queue.iter().copied().filter(|entry| entry & HOLD == 0);
        let pending = running
            .chain(queued)
            .map(|task| self.duration(world, task, machine));
        Node {
            load: host.load.numbers(),
            pending: pending.sum(),
        }
    }
}

/// One part of two; half if both are nothing.
fn share(one: f64, other: f64) -> f64 {
    if one + other > 0.0 {
        one / (one + other)
    } else {
        0.5
    }
}

/// The mean over resources of the load's and the need's shares of the capacity, multiplied.
fn relative(node: &Node, need: &Resources, capacity: &Resources) -> f64 {
    let need = [f64::from(need.cpu), need.memory as f64, need.disk as f64];
    let capacity = [
        f64::from(capacity.cpu),
        capacity.memory as f64,
        capacity.disk as f64,
    ];
    let mut sum = 0.0;
    for ((load, need), capacity) in node.load.iter().zip(need).zip(capacity) {
        if capacity > 0.0 {
            sum += (load / capacity) * (need / capacity);
        }
    }
    sum / 3.0
}

impl Policy for Dodoor {
    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        for task in tasks {
            let need = world.job(task).need;
            let Some(one) = world.pick(&need) else {
                world.retry(task);
                continue;
            };
            let mut machine = one;
            if unit(&mut world.rng) <= BETA
                && let Some(other) = world.pick(&need)
            {
                let toss = below(&mut world.rng, 2) == 0;
                machine = self.better(world, task, one, other, toss);
            }
            world.claim(task, machine);
            world.count(1);
            let note = Note {
                kind: PLACED,
                a: task,
                b: machine,
            };
            world.send(world.tasks.scheduler(task), CENTRE, note);
        }
    }

    fn ended(&mut self, world: &mut World<'_>, _: u32, machine: u32) {
        world.count_spread(1, MESSAGE);
        let note = Note {
            kind: STATE,
            a: machine,
            b: 0,
        };
        world.send(machine, CENTRE, note);
    }

    fn note(&mut self, world: &mut World<'_>, note: Note) {
        match note.kind {
            PLACED if world.centre_up => {
                let duration = self.duration(world, note.a, note.b);
                let need = world.job(note.a).need;
                let node = &mut self.store[note.b as usize];
                node.load[0] += f64::from(need.cpu);
                node.load[1] += need.memory as f64;
                node.load[2] += need.disk as f64;
                node.pending += duration;
                self.decisions += 1;
                if self.decisions.is_multiple_of(BATCH) {
                    self.push(world);
                }
            }
            STATE if world.centre_up => {
                self.store[note.a as usize] = self.state(world, note.a);
            }
            PUSH => {
                let at = note.b.checked_sub(self.first).map(|at| at as usize);
                if let Some(snapshot) = at.and_then(|at| self.pushed.get(at)) {
                    let heard = &mut self.heard[note.a as usize];
                    if snapshot.at >= heard.at {
                        *heard = Rc::clone(snapshot);
                    }
                }
            }
            _ => {}
        }
    }

    fn gone(&mut self, _: &mut World<'_>, machine: u32) {
        self.store[machine as usize] = Node::default();
    }

    fn view_age(&self, world: &World<'_>) -> f64 {
        let members = &world.fleet.members;
        let ages = members.iter().map(|machine| {
            let heard = self.heard[*machine as usize].at;
            world.now.saturating_sub(heard) as f64 / 1e9
        });
        ages.sum::<f64>() / members.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_weighs_more_on_a_small_machine() {
        let need = Resources {
            cpu: 1_000,
            memory: 0,
            disk: 0,
        };
        let of = |cpu| Resources { cpu, ..need };
        let node = Node {
            load: [2_000.0, 0.0, 0.0],
            pending: 1.0,
        };
        let small = relative(&node, &need, &of(4_000));
        let large = relative(&node, &need, &of(8_000));
        assert!((small / large - 4.0).abs() < 1e-12);
        assert_eq!((share(1.0, 3.0), share(0.0, 0.0)), (0.25, 0.5));
    }
}
