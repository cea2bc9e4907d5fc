//! A simulated machine: an engine, a clock, a disk that forgets what was not synced, and an executor
//! that outlives the daemon.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use starling_engine::{Engine, HeldTask, HostSample};
use starling_wire::{NodeId, NodeStatic, TaskId, Time};

use super::execute::Runs;

/// A machine of the simulated world.
pub struct Machine {
    /// Its node's identity.
    pub node: NodeId,
    /// What its daemon advertises.
    pub fixed: NodeStatic,
    /// Index of its platform in the world's truth.
    pub platform: u16,
    /// The engine, while the daemon runs.
    pub engine: Option<Engine>,
    /// Counts the daemon's lives, so that what was meant for an earlier one does not reach a later.
    pub life: u32,
    /// What is on disk, synced.
    pub disk: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What its executor holds; it outlives the daemon, not the machine.
    pub tasks: BTreeMap<TaskId, Runs>,
    /// CPU in millicores that programs use which Starling did not start.
    pub foreign_cpu: u32,
    /// Until when the daemon is stopped (SIGSTOP): what arrives meanwhile waits.
    pub paused: Time,
    /// It tells others that it is empty.
    pub lies: bool,
    /// How long its disk takes to sync, at least and at most.
    pub sync: (Duration, Duration),
    /// How much longer than that.
    pub slow_disk: f64,
    pub(crate) clock: Clock,
    /// The last reading of its sensors, and how often it was the same again.
    pub(crate) sampled: (HostSample, u32),
    /// When its sensors were last read, while nothing they show changes and nobody reads them.
    pub(crate) unread_since: Option<Time>,
    /// When the next tick is queued for.
    pub(crate) wake: Option<Time>,
    /// Until when the disk is busy with earlier commits.
    pub(crate) disk_free: Time,
}

impl Machine {
    pub(crate) fn new(node: NodeId, fixed: NodeStatic, spec: &crate::case::Machine) -> Self {
        Self {
            node,
            fixed,
            platform: spec.platform,
            engine: None,
            life: 0,
            disk: BTreeMap::new(),
            tasks: BTreeMap::new(),
            foreign_cpu: spec.foreign_cpu,
            paused: Time::ZERO,
            lies: spec.liar,
            sync: spec.sync,
            slow_disk: 1.0,
            clock: Clock::new(spec.clock_ahead, spec.clock_rate),
            sampled: (HostSample::default(), 0),
            unread_since: None,
            wake: None,
            disk_free: Time::ZERO,
        }
    }

    /// The classes of the tasks of a case that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = u16> {
        let runs = self.tasks.values();
        let of_case = runs.filter(|runs| runs.job.is_some() && runs.ended.is_none());
        of_case.map(|runs| runs.class)
    }

    /// What the executor tells a daemon that comes up.
    pub(crate) fn held(&self) -> Vec<HeldTask> {
        self.tasks
            .iter()
            .map(|(task, runs)| HeldTask {
                task: *task,
                epoch: runs.epoch,
                ended: runs.ended.clone(),
                note: runs.note.clone(),
            })
            .collect()
    }
}

/// A machine's clock: ahead of the world's, and faster or slower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    ahead: u64,
    /// Billionths by which it is faster.
    drift: i64,
}

const BILLION: i128 = 1_000_000_000;

impl Clock {
    #[allow(clippy::cast_possible_truncation)] // The scenario bounds the rate.
    fn new(ahead: Duration, rate: f64) -> Self {
        Self {
            ahead: u64::try_from(ahead.as_micros()).unwrap_or(0),
            drift: ((rate - 1.0) * 1e9) as i64,
        }
    }

    /// What it shows at a moment of the world.
    pub(crate) fn at(&self, world: Time) -> Time {
        if self.drift == 0 {
            return Time(world.0.saturating_add(self.ahead));
        }
        let gained = i128::from(world.0) * i128::from(self.drift) / BILLION;
        let shown = i128::from(world.0) + gained + i128::from(self.ahead);
        Time(u64::try_from(shown).unwrap_or(0))
    }

    /// The first moment of the world at which it shows `shown`.
    pub(crate) fn reaches(&self, shown: Time) -> Time {
        let since = shown.0.saturating_sub(self.ahead);
        if self.drift == 0 {
            return Time(since);
        }
        let rate = BILLION + i128::from(self.drift);
        let world = i128::from(since) * BILLION / rate.max(1);
        let mut world = Time(u64::try_from(world).unwrap_or(u64::MAX));
        while self.at(world) < shown && world.0 < u64::MAX {
            world.0 += 1;
        }
        world
    }
}

/// The machines of a world, ordered by their nodes' identities; inside the world they go by index.
pub struct Machines {
    list: Vec<Machine>,
    /// By the first eight bytes of the identity. Only ever looked up in.
    index: HashMap<u64, u32>,
}

impl Machines {
    pub(crate) fn new(mut list: Vec<Machine>) -> Self {
        list.sort_by_key(|machine| machine.node);
        let index = (0..)
            .zip(&list)
            .map(|(at, machine)| (machine.node.head(), at))
            .collect();
        Self { list, index }
    }

    pub(crate) fn find(&self, node: &NodeId) -> Option<u32> {
        let at = *self.index.get(&node.head())?;
        (self.list[at as usize].node == *node).then_some(at)
    }

    pub(crate) fn at(&self, index: u32) -> &Machine {
        &self.list[index as usize]
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Machine {
        &mut self.list[index as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The machine of a node.
    pub fn get(&self, node: &NodeId) -> Option<&Machine> {
        self.find(node).map(|at| self.at(at))
    }

    /// The machine of a node, to be tampered with.
    pub fn get_mut(&mut self, node: &NodeId) -> Option<&mut Machine> {
        self.find(node).map(|at| self.at_mut(at))
    }

    /// All machines, in the order of their nodes' identities.
    pub fn iter(&self) -> std::slice::Iter<'_, Machine> {
        self.list.iter()
    }
}

impl std::ops::Index<&NodeId> for Machines {
    type Output = Machine;

    fn index(&self, node: &NodeId) -> &Machine {
        self.get(node)
            .unwrap_or_else(|| panic!("no machine has node {node:?}"))
    }
}

impl<'a> IntoIterator for &'a Machines {
    type Item = &'a Machine;
    type IntoIter = std::slice::Iter<'a, Machine>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_is_read_backwards_exactly() {
        for rate in [1.0, 1.0001, 0.9995, 1.01] {
            let clock = Clock::new(Duration::from_secs(7), rate);
            for world in [0, 1, 999, 1_000_003, 86_400_000_000] {
                let shown = clock.at(Time(world));
                let back = clock.reaches(shown);
                assert!(back.0 <= world && clock.at(back) == shown, "{rate} {world}");
            }
        }
    }
}
