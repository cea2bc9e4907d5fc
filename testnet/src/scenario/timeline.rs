//! What goes wrong in a run, in the order of time: faults, their ends and churn, sorted out so that
//! nobody dies twice and a healed cut does not heal another.

use std::collections::BTreeMap;
use std::time::Duration;

use super::churn::Churn;
use super::cluster::Fleet;
use super::dice::{Dice, Purpose};
use super::error::ScenarioError;
use super::fault::{FaultSpec, Kind};
use crate::case::{Fault, FaultKind};

/// A step of the timeline. A step that belongs to an earlier one carries its number.
enum Step {
    Down {
        id: usize,
        what: FaultKind,
    },
    /// Those that the step `id` brought down come back; everybody named, without one.
    Up {
        id: Option<usize>,
        machines: Vec<u32>,
    },
    Cut {
        id: usize,
        what: FaultKind,
    },
    Mend {
        id: usize,
    },
    Other(FaultKind),
}

/// Steps in the order in which they were added.
#[derive(Default)]
struct Steps(Vec<(Duration, Step)>);

impl Steps {
    fn add(&mut self, at: Duration, step: Step) {
        self.0.push((at, step));
    }

    /// Adds a step and, if it ends, the other that ends it.
    fn pair(&mut self, at: Duration, length: Option<Duration>, what: FaultKind, end: FaultKind) {
        self.add(at, Step::Other(what));
        if let Some(length) = length {
            self.add(at.saturating_add(length), Step::Other(end));
        }
    }
}

/// Everything that goes wrong in a run whose workload ends at `end`; `loss` is the network's own.
pub(crate) fn draw(
    faults: &[FaultSpec],
    churn: &Churn,
    fleet: &Fleet,
    loss: f64,
    seed: u64,
    end: Duration,
) -> Result<Vec<Fault>, ScenarioError> {
    let mut dice = Dice::new(seed, Purpose::Faults);
    let mut steps = Steps::default();
    let mut ids = 0..;
    let mut next = || ids.next().unwrap_or(usize::MAX);
    for spec in faults {
        add(spec, fleet, loss, &mut dice, &mut steps, next())?;
    }
    for flap in &churn.flaps {
        let from = flap.who.resolve(fleet, &mut dice)?;
        let to = others(&from, fleet);
        let until = churn.until.unwrap_or(end);
        let mut at = churn.from.saturating_add(flap.every);
        while at < until {
            let (id, what) = (next(), cut(&from, &to, false));
            steps.add(at, Step::Cut { id, what });
            steps.add(at.saturating_add(flap.down), Step::Mend { id });
            at = at.saturating_add(flap.every);
        }
    }
    for outage in churn.outages(fleet.machines.len(), seed, end)? {
        let id = next();
        let machines = vec![outage.machine];
        let what = FaultKind::Crash {
            machines: machines.clone(),
            tasks: churn.tasks,
        };
        steps.add(outage.at, Step::Down { id, what });
        let back = Step::Up {
            id: Some(id),
            machines,
        };
        steps.add(outage.at.saturating_add(outage.down), back);
    }
    Ok(settle(steps, fleet))
}

/// Whether all machines that faults name are there.
pub(crate) fn check(
    faults: &[FaultSpec],
    churn: &Churn,
    fleet: &Fleet,
) -> Result<(), ScenarioError> {
    let mut dice = Dice::new(0, Purpose::Faults);
    for spec in faults {
        add(spec, fleet, 0.0, &mut dice, &mut Steps::default(), 0)?;
    }
    for flap in &churn.flaps {
        flap.who.resolve(fleet, &mut dice)?;
    }
    Ok(())
}

