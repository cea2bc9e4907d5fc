//! Machines of the model: what they hold and run, and which of them are known to be there.

use std::collections::VecDeque;

use starling_placement::Resources;

use crate::case::{Case, Machine};

/// Marks a queue entry as a job's reservation instead of a task.
pub(super) const HOLD: u32 = 1 << 31;

/// An amount of each resource, wide enough for any queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    cpu: u64,
    memory: u64,
    disk: u64,
}

impl Amount {
    pub(super) fn add(&mut self, each: &Resources) {
        self.cpu += u64::from(each.cpu);
        self.memory = self.memory.saturating_add(each.memory);
        self.disk = self.disk.saturating_add(each.disk);
    }

    pub(super) fn take(&mut self, each: &Resources) {
        self.cpu = self.cpu.saturating_sub(u64::from(each.cpu));
        self.memory = self.memory.saturating_sub(each.memory);
        self.disk = self.disk.saturating_sub(each.disk);
    }

    /// The greatest share over the resources.
    pub(super) fn share(&self, of: &Resources) -> f64 {
        let share = |used: u64, of: u64| {
            if used == 0 {
                0.0
            } else {
                used as f64 / of as f64
            }
        };
        share(self.cpu, u64::from(of.cpu))
            .max(share(self.memory, of.memory))
            .max(share(self.disk, of.disk))
    }

    /// The amounts as numbers: CPU in millicores, memory and disk in bytes.
    pub(super) fn numbers(&self) -> [f64; 3] {
        [self.cpu as f64, self.memory as f64, self.disk as f64]
    }

    /// Whether this much used of a capacity leaves room for a need.
    pub(super) fn leaves(&self, capacity: &Resources, need: &Resources) -> bool {
        let fits = |used: u64, need: u64, of: u64| used.saturating_add(need) <= of;
        fits(self.cpu, u64::from(need.cpu), u64::from(capacity.cpu))
            && fits(self.memory, need.memory, capacity.memory)
            && fits(self.disk, need.disk, capacity.disk)
    }
}

/// A task that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) task: u32,
    pub(super) class: u16,
    /// Its own factor on the rate.
    pub(super) noise: f64,
    /// Work left, in nanoseconds at rate 1, as of `since`; infinite for a service.
    pub(super) left: f64,
    pub(super) rate: f64,
    pub(super) since: u64,
}

/// A machine.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) platform: u16,
    pub(super) up: bool,
    pub(super) liar: bool,
    /// How often it went down.
    pub(super) life: u32,
    pub(super) capacity: Resources,
    /// What running tasks and held room take.
    pub(super) used: Amount,
    /// That, and what waits in the queue.
    pub(super) load: Amount,
    pub(super) running: Vec<Run>,
    /// Tasks, and jobs' reservations marked by [`HOLD`].
    pub(super) queue: VecDeque<u32>,
    /// Jobs that room is held for until the answer to the pull comes.
    pub(super) pulls: Vec<u32>,
    /// How often what runs here has changed.
    pub(super) version: u32,
}

impl Host {
    fn new(machine: &Machine) -> Self {
        Self {
            platform: machine.platform,
            up: machine.up,
            liar: machine.liar,
            life: 0,
            capacity: machine.capacity,
            used: Amount::default(),
            load: Amount::default(),
            running: Vec::new(),
            queue: VecDeque::new(),
            pulls: Vec::new(),
            version: 0,
        }
    }

    /// Whether there is room for a task now.
    pub(super) fn room(&self, need: &Resources) -> bool {
        self.used.leaves(&self.capacity, need)
    }

    /// The classes that run here.
    pub(super) fn residents(&self) -> impl Iterator<Item = u16> + Clone {
        self.running.iter().map(|run| run.class)
    }
}

/// All machines.
#[derive(Clone, Debug)]
pub(super) struct Fleet {
    pub(super) hosts: Vec<Host>,
    /// What each says: `(running + queued need) / capacity`, the greatest over the resources; a
    /// liar says 0.
    pub(super) said: Vec<f32>,
    /// Machines that schedulers believe to be there, in no order that means anything.
    pub(super) members: Vec<u32>,
    /// Where each stands in `members`.
    place: Vec<Option<u32>>,
    /// Every machine could hold any task of the case if it were empty.
    pub(super) any_fits: bool,
}

