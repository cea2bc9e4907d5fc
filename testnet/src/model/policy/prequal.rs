//! Prequal (NSDI'24): each placement also sends a few probes whose answers serve later placements.
//! From its pool a scheduler takes the machine of the least latency among those that are cold, that
//! is whose requests in flight are at most a quantile of the pool's, or, if all are hot, the one
//! with the fewest. An entry serves once; the periodic removal of the worst entries is left out.

use std::collections::VecDeque;
use std::ops::Range;

use super::Policy;
use crate::case::Case;
use crate::model::net::nanos;
use crate::model::world::{Answer, World};

/// Entries of a pool.
const POOL: usize = 16;
/// Probes for each placement.
const PROBES: usize = 3;
/// The quantile of requests in flight that divides cold from hot.
const QUANTILE: f64 = 0.84;
/// How long an entry serves, in nanoseconds.
const AGE: u64 = 1_000_000_000;
/// With fewer entries than this a random machine is taken.
const LEAST: usize = 2;
/// The weight of a new latency in a machine's running mean.
const WEIGHT: f32 = 0.2;

#[derive(Clone, Copy)]
struct Probe {
    machine: u32,
    in_flight: f32,
    latency: f32,
    at: u64,
}

/// Asynchronous probing.
pub(super) struct Prequal {
    pools: Vec<VecDeque<Probe>>,
    /// The running mean of the time that tasks took at each machine, in seconds.
    latency: Vec<f32>,
    some: Vec<u32>,
}

impl Prequal {
    pub(super) fn new(case: &Case) -> Self {
        let n = case.machines.len();
        Self {
            pools: vec![VecDeque::new(); n],
            latency: vec![0.0; n],
            some: Vec::new(),
        }
    }

    fn take(&mut self, world: &World<'_>, task: u32) -> Option<u32> {
        let pool = self.pools.get_mut(world.tasks.scheduler(task) as usize)?;
        while pool.front().is_some_and(|probe| probe.at + AGE < world.now) {
            pool.pop_front();
        }
        let need = world.job(task).need;
        pool.retain(|probe| world.fleet.is_member(probe.machine));
        let able = |probe: &Probe| world.holds(probe.machine, &need);
        let mut flights = [0.0f32; POOL];
        let mut count = 0;
        for probe in pool.iter().filter(|probe| able(probe)).take(POOL) {
            flights[count] = probe.in_flight;
            count += 1;
        }
        if count < LEAST {
            return None;
        }
        let flights = &mut flights[..count];
        flights.sort_unstable_by(f32::total_cmp);
        let limit = flights[((count - 1) as f64 * QUANTILE) as usize];
        // With the limit among the entries, some are always cold unless all are equally hot.
        let key = |probe: &Probe| {
            let hot = probe.in_flight > limit;
            let by = if hot { probe.in_flight } else { probe.latency };
            (u32::from(hot), by)
        };
        let (at, _) = pool
            .iter()
            .enumerate()
            .filter(|(_, probe)| able(probe))
            .min_by(|(_, a), (_, b)| {
                let (a, b) = (key(a), key(b));
                a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
            })?;
        pool.remove(at).map(|probe| probe.machine)
    }
}

impl Policy for Prequal {
    fn look(&self, world: &World<'_>, machine: u32, _: u32) -> (f32, f32) {
        let host = world.fleet.host(machine);
        if host.liar {
            return (0.0, 0.0);
        }
        let in_flight = host.running.len() + host.queue.len();
        (in_flight as f32, self.latency[machine as usize])
    }

    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        for task in tasks {
            let need = world.job(task).need;
            match self.take(world, task).or_else(|| world.pick(&need)) {
                Some(machine) => world.claim(task, machine),
                None => world.retry(task),
            }
            world.pick_some(&need, PROBES, &mut self.some);
            let from = world.tasks.scheduler(task);
            // Each answer goes to the pool by itself.
            for machine in &self.some {
                world.ask(task, from, std::slice::from_ref(machine));
            }
        }
    }

    fn answered(&mut self, world: &mut World<'_>, _: u32, from: u32, answers: &[Answer]) {
        let Some(pool) = self.pools.get_mut(from as usize) else {
            return;
        };
        for answer in answers.iter().filter(|answer| answer.load.is_finite()) {
            if pool.len() == POOL {
                pool.pop_front();
            }
            pool.push_back(Probe {
                machine: answer.machine,
                in_flight: answer.load,
                latency: answer.other,
                at: world.now,
            });
        }
    }

    fn ended(&mut self, world: &mut World<'_>, task: u32, machine: u32) {
        let took = world.now.saturating_sub(nanos(world.job(task).at)) as f64 / 1e9;
        let mean = &mut self.latency[machine as usize];
        *mean = if *mean == 0.0 {
            took as f32
        } else {
            *mean + WEIGHT * (took as f32 - *mean)
        };
    }
}
