//! The table `[cluster]`: groups of machines, or a file of them.

mod read;

use std::collections::BTreeSet;
use std::time::Duration;

use starling_placement::Resources;

use super::amount;
use super::dice::{Dice, Purpose};
use super::error::{At, ScenarioError};
use crate::case::Machine;

/// The most machines of a scenario.
pub const MOST_MACHINES: u32 = 100_000;

/// The checked table.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    at: At,
    groups: Vec<Group>,
    /// How many machines each group has unless somebody asks for another number.
    counts: Vec<u32>,
    /// The groups are the rows of a file: fewer machines are a random choice of them.
    from_file: bool,
    /// How many rows of the file are wanted.
    rows: Option<u32>,
    /// Names of zones in the order in which they are first named.
    pub(crate) zones: Vec<String>,
    /// Names of platforms; the truth's, if it has any.
    pub(crate) platforms: Vec<String>,
}

/// Machines that are alike.
#[derive(Clone, Debug)]
struct Group {
    at: At,
    /// What its machines are called, before their number.
    name: Option<String>,
    /// Its machines are dealt over these in turn.
    platforms: Vec<u16>,
    zones: Vec<u16>,
    capacity: Resources,
    labels: Vec<(String, String)>,
    nat: bool,
    liar: bool,
    foreign_cpu: u32,
    clock_rate: (f64, f64),
    clock_ahead: (Duration, Duration),
    sync: (Duration, Duration),
    up: bool,
}

/// The machines of a run.
pub(crate) struct Fleet {
    pub(crate) machines: Vec<Machine>,
    /// Each machine's group, as faults name it.
    pub(crate) groups: Vec<Option<String>>,
    pub(crate) zones: Vec<String>,
}

impl Cluster {
    /// Where the table stands.
    pub(crate) const fn at(&self) -> &At {
        &self.at
    }

    /// How many machines there are by default.
    pub(crate) fn size(&self) -> u32 {
        self.rows.unwrap_or_else(|| self.counts.iter().sum())
    }

    /// Counts for another number of machines: each group keeps its part, as near as whole machines
    /// allow.
    fn scaled(&self, nodes: u32) -> Vec<u32> {
        let total: u64 = self.counts.iter().copied().map(u64::from).sum();
        if total == 0 {
            return self.counts.clone();
        }
        deal(
            nodes,
            &self
                .counts
                .iter()
                .map(|n| u64::from(*n))
                .collect::<Vec<_>>(),
        )
    }

    /// Every row as often as `nodes` allows, and some of them once more by chance.
    fn chosen(&self, nodes: u32, dice: &mut Dice) -> Vec<u32> {
        let rows = self.groups.len();
        let each = nodes as usize / rows;
        let more = nodes as usize % rows;
        let mut order: Vec<usize> = (0..rows).collect();
        dice.shuffle(&mut order, more);
        let mut counts = vec![u32::try_from(each).unwrap_or(u32::MAX); rows];
        for row in order.into_iter().take(more) {
            counts[row] += 1;
        }
        counts
    }

    /// The machines of a run, as many as asked for.
    pub(crate) fn draw(&self, nodes: Option<u32>, seed: u64) -> Result<Fleet, ScenarioError> {
        let mut dice = Dice::new(seed, Purpose::Machines);
        let counts = match nodes.or(self.rows) {
            None => self.counts.clone(),
            Some(nodes) if self.from_file => self.chosen(nodes, &mut dice),
            Some(nodes) => self.scaled(nodes),
        };
        let mut fleet = Fleet {
            machines: Vec::new(),
            groups: Vec::new(),
            zones: self.zones.clone(),
        };
        let mut taken = BTreeSet::new();
        for ((group, count), usual) in self.groups.iter().zip(counts).zip(&self.counts) {
            for i in 0..count {
                let name = match &group.name {
                    None => format!("n{}", fleet.machines.len()),
                    // A machine that is alone by default has no number, however many there are.
                    Some(name) if *usual <= 1 && i == 0 => name.clone(),
                    Some(name) if *usual <= 1 => format!("{name}-{i}"),
                    Some(name) => format!("{name}{i}"),
                };
                if !taken.insert(name.clone()) {
                    return Err(group.at.error(
                        format!("two machines are named `{name}`"),
                        "give each group its own `name`",
                    ));
                }
                fleet.machines.push(group.machine(name, i, &mut dice));
                fleet.groups.push(group.name.clone());
            }
        }
        if fleet.machines.iter().all(|machine| !machine.up) {
            return Err(self.at.error(
                "no machine is up at the start",
                "leave `up = false` out of at least one group",
            ));
        }
        Ok(fleet)
    }
}

impl Group {
    fn machine(&self, name: String, i: u32, dice: &mut Dice) -> Machine {
        let nth = |list: &[u16]| list[i as usize % list.len()];
        let ahead = dice.between(
            self.clock_ahead.0.as_secs_f64(),
            self.clock_ahead.1.as_secs_f64(),
        );
        Machine {
            zone: nth(&self.zones),
            labels: self.labels.clone(),
            nat: self.nat,
            liar: self.liar,
            foreign_cpu: self.foreign_cpu,
            clock_rate: dice.between(self.clock_rate.0, self.clock_rate.1),
            clock_ahead: amount::seconds(ahead).unwrap_or(self.clock_ahead.0),
            sync: self.sync,
            up: self.up,
            ..Machine::new(name, nth(&self.platforms), self.capacity)
        }
    }
}

/// Deals `total` by weights: the largest remainders get what whole parts leave.
fn deal(total: u32, weights: &[u64]) -> Vec<u32> {
    let sum: u128 = weights.iter().copied().map(u128::from).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let part = |weight: &u64| u128::from(total) * u128::from(*weight);
    let mut counts: Vec<u32> = weights
        .iter()
        .map(|weight| u32::try_from(part(weight) / sum).unwrap_or(u32::MAX))
        .collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(part(&weights[*i]) % sum), *i));
    let left = total.saturating_sub(counts.iter().sum());
    for i in order.into_iter().take(left as usize) {
        counts[i] += 1;
    }
    counts
}
