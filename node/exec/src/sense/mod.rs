//! What the host has and how loaded it is. A sample costs a handful of small reads, whatever the
//! number of processes on the machine; only Starling's own tasks are looked at one by one. sysinfo
//! measures CPU and memory; the file system and the network are asked directly, because sysinfo
//! would ask every mount and every interface.

mod limits;
mod network;
mod own;
mod pressure;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use starling_placement::resources::Pressure;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::client::RunnerPid;
use crate::clock;
use limits::Limits;
use network::Network;
use own::OwnCpu;
use pressure::Stalls;

/// Samples closer together than this repeat the one before: the counters are too coarse.
const LEAST_INTERVAL: Duration = Duration::from_millis(200);

/// How loaded the host is. CPU in millicores (1000 is one core), all else in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostSample {
    /// The CPU there is, within the limits of this process's control group and CPU set.
    pub cpu_total_millis: u32,
    /// The CPU used by everything since the sample before.
    pub cpu_used_millis: u32,
    /// The CPU used by Starling's tasks since the sample before: the runner and all processes
    /// below it. The difference is foreign load.
    pub own_cpu_used_millis: u32,
    /// The memory there is, within the limits of this process's control group.
    pub memory_total: u64,
    /// The memory that could be had without swapping.
    pub memory_available: u64,
    /// The size of the data directory's file system.
    pub disk_total: u64,
    /// What is free of it for this user.
    pub disk_free: u64,
    /// How hard each resource is pressed, in 1/255.
    pub pressure: Pressure,
}

/// What does not change while the machine runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// The instruction set, for example `x86_64` or `aarch64`.
    pub arch: String,
    /// The operating system, for example `linux`.
    pub os: String,
    /// What the processor calls itself; empty if it does not.
    pub cpu_model: String,
    /// The cores there are for this process, rounded down but at least one.
    pub cores: u32,
    /// The memory there is for this process, in bytes.
    pub memory: u64,
    /// The size of the data directory's file system, in bytes.
    pub disk: u64,
    /// The machine's name; empty if it has none.
    pub host_name: String,
}

/// Measures the host; one per daemon, asked about once per second.
#[derive(Debug)]
pub struct Sensor {
    data_dir: PathBuf,
    runner: RunnerPid,
    /// None on a system that sysinfo does not know.
    system: Option<System>,
    limits: Limits,
    own: OwnCpu,
    stalls: Stalls,
    network: Network,
    taken: Instant,
    last: HostSample,
}

impl Sensor {
    /// A sensor for the host, and for the file system of `data_dir`. `runner` tells whose CPU is
    /// Starling's own, see [`crate::Processes::runner_pid`].
    pub fn new(data_dir: &Path, runner: RunnerPid) -> Self {
        let system = System::new_with_specifics(refreshed()).ok();
        let limits = Limits::of_this_process(system.as_ref().map_or(1, |it| it.cpus().len()));
        Self {
            data_dir: data_dir.to_owned(),
            runner,
            system,
            limits,
            own: OwnCpu::default(),
            stalls: Stalls::new(),
            network: Network::new(),
            taken: clock::now(),
            last: HostSample::default(),
        }
    }

    /// Measures. CPU, stalls and network count since the call before, the first time since
    /// [`Sensor::new`].
    pub fn sense(&mut self) -> HostSample {
        let elapsed = self.taken.elapsed();
        if elapsed < LEAST_INTERVAL && self.last.memory_total > 0 {
            return self.last;
        }
        self.taken = clock::now();
        if let Some(system) = &mut self.system {
            system.refresh_specifics(refreshed());
        }
        let cpu_total = self.limits.cpu_millis();
        let cpu_used = self.cpu_used(cpu_total, elapsed);
        let (memory_total, memory_available) = self.memory();
        let (disk_total, disk_free) = self.disk();
        let busy = Pressure {
            cpu: share(u64::from(cpu_used), u64::from(cpu_total)),
            memory: share(memory_total - memory_available, memory_total),
            io: 0,
            network: self.network.pressure(elapsed),
        };
        self.last = HostSample {
            cpu_total_millis: cpu_total,
            cpu_used_millis: cpu_used,
            own_cpu_used_millis: self.own.millis(self.runner.get(), elapsed).min(cpu_used),
            memory_total,
            memory_available,
            disk_total,
            disk_free,
            pressure: self.stalls.over(elapsed, busy),
        };
        self.last
    }