impl Fleet {
    pub(super) fn new(case: &Case) -> Self {
        let hosts: Vec<Host> = case.machines.iter().map(Host::new).collect();
        let mut least = case
            .machines
            .first()
            .map_or_else(Resources::default, |m| m.capacity);
        for machine in &case.machines {
            least.cpu = least.cpu.min(machine.capacity.cpu);
            least.memory = least.memory.min(machine.capacity.memory);
            least.disk = least.disk.min(machine.capacity.disk);
        }
        let mut fleet = Self {
            said: vec![0.0; hosts.len()],
            members: Vec::new(),
            place: vec![None; hosts.len()],
            any_fits: case.jobs.iter().all(|job| job.need.fits(&least)),
            hosts,
        };
        for machine in 0..fleet.hosts.len() as u32 {
            if fleet.host(machine).up {
                fleet.join(machine);
            }
        }
        fleet
    }

    pub(super) fn host(&self, machine: u32) -> &Host {
        &self.hosts[machine as usize]
    }

    pub(super) fn host_mut(&mut self, machine: u32) -> &mut Host {
        &mut self.hosts[machine as usize]
    }

    pub(super) fn is_member(&self, machine: u32) -> bool {
        self.place[machine as usize].is_some()
    }

    /// Schedulers learn that a machine is there.
    pub(super) fn join(&mut self, machine: u32) {
        if !self.is_member(machine) {
            self.place[machine as usize] = Some(self.members.len() as u32);
            self.members.push(machine);
        }
    }

    /// Schedulers learn that a machine is not there.
    pub(super) fn part(&mut self, machine: u32) {
        let Some(place) = self.place[machine as usize].take() else {
            return;
        };
        self.members.swap_remove(place as usize);
        if let Some(moved) = self.members.get(place as usize) {
            self.place[*moved as usize] = Some(place);
        }
    }

    /// Something comes to a machine to run or wait.
    pub(super) fn load(&mut self, machine: u32, need: &Resources) {
        self.host_mut(machine).load.add(need);
        self.rescore(machine);
    }

    /// Something that ran or waited leaves a machine.
    pub(super) fn unload(&mut self, machine: u32, need: &Resources) {
        self.host_mut(machine).load.take(need);
        self.rescore(machine);
    }

    /// Room is taken for what runs or is about to.
    pub(super) fn take(&mut self, machine: u32, need: &Resources) {
        self.host_mut(machine).used.add(need);
    }

    /// Room is free again.
    pub(super) fn free(&mut self, machine: u32, need: &Resources) {
        self.host_mut(machine).used.take(need);
    }

    /// Nothing is left on a machine.
    pub(super) fn clear(&mut self, machine: u32) {
        let host = self.host_mut(machine);
        host.used = Amount::default();
        host.load = Amount::default();
        self.rescore(machine);
    }

    /// A machine begins or ceases to lie.
    pub(super) fn lie(&mut self, machine: u32, on: bool) {
        self.host_mut(machine).liar = on;
        self.rescore(machine);
    }

    fn rescore(&mut self, machine: u32) {
        let host = self.host(machine);
        self.said[machine as usize] = if host.liar {
            0.0
        } else {
            host.load.share(&host.capacity) as f32
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_and_go() {
        let machines: Vec<Machine> = (0..4)
            .map(|i| Machine::new(format!("n{i}"), 0, Resources::default()))
            .collect();
        let hosts: Vec<Host> = machines.iter().map(Host::new).collect();
        let mut fleet = Fleet {
            said: vec![0.0; 4],
            members: Vec::new(),
            place: vec![None; 4],
            any_fits: true,
            hosts,
        };
        (0..4).for_each(|i| fleet.join(i));
        fleet.join(2);
        fleet.part(1);
        fleet.part(1);
        fleet.part(3);
        assert_eq!(fleet.members, [0, 2]);
        assert!(fleet.is_member(2) && !fleet.is_member(3));
        fleet.part(2);
        fleet.join(3);
        assert_eq!(fleet.members, [0, 3]);
    }

    #[test]
    fn load_beyond_any_capacity_comes_off_again() {
        let need = Resources {
            cpu: 1_000_000,
            memory: 3,
            disk: 0,
        };
        let mut load = Amount::default();
        (0..10_000).for_each(|_| load.add(&need));
        (0..9_999).for_each(|_| load.take(&need));
        assert_eq!(load.numbers(), [1_000_000.0, 3.0, 0.0]);
        assert_eq!(
            load.share(&Resources {
                cpu: 2_000_000,
                memory: 3,
                disk: 0
            }),
            1.0
        );
    }
}
