//! What goes wrong in a run, and what must hold nevertheless.

use super::tasks::State;
use super::world::World;
use super::{Model, fleet};
use crate::case::{Fault, FaultKind};

impl Model<'_> {
    /// A fault happens. Those that the model leaves out do nothing.
    pub(super) fn go_wrong(&mut self, fault: &Fault) {
        let n = self.world.case.machines.len() as u32;
        let known = |machines: &[u32]| -> Vec<u32> {
            machines.iter().copied().filter(|m| *m < n).collect()
        };
        let world = &mut self.world;
        match &fault.what {
            FaultKind::Crash { machines, tasks } => {
                for machine in known(machines) {
                    world.crash(machine, *tasks);
                }
            }
            FaultKind::Boot { machines } => {
                for machine in known(machines) {
                    if !world.fleet.host(machine).up {
                        if world.fleet.is_member(machine) {
                            // It is back before its absence was noticed.
                            world.fleet.part(machine);
                            self.policy.gone(world, machine);
                        }
                        world.fleet.host_mut(machine).up = true;
                        world.fleet.join(machine);
                        self.policy.came(world, machine);
                    }
                }
            }
            FaultKind::Leave { machines } => {
                for machine in known(machines) {
                    if world.fleet.host(machine).up {
                        world.leave(machine);
                        self.policy.gone(world, machine);
                    }
                }
            }
            FaultKind::Lie { machines, on } => {
                for machine in known(machines) {
                    world.fleet.lie(machine, *on);
                }
            }
            FaultKind::CentreDies | FaultKind::CentreReturns => {
                let up = fault.what == FaultKind::CentreReturns;
                world.centre_up = up;
                self.policy.centre(world, up);
            }
            FaultKind::Pause { .. }
            | FaultKind::Cut { .. }
            | FaultKind::Heal
            | FaultKind::Loss(_)
            | FaultKind::SlowDisk { .. }
            | FaultKind::Foreign { .. } => {}
        }
    }
}

/// What must hold at the end: every task is somewhere, and once.
pub(super) fn violations(world: &World<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let mut running = vec![0u32; world.tasks.all.len()];
    let mut queued = vec![0u32; world.tasks.all.len()];
    for (machine, host) in world.fleet.hosts.iter().enumerate() {
        let tasks = host.running.iter().map(|run| run.task);
        tasks.for_each(|task| running[task as usize] += 1);
        for entry in host.queue.iter().filter(|entry| **entry & fleet::HOLD == 0) {
            queued[*entry as usize] += 1;
        }
        if host.used.share(&host.capacity) > 1.0 {
            out.push(format!("machine {machine} runs more than it can hold"));
        }
    }
    let idle = world.events.due().is_none() && world.centre_up;
    for (task, what) in world.tasks.all.iter().enumerate() {
        let expected = match what.state {
            State::Running => (1, 0),
            State::Queued => (0, 1),
            State::Future | State::Pending | State::Ended => (0, 0),
        };
        let name = || {
            format!(
                "task {} of job {}",
                world.tasks.index(task as u32),
                what.job
            )
        };
        if (running[task], queued[task]) != expected {
            out.push(format!("{} is not where it should be", name()));
        }
        if what.state == State::Pending && idle && !world.fleet.members.is_empty() {
            out.push(format!("{} is in nobody's hands", name()));
        }
    }
    out
}
