//! The executor of the simulated world: tasks run at the rate that the truth gives them beside what
//! else runs on their machine, and end when their work is done.

use std::time::Duration;

use rand::RngExt;
use starling_engine::{Input, TaskEvent};
use starling_wire::job::Partition;
use starling_wire::{Epoch, JobSpec, Outcome, TaskId, Time};

use super::queue::What;
use super::world::World;
use crate::case::SERVICE;
use crate::truth::Contention;

/// A task that a machine runs.
#[derive(Clone, Debug)]
pub struct Runs {
    /// Which placement.
    pub epoch: Epoch,
    /// When it ends, if nothing changes.
    pub ends: Time,
    /// How.
    pub outcome: Outcome,
    /// What its engine wants to be told of it after a restart.
    pub note: Vec<u8>,
    /// How it ended, once it did and until its owner noted it.
    pub ended: Option<Outcome>,
    /// When it is killed unless its lease is renewed, by its machine's clock.
    pub(crate) lease: Option<Time>,
    /// Index of its job in the case; none for one that a test submitted.
    pub(crate) job: Option<u32>,
    /// Its class in the world's truth.
    pub(crate) class: u16,
    /// Work left at `since`, in seconds at speed 1.
    pub(crate) left: f64,
    /// Work per second.
    pub(crate) rate: f64,
    /// Its own share of luck: the factor of its rate.
    pub(crate) luck: f64,
    pub(crate) since: Time,
}

/// How long a task takes that cannot run where it is to find that out.
const FAILS_AFTER: Duration = Duration::from_millis(100);

/// What a simulated task does: `["sim", MILLISECONDS, EXIT_CODE]`, or `["case", INDEX_OF_JOB]`.
enum Script {
    Sim(Duration, Outcome),
    Case(u32),
}

fn script(spec: &JobSpec) -> Script {
    let number = |at: usize| {
        spec.command
            .get(at)
            .and_then(|text| text.parse::<u32>().ok())
    };
    if spec.command.first().is_some_and(|word| word == "case") {
        return Script::Case(number(1).unwrap_or(0));
    }
    let millis = number(1).unwrap_or(1);
    let code = number(2)
        .and_then(|code| i32::try_from(code).ok())
        .unwrap_or(0);
    Script::Sim(Duration::from_millis(millis.into()), Outcome::Exited(code))
}

impl World {
    pub(super) fn start(
        &mut self,
        at: u32,
        task: TaskId,
        epoch: Epoch,
        spec: &JobSpec,
        note: Vec<u8>,
    ) {
        let spawn = if self.spawn.0 < self.spawn.1 {
            self.rng.random_range(self.spawn.0..self.spawn.1)
        } else {
            self.spawn.0
        };
        let begins = self.now + Duration::from_micros(spawn);
        let machine = self.machines.at_mut(at);
        if machine
            .tasks
            .get(&task)
            .is_some_and(|runs| runs.epoch >= epoch)
        {
            return;
        }
        let mut runs = Runs {
            epoch,
            ends: begins,
            outcome: Outcome::Exited(0),
            note,
            ended: None,
            lease: None,
            job: None,
            class: 0,
            left: 0.0,
            rate: 1.0,
            luck: 1.0,
            since: begins,
        };
        match script(spec) {
            Script::Sim(length, outcome) => {
                runs.ends = begins + length;
                runs.left = length.as_secs_f64();
                runs.outcome = outcome;
            }
            Script::Case(job) => {
                let work = self.jobs.get(job as usize);
                let work = work.and_then(|job| job.tasks.get(task.index as usize));
                runs.job = Some(job);
                runs.left = match work {
                    Some(&SERVICE) => f64::INFINITY,
                    Some(work) => work.as_secs_f64(),
                    None => 0.0,
                };
                runs.class = self.jobs.get(job as usize).map_or(0, |job| job.class);
                runs.luck = self.truth.luck(self.seed, job, task.index);
            }
        }
        let of_case = runs.job.is_some();
        let ends = runs.ends;
        machine.tasks.insert(task, runs);
        if spec.partition == Partition::Stop {
            self.check_alone(at, task);
        }
        let machine = self.machines.at_mut(at);
        let node = machine.node;
        if self.keeps_history {
            self.starts.entry(task).or_default().push((self.now, node));
        }
        let started = Input::Task(TaskEvent::Started { task, epoch });
        self.push(begins, at, What::Input(started));
        if of_case {
            self.fate_started(at, task, begins);
            self.settle_rates(at);
        } else {
            self.push(ends, at, What::TaskEnds(task, epoch));
        }
    }

    pub(super) fn stop_task(&mut self, at: u32, task: TaskId, epoch: Epoch, outcome: Outcome) {
        let soon = self.now + Duration::from_millis(5);
        match self.machines.at_mut(at).tasks.get_mut(&task) {
            Some(runs) if runs.epoch == epoch && runs.ended.is_none() => {
                runs.ends = soon;
                runs.outcome = outcome;
                // It works no more on its way out.
                runs.left = 0.0;
                runs.rate = 0.0;
                self.push(soon, at, What::TaskEnds(task, epoch));
            }
            _ => {
                let ended = TaskEvent::Ended {
                    task,
                    epoch,
                    outcome: Outcome::Lost,
                };
                self.push(soon, at, What::Input(Input::Task(ended)));
            }
        }
    }

