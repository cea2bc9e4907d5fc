//! The world's own agenda: jobs to be submitted, faults to happen, moments to be noted.

use std::collections::BTreeMap;
use std::time::Duration;

use starling_engine::{Command, Input};
use starling_wire::Time;

use super::queue::What;
use super::world::World;
use crate::case::FaultKind;

/// One thing to do.
#[derive(Clone, Debug)]
pub(super) enum Todo {
    /// Submit a job of the case, at this machine or, after so many failed tries, another.
    Submit { job: u32, machine: u32, tries: u32 },
    /// A job that nobody acknowledged by now is submitted again.
    Acknowledged { job: u32, machine: u32, tries: u32 },
    /// Something goes wrong.
    Fault(FaultKind),
    /// Note how things are.
    Moment,
}

/// What is to be done when; equal times keep their order.
#[derive(Default)]
pub(crate) struct Agenda {
    todo: BTreeMap<(Time, u64), Todo>,
    made: u64,
    /// How far apart moments are; none are noted without.
    pub(super) every: Option<Duration>,
    /// Whether something happened that may let nodes hold one another dead that live.
    pub(super) divided: bool,
}

/// A user whose node does not answer tries another after this.
const NO_ANSWER: Duration = Duration::from_secs(5);
/// A user who is refused tries another after this.
const REFUSED: Duration = Duration::from_millis(100);

impl World {
    pub(super) fn plan(&mut self, at: Time, todo: Todo) {
        self.agenda.made += 1;
        self.agenda.todo.insert((at, self.agenda.made), todo);
        // The agenda belongs to no daemon: whether one lives does not matter.
        self.push(at, 0, What::Agenda);
    }

    pub(super) fn do_agenda(&mut self) {
        while let Some(entry) = self.agenda.todo.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            match entry.remove() {
                Todo::Submit {
                    job,
                    machine,
                    tries,
                } => self.submit_case(job, machine, tries),
                Todo::Acknowledged {
                    job,
                    machine,
                    tries,
                } => {
                    if !self.fates.is_acknowledged(job) {
                        self.submit_elsewhere(job, machine, tries, Duration::ZERO);
                    }
                }
                Todo::Fault(fault) => {
                    self.trace.remark(self.now, &format!("fault: {fault:?}"));
                    self.apply(&fault);
                }
                Todo::Moment => {
                    self.note_moment();
                    if let Some(every) = self.agenda.every {
                        self.plan(self.now + every, Todo::Moment);
                    }
                }
            }
        }
    }

    fn submit_case(&mut self, job: u32, machine: u32, tries: u32) {
        if tries == 0 {
            self.fates.came(job);
        }
        let at = self.order[machine as usize];
        let down = self.machines.at(at).engine.is_none();
        if down {
            return self.submit_elsewhere(job, machine, tries, REFUSED);
        }
        let request = self.fates.submitted(job, machine, tries);
        let Some(spec) = self.spec_of(job) else {
            return;
        };
        let command = Command::Submit(Box::new(spec));
        let input = Input::Command { request, command };
        self.push(self.now, at, What::Input(input));
        let todo = Todo::Acknowledged {
            job,
            machine,
            tries,
        };
        self.plan(self.now + NO_ANSWER, todo);
    }

    /// The next machine in order: as good as any, and the same in every run.
    pub(super) fn submit_elsewhere(&mut self, job: u32, machine: u32, tries: u32, pause: Duration) {
        let count = u32::try_from(self.machines.len()).unwrap_or(1);
        let todo = Todo::Submit {
            job,
            machine: (machine + 1) % count,
            tries: tries + 1,
        };
        self.plan(self.now + pause, todo);
    }

    fn apply(&mut self, fault: &FaultKind) {
        self.agenda.divided |= matches!(
            fault,
            FaultKind::Pause { .. }
                | FaultKind::Cut { .. }
                | FaultKind::Loss(_)
                | FaultKind::Lie { .. }
                | FaultKind::SlowDisk { .. }
        );
        let all = |world: &Self, machines: &[u32]| -> Vec<u32> {
            let index = |machine: &u32| world.order.get(*machine as usize).copied();
            machines.iter().filter_map(index).collect()
        };
        match fault {
            FaultKind::Crash { machines, tasks } => {
                for at in all(self, machines) {
                    if *tasks {
                        self.fates_lost(at);
                    }
                    self.stop_daemon(at, *tasks);
                }
            }
            FaultKind::Boot { machines } => {
                for at in all(self, machines) {
                    if self.machines.at(at).engine.is_none() {
                        self.boot_at(at);
                    }
                }
            }
            FaultKind::Leave { machines } => {
                for at in all(self, machines) {
                    let command = Command::Leave;
                    let request = self.fates.unheeded();
                    let input = Input::Command { request, command };
                    self.push(self.now, at, What::Input(input));
                }
            }
            FaultKind::Pause { machines, length } => {
                for at in all(self, machines) {
                    self.machines.at_mut(at).paused = self.now + *length;
                }
            }
            FaultKind::Cut { from, to, one_way } => {
                let (from, to) = (all(self, from), all(self, to));
                self.network.cut_one_way(&from, &to);
                if !one_way {
                    self.network.cut_one_way(&to, &from);
                }
            }
            FaultKind::Heal => self.network.heal(),
            FaultKind::Loss(share) => self.network.loss = *share,
            FaultKind::SlowDisk { machines, factor } => {
                for at in all(self, machines) {
                    self.machines.at_mut(at).slow_disk = *factor;
                }
            }
            FaultKind::Lie { machines, on } => {
                for at in all(self, machines) {
                    self.machines.at_mut(at).lies = *on;
                }
            }
            FaultKind::Foreign { machines, cpu } => {
                for at in all(self, machines) {
                    self.machines.at_mut(at).foreign_cpu = *cpu;
                    self.read_sensors(at);
                }
            }
            // There is none.
            FaultKind::CentreDies | FaultKind::CentreReturns => {}
        }
    }
}
