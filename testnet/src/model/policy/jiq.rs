//! Join the idle queue: a machine that becomes idle tells one random scheduler, which sends its next
//! task there; a scheduler that knows of no idle machine takes a random one.

use std::collections::VecDeque;
use std::ops::Range;

use super::Policy;
use crate::case::Case;
use crate::model::chance::below;
use crate::model::events::Note;
use crate::model::world::{MESSAGE, World};

/// Join the idle queue.
pub(super) struct Idle {
    /// The idle machines that each scheduler has heard of, oldest first.
    heard: Vec<VecDeque<u32>>,
}

impl Idle {
    pub(super) fn new(case: &Case) -> Self {
        Self {
            heard: vec![VecDeque::new(); case.machines.len()],
        }
    }

    fn tell(&self, world: &mut World<'_>, machine: u32) {
        let members = &world.fleet.members;
        let at = below(&mut world.rng, members.len());
        let Some(to) = members.get(at).copied() else {
            return;
        };
        if to != machine {
            world.count_spread(1, MESSAGE);
        }
        let note = Note {
            kind: 0,
            a: machine,
            b: to,
        };
        world.send(machine, to, note);
    }
}

impl Policy for Idle {
    fn begin(&mut self, world: &mut World<'_>) {
        for at in 0..world.fleet.members.len() {
            self.tell(world, world.fleet.members[at]);
        }
    }

    fn came(&mut self, world: &mut World<'_>, machine: u32) {
        self.tell(world, machine);
    }

    fn ended(&mut self, world: &mut World<'_>, _: u32, machine: u32) {
        let host = world.fleet.host(machine);
        if host.up && host.running.is_empty() && host.queue.is_empty() {
            self.tell(world, machine);
        }
    }

    fn note(&mut self, world: &mut World<'_>, note: Note) {
        if world.fleet.host(note.b).up {
            self.heard[note.b as usize].push_back(note.a);
        }
    }

    fn gone(&mut self, _: &mut World<'_>, machine: u32) {
        for heard in &mut self.heard {
            heard.retain(|idle| *idle != machine);
        }
        self.heard[machine as usize].clear();
    }

    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>) {
        for task in tasks {
            let need = world.job(task).need;
            let heard = self.heard.get_mut(world.tasks.scheduler(task) as usize);
            let idle = heard.and_then(|heard| {
                let at = heard.iter().position(|m| world.holds(*m, &need))?;
                heard.remove(at)
            });
            match idle.or_else(|| world.pick(&need)) {
                Some(machine) => world.claim(task, machine),
                None => world.retry(task),
            }
        }
    }
}
