//! The few lines of `/proc` that the runner and the sensors need, parsed without a library.

use std::fs;
use std::path::Path;

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Its parent.
    pub(crate) parent: u32,
    /// Its process group.
    pub(crate) group: u32,
    /// Whether it is a zombie, that is over but not yet waited for.
    pub(crate) zombie: bool,
    /// CPU time in clock ticks: its own.
    pub(crate) own_ticks: u64,
    /// CPU time in clock ticks: of its children that ended and were waited for.
    pub(crate) children_ticks: u64,
    /// When it started, in clock ticks since the machine's start: with the pid and the boot id it
    /// names the process for good.
    pub(crate) start: u64,
}

/// Reads the status line of `pid`; none if there is no such process.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(line: &[u8]) -> Option<Stat> {
    // The name is in parentheses and may itself hold anything, parentheses among it.
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
    let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        group: u32::try_from(number(2)?).ok()?,
        zombie: matches!(fields.first(), Some(&("Z" | "X"))),
        own_ticks: number(11)?.saturating_add(number(12)?),
        children_ticks: number(13)?.saturating_add(number(14)?),
        start: number(19)?,
    })
}

/// The identity of this start of the machine; empty where the kernel does not tell.
pub(crate) fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// Every process id there is now.
pub(crate) fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The value of `key` in the lines `key value` of a file.
pub(crate) fn keyed(path: &Path, key: &str) -> Option<u64> {
    keyed_in(&fs::read_to_string(path).ok()?, key)
}

fn keyed_in(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_with_a_hostile_name_is_read() {
        let line =
            b"42 (a) R 1 (b)) S 7 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 9876 1 2\n";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.parent, stat.group, stat.start), (7, 42, 9876));
        assert_eq!(
            (stat.own_ticks, stat.children_ticks, stat.zombie),
            (30, 70, false)
        );
    }

    #[test]
    fn a_short_status_line_is_none() {
        for text in ["", "1 (x", "1 (x) S 1", "1 (x) S a b c"] {
            assert_eq!(parse_stat(text.as_bytes()), None);
        }
    }

    #[test]
    fn this_process_is_there() {
        let own = stat(std::process::id()).unwrap();
        assert!(own.start > 0 && !own.zombie);
        assert!(pids().contains(&std::process::id()));
    }

    #[test]
    fn a_keyed_value_is_found_by_its_whole_key() {
        let text = "oom 1\noom_kill 3\noom_kill_group 9\n";
        assert_eq!(keyed_in(text, "oom_kill"), Some(3));
        assert_eq!(keyed_in(text, "none"), None);
    }
}
