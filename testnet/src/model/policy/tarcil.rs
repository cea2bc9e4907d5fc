//! A sampling scheduler in Tarcil's spirit (SoCC'15), reimplemented from the abstract and a
//! derivation, not from the paper's text: the sample is as large as it must be to hold, with a given
//! probability, a free machine of the wanted quality; where that is too large the task waits a
//! little while its demand falls.
//!
//! Quality is a task's predicted rate relative to its ideal, beside what runs there. Its
//! distribution over the fleet, and the share of busy machines, come from a copy of the fleet's
//! state that is renewed each gossip period.

use std::ops::Range;

use super::Policy;
use super::choices::least;
use super::greedy::seen;
use crate::case::Case;
use crate::model::beliefs::Belief;
use crate::model::chance::below;
use crate::model::events::Note;
use crate::model::net::nanos;
use crate::model::world::{Answer, ENTRY, MESSAGE, World};
use starling_placement::Resources;

/// The quality wanted at first.
const QUALITY: f64 = 0.9;
/// The probability with which the sample must hold it.
const CERTAINTY: f64 = 0.95;
/// The largest sample.
const BUDGET: usize = 32;
/// The demand halves in this share of a class's mean time to run, and waiting takes no longer.
const PATIENCE: f64 = 0.2;
/// Machines of the copy that stand for the fleet.
const COPY: usize = 256;

const RENEW: u32 = 0;
const WAITED: u32 = 1;

/// Sampling for quality.
pub(super) struct Tarcil {
    belief: Belief,
    /// Platform and residents of machines, as last copied.
    copy: Vec<(u16, Vec<u16>)>,
    busy: f64,
    /// Qualities in rising order by class, found when first needed after a copy.
    qualities: Vec<Option<Vec<f64>>>,
    /// The running mean of the seconds that tasks of a class run.
    time: Vec<f64>,
    least: Resources,
    some: Vec<u32>,
}

impl Tarcil {
    pub(super) fn new(case: &Case) -> Self {
        let classes = case.truth.classes.len();
        let needs = case.jobs.iter().map(|job| job.need);
        Self {
            belief: Belief::new(case, case.beliefs),
            copy: Vec::new(),
            busy: 0.0,
            qualities: vec![None; classes],
            time: vec![0.0; classes],
            least: needs.min_by_key(|need| need.cpu).unwrap_or_default(),
            some: Vec::new(),
        }
    }

    fn renew(&mut self, world: &mut World<'_>) {
        let n = world.fleet.members.len();
        let members = n as u64;
        world.count_spread(members, members * (MESSAGE + ENTRY * members));
        self.qualities.iter_mut().for_each(|known| *known = None);
        let size = n.min(COPY);
        self.copy.resize_with(size, Default::default);
        let mut busy = 0;
        for (at, (platform, residents)) in self.copy.iter_mut().enumerate() {
            let place = if n <= COPY {
                at
            } else {
                below(&mut world.rng, n)
            };
            let host = world.fleet.host(world.fleet.members[place]);
            *platform = host.platform;
            residents.clear();
            residents.extend(host.residents());
            busy += u32::from(!host.room(&self.least) && !host.liar);
        }
        self.busy = f64::from(busy) / size.max(1) as f64;
    }

    /// How many machines to sample for a quality, by its distribution.
    fn sample(&mut self, class: u16, quality: f64) -> Option<usize> {
        let qualities = self.qualities(class);
        let below = qualities.partition_point(|known| *known < quality);
        let good = 1.0 - below as f64 / qualities.len().max(1) as f64;
        size((1.0 - self.busy) * good)
    }

    fn qualities(&mut self, class: u16) -> &[f64] {
        let (belief, copy) = (&self.belief, &self.copy);
        self.qualities[usize::from(class)].get_or_insert_with(|| {
            let quality = |(platform, residents): &(u16, Vec<u16>)| {
                belief.relative(class, *platform, residents.iter().copied())
            };
            let mut qualities: Vec<f64> = copy.iter().map(quality).collect();
            qualities.sort_by(f64::total_cmp);
            qualities
        })
    }

