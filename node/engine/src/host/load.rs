//! How loaded this node is: exact for those who ask, rough for gossip.

use starling_placement::{ClassId, Mix, Pressure, Resources};
use starling_wire::{Load, NodeId, Time};

use super::{Host, MAX_HELD};
use crate::engine::Ctx;
use crate::input::HostSample;

/// The most tasks that one answer offers room for.
const MAX_ROOM: u32 = 1_024;

impl Host {
    pub(crate) fn sample(&mut self, sample: HostSample, now: Time) {
        self.measured
            .extend(self.pressed.sample(sample.pressure, now));
        // Half of the old value stays, so that one busy reading does not drive work away.
        self.cpu_used = match self.sample {
            None => sample.cpu_used,
            Some(_) => self.cpu_used / 2 + sample.cpu_used / 2,
        };
        self.sample = Some(sample);
    }

    /// What a claim may take now: what is not reserved, and of memory and disk no more than the
    /// machine has left.
    pub(super) fn free(&self, capacity: &Resources) -> Resources {
        let mut free = capacity.minus(&self.reserved);
        if let Some(sample) = &self.sample {
            free.memory = free.memory.min(sample.memory_available);
            free.disk = free.disk.min(sample.disk_free);
        }
        free
    }

    /// What a claim of `owner` may take: room offered to others is kept for them.
    pub(super) fn free_for(&self, owner: NodeId, capacity: &Resources) -> Resources {
        let others = self.offered.iter().filter(|(other, _)| **other != owner);
        others.fold(self.free(capacity), |free, (_, offered)| {
            free.minus(offered)
        })
    }

    /// How many tasks with `need` would be accepted now.
    pub(super) fn room(&self, owner: NodeId, need: &Resources, ctx: &Ctx<'_>) -> u32 {
        if self.draining {
            return 0;
        }
        let most = u32::try_from(MAX_HELD.saturating_sub(self.held.len())).unwrap_or(MAX_ROOM);
        self.free_for(owner, &ctx.gossip.my_fixed().capacity)
            .room_for(need, MAX_ROOM.min(most))
    }

    /// This node's load as an owner is told it: exact, without the room that others were offered.
    pub(super) fn load_for(&self, owner: NodeId, capacity: &Resources) -> Load {
        Load {
            free: self.free_for(owner, capacity),
            ..self.load(capacity)
        }
    }

    /// This node's load as those are told it who did not ask: without any room that was offered.
    pub(super) fn load_untaken(&self, capacity: &Resources) -> Load {
        let free = self.free(capacity);
        let untaken = self.offered.values();
        Load {
            free: untaken.fold(free, |free, offered| free.minus(offered)),
            ..self.load(capacity)
        }
    }

    /// This node's load, exact.
    pub(super) fn load(&self, capacity: &Resources) -> Load {
        Load {
            free: self.free(capacity),
            idle_cpu: capacity.cpu.saturating_sub(self.cpu_used),
            running: self.running,
            queue: u32::try_from(self.waiters.len()).unwrap_or(u32::MAX),
            waiting: self.waiting,
            mix: self.mix(),
            pressure: self
                .sample
                .map(|sample| sample.pressure)
                .unwrap_or_default(),
            draining: self.draining,
        }
    }

    /// Up to four of the classes that run, the most frequent first, each as often as it runs.
    fn mix(&self) -> Mix {
        let mut classes: Vec<(u32, ClassId)> = self
            .classes
            .iter()
            .map(|(class, count)| (*count, *class))
            .collect();
        classes.sort_unstable_by(|a, b| b.cmp(a));
        let each = classes
            .into_iter()
            .flat_map(|(count, class)| std::iter::repeat_n(class, count as usize));
        Mix::of(each)
    }

    /// This node's load as gossip tells it. Measured values keep what was told last until they are
    /// a good step away from it, so that an idle node has nothing new to say; reservations, which
    /// only work changes, are exact.
    pub(crate) fn rough_load(&mut self, capacity: &Resources) -> Load {
        let exact = self.load(capacity);
        let told = &self.told;
        let sticky = |exact: u64, told: u64, whole: u64| {
            if exact.abs_diff(told) > whole / STEPS {
                exact
            } else {
                told
            }
        };
        let pressure = |exact: u8, told: u8| {
            if exact.abs_diff(told) > PRESSURE_STEP {
                exact
            } else {
                told
            }
        };
        let (now, then) = (exact.pressure, told.pressure);
        self.told = Load {
            free: Resources {
                cpu: exact.free.cpu,
                memory: sticky(exact.free.memory, told.free.memory, capacity.memory),
                disk: sticky(exact.free.disk, told.free.disk, capacity.disk),
            },
            idle_cpu: if exact.idle_cpu.abs_diff(told.idle_cpu) > capacity.cpu / IDLE_STEPS {
                exact.idle_cpu
            } else {
                told.idle_cpu
            },
            pressure: Pressure {
                cpu: pressure(now.cpu, then.cpu),
                memory: pressure(now.memory, then.memory),
                io: pressure(now.io, then.io),
                network: pressure(now.network, then.network),
            },
            ..exact
        };
        self.told
    }
}

/// Free memory and disk are told anew when they have moved by more than one part in so many.
const STEPS: u64 = 32;
/// The same for idle CPU, which moves more.
const IDLE_STEPS: u32 = 8;
/// The same for pressure, in 1/255.
const PRESSURE_STEP: u8 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_of_what_is_measured_are_not_told() {
        let capacity = Resources {
            cpu: 4_000,
            memory: 8 << 30,
            disk: 0,
        };
        let mut host = Host::default();
        let mut told = |cpu_used, memory_available| {
            host.sample(
                HostSample {
                    cpu_used,
                    memory_available,
                    ..HostSample::default()
                },
                Time::ZERO,
            );
            host.rough_load(&capacity)
        };
        let first = told(100, 7 << 30);
        for noise in [130, 60, 300, 0, 250] {
            assert_eq!(told(noise, (7 << 30) + u64::from(noise)), first);
        }
        let (mut last, mut changes) = (first, 0);
        for _ in 0..10 {
            let next = told(4_000, 5 << 30);
            changes += u32::from(next != last);
            last = next;
        }
        assert!(changes <= 4, "{changes} changes on the way to a busy node");
        assert!(
            last.idle_cpu < 600 && last.free.memory == 5 << 30,
            "{last:?}"
        );
    }
}
