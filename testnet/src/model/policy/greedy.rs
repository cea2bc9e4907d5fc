//! The greedy choice of a central scheduler that knows classes, after Quasar (ASPLOS'14): among the
//! machines with room, the one where the task's predicted rate, relative to its ideal, exceeds the
//! harm to the residents' by most. With the truth for its beliefs it is the oracle.

use super::central::Books;
use crate::case::{Beliefs, Case};
use crate::model::beliefs::Belief;
use crate::model::chance::below;
use crate::model::world::World;

/// Chooses machines by what is believed.
pub(super) struct Greedy {
    belief: Belief,
    /// Tasks and machines that refused them and have not changed since.
    refusals: Vec<(u32, u32)>,
    /// The benefit on an empty machine of each platform.
    empty: Vec<Option<f64>>,
    residents: Vec<u16>,
}

impl Greedy {
    /// With the beliefs of the case.
    pub(super) fn believing(case: &Case) -> Self {
        Self::new(case, case.beliefs)
    }

    /// With the truth.
    pub(super) fn knowing(case: &Case) -> Self {
        Self::new(case, Beliefs::Given { error: 0.0 })
    }

    fn new(case: &Case, beliefs: Beliefs) -> Self {
        Self {
            belief: Belief::new(case, beliefs),
            refusals: Vec::new(),
            empty: Vec::new(),
            residents: Vec::new(),
        }
    }

    /// The machine of greatest benefit, ties at random; none if none has room.
    pub(super) fn choose(
        &mut self,
        world: &mut World<'_>,
        books: &Books,
        task: u32,
    ) -> Option<u32> {
        let job = world.job(task);
        self.empty.clear();
        self.empty.resize(world.case.truth.platforms.len(), None);
        let (mut best, mut most, mut ties) = (None, f64::NEG_INFINITY, 0);
        for machine in books.spare.iter().copied() {
            if !books.room(world, machine, &job.need) || self.refusals.contains(&(task, machine)) {
                continue;
            }
            let platform = world.fleet.host(machine).platform;
            let held = &books.held[machine as usize];
            let benefit = if held.is_empty() {
                let known = &mut self.empty[usize::from(platform)];
                *known.get_or_insert_with(|| self.belief.relative(job.class, platform, []))
            } else {
                self.residents.clear();
                self.residents.extend(held.iter().map(|(_, class)| *class));
                self.belief.benefit(job.class, platform, &self.residents)
            };
            if benefit > most {
                (best, most, ties) = (Some((machine, held.is_empty())), benefit, 1);
            } else if benefit == most && benefit > f64::NEG_INFINITY {
                ties += 1;
                if below(&mut world.rng, ties) == 0 {
                    best = Some((machine, held.is_empty()));
                }
            }
        }
        // On an empty machine nothing is gained only where the task cannot run.
        best.filter(|(_, empty)| !(*empty && most <= 0.0))
            .map(|(machine, _)| machine)
    }

    /// A machine refused a task, which tells something about its class if the machine is empty.
    pub(super) fn refused(&mut self, world: &World<'_>, task: u32, machine: u32) {
        let host = world.fleet.host(machine);
        if host.running.is_empty() {
            self.belief.learn(world.job(task).class, host.platform, 0.0);
        }
        self.refusals.push((task, machine));
    }

    /// Something ended at a machine: it may take now what it refused.
    pub(super) fn changed(&mut self, machine: u32) {
        self.refusals.retain(|(_, refused)| *refused != machine);
    }

    /// How a task ran is seen when it ends.
    pub(super) fn learn(&mut self, world: &World<'_>, task: u32) {
        if let Some((class, platform, rate)) = seen(world, task) {
            self.belief.learn(class, platform, rate);
        }
    }
}

/// A task that ended: its class, the platform, and its mean rate.
pub(super) fn seen(world: &World<'_>, task: u32) -> Option<(u16, u16, f64)> {
    let ended = world.tasks.get(task);
    let time = ended.ended?.checked_sub(ended.started?)?.max(1);
    let platform = world.fleet.host(ended.machine?).platform;
    let rate = world.tasks.work(world.case, task) / time as f64;
    Some((world.job(task).class, platform, rate))
}