    /// The facts about the host.
    pub fn facts(&self) -> HostFacts {
        let model = self.cpus().first().map(|cpu| cpu.brand().trim().to_owned());
        HostFacts {
            arch: std::env::consts::ARCH.to_owned(),
            os: std::env::consts::OS.to_owned(),
            cpu_model: model.unwrap_or_default(),
            cores: (self.limits.cpu_millis() / 1000).max(1),
            memory: self.memory().0,
            disk: self.disk().0,
            host_name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
        }
    }

    /// Under a CPU quota only what this process's group used counts: others do not use it up.
    fn cpu_used(&mut self, total: u32, elapsed: Duration) -> u32 {
        if let Some(used) = self.limits.group_cpu_millis(elapsed) {
            return used.min(total);
        }
        let cpus = self.cpus();
        let usage: f32 = cpus.iter().map(sysinfo::Cpu::usage).sum();
        let machine = cpus.len().max(1) as f32 * 1000.0;
        // A share of the machine means the same share of what this process may use of it.
        let scale = (total as f32 / machine).min(1.0);
        ((usage * 10.0 * scale).max(0.0) as u32).min(total)
    }

    fn memory(&self) -> (u64, u64) {
        let (total, available) = self.system.as_ref().map_or((0, 0), |system| {
            (system.total_memory(), system.available_memory())
        });
        match self.limits.memory() {
            Some((limit, used)) if limit < total => {
                (limit, limit.saturating_sub(used).min(available))
            }
            _ => (total, available.min(total)),
        }
    }

    fn cpus(&self) -> &[sysinfo::Cpu] {
        self.system.as_ref().map_or(&[], System::cpus)
    }

    fn disk(&self) -> (u64, u64) {
        rustix::fs::statvfs(&self.data_dir).map_or((0, 0), |file_system| {
            let bytes = |blocks: u64| blocks.saturating_mul(file_system.f_frsize);
            (bytes(file_system.f_blocks), bytes(file_system.f_bavail))
        })
    }
}

fn refreshed() -> RefreshKind {
    RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing().with_usage())
        .with_memory(MemoryRefreshKind::nothing().with_ram())
}

/// `part` of `whole` in 1/255.
fn share(part: u64, whole: u64) -> u8 {
    let share = u128::from(part) * 255 / u128::from(whole.max(1));
    u8::try_from(share).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_held_at_its_largest() {
        assert_eq!(
            (share(0, 0), share(1, 2), share(9, 3), share(u64::MAX, 1)),
            (0, 127, 255, 255)
        );
    }

    #[test]
    fn the_host_is_plausible() {
        let dir = std::env::temp_dir();
        let mut sensor = Sensor::new(&dir, RunnerPid::default());
        let facts = sensor.facts();
        assert!(facts.cores > 0 && facts.memory > 1 << 20 && facts.disk > 0);
        assert!(!facts.arch.is_empty() && facts.os == "linux");
        std::thread::sleep(LEAST_INTERVAL);
        let sample = sensor.sense();
        assert!(sample.cpu_total_millis >= 1 && sample.cpu_used_millis <= sample.cpu_total_millis);
        assert!(sample.memory_available <= sample.memory_total);
        assert!(sample.disk_free <= sample.disk_total && sample.own_cpu_used_millis == 0);
        assert_eq!(sensor.sense(), sample);
    }
}