    fn probe(&mut self, world: &mut World<'_>, task: u32, count: usize) {
        let need = world.job(task).need;
        world.pick_some(&need, count, &mut self.some);
        world.ask(task, world.tasks.scheduler(task), &self.some);
    }
}

/// The sample that holds a machine of this share with the wanted certainty; none if it is too large.
fn size(good: f64) -> Option<usize> {
    if good >= CERTAINTY {
        return Some(1);
    }
    if good <= 0.0 {
        return None;
    }
    let size = libm::ceil(libm::log(1.0 - CERTAINTY) / libm::log(1.0 - good)) as usize;
    (size <= BUDGET).then_some(size)
}

impl Policy for Tarcil {
    fn begin(&mut self, world: &mut World<'_>) {
        self.note(
            world,
            Note {
                kind: RENEW,
                a: 0,
                b: 0,
            },
        );
    }

    fn note(&mut self, world: &mut World<'_>, note: Note) {
        if note.kind == WAITED {
            let class = world.job(note.a).class;
            let quality = QUALITY * f64::from(note.b) / 1e6;
            let count = self.sample(class, quality).unwrap_or(BUDGET);
            self.probe(world, note.a, count);
            return;
        }
        self.renew(world);
        world.timer(nanos(world.case.gossip_period).max(1_000_000), note);
    }

    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        for task in tasks {
            let class = world.job(task).class;
            if let Some(count) = self.sample(class, QUALITY) {
                self.probe(world, task, count);
                continue;
            }
            // The least fall of the demand that makes the sample small enough, in eighths of the
            // time that it may take.
            let fall = |step: i32| libm::exp2(-f64::from(step) / 8.0);
            let enough = (1..8).find(|step| self.sample(class, QUALITY * fall(*step)).is_some());
            let step = enough.unwrap_or(8);
            let share = PATIENCE * f64::from(step) / 8.0;
            let wait = share * self.time[usize::from(class)] * 1e9;
            let note = Note {
                kind: WAITED,
                a: task,
                b: (fall(step) * 1e6) as u32,
            };
            world.timer(wait as u64, note);
        }
    }

    fn look(&self, world: &World<'_>, machine: u32, task: u32) -> (f32, f32) {
        let host = world.fleet.host(machine);
        let job = world.job(task);
        let residents = host.residents();
        if host.liar {
            let quality = self.belief.relative(job.class, host.platform, []);
            return (1.0 - quality as f32, 0.0);
        }
        let quality = self.belief.relative(job.class, host.platform, residents);
        let load = if quality <= 0.0 {
            f32::INFINITY
        } else if host.room(&job.need) {
            1.0 - quality as f32
        } else {
            1.0 + world.said(machine)
        };
        (load, 0.0)
    }

    fn answered(&mut self, world: &mut World<'_>, task: u32, _: u32, answers: &[Answer]) {
        match least(world, answers) {
            Some(machine) => world.claim(task, machine),
            None => world.retry(task),
        }
    }

    fn ended(&mut self, world: &mut World<'_>, task: u32, _: u32) {
        let Some((class, platform, rate)) = seen(world, task) else {
            return;
        };
        self.belief.learn(class, platform, rate);
        let ended = world.tasks.get(task);
        let ran = ended.ended.zip(ended.started).map_or(0, |(e, s)| e - s) as f64 / 1e9;
        let mean = &mut self.time[usize::from(class)];
        *mean = if *mean == 0.0 {
            ran
        } else {
            *mean + 0.05 * (ran - *mean)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_follows_from_the_share_of_good_machines() {
        // 1 - (1 - 0.1)^29 is the first above 0.95.
        assert_eq!(size(0.1), Some(29));
        assert_eq!(size(0.5), Some(5));
        assert_eq!((size(1.0), size(0.0), size(0.05)), (Some(1), None, None));
    }
}
