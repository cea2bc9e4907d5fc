//! The machine that was measured.

use std::fs;

use serde::Serialize;

/// What a reader must know of the machine to judge the numbers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Host {
    cores: usize,
    model: String,
    memory_bytes: u64,
    kernel: String,
    system: String,
    /// The load averages over 1, 5 and 15 minutes before the first measurement.
    load_before: String,
}

impl Host {
    /// This machine, now.
    pub(crate) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, field: &str, separator: char| {
            let line = text.lines().find(|line| line.starts_with(field));
            let value = line.and_then(|line| line.split_once(separator));
            value.map_or_else(String::new, |(_, value)| {
                value.trim().trim_matches('"').to_owned()
            })
        };
        let memory = after(&read("/proc/meminfo"), "MemTotal", ':');
        let kilobytes: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            model: after(&read("/proc/cpuinfo"), "model name", ':'),
            memory_bytes: kilobytes * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: after(&read("/etc/os-release"), "PRETTY_NAME", '='),
            load_before: load_averages(),
        }
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} cores ({}), {:.1} GiB, {}, Linux {}; load before: {}",
            self.cores,
            self.model,
            self.memory_bytes as f64 / f64::from(1 << 30),
            self.system,
            self.kernel,
            self.load_before
        )
    }
}

fn load_averages() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The load average of the last minute.
pub(crate) fn load() -> f64 {
    load_averages()
        .split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or_default()
}
