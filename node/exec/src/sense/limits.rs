//! What this process may use of the machine: its CPU set, and the CPU quota and memory limit of
//! its control group and those it lies in. In a container these are what the node has.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use crate::cgroup::Hierarchies;
use crate::procfs;

/// The limits, found once; what is used within them is read each time.
#[derive(Debug)]
pub(super) struct Limits {
    cpu_millis: u32,
    /// Where the CPU time of a group with a quota is counted.
    cpu_usage: Option<CpuUsage>,
    /// The limit in bytes and the file that tells what is used of it.
    memory: Option<(u64, PathBuf)>,
}

#[derive(Debug)]
struct CpuUsage {
    read: fn(&Path) -> Option<u64>,
    path: PathBuf,
    micros: Option<u64>,
}

impl Limits {
    /// Those of this process on a machine with this many CPUs.
    pub(super) fn of_this_process(machine_cpus: usize) -> Self {
        let places = Hierarchies::of_this_process();
        let whole = available_parallelism().map_or(machine_cpus, NonZero::get);
        let whole = u32::try_from(whole)
            .unwrap_or(u32::MAX)
            .saturating_mul(1000);
        let quota = quota(&places);
        // The whole cores already respect a quota, rounded down; the quota itself is exact.
        let cpu_millis = match &quota {
            Some((millis, _)) if millis / 1000 <= whole / 1000 => *millis,
            _ => whole,
        };
        let cpu_usage = quota.and_then(|(_, usage)| usage);
        Self {
            cpu_millis: cpu_millis.max(1),
            cpu_usage,
            memory: memory(&places),
        }
    }

    /// The CPU there is, in millicores.
    pub(super) const fn cpu_millis(&self) -> u32 {
        self.cpu_millis
    }

    /// What the group with a quota used since the call before, in millicores; none without one.
    pub(super) fn group_cpu_millis(&mut self, elapsed: Duration) -> Option<u32> {
        let usage = self.cpu_usage.as_mut()?;
        let now = (usage.read)(&usage.path)?;
        let before = usage.micros.replace(now).unwrap_or(now);
        let elapsed = u64::try_from(elapsed.as_micros()).ok()?.max(1);
        u32::try_from(now.saturating_sub(before).saturating_mul(1000) / elapsed).ok()
    }

    /// The memory limit and what is used of it, in bytes.
    pub(super) fn memory(&self) -> Option<(u64, u64)> {
        let (limit, usage) = self.memory.as_ref()?;
        Some((*limit, number(usage).unwrap_or(0)))
    }
}

/// The smallest quota in millicores, and where its group's use is counted.
fn quota(places: &Hierarchies) -> Option<(u32, Option<CpuUsage>)> {
    let newer = places
        .v2()
        .into_iter()
        .flat_map(|place| place.ancestors())
        .filter_map(|dir| {
            let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            let read = |path: &Path| procfs::keyed(path, "usage_usec");
            let usage = CpuUsage {
                read,
                path: dir.join("cpu.stat"),
                micros: None,
            };
            Some((
                millis(quota.parse().ok()?, period.parse().ok()?)?,
                Some(usage),
            ))
        });
    let older = places
        .v1("cpu")
        .into_iter()
        .flat_map(|place| place.ancestors())
        .filter_map(|dir| {
            let quota = number(&dir.join("cpu.cfs_quota_us"))?;
            let period = number(&dir.join("cpu.cfs_period_us"))?;
            // Counted here only where both controllers share a hierarchy, as they mostly do.
            let path = dir.join("cpuacct.usage");
            let read = |path: &Path| Some(number(path)? / 1000);
            let usage = path.exists().then_some(CpuUsage {
                read,
                path,
                micros: None,
            });
            Some((millis(quota, period)?, usage))
        });
    newer.chain(older).min_by_key(|(millis, _)| *millis)
}

fn millis(quota: u64, period: u64) -> Option<u32> {
    let millis = quota.saturating_mul(1000).checked_div(period)?;
    u32::try_from(millis).ok().filter(|millis| *millis > 0)
}

/// The smallest memory limit in bytes, and the file that tells its group's use.
fn memory(places: &Hierarchies) -> Option<(u64, PathBuf)> {
    let newer = places
        .v2()
        .into_iter()
        .flat_map(|place| place.ancestors())
        .filter_map(|dir| Some((number(&dir.join("memory.max"))?, dir.join("memory.current"))));
    let older = places
        .v1("memory")
        .into_iter()
        .flat_map(|place| place.ancestors())
        .filter_map(|dir| {
            let limit = number(&dir.join("memory.limit_in_bytes"))?;
            Some((limit, dir.join("memory.usage_in_bytes")))
        });
    // Version 1 writes "no limit" as the largest number of pages.
    newer
        .chain(older)
        .filter(|(limit, _)| *limit < 1 << 60)
        .min_by_key(|(limit, _)| *limit)
}

/// A file's only number; none if it holds something else, for example `max` or `-1`.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_number_of_millicores() {
        assert_eq!(millis(150_000, 100_000), Some(1500));
        assert_eq!((millis(1, 0), millis(0, 100_000)), (None, None));
    }

    #[test]
    fn this_process_has_cpu() {
        assert!(Limits::of_this_process(2).cpu_millis() >= 1);
    }
}
