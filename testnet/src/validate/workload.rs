//! Cases for the validation: Poisson arrivals at fleets of simple machines.

use std::sync::Arc;
use std::time::Duration;

use starling_placement::Resources;

use crate::case::{Beliefs, Case, Job, Latency, Machine, Network, SimSettings};
use crate::model::chance::{Purpose, below, exponential, stream};
use crate::truth::{Contention, Truth};

/// One core: what every task of the validation needs.
pub(super) const CORE: Resources = Resources {
    cpu: 1_000,
    memory: 0,
    disk: 0,
};

/// What a fleet is and what it gets.
pub(super) struct Spec {
    pub(super) machines: usize,
    pub(super) slots: u32,
    /// Speed of the platform of each machine, by turns.
    pub(super) speeds: Vec<f64>,
    /// Mean seconds between two jobs.
    pub(super) between: f64,
    pub(super) jobs: usize,
    pub(super) tasks: usize,
    /// Mean work of a task in seconds, exponentially distributed; the same for all of a job.
    pub(super) work: f64,
    pub(super) latency: Duration,
}

impl Spec {
    /// Single servers of speed 1 with tasks of mean 1 s, without latency.
    pub(super) fn single(machines: usize, load: f64, jobs: usize) -> Self {
        Self {
            machines,
            slots: 1,
            speeds: vec![1.0],
            between: 1.0 / (load * machines as f64),
            jobs,
            tasks: 1,
            work: 1.0,
            latency: Duration::ZERO,
        }
    }

    /// The case of a seed. Tasks of `queues[machine]` stand at machines at time 0, one job for each,
    /// before all others.
    pub(super) fn case(&self, seed: u64, queues: &[usize]) -> Case {
        let mut rng = stream(seed, Purpose::Workload);
        let capacity = Resources {
            cpu: CORE.cpu * self.slots,
            ..CORE
        };
        let kinds = self.speeds.len();
        let machines = (0..self.machines)
            .map(|i| Machine::new(format!("n{i}"), (i % kinds) as u16, capacity))
            .collect();
        let job = |at: f64, home: usize, work: f64, tasks: usize| Job {
            at: Duration::from_secs_f64(at),
            home: home as u32,
            class: 0,
            group: 0,
            need: CORE,
            tasks: vec![Duration::from_secs_f64(work); tasks],
        };
        let mut jobs = Vec::with_capacity(self.jobs + queues.iter().sum::<usize>());
        for (machine, length) in queues.iter().enumerate() {
            for _ in 0..*length {
                jobs.push(job(0.0, machine, self.work * exponential(&mut rng), 1));
            }
        }
        let mut at = 0.0;
        for _ in 0..self.jobs {
            at += self.between * exponential(&mut rng);
            let home = below(&mut rng, self.machines);
            let work = self.work * exponential(&mut rng);
            jobs.push(job(at, home, work, self.tasks));
        }
        let truth = Truth {
            platforms: (0..kinds).map(|i| format!("p{i}")).collect(),
            classes: vec!["any".to_owned()],
            speed: vec![self.speeds.clone()],
            contention: Contention::None,
            noise: 0.0,
        };
        Case {
            name: "validation".to_owned(),
            seed,
            machines,
            truth: Arc::new(truth),
            beliefs: Beliefs::Nothing,
            jobs,
            network: Network {
                latency: Latency::Fixed(self.latency),
                ..Network::default()
            },
            gossip_period: Duration::from_secs(1),
            faults: Vec::new(),
            warmup: Duration::ZERO,
            measured_until: Duration::MAX,
            end: Duration::MAX,
            sim: SimSettings::default(),
        }
    }
}
