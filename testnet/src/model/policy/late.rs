//! Sparrow's late binding (SOSP'13): reservations wait in machines' queues; a machine that reaches
//! one holds room and pulls a task from its scheduler, or hears that none is left. With proactive
//! cancellation the scheduler takes the rest of a job's reservations back when its last task is
//! given out.

use std::collections::VecDeque;
use std::ops::Range;

use super::Policy;
use super::sampled::{RATIO, draw};
use crate::case::Case;
use crate::model::events::{Event, Note};
use crate::model::world::{NOTICE, World};

const RESERVE: u32 = 0;
const PULL: u32 = 1;
const GIVE: u32 = 2;
const NOTHING: u32 = 3;
const CANCEL: u32 = 4;

#[derive(Clone, Default)]
struct Pending {
    /// Tasks that no machine has pulled yet.
    tasks: VecDeque<u32>,
    /// Machines that have a reservation and did not pull.
    reserved: Vec<u32>,
}

/// Late binding.
pub(super) struct Late {
    cancel: bool,
    jobs: Vec<Pending>,
    some: Vec<u32>,
}

impl Late {
    pub(super) fn new(case: &Case, cancel: bool) -> Self {
        Self {
            cancel,
            jobs: vec![Pending::default(); case.jobs.len()],
            some: Vec::new(),
        }
    }

    fn reserve(&mut self, world: &mut World<'_>, task: u32, count: usize) {
        let job = world.tasks.get(task).job;
        let from = world.tasks.scheduler(task);
        draw(world, task, count, &mut self.some);
        if self.some.is_empty() {
            world.events.at(world.now + NOTICE, Event::HoldLost { job });
        }
        for machine in self.some.iter().copied() {
            if machine != from {
                world.messages.live += 1;
                world.count(1);
            }
            let note = Note {
                kind: RESERVE,
                a: machine,
                b: job,
            };
            world.send(from, machine, note);
        }
        self.jobs[job as usize].reserved.extend(&self.some);
    }

    fn pulled(&mut self, world: &mut World<'_>, machine: u32, job: u32) {
        let from = world.tasks.scheduler[job as usize];
        let pending = &mut self.jobs[job as usize];
        if let Some(at) = pending.reserved.iter().position(|m| *m == machine) {
            pending.reserved.swap_remove(at);
        }
        let Some(task) = pending.tasks.pop_front() else {
            let note = Note {
                kind: NOTHING,
                a: machine,
                b: job,
            };
            world.send(from, machine, note);
            return;
        };
        let note = Note {
            kind: GIVE,
            a: machine,
            b: task,
        };
        world.send(from, machine, note);
        if self.cancel && pending.tasks.is_empty() {
            for machine in pending.reserved.drain(..) {
                if machine != from {
                    world.count(1);
                }
                let note = Note {
                    kind: CANCEL,
                    a: machine,
                    b: job,
                };
                world.send(from, machine, note);
            }
        }
    }
}

impl Policy for Late {
    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        let job = world.tasks.get(tasks.start).job;
        self.jobs[job as usize].tasks.extend(tasks.clone());
        self.reserve(world, tasks.start, RATIO * tasks.len());
    }

    fn reached(&mut self, world: &mut World<'_>, machine: u32, job: u32) {
        let scheduler = world.tasks.scheduler[job as usize];
        world.count_live(scheduler, &[machine]);
        let note = Note {
            kind: PULL,
            a: machine,
            b: job,
        };
        world.send(machine, scheduler, note);
    }

    fn hold_lost(&mut self, world: &mut World<'_>, job: u32) {
        if let Some(task) = self.jobs[job as usize].tasks.front().copied() {
            self.reserve(world, task, 1);
        }
    }

    fn note(&mut self, world: &mut World<'_>, note: Note) {
        let Note {
            kind,
            a: machine,
            b,
        } = note;
        match kind {
            RESERVE if !world.reserve(machine, b) => {
                let lost = Event::HoldLost { job: b };
                world.events.at(world.now + NOTICE, lost);
            }
            PULL => self.pulled(world, machine, b),
            GIVE => world.fill(machine, world.tasks.get(b).job, b),
            NOTHING => world.release(machine, b),
            CANCEL => world.unreserve(machine, b),
            _ => {}
        }
    }
}
