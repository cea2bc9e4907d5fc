//! Pressure: where the kernel reports the time that tasks stalled for want of a resource
//! (`/proc/pressure`), the share of the last interval in which some did; elsewhere the share of
//! the resource that is in use.

use std::fs;
use std::time::Duration;

use starling_placement::resources::Pressure;

/// Follows the kernel's stall times.
#[derive(Debug)]
pub(super) struct Stalls {
    /// Microseconds stalled so far: CPU, memory, I/O.
    before: [Option<u64>; 3],
}

impl Stalls {
    pub(super) fn new() -> Self {
        Self { before: read() }
    }

    /// The pressure over the time since the call before; `busy` stands in for what the kernel does
    /// not tell.
    pub(super) fn over(&mut self, elapsed: Duration, busy: Pressure) -> Pressure {
        let now = read();
        let stalled = |at: usize, instead: u8| match (now[at], self.before[at]) {
            (Some(now), Some(before)) => {
                let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
                super::share(now.saturating_sub(before), micros)
            }
            _ => instead,
        };
        let pressure = Pressure {
            cpu: stalled(0, busy.cpu),
            memory: stalled(1, busy.memory),
            io: stalled(2, busy.io),
            network: busy.network,
        };
        self.before = now;
        pressure
    }
}

fn read() -> [Option<u64>; 3] {
    ["cpu", "memory", "io"]
        .map(|resource| parse(&fs::read_to_string(format!("/proc/pressure/{resource}")).ok()?))
}

/// The total of the line `some avg10=0.00 avg60=0.00 avg300=0.00 total=123`.
fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.split(' ')
        .find_map(|field| field.strip_prefix("total=")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_some_is_read() {
        let text = "some avg10=1.00 avg60=0.02 avg300=0.60 total=30763623\nfull avg10=0 total=7\n";
        assert_eq!(parse(text), Some(30_763_623));
        assert_eq!(parse("full total=7\n"), None);
        assert_eq!(parse("some total=x\n"), None);
    }

    #[test]
    fn stalls_stand_before_use() {
        let mut stalls = Stalls { before: [None; 3] };
        let busy = Pressure {
            cpu: 9,
            memory: 8,
            io: 7,
            network: 6,
        };
        let told = stalls.over(Duration::from_secs(1), busy);
        assert_eq!(told, busy);
    }
}
