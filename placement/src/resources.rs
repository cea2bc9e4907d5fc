//! Resources: what a node has, has left, and a task asks for.

use serde::{Deserialize, Serialize};

/// An amount of each resource. CPU in millicores (1000 = one core), memory and disk in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// CPU in millicores: 1000 is one core's full time.
    #[serde(rename = "c")]
    pub cpu: u32,
    /// Memory in bytes.
    #[serde(rename = "m")]
    pub memory: u64,
    /// Disk in bytes.
    #[serde(rename = "d")]
    pub disk: u64,
}

impl Resources {
    /// Whether `self` fits into `room`, in every resource.
    pub const fn fits(&self, room: &Self) -> bool {
        self.cpu <= room.cpu && self.memory <= room.memory && self.disk <= room.disk
    }

    /// The sum, held at the largest value instead of overflowing.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
            disk: self.disk.saturating_add(other.disk),
        }
    }

    /// The difference, held at zero.
    #[must_use]
    pub const fn minus(&self, other: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
            disk: self.disk.saturating_sub(other.disk),
        }
    }

    /// How many of `each` fit into `self`, at most `limit`.
    pub fn room_for(&self, each: &Self, limit: u32) -> u32 {
        let times = |have: u64, need: u64| have.checked_div(need).unwrap_or(u64::MAX);
        let room = times(u64::from(self.cpu), u64::from(each.cpu))
            .min(times(self.memory, each.memory))
            .min(times(self.disk, each.disk));
        u32::try_from(room).unwrap_or(u32::MAX).min(limit)
    }
}

/// How hard each shared resource of a node is pressed, in 1/255 of saturation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u8; 4]", into = "[u8; 4]")]
pub struct Pressure {
    /// CPU: busy time, or stalled time where the kernel reports it.
    pub cpu: u8,
    /// Memory: used share, or stalled time.
    pub memory: u8,
    /// Disk and block I/O: stalled time.
    pub io: u8,
    /// Network: used share of the fastest link, where known.
    pub network: u8,
}

/// The shared resources, in the order of [`Pressure`].
pub const RESOURCES: [&str; 4] = ["cpu", "memory", "io", "network"];

/// Excess per resource, in the order of [`RESOURCES`]: by how much longer work takes that needs
/// nothing else, as a share of its time alone. Where work is stalled for a share `p` of the time, it
/// takes `1 / (1 - p)` times as long: an excess of `p / (1 - p)`. Excesses of several tasks add up
/// where pressures, being shares, cannot.
pub type Excess = [f64; 4];

/// Pressure beyond this counts as this: an excess of 16.
const MOST_PRESSURE: u8 = 240;

/// A pressure's excess in thousandths, 0 to 16,000.
pub fn milli_excess(pressure: u8) -> u32 {
    let pressure = u32::from(pressure.min(MOST_PRESSURE));
    1_000 * pressure / (255 - pressure)
}

/// A pressure's excess.
pub fn excess(pressure: u8) -> f64 {
    f64::from(milli_excess(pressure)) / 1e3
}

impl From<[u8; 4]> for Pressure {
    fn from([cpu, memory, io, network]: [u8; 4]) -> Self {
        Self {
            cpu,
            memory,
            io,
            network,
        }
    }
}

impl From<Pressure> for [u8; 4] {
    fn from(pressure: Pressure) -> Self {
        [pressure.cpu, pressure.memory, pressure.io, pressure.network]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some() -> impl Strategy<Value = Resources> {
        (0u32..10_000, 0u64..1 << 40, 0u64..1 << 40).prop_map(|(cpu, memory, disk)| Resources {
            cpu,
            memory,
            disk,
        })
    }

    proptest! {
        #[test]
        fn what_room_for_counts_does_fit(room in some(), each in some()) {
            let n = room.room_for(&each, 50);
            let mut taken = Resources::default();
            for _ in 0..n {
                taken = taken.plus(&each);
            }
            prop_assert!(taken.fits(&room));
            if n < 50 {
                prop_assert!(!taken.plus(&each).fits(&room));
            }
        }

        #[test]
        fn plus_and_minus_undo_each_other(a in some(), b in some()) {
            prop_assert_eq!(a.plus(&b).minus(&b), a);
        }
    }

    #[test]
    fn nothing_asked_fits_up_to_the_limit() {
        assert_eq!(Resources::default().room_for(&Resources::default(), 7), 7);
    }
}
