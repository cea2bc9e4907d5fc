//! A central scheduler: jobs come to it, tasks wait there in one queue, and it sends the first to a
//! machine that has room by its own books; ends are reported to it. While it is dead nothing is
//! placed; what machines report meanwhile reaches it when it is back.

use std::collections::VecDeque;
use std::ops::Range;

use super::Policy;
use super::greedy::Greedy;
use crate::case::Case;
use crate::model::chance::below;
use crate::model::events::Note;
use crate::model::fleet::Amount;
use crate::model::net::CENTRE;
use crate::model::world::World;
use starling_placement::Resources;

/// What the centre knows of machines: what it sent there and was not reported back.
pub(super) struct Books {
    used: Vec<Amount>,
    /// Tasks and their classes.
    pub(super) held: Vec<Vec<(u32, u16)>>,
    /// Machines with room for the least of all needs.
    pub(super) spare: Vec<u32>,
    place: Vec<Option<u32>>,
    least: Resources,
}

impl Books {
    fn new(case: &Case) -> Self {
        let mut least = case
            .jobs
            .first()
            .map_or_else(Resources::default, |job| job.need);
        for job in &case.jobs {
            least.cpu = least.cpu.min(job.need.cpu);
            least.memory = least.memory.min(job.need.memory);
            least.disk = least.disk.min(job.need.disk);
        }
        let n = case.machines.len();
        Self {
            used: vec![Amount::default(); n],
            held: vec![Vec::new(); n],
            spare: Vec::new(),
            place: vec![None; n],
            least,
        }
    }

    /// Whether a machine has room for a need.
    pub(super) fn room(&self, world: &World<'_>, machine: u32, need: &Resources) -> bool {
        self.used[machine as usize].leaves(&world.fleet.host(machine).capacity, need)
    }

    /// Whether a machine has room for the least of all needs decides if it is spare.
    fn sort_in(&mut self, world: &World<'_>, machine: u32) {
        let spare = world.fleet.is_member(machine) && self.room(world, machine, &self.least);
        let at = machine as usize;
        match self.place[at] {
            None if spare => {
                self.place[at] = Some(self.spare.len() as u32);
                self.spare.push(machine);
            }
            Some(place) if !spare => {
                self.place[at] = None;
                self.spare.swap_remove(place as usize);
                if let Some(moved) = self.spare.get(place as usize) {
                    self.place[*moved as usize] = Some(place);
                }
            }
            _ => {}
        }
    }

    fn assign(&mut self, world: &World<'_>, task: u32, machine: u32) {
        let job = world.job(task);
        self.used[machine as usize].add(&job.need);
        self.held[machine as usize].push((task, job.class));
        self.sort_in(world, machine);
    }

    fn release(&mut self, world: &World<'_>, task: u32, machine: u32) {
        let held = &mut self.held[machine as usize];
        if let Some(at) = held.iter().position(|(held, _)| *held == task) {
            held.remove(at);
            self.used[machine as usize].take(&world.job(task).need);
            self.sort_in(world, machine);
        }
    }

    fn reset(&mut self, world: &World<'_>, machine: u32) {
        self.used[machine as usize] = Amount::default();
        self.held[machine as usize].clear();
        for run in &world.fleet.host(machine).running {
            self.assign(world, run.task, machine);
        }
        self.sort_in(world, machine);
    }
}

/// Which machine gets the first task.
enum Choice {
    Any,
    Best(Greedy),
}

/// One central queue.
pub(super) struct Central {
    choice: Choice,
    books: Books,
    queue: VecDeque<u32>,
    /// Reports that wait for a dead centre.
    missed: Vec<(u32, u32)>,
}

impl Central {
    /// A random machine of those that have room.
    pub(super) fn any(case: &Case) -> Self {
        Self::new(case, Choice::Any)
    }

    /// The machine where the task gains most.
    pub(super) fn best(case: &Case, greedy: Greedy) -> Self {
        Self::new(case, Choice::Best(greedy))
    }

    fn new(case: &Case, choice: Choice) -> Self {
        Self {
            choice,
            books: Books::new(case),
            queue: VecDeque::new(),
            missed: Vec::new(),
        }
    }

    fn dispatch(&mut self, world: &mut World<'_>) {
        while world.centre_up {
            let Some(task) = self.queue.front().copied() else {
                return;
            };
            let machine = match &mut self.choice {
                Choice::Any => any(&self.books, world, task),
                Choice::Best(greedy) => greedy.choose(world, &self.books, task),
            };
            let Some(machine) = machine else { return };
            self.queue.pop_front();
            self.books.assign(world, task, machine);
            world.claim(task, machine);
        }
    }

    fn reported(&mut self, world: &mut World<'_>, task: u32, machine: u32) {
        self.books.release(world, task, machine);
        if let Choice::Best(greedy) = &mut self.choice {
            greedy.changed(machine);
            greedy.learn(world, task);
        }
    }
}

fn any(books: &Books, world: &mut World<'_>, task: u32) -> Option<u32> {
    let need = world.job(task).need;
    let n = books.spare.len();
    let start = below(&mut world.rng, n);
    let (before, after) = books.spare.split_at(start);
    let mut around = after.iter().chain(before).copied();
    around.find(|machine| books.room(world, *machine, &need))
}

impl Policy for Central {
    fn central(&self) -> bool {
        true
    }

    fn begin(&mut self, world: &mut World<'_>) {
        for machine in 0..world.case.machines.len() as u32 {
            self.books.sort_in(world, machine);
        }
    }

    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        self.queue.extend(tasks);
        self.dispatch(world);
    }

    fn refused(&mut self, world: &mut World<'_>, task: u32, machine: u32) {
        self.books.release(world, task, machine);
        if let Choice::Best(greedy) = &mut self.choice {
            greedy.refused(world, task, machine);
        }
        self.queue.push_front(task);
        self.dispatch(world);
    }

    fn ended(&mut self, world: &mut World<'_>, task: u32, machine: u32) {
        let note = Note {
            kind: 0,
            a: task,
            b: machine,
        };
        world.send(machine, CENTRE, note);
    }

    fn note(&mut self, world: &mut World<'_>, note: Note) {
        if world.centre_up {
            self.reported(world, note.a, note.b);
            self.dispatch(world);
        } else {
            self.missed.push((note.a, note.b));
        }
    }

    fn gone(&mut self, world: &mut World<'_>, machine: u32) {
        self.books.reset(world, machine);
    }

    fn came(&mut self, world: &mut World<'_>, machine: u32) {
        self.books.reset(world, machine);
        self.dispatch(world);
    }

    fn centre(&mut self, world: &mut World<'_>, up: bool) {
        if up {
            for (task, machine) in std::mem::take(&mut self.missed) {
                self.reported(world, task, machine);
            }
            self.dispatch(world);
        }
    }
}
