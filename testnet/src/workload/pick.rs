//! Picks what kind of work a job is, and at whose door it arrives.

use super::Home;
use super::draw::Scene;
use crate::case::Machine;
use crate::scenario::amount;
use crate::scenario::dice::{Dice, Purpose, running_sums};
use crate::scenario::error::ScenarioError;

/// Draws classes.
pub(super) struct ClassDice {
    sums: Vec<f64>,
    dice: Dice,
}

impl ClassDice {
    pub(super) fn new(weights: &[f64], scene: Scene<'_>) -> Self {
        Self {
            sums: running_sums(weights.iter().copied()),
            dice: Dice::new(scene.seed, Purpose::Classes),
        }
    }

    pub(super) fn draw(&mut self) -> u16 {
        u16::try_from(self.dice.weighted(&self.sums)).unwrap_or(u16::MAX)
    }
}

/// Draws the machines at which jobs are submitted; only those that are up from the start.
pub(super) struct Homes {
    machines: Vec<u32>,
    sums: Vec<f64>,
    dice: Dice,
}

impl Homes {
    pub(super) fn new(
        home: &Home,
        scene: Scene<'_>,
        purpose: Purpose,
    ) -> Result<Self, ScenarioError> {
        let fleet = scene.fleet;
        let zone = match home {
            Home::Zone(at, name) => {
                let found = fleet.zones.iter().position(|zone| zone == name);
                let known = fleet.zones.iter().map(String::as_str);
                Some(found.ok_or_else(|| {
                    at.error(
                        format!("there is no zone `{name}`"),
                        amount::instead(name, known),
                    )
                })?)
            }
            _ => None,
        };
        let wanted = |machine: &Machine| match home {
            Home::Random | Home::Weighted => machine.up,
            Home::Machine(_, name) => machine.name == *name,
            Home::Zone(..) => machine.up && zone == Some(usize::from(machine.zone)),
        };
        let machines: Vec<u32> = (0..)
            .zip(&fleet.machines)
            .filter(|(_, machine)| wanted(machine))
            .map(|(i, _)| i)
            .collect();
        match home {
            Home::Machine(at, name) if machines.is_empty() => {
                let known = fleet.machines.iter().map(|machine| machine.name.as_str());
                return Err(at.error(
                    format!("there is no machine `{name}`"),
                    amount::instead(name, known),
                ));
            }
            Home::Zone(at, name) if machines.is_empty() => {
                return Err(at.error(
                    format!("no machine of the zone `{name}` is up at the start"),
                    "name another zone",
                ));
            }
            _ => {}
        }
        let weight = |i: &u32| match home {
            Home::Weighted => f64::from(fleet.machines[*i as usize].capacity.cpu),
            _ => 1.0,
        };
        Ok(Self {
            sums: running_sums(machines.iter().map(weight)),
            machines,
            dice: Dice::new(scene.seed, purpose),
        })
    }

    pub(super) fn draw(&mut self) -> u32 {
        let i = self.dice.weighted(&self.sums);
        self.machines.get(i).copied().unwrap_or(0)
    }
}
