//! Draws the jobs of a run.

use std::time::Duration;

use starling_placement::Resources;

use super::arrivals::Arrivals;
use super::pick::{ClassDice, Homes};
use super::shape::{MEMORY_PER_CORE, Population};
use super::spread::Spread;
use super::trace::{MOST_TASKS, Traced};
use super::{Classes, Drawn, Pace, Source, Workload};
use crate::case::{Job, Machine, SERVICE};
use crate::scenario::amount;
use crate::scenario::cluster::Fleet;
use crate::scenario::dice::{Dice, Purpose, running_sums};
use crate::scenario::error::ScenarioError;
use crate::truth::Truth;

/// What a run has besides its jobs.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) truth: &'a Truth,
    pub(crate) seed: u64,
}

/// Work shorter than this takes no time worth simulating, in seconds.
const SHORTEST: f64 = 1e-6;

impl Workload {
    /// Draws the jobs of a run, in the order of time.
    pub(crate) fn draw(&self, scene: Scene<'_>) -> Result<Drawn, ScenarioError> {
        let mut jobs = match &self.source {
            Source::None => Vec::new(),
            Source::Drawn {
                arrivals,
                populations,
                cores,
            } => self.draw_jobs(scene, arrivals, populations, cores.as_ref())?,
            Source::Traced { jobs, .. } => self.replay(scene, jobs)?,
        };
        let last = jobs.last().map_or(Duration::ZERO, |job| job.at);
        // Without a length, everything up to the cool-down before the last job is measured.
        let just_after = last.saturating_add(Duration::from_micros(1));
        let measured_until = self.length.map_or_else(
            || just_after.saturating_sub(self.cooldown).max(self.warmup),
            |length| self.warmup.saturating_add(length),
        );
        let window = self.window();
        let longest = jobs.iter().flat_map(|job| &job.tasks).max().copied();
        let drawn_groups = self.groups().len() - usize::from(!self.services.is_empty());
        for service in &self.services {
            if !fits_somewhere(scene.fleet, &service.need) {
                return Err(service.need_at.error(NOWHERE, NOWHERE_REMEDY));
            }
        }
        let mut homes = Homes::new(&self.home, scene, Purpose::Services)?;
        let services = self.services.iter().map(|service| Job {
            at: service.at,
            home: homes.draw(),
            class: service.class,
            group: u16::try_from(drawn_groups).unwrap_or(u16::MAX),
            need: service.need,
            tasks: vec![SERVICE; service.tasks],
        });
        let services: Vec<Job> = services.collect();
        jobs.splice(0..0, services);
        jobs.sort_by_key(|job| job.at);
        Ok(Drawn {
            jobs,
            warmup: self.warmup,
            measured_until,
            submitted_until: window.unwrap_or(just_after),
            longest: longest.unwrap_or_default(),
        })
    }

    /// For how long jobs are submitted, if the scenario says so.
    fn window(&self) -> Option<Duration> {
        let length = self.length?;
        Some(
            self.warmup
                .saturating_add(length)
                .saturating_add(self.cooldown),
        )
    }

    fn draw_jobs(
        &self,
        scene: Scene<'_>,
        arrivals: &Arrivals,
        populations: &[Population],
        cores: Option<&Spread>,
    ) -> Result<Vec<Job>, ScenarioError> {
        let largest = largest(scene.fleet);
        let cores = cores
            .filter(|_| self.need.is_none())
            .map(|cores| cores.capped(f64::from(largest.capacity.cpu) / 1_000.0));
        if cores.is_none() {
            self.check_need(scene)?;
        }
        let rate = self.rate(scene, arrivals, populations, cores.as_ref())?;
        let until = self.window().map(|window| window.as_secs_f64());
        let enough = match (self.pace, until) {
            (Pace::Load(load), Some(until)) if self.exact => {
                Some(load * self.capacity(scene, cores.is_some())? * until)
            }
            _ => None,
        };
        let shares = running_sums(populations.iter().map(|population| population.share));
        let mut when = Dice::new(scene.seed, Purpose::Arrivals);
        let mut sizes = Dice::new(scene.seed, Purpose::Sizes);
        let mut classes = ClassDice::new(&self.weights(scene.truth), scene);
        let mut homes = Homes::new(&self.home, scene, Purpose::Homes)?;
        let mut jobs: Vec<(f64, Job)> = Vec::new();
        let (mut now, mut tasks, mut offered) = (0.0, 0, 0.0);
        while jobs.len() < self.jobs {
            now += arrivals.gap(jobs.len(), &mut when) / rate;
            if enough.is_none() && until.is_some_and(|until| now >= until) {
                break;
            }
            let population = &populations[sizes.weighted(&shares)];
            let works = works(population, &mut sizes);
            let need = match &cores {
                Some(cores) => {
                    let cores = cores.draw(&mut sizes);
                    limited((cores, cores * MEMORY_PER_CORE), largest)
                }
                None => self.need(),
            };
            let each = cores
                .as_ref()
                .map_or(1.0, |_| f64::from(need.cpu) / 1_000.0);
            let work = works.iter().sum::<f64>() * each;
            // The last job comes only if it brings the work nearer to what is wanted.
            if enough.is_some_and(|enough| offered + work / 2.0 > enough) {
                break;
            }
            offered += work;
            if tasks + works.len() > self.limit {
                if self.limit < MOST_TASKS {
                    break;
                }
                return Err(self.too_many());
            }
            tasks += works.len();
            let job = Job {
                at: Duration::ZERO,
                home: homes.draw(),
                class: classes.draw(),
                group: self.group(&works),
                need,
                tasks: durations(&works),
            };
            jobs.push((now, job));
        }
        // The gap that was drawn last ends with the window.
        let stretch = match (enough, until) {
            (Some(_), Some(until)) if now > 0.0 => until / now,
            _ => 1.0,
        };
        let placed = jobs.into_iter().map(|(at, mut job)| {
            job.at = amount::seconds(at * stretch).ok_or_else(|| {
                self.pace_at
                    .error("the jobs never end", "write a higher rate")
            })?;
            Ok(job)
        });
        placed.collect()
    }

