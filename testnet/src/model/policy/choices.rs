//! The plain policies by queue length: a random machine, the best of a few asked live, the best of
//! all.

use std::ops::Range;

use super::Policy;
use super::sampled::draw;
use crate::model::chance::{below, unit};
use crate::model::world::{Answer, World};

/// A random machine; a job's tasks go to different ones as long as there are enough.
#[derive(Default)]
pub(super) struct Random {
    some: Vec<u32>,
}

impl Policy for Random {
    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        draw(world, tasks.start, tasks.len(), &mut self.some);
        if self.some.is_empty() {
            tasks.for_each(|task| world.retry(task));
            return;
        }
        for (task, machine) in tasks.zip(self.some.iter().copied()) {
            world.claim(task, machine);
        }
    }
}

/// The machine of the least load, ties at random; none if all are dead.
pub(super) fn least(world: &mut World<'_>, answers: &[Answer]) -> Option<u32> {
    let mut best = None;
    let mut load = f32::INFINITY;
    let mut ties = 0;
    for answer in answers {
        if answer.load < load {
            (best, load, ties) = (Some(answer.machine), answer.load, 1);
        } else if answer.load == load && load.is_finite() {
            ties += 1;
            if below(&mut world.rng, ties) == 0 {
                best = Some(answer.machine);
            }
        }
    }
    best
}

/// The best of a few random machines, asked live.
pub(super) struct Choices {
    count: usize,
    weighted: bool,
    /// Sums of the members' weights, in their order, if they count.
    sums: Vec<f64>,
    some: Vec<u32>,
}

impl Choices {
    /// Machines drawn evenly, without repetition.
    pub(super) fn uniform(count: usize) -> Self {
        Self {
            count,
            weighted: false,
            sums: Vec::new(),
            some: Vec::new(),
        }
    }

    /// Machines drawn in proportion to their capacity times the mean speed of their platform.
    pub(super) fn weighted(count: usize) -> Self {
        Self {
            weighted: true,
            ..Self::uniform(count)
        }
    }

    fn weigh(&mut self, world: &World<'_>) {
        self.sums.clear();
        let truth = &world.case.truth;
        let mut sum = 0.0;
        for machine in &world.fleet.members {
            let host = world.fleet.host(*machine);
            let speeds = truth
                .speed
                .iter()
                .map(|row| row[usize::from(host.platform)]);
            let speed = speeds.sum::<f64>() / truth.speed.len() as f64;
            sum += f64::from(host.capacity.cpu) * speed;
            self.sums.push(sum);
        }
    }

    fn draw(&mut self, world: &mut World<'_>, task: u32) {
        let need = world.job(task).need;
        if !self.weighted {
            world.pick_some(&need, self.count, &mut self.some);
            return;
        }
        self.some.clear();
        let total = self.sums.last().copied().unwrap_or_default();
        for _ in 0..16 * self.count {
            let at = total * unit(&mut world.rng);
            let place = self.sums.partition_point(|sum| *sum < at);
            let Some(machine) = world.fleet.members.get(place).copied() else {
                continue;
            };
            if world.holds(machine, &need) && !self.some.contains(&machine) {
                self.some.push(machine);
                if self.some.len() == self.count {
                    return;
                }
            }
        }
        if self.some.is_empty() {
            world.pick_some(&need, self.count, &mut self.some);
        }
    }
}

impl Policy for Choices {
    fn begin(&mut self, world: &mut World<'_>) {
        self.weigh(world);
    }

    fn gone(&mut self, world: &mut World<'_>, _: u32) {
        self.weigh(world);
    }

    fn came(&mut self, world: &mut World<'_>, _: u32) {
        self.weigh(world);
    }

    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        for task in tasks {
            self.draw(world, task);
            let from = world.tasks.scheduler(task);
            world.ask(task, from, &self.some);
        }
    }

    fn answered(&mut self, world: &mut World<'_>, task: u32, _: u32, answers: &[Answer]) {
        match least(world, answers) {
            Some(machine) => world.claim(task, machine),
            None => world.retry(task),
        }
    }
}

/// The shortest queue of all. Answers come at once, as if queues were written on the wall.
pub(super) struct Shortest {
    central: bool,
}

impl Shortest {
    /// Each scheduler asks every machine about every task.
    pub(super) fn asked() -> Self {
        Self { central: false }
    }

    /// A central part knows all queues, and tasks reach machines at once.
    pub(super) fn central() -> Self {
        Self { central: true }
    }
}

/// The member with the shortest queue that could hold a task, ties at random.
fn shortest(world: &mut World<'_>, task: u32) -> Option<u32> {
    let need = world.job(task).need;
    let mut best = None;
    let mut load = f32::INFINITY;
    let mut ties = 0;
    for at in 0..world.fleet.members.len() {
        let machine = world.fleet.members[at];
        let said = world.said(machine);
        if said > load || !world.holds(machine, &need) {
            continue;
        }
        if said < load {
            (best, load, ties) = (Some(machine), said, 1);
        } else {
            ties += 1;
            if below(&mut world.rng, ties) == 0 {
                best = Some(machine);
            }
        }
    }
    best
}

impl Policy for Shortest {
    fn central(&self) -> bool {
        self.central
    }

    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        for task in tasks {
            let Some(machine) = shortest(world, task) else {
                world.retry(task);
                continue;
            };
            if !self.central {
                let others = world.fleet.members.len() as u64 - 1;
                world.messages.live += others;
                world.count(2 * others);
                world.claim(task, machine);
            } else if world.centre_up {
                world.count(1);
                world.claim_at_once(task, machine);
            } else {
                world.retry(task);
            }
        }
    }
}
