//! The CPU time of Starling's tasks: of the runner and everything below it. The runner adopts what
//! its tasks leave behind, so the tree below it is complete, and a process that ended is in the
//! times of the one that waited for it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::procfs;

/// Processes looked at in one sample, at most.
const MAX_PROCESSES: usize = 4096;

/// Follows the CPU time of the tree below a runner.
#[derive(Debug, Default)]
pub(super) struct OwnCpu {
    runner: u32,
    ticks: Option<u64>,
}

impl OwnCpu {
    /// The CPU used since the call before, in millicores; 0 for the first sight of a runner.
    pub(super) fn millis(&mut self, runner: Option<u32>, elapsed: Duration) -> u32 {
        let runner = runner.unwrap_or(0);
        if self.runner != runner {
            *self = Self {
                runner,
                ticks: None,
            };
        }
        if runner == 0 {
            return 0;
        }
        let now = ticks_below(runner);
        // A process that ends while it is being looked at may be missed once; it is there in the
        // next sample, in its parent's times.
        let before = self.ticks.replace(now).unwrap_or(now);
        let used = u128::from(now.saturating_sub(before)) * 1_000_000;
        let per_second = u128::from(rustix::param::clock_ticks_per_second().max(1));
        let millis = used / per_second / elapsed.as_millis().max(1);
        u32::try_from(millis).unwrap_or(u32::MAX)
    }
}

/// The CPU time in clock ticks of a process and all below it, living or waited for.
fn ticks_below(root: u32) -> u64 {
    let mut total = 0_u64;
    let mut waiting = vec![root];
    let mut seen = 0;
    let mut by_parent = None;
    while let Some(pid) = waiting.pop() {
        let Some(stat) = procfs::stat(pid) else {
            continue;
        };
        total = total
            .saturating_add(stat.own_ticks)
            .saturating_add(stat.children_ticks);
        seen += 1;
        if seen >= MAX_PROCESSES {
            break;
        }
        match children(pid) {
            Some(children) => waiting.extend(children),
            // A kernel without these lists: every process is looked at, once per sample.
            None => waiting.extend(
                by_parent
                    .get_or_insert_with(all_by_parent)
                    .remove(&pid)
                    .unwrap_or_default(),
            ),
        }
    }
    total
}

/// The children of every thread of a process; none if the kernel keeps no such list.
fn children(pid: u32) -> Option<Vec<u32>> {
    let mut found = Vec::new();
    let lists = |tid: &str| fs::read_to_string(format!("/proc/{pid}/task/{tid}/children"));
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Some(found);
    };
    for thread in threads.flatten() {
        let Some(tid) = thread.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        match lists(&tid) {
            Ok(text) => found.extend(
                text.split_whitespace()
                    .filter_map(|n| n.parse::<u32>().ok()),
            ),
            Err(_) if thread.path().exists() => return None,
            Err(_) => {}
        }
    }
    Some(found)
}

fn all_by_parent() -> BTreeMap<u32, Vec<u32>> {
    let mut found: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in procfs::pids() {
        if let Some(stat) = procfs::stat(pid) {
            found.entry(stat.parent).or_default().push(pid);
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_time_of_grandchildren_counts() {
        let mut own = OwnCpu::default();
        let me = Some(std::process::id());
        assert_eq!(own.millis(None, Duration::from_secs(1)), 0);
        own.millis(me, Duration::from_secs(1));
        let script = "(while :; do :; done) & sleep 60";
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let listed = children(std::process::id()).unwrap();
        assert!(listed.contains(&child.id()));
        assert!(all_by_parent()[&std::process::id()].contains(&child.id()));
        let begin = crate::clock::now();
        let mut used = 0;
        while used == 0 && begin.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(50));
            used = own.millis(Some(child.id()), Duration::from_millis(50));
        }
        let below = children(child.id()).unwrap();
        for pid in below.into_iter().chain([child.id()]) {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        child.wait().unwrap();
        assert!(used > 0);
    }
}