    fn replay(&self, scene: Scene<'_>, traced: &[Traced]) -> Result<Vec<Job>, ScenarioError> {
        let Source::Traced {
            classes,
            time_scale,
            size_scale,
            measured_on,
            ..
        } = &self.source
        else {
            return Ok(Vec::new());
        };
        let largest = largest(scene.fleet);
        let from_trace = self.need.is_none() && traced.iter().all(|job| job.need.is_some());
        if !from_trace {
            self.check_need(scene)?;
        }
        let mut dice = ClassDice::new(&self.weights(scene.truth), scene);
        let mut homes = Homes::new(&self.home, scene, Purpose::Homes)?;
        let (mut jobs, mut tasks, mut offered) = (Vec::new(), 0, 0.0);
        for (i, traced) in traced.iter().take(self.jobs).enumerate() {
            let drawn = dice.draw();
            let own = classes
                .as_ref()
                .filter(|_| matches!(self.class, Classes::Traced));
            let class = own.map_or(drawn, |own| own[i]);
            // What took a while at the measured speed is so much work at speed 1.
            let speed = measured_on.map_or(1.0, |platform| scene.truth.alone(class, platform));
            let scale = size_scale * speed;
            let works: Vec<f64> = traced
                .tasks
                .iter()
                .map(|s| (s * scale).max(SHORTEST))
                .collect();
            tasks += works.len();
            if tasks > self.limit {
                break;
            }
            let need = match traced.need {
                Some(need) if from_trace => limited(need, largest),
                _ => self.need(),
            };
            let each = if from_trace {
                f64::from(need.cpu) / 1_000.0
            } else {
                1.0
            };
            offered += works.iter().sum::<f64>() * each;
            let job = Job {
                at: Duration::ZERO,
                home: homes.draw(),
                class,
                group: self.group(&works),
                need,
                tasks: durations(&works),
            };
            jobs.push((traced.at, job));
        }
        let span = jobs.last().map_or(0.0, |(at, _)| *at);
        let own_pace = jobs.len().saturating_sub(1);
        let factor = match self.pace {
            Pace::Own => *time_scale,
            _ if span <= 0.0 => {
                return Err(self.pace_at.error(
                    "there is no way to compute it: all jobs of the trace come at once",
                    "leave it out, or take more of the trace",
                ));
            }
            Pace::Rate(rate) => as_float(own_pace) / span / rate,
            Pace::Load(load) => {
                let capacity = self.capacity(scene, from_trace)?;
                offered / span / (load * capacity)
            }
        };
        let until = self.window().map(|window| window.as_secs_f64());
        let mut kept = Vec::new();
        for (at, mut job) in jobs {
            let at = at * factor;
            if until.is_some_and(|until| at >= until) {
                break;
            }
            job.at = amount::seconds(at).ok_or_else(|| {
                self.pace_at
                    .error("the trace takes for ever", "write a smaller scale of time")
            })?;
            kept.push(job);
        }
        Ok(kept)
    }

    /// Jobs per second.
    fn rate(
        &self,
        scene: Scene<'_>,
        arrivals: &Arrivals,
        populations: &[Population],
        cores: Option<&Spread>,
    ) -> Result<f64, ScenarioError> {
        match self.pace {
            Pace::Rate(rate) => Ok(rate),
            Pace::Own => arrivals.own_rate().ok_or_else(|| {
                self.at
                    .error("nothing says how many jobs come", "write a `load`")
            }),
            Pace::Load(load) => {
                let shares: f64 = populations.iter().map(|one| one.share).sum();
                let work: f64 = populations.iter().map(|one| one.share * one.work()).sum();
                let work = work / shares * cores.map_or(1.0, Spread::mean);
                Ok(load * self.capacity(scene, cores.is_some())? / work)
            }
        }
    }

