//! A run: jobs come in while things go wrong, then the weather clears.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use starling_engine::{Command, Reply, RequestId};
use starling_placement::Resources;
use starling_wire::job::Partition;
use starling_wire::{JobId, JobSpec, NodeId};

use super::{Seen, Weather};
use crate::sim::{Options, World};

pub(super) const SECOND: Duration = Duration::from_secs(1);

fn spec(rng: &mut ChaCha12Rng, weather: Weather) -> JobSpec {
    let leased = match weather {
        Weather::Leased => true,
        Weather::Wild => rng.random_bool(0.5),
        _ => false,
    };
    let most = if leased { 12 } else { 40 };
    let longest = if leased { 10_000 } else { 4_000 };
    JobSpec {
        count: rng.random_range(1..most),
        command: vec![
            "sim".into(),
            rng.random_range(1..longest).to_string(),
            "0".into(),
        ],
        need: Resources {
            cpu: rng.random_range(100..2_000),
            memory: 1 << 20,
            disk: 0,
        },
        attempts: 1,
        partition: if leased {
            Partition::Stop
        } else {
            Partition::Keep
        },
        ..JobSpec::default()
    }
}

fn options(rng: &mut ChaCha12Rng, weather: Weather) -> Options {
    let nodes = match weather {
        Weather::Stormy | Weather::Leased => rng.random_range(2..8),
        Weather::Lethal | Weather::Clear => rng.random_range(3..8),
        // Mostly few: more happens there.
        Weather::Wild if rng.random_bool(0.9) => rng.random_range(3..12),
        Weather::Wild => rng.random_range(12..=50),
    };
    let mut options = Options::new(nodes);
    let most = Duration::from_micros(rng.random_range(0..20_000));
    options.set_sync(Duration::ZERO, most);
    if matches!(weather, Weather::Leased | Weather::Wild) {
        for machine in &mut options.machines {
            machine.clock_rate = rng.random_range(0.991..1.009);
            if weather == Weather::Wild {
                machine.clock_ahead = Duration::from_secs(rng.random_range(0..300));
            }
        }
    }
    // Of a job that burned down before it was acknowledged, hosts keep what nobody comes for.
    options.config.retention = 600 * SECOND;
    options
}

pub(super) struct Run {
    pub(super) weather: Weather,
    pub(super) rng: ChaCha12Rng,
    pub(super) world: World,
    pub(super) nodes: Vec<NodeId>,
    pub(super) lost: Option<NodeId>,
    pub(super) seen: Seen,
    taken: Vec<(RequestId, NodeId)>,
}

impl Run {
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut world = World::new(seed, options(&mut rng, weather));
        if weather != Weather::Clear {
            world.network.duplication = rng.random_range(0.0..0.05);
        }
        world.run_until(10 * SECOND, World::is_formed);
        let nodes = world.nodes();
        Self {
            weather,
            rng,
            world,
            nodes,
            lost: None,
            seen: Seen::default(),
            taken: Vec::new(),
        }
    }

    pub(super) fn play(mut self) -> Result<Seen, String> {
        let rounds = self.rng.random_range(4..12);
        let doomed = self.rng.random_range(0..rounds);
        for round in 0..rounds {
            self.submit();
            let pause = self.rng.random_range(0..200);
            self.world.run_for(Duration::from_millis(pause));
            if round == doomed && self.weather.burns() {
                self.burn();
            } else {
                self.fault();
            }
            if self.weather == Weather::Clear {
                // One at a time: with a second one down nobody may be there to copy results to.
                let away = if self.lost.is_some() { 8_000 } else { 3_000 };
                let away = self.rng.random_range(0..away);
                self.world.run_for(Duration::from_millis(away));
                self.boot(1.0);
                self.world.run_until(30 * SECOND, World::is_formed);
                self.world.run_for(4 * SECOND);
                continue;
            }
            let pause = self.rng.random_range(0..3_000);
            self.world.run_for(Duration::from_millis(pause));
            self.boot(0.6);
        }
        self.clear()?;
        self.all_end()?;
        self.nothing_left()?;
        Ok(self.sum_up())
    }

    pub(super) fn some_node(&mut self) -> NodeId {
        self.nodes[self.rng.random_range(0..self.nodes.len())]
    }

    /// A machine burns down with its disk: whoever took the last job, or anybody.
    fn burn(&mut self) {
        let taker = self.taken.last().map(|(_, node)| *node);
        let node = taker.filter(|_| self.rng.random_bool(0.7));
        let node = node.unwrap_or_else(|| self.some_node());
        self.world.lose(node);
        self.lost = Some(node);
    }

    fn submit(&mut self) {
        let node = self.some_node();
        if self.world.engine(node).is_some()
            && self.world.machines[&node].paused <= self.world.now()
        {
            let spec = spec(&mut self.rng, self.weather);
            let request = self.world.command(node, Command::Submit(Box::new(spec)));
            self.taken.push((request, node));
        }
    }

    fn boot(&mut self, chance: f64) {
        for node in &self.nodes {
            let gone = self.world.engine(*node).is_none() && self.lost != Some(*node);
            if gone && self.rng.random_bool(chance) {
                self.world.boot(*node);
            }
        }
    }

    /// The jobs that were acknowledged. One of which its user was told that there is no second copy
    /// may burn down with its only one.
    pub(super) fn jobs(&self) -> BTreeSet<JobId> {
        let mut jobs = BTreeSet::new();
        for (request, node) in &self.taken {
            if let Some(Ok(Reply::Submitted { job, copies })) = self.world.replies.get(request)
                && (*copies > 1 || self.lost != Some(*node))
            {
                jobs.insert(*job);
            }
        }
        jobs
    }

    /// The weather clears.
    fn clear(&mut self) -> Result<(), String> {
        self.world.network.heal();
        self.world.network.loss = 0.0;
        for node in &self.nodes {
            if let Some(machine) = self.world.machines.get_mut(node) {
                machine.slow_disk = 1.0;
            }
        }
        self.boot(1.0);
        if self.world.run_until(90 * SECOND, World::is_formed) {
            Ok(())
        } else {
            Err(format!("still apart:{}", self.world.views()))
        }
    }

    fn sum_up(mut self) -> Seen {
        self.seen.events = self.world.handled();
        for job in self.jobs() {
            self.seen.jobs += 1;
            let starts = self.world.starts.iter().filter(|(task, _)| task.job == job);
            for (_, starts) in starts {
                self.seen.tasks += 1;
                self.seen.again += starts.len().saturating_sub(1) as u64;
            }
        }
        self.seen
    }
}