    /// A task that runs at most once may run until then, by its machine's clock.
    pub(super) fn lease(&mut self, at: u32, task: TaskId, epoch: Epoch, until: Time) {
        let machine = self.machines.at_mut(at);
        let ends = machine.clock.reaches(until);
        if let Some(runs) = machine.tasks.get_mut(&task)
            && runs.epoch == epoch
            && runs.ended.is_none()
        {
            runs.lease = runs.lease.max(Some(until));
            self.push(ends.max(self.now), at, What::LeaseEnds(task, epoch));
        }
    }

    /// The executor ends a task whose lease was not renewed, whether or not the daemon lives.
    pub(super) fn lease_ends(&mut self, at: u32, task: TaskId, epoch: Epoch) {
        let now = self.now;
        let machine = self.machines.at_mut(at);
        let shown = machine.clock.at(now);
        if let Some(runs) = machine.tasks.get_mut(&task)
            && runs.epoch == epoch
            && runs.ended.is_none()
            && runs.lease.is_some_and(|until| until <= shown)
        {
            runs.ends = now;
            runs.outcome = Outcome::Evicted;
            runs.left = 0.0;
            runs.rate = 0.0;
            self.task_ends(at, task, epoch);
        }
    }

    /// A task that runs at most once has begun: nobody else may run it.
    fn check_alone(&mut self, at: u32, task: TaskId) {
        let others = self.machines.iter().enumerate();
        let mut elsewhere = others.filter(|(other, machine)| {
            let runs = machine.tasks.get(&task);
            *other != at as usize && runs.is_some_and(|runs| runs.ended.is_none())
        });
        if let Some((_, other)) = elsewhere.next() {
            let name = other.fixed.name.clone();
            let text = format!("it begins {task}, which may run only once and runs at {name}");
            self.violated(at, text);
        }
    }

    pub(super) fn task_ends(&mut self, at: u32, task: TaskId, epoch: Epoch) {
        let now = self.now;
        let Some(runs) = self.machines.at_mut(at).tasks.get_mut(&task) else {
            return;
        };
        if runs.epoch != epoch || runs.ended.is_some() || runs.ends > now {
            return;
        }
        runs.ended = Some(runs.outcome.clone());
        let outcome = runs.outcome.clone();
        let of_case = runs.job.is_some();
        if of_case {
            self.fate_ended(at, task, &outcome);
        }
        let ended = Input::Task(TaskEvent::Ended {
            task,
            epoch,
            outcome,
        });
        self.push(now, at, What::Input(ended));
        if of_case && self.truth.contention != Contention::None {
            self.settle_rates(at);
        }
    }

    /// Who runs on a machine has changed: each task's rate is set anew, and when it ends.
    fn settle_rates(&mut self, at: u32) {
        let machine = self.machines.at_mut(at);
        let platform = machine.platform;
        let alone = self.truth.contention == Contention::None;
        let residents: Vec<(TaskId, u16)> = machine
            .tasks
            .iter()
            .filter(|(_, runs)| runs.ended.is_none() && runs.job.is_some())
            .map(|(task, runs)| (*task, runs.class))
            .collect();
        let mut changed = Vec::new();
        for (task, class) in &residents {
            let Some(runs) = machine.tasks.get_mut(task) else {
                continue;
            };
            if runs.left <= 0.0 && runs.rate <= 0.0 {
                continue;
            }
            if alone && runs.ends > runs.since {
                continue;
            }
            let others = residents.iter().filter(|(other, _)| other != task);
            let others = others.map(|(_, class)| *class);
            let rate = self.truth.rate(*class, platform, others) * runs.luck;
            #[allow(clippy::float_cmp)] // Equal inputs give equal rates.
            if rate == runs.rate && runs.ends > runs.since {
                continue;
            }
            if self.now > runs.since {
                runs.left -= runs.rate * self.now.since(runs.since).as_secs_f64();
                runs.left = runs.left.max(0.0);
                runs.since = self.now;
            }
            runs.rate = rate;
            if rate <= 0.0 {
                runs.outcome = Outcome::OutOfMemory;
                runs.left = 0.0;
                runs.ends = runs.since + FAILS_AFTER;
            } else if runs.left.is_finite() {
                runs.ends = runs.since + seconds(runs.left / rate);
            } else {
                runs.ends = Time(u64::MAX);
            }
            if runs.ends.0 < u64::MAX {
                changed.push((runs.ends, *task, runs.epoch));
            }
        }
        for (ends, task, epoch) in changed {
            self.push(ends, at, What::TaskEnds(task, epoch));
        }
    }
}

/// Whole microseconds, rounded up, so that work is done when its time is over.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn seconds(seconds: f64) -> Duration {
    Duration::from_micros(libm::ceil(seconds * 1e6).min(9e18) as u64)
}