    /// What the fleet does in a second at the speed of its classes' mean: seconds of tasks that
    /// all need the same, or of cores.
    fn capacity(&self, scene: Scene<'_>, by_core: bool) -> Result<f64, ScenarioError> {
        let need = self.need();
        if !by_core && need == Resources::default() {
            return Err(self.pace_at.error(
                "there is no way to compute it: tasks need nothing",
                "write need = { cpu = 1 }, or a `rate` instead",
            ));
        }
        let weights = self.weights(scene.truth);
        let total: f64 = weights.iter().sum();
        let mean = |machine: &Machine| {
            let platform = usize::from(machine.platform);
            let speeds = weights.iter().zip(&scene.truth.speed);
            speeds
                .map(|(weight, row)| weight * row[platform])
                .sum::<f64>()
                / total
        };
        let up = scene.fleet.machines.iter().filter(|machine| machine.up);
        let capacity: f64 = up
            .map(|machine| {
                let room = if by_core {
                    f64::from(machine.capacity.cpu) / 1_000.0
                } else {
                    f64::from(machine.capacity.room_for(&need, u32::MAX))
                };
                room * mean(machine)
            })
            .sum();
        if capacity > 0.0 {
            return Ok(capacity);
        }
        Err(self.pace_at.error(
            "there is no way to compute it: no machine that is up can run such a task",
            "write a smaller `need`, or larger machines",
        ))
    }

    /// How often each class comes.
    fn weights(&self, truth: &Truth) -> Vec<f64> {
        match (&self.class, &self.source) {
            (Classes::Weighted(weights), _) => weights.clone(),
            (
                Classes::Traced,
                Source::Traced {
                    classes: Some(found),
                    ..
                },
            ) => {
                let mut weights = vec![0.0; truth.classes.len()];
                for class in found {
                    weights[usize::from(*class)] += 1.0;
                }
                weights
            }
            _ => vec![1.0; truth.classes.len()],
        }
    }

    fn check_need(&self, scene: Scene<'_>) -> Result<(), ScenarioError> {
        if fits_somewhere(scene.fleet, &self.need()) {
            return Ok(());
        }
        Err(self.need_at.error(NOWHERE, NOWHERE_REMEDY))
    }

    fn too_many(&self) -> ScenarioError {
        self.at.error(
            format!("more than {MOST_TASKS} tasks are above the limit"),
            "write a lower load, a shorter `length`, or a `limit` on tasks",
        )
    }

    /// Short jobs are the first group, long ones the second.
    fn group(&self, works: &[f64]) -> u16 {
        let Some(above) = self.long_above else {
            return 0;
        };
        u16::from(works.iter().sum::<f64>() > above * as_float(works.len()))
    }
}

const NOWHERE: &str = "no machine can hold such a task";
const NOWHERE_REMEDY: &str = "write a smaller need, or larger machines";

/// The work of a job's tasks, in seconds at speed 1.
fn works(population: &Population, dice: &mut Dice) -> Vec<f64> {
    let count = population.tasks.draw_count(dice);
    // One more than the limit is enough to be refused.
    let count = usize::try_from(count)
        .unwrap_or(usize::MAX)
        .min(MOST_TASKS + 1);
    let typical = population.duration.draw(dice);
    let mut one = |i: usize| {
        let work = if population.per_task && i > 0 {
            population.duration.draw(dice)
        } else if population.within > 0.0 {
            typical * dice.jitter(population.within)
        } else {
            typical
        };
        work.max(SHORTEST)
    };
    (0..count).map(&mut one).collect()
}

fn durations(works: &[f64]) -> Vec<Duration> {
    let one = |work: &f64| amount::seconds(*work).unwrap_or(LONGEST);
    works.iter().map(one).collect()
}

/// What a distribution without end is cut to: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The machine with most CPU, then memory.
fn largest(fleet: &Fleet) -> &Machine {
    let size = |machine: &&Machine| (machine.capacity.cpu, machine.capacity.memory);
    let up = fleet.machines.iter().filter(|machine| machine.up);
    up.max_by_key(size).unwrap_or(&fleet.machines[0])
}

/// Cores and bytes as resources, cut to what the largest machine has.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn limited((cores, memory): (f64, f64), largest: &Machine) -> Resources {
    let capacity = largest.capacity;
    Resources {
        cpu: ((cores * 1_000.0).round() as u32).clamp(1, capacity.cpu.max(1)),
        memory: (memory.round() as u64).min(capacity.memory),
        disk: 0,
    }
}

fn fits_somewhere(fleet: &Fleet, need: &Resources) -> bool {
    fleet
        .machines
        .iter()
        .any(|machine| need.fits(&machine.capacity))
}

#[allow(clippy::cast_precision_loss)]
const fn as_float(n: usize) -> f64 {
    n as f64
}
