//! What a policy is, and all of them by name.

use std::ops::Range;

use super::events::Note;
use super::world::{Answer, World};
use crate::case::Case;

mod central;
mod choices;
mod dodoor;
mod greedy;
mod jiq;
mod late;
mod names;
mod prequal;
mod sampled;
mod stale;
mod tarcil;

pub use names::{PolicyName, names, parse};
pub(crate) use stale::pause;

/// A scheduling policy: it is told what happens, and acts on the [`World`]. One value plays all
/// schedulers of the fleet, but must keep apart what each of them knows.
pub(super) trait Policy {
    /// Whether one central part schedules all jobs.
    fn central(&self) -> bool {
        false
    }

    /// The run begins.
    fn begin(&mut self, _: &mut World<'_>) {}

    /// A job's tasks come, or one that was lost comes back.
    fn submit(&mut self, world: &mut World<'_>, tasks: Range<u32>);

    /// What a machine answers to a live question about this: its load, and something else.
    fn look(&self, world: &World<'_>, machine: u32, _about: u32) -> (f32, f32) {
        (world.said(machine), 0.0)
    }

    /// All answers to an ask of `from` have come.
    fn answered(&mut self, _: &mut World<'_>, _about: u32, _from: u32, _: &[Answer]) {}

    /// A machine refused a task: it cannot run there.
    fn refused(&mut self, world: &mut World<'_>, task: u32, _machine: u32) {
        self.submit(world, task..task + 1);
    }

    /// A task ended at a machine, which knows it at once.
    fn ended(&mut self, _: &mut World<'_>, _task: u32, _machine: u32) {}

    /// A machine holds room for a job's reservation.
    fn reached(&mut self, world: &mut World<'_>, machine: u32, job: u32) {
        world.release(machine, job);
    }

    /// A job's reservation died with its machine.
    fn hold_lost(&mut self, _: &mut World<'_>, _job: u32) {}

    /// A message of the policy's own arrives, or a timer fires.
    fn note(&mut self, _: &mut World<'_>, _: Note) {}

    /// Schedulers notice that a machine is gone.
    fn gone(&mut self, _: &mut World<'_>, _machine: u32) {}

    /// A machine comes, or comes back, empty.
    fn came(&mut self, _: &mut World<'_>, _machine: u32) {}

    /// The central part died or is back.
    fn centre(&mut self, _: &mut World<'_>, _up: bool) {}

    /// The mean age of what schedulers know of machines, in seconds; not a number if they keep
    /// nothing.
    fn view_age(&self, _: &World<'_>) -> f64 {
        f64::NAN
    }
}

/// How a policy is made for a case.
type Make = fn(&Case) -> Box<dyn Policy>;
