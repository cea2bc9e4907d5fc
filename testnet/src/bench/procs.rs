//! What a process weighs and how much CPU it has had, from `/proc`.

use std::fs;
use std::ops::AddAssign;

/// Clock ticks of `/proc/PID/stat` per second; fixed by Linux's interface on all platforms of ours.
const TICKS: f64 = 100.0;

/// What a process, or several, weigh.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    /// Resident memory in bytes, shared pages counted whole.
    pub(crate) rss: f64,
    /// Resident memory in bytes, each shared page counted by its share.
    pub(crate) pss: f64,
    /// CPU time had so far, in seconds.
    pub(crate) cpu: f64,
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.rss += other.rss;
        self.pss += other.pss;
        self.cpu += other.cpu;
    }
}

/// What a process weighs now; none if it is gone.
pub(crate) fn weigh(pid: u32) -> Option<Weight> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Weight {
        rss: kilobytes(&status, "VmRSS:")?,
        pss: kilobytes(&rollup, "Pss:").unwrap_or_default(),
        cpu: cpu(pid)?,
    })
}

/// CPU time that a process has had, in seconds: user and system, from the scheduler's own count
/// where the kernel tells it (ticks are too coarse for an idle process).
fn cpu(pid: u32) -> Option<f64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let of_thread = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split(' ')
            .next()?
            .parse::<f64>()
            .ok()
            .map(|nanos| nanos / 1e9)
    };
    let exact: Option<f64> = threads.map(|entry| of_thread(entry.path())).sum();
    if let Some(exact) = exact.filter(|exact| *exact > 0.0) {
        return Some(exact);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

fn kilobytes(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_weight() {
        let weight = weigh(std::process::id()).unwrap();
        assert!(weight.rss > 1e5 && weight.cpu >= 0.0, "{weight:?}");
        assert!(weigh(u32::MAX).is_none());
    }
}
