//! Sparrow's sampling (SOSP'13): two probes for each task, decided task by task or for the whole
//! job. A job's probes go to different machines as long as there are enough.

use std::ops::Range;

use super::Policy;
use super::choices::least;
use crate::model::chance::below;
use crate::model::world::{Answer, World};

/// Probes for each task.
pub(super) const RATIO: usize = 2;

/// Draws so many members, different ones as long as there are enough.
pub(super) fn draw(world: &mut World<'_>, task: u32, count: usize, out: &mut Vec<u32>) {
    let need = world.job(task).need;
    world.pick_some(&need, count, out);
    let different = out.len();
    if different > 0 {
        for at in different..count {
            out.push(out[at % different]);
        }
    }
}

/// Each task goes to the shorter queue of its own two machines.
#[derive(Default)]
pub(super) struct PerTask {
    some: Vec<u32>,
}

impl Policy for PerTask {
    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        draw(world, tasks.start, RATIO * tasks.len(), &mut self.some);
        if self.some.is_empty() {
            tasks.for_each(|task| world.retry(task));
            return;
        }
        for (task, pair) in tasks.zip(self.some.chunks(RATIO)) {
            let from = world.tasks.scheduler(task);
            world.ask(task, from, pair);
        }
    }

    fn answered(&mut self, world: &mut World<'_>, task: u32, _: u32, answers: &[Answer]) {
        match least(world, answers) {
            Some(machine) => world.claim(task, machine),
            None => world.retry(task),
        }
    }
}

/// A job's tasks go to the shortest queues among all its machines, one to each.
#[derive(Default)]
pub(super) struct Batch {
    /// The tasks of each ask that is under way.
    asked: Vec<Range<u32>>,
    free: Vec<u32>,
    some: Vec<u32>,
    sorted: Vec<Answer>,
}

impl Policy for Batch {
    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        draw(world, tasks.start, RATIO * tasks.len(), &mut self.some);
        let from = world.tasks.scheduler(tasks.start);
        let slot = self.free.pop().unwrap_or(self.asked.len() as u32);
        if slot as usize == self.asked.len() {
            self.asked.push(tasks);
        } else {
            self.asked[slot as usize] = tasks;
        }
        world.ask(slot, from, &self.some);
    }

    fn answered(&mut self, world: &mut World<'_>, slot: u32, _: u32, answers: &[Answer]) {
        let tasks = self.asked[slot as usize].clone();
        self.free.push(slot);
        self.sorted.clear();
        let alive = answers.iter().filter(|answer| answer.load.is_finite());
        self.sorted.extend(alive);
        // A shuffle before a stable sort breaks ties at random.
        for at in (1..self.sorted.len()).rev() {
            self.sorted.swap(at, below(&mut world.rng, at + 1));
        }
        self.sorted.sort_by(|a, b| a.load.total_cmp(&b.load));
        for (task, answer) in tasks.clone().zip(self.sorted.iter().cycle()) {
            world.claim(task, answer.machine);
        }
        if self.sorted.is_empty() {
            tasks.for_each(|task| world.retry(task));
        }
    }
}