/// Adds one fault of the scenario and its end.
fn add(
    spec: &FaultSpec,
    fleet: &Fleet,
    loss: f64,
    dice: &mut Dice,
    steps: &mut Steps,
    id: usize,
) -> Result<(), ScenarioError> {
    let (at, length) = (spec.at, spec.length);
    let later = length.map(|length| at.saturating_add(length));
    match &spec.kind {
        Kind::Crash { who, .. } | Kind::Leave { who } => {
            let machines = who.resolve(fleet, dice)?;
            if let Some(later) = later {
                let machines = machines.clone();
                let id = Some(id);
                steps.add(later, Step::Up { id, machines });
            }
            let what = match &spec.kind {
                Kind::Crash { tasks, .. } => FaultKind::Crash {
                    machines,
                    tasks: *tasks,
                },
                _ => FaultKind::Leave { machines },
            };
            steps.add(at, Step::Down { id, what });
        }
        Kind::Boot { who } => {
            let machines = who.resolve(fleet, dice)?;
            steps.add(at, Step::Up { id: None, machines });
        }
        Kind::Pause { who, length } => {
            let machines = who.resolve(fleet, dice)?;
            let length = *length;
            steps.add(at, Step::Other(FaultKind::Pause { machines, length }));
        }
        Kind::Cut { who, to, one_way } => {
            let from = who.resolve(fleet, dice)?;
            let to = match to {
                Some(to) => to.resolve(fleet, dice)?,
                None => others(&from, fleet),
            };
            let what = cut(&from, &to, *one_way);
            steps.add(at, Step::Cut { id, what });
            if let Some(later) = later {
                steps.add(later, Step::Mend { id });
            }
        }
        Kind::Heal => steps.add(at, Step::Other(FaultKind::Heal)),
        Kind::Loss(share) => {
            steps.pair(at, length, FaultKind::Loss(*share), FaultKind::Loss(loss));
        }
        Kind::SlowDisk { who, factor } => {
            let machines = who.resolve(fleet, dice)?;
            let slow = |machines, factor| FaultKind::SlowDisk { machines, factor };
            steps.pair(
                at,
                length,
                slow(machines.clone(), *factor),
                slow(machines, 1.0),
            );
        }
        Kind::Lie { who, on } => {
            let machines = who.resolve(fleet, dice)?;
            let lie = |machines, on| FaultKind::Lie { machines, on };
            // Who does so anyway goes on.
            let anyway = |machine: &u32| fleet.machines[*machine as usize].liar == *on;
            let others: Vec<u32> = machines.iter().copied().filter(|m| !anyway(m)).collect();
            steps.pair(at, length, lie(machines, *on), lie(others, !on));
        }
        Kind::Foreign { who, cpu } => {
            let machines = who.resolve(fleet, dice)?;
            if let Some(later) = later {
                let mut usual: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
                for machine in &machines {
                    let cpu = fleet.machines[*machine as usize].foreign_cpu;
                    usual.entry(cpu).or_default().push(*machine);
                }
                for (cpu, machines) in usual {
                    steps.add(later, Step::Other(FaultKind::Foreign { machines, cpu }));
                }
            }
            let cpu = *cpu;
            steps.add(at, Step::Other(FaultKind::Foreign { machines, cpu }));
        }
        Kind::CentreDies => {
            steps.pair(at, length, FaultKind::CentreDies, FaultKind::CentreReturns);
        }
        Kind::CentreReturns => steps.add(at, Step::Other(FaultKind::CentreReturns)),
    }
    Ok(())
}

fn cut(from: &[u32], to: &[u32], one_way: bool) -> FaultKind {
    FaultKind::Cut {
        from: from.to_vec(),
        to: to.to_vec(),
        one_way,
    }
}

/// Everybody who is not named.
fn others(named: &[u32], fleet: &Fleet) -> Vec<u32> {
    let count = u32::try_from(fleet.machines.len()).unwrap_or(u32::MAX);
    (0..count)
        .filter(|i| named.binary_search(i).is_err())
        .collect()
}

/// Goes through the steps in time and keeps what changes anything.
fn settle(steps: Steps, fleet: &Fleet) -> Vec<Fault> {
    let mut steps = steps.0;
    steps.sort_by_key(|(at, _)| *at);
    // Who is down, and by which step: `usize::MAX` since the start.
    let mut down: Vec<Option<usize>> = fleet
        .machines
        .iter()
        .map(|machine| (!machine.up).then_some(usize::MAX))
        .collect();
    let mut cuts: BTreeMap<usize, FaultKind> = BTreeMap::new();
    let mut faults = Vec::new();
    let mut push = |at, what| faults.push(Fault { at, what });
    for (at, step) in steps {
        match step {
            Step::Down { id, mut what } => {
                if let FaultKind::Crash { machines, .. } | FaultKind::Leave { machines } = &mut what
                {
                    machines.retain(|machine| {
                        let state = &mut down[*machine as usize];
                        let was_up = state.is_none();
                        state.get_or_insert(id);
                        was_up
                    });
                    if !machines.is_empty() {
                        push(at, what);
                    }
                }
            }
            Step::Up { id, mut machines } => {
                machines.retain(|machine| {
                    let state = &mut down[*machine as usize];
                    let back = state.is_some() && (id.is_none() || *state == id);
                    if back {
                        *state = None;
                    }
                    back
                });
                if !machines.is_empty() {
                    push(at, FaultKind::Boot { machines });
                }
            }
            Step::Cut { id, what } => {
                cuts.insert(id, what.clone());
                push(at, what);
            }
            Step::Mend { id } => {
                if cuts.remove(&id).is_some() {
                    // A heal heals all: the others are cut again at once.
                    push(at, FaultKind::Heal);
                    for what in cuts.values() {
                        push(at, what.clone());
                    }
                }
            }
            Step::Other(what) => {
                if what == FaultKind::Heal {
                    cuts.clear();
                }
                push(at, what);
            }
        }
    }
    faults
}
