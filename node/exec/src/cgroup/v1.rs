//! Control groups of version 1: one hierarchy per controller, any group may hold processes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cpu_quota;
use super::place::Place;

/// The file that counts the kernel's kills.
pub(super) const KILLS: &str = "memory.oom_control";

/// Makes the group below which tasks get theirs.
pub(super) fn prepare(place: &Place, base: &str) -> Result<PathBuf, String> {
    let dir = place.own.join(base);
    fs::create_dir_all(&dir).map_err(|error| format!("`{}`: {error}", dir.display()))?;
    Ok(dir)
}

/// Limits the group to `millis` thousandths of a core.
pub(super) fn limit_cpu(dir: &Path, millis: u32) -> io::Result<()> {
    let (quota, period) = cpu_quota(millis);
    fs::write(dir.join("cpu.cfs_period_us"), period.to_string())?;
    fs::write(dir.join("cpu.cfs_quota_us"), quota.to_string())
}

/// Limits the group to `bytes` of memory, and of memory and swap together where that is counted.
pub(super) fn limit_memory(dir: &Path, bytes: u64) -> io::Result<()> {
    fs::write(dir.join("memory.limit_in_bytes"), bytes.to_string())?;
    let swap = dir.join("memory.memsw.limit_in_bytes");
    if swap.exists() {
        fs::write(swap, bytes.to_string())?;
    }
    Ok(())
}
