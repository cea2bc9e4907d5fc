//! How loaded this node is: exact for those who ask, rough for gossip.

use starling_placement::{Pressure, Resources};
use starling_wire::Load;

use super::{Host, MAX_HELD};
use crate::engine::Ctx;
use crate::input::HostSample;

/// The most tasks that one answer offers room for.
const MAX_ROOM: u32 = 1_024;

impl Host {
    pub(crate) fn sample(&mut self, sample: HostSample) {
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

    /// How many tasks with `need` would be accepted now.
    pub(super) fn room(&self, need: &Resources, ctx: &Ctx<'_>) -> u32 {
        if self.draining {
            return 0;
        }
        let most = u32::try_from(MAX_HELD.saturating_sub(self.held.len())).unwrap_or(MAX_ROOM);
        self.free(&ctx.gossip.my_fixed().capacity)
            .room_for(need, MAX_ROOM.min(most))
    }

    /// This node's load, exact.
    pub(super) fn load(&self, capacity: &Resources) -> Load {
        Load {
            free: self.free(capacity),
            idle_cpu: capacity.cpu.saturating_sub(self.cpu_used),
            running: self.running,
            queue: u32::try_from(self.waiters.len()).unwrap_or(u32::MAX),
            pressure: self
                .sample
                .map(|sample| sample.pressure)
                .unwrap_or_default(),
            draining: self.draining,
        }
    }

    /// This node's load as gossip tells it: rounded, so that an idle node has nothing new to say.
    pub(crate) fn rough_load(&self, capacity: &Resources) -> Load {
        let load = self.load(capacity);
        Load {
            free: Resources {
                cpu: load.free.cpu,
                memory: floor_to(load.free.memory, capacity.memory / 64),
                disk: floor_to(load.free.disk, capacity.disk / 64),
            },
            idle_cpu: u32::try_from(floor_to(load.idle_cpu.into(), (capacity.cpu / 16).into()))
                .unwrap_or(load.idle_cpu),
            pressure: rough_pressure(load.pressure),
            ..load
        }
    }
}

const fn floor_to(value: u64, step: u64) -> u64 {
    if step == 0 {
        value
    } else {
        value - value % step
    }
}

fn rough_pressure(pressure: Pressure) -> Pressure {
    <[u8; 4]>::from(pressure).map(|value| value & 0xf0).into()
}
