//! What the runner must do later: kill a task whose grace is over, stop waiting for output, try a
//! start again. One ordered map; a timer whose reason is gone is found out when it fires.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Key;

/// Why the runner wakes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A stopped task's grace is over.
    Kill(Key),
    /// A task's lease may be over.
    Lease(Key),
    /// A task that is over has had its time to hand over output.
    Drain(Key),
    /// A start that failed for want of something passing is to be tried again.
    Retry(Key),
    /// Spare working directories have been of no use.
    Tidy,
}

/// The pending timers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    pending: BTreeMap<(Instant, u64), Timer>,
    made: u64,
}

impl Timers {
    /// Adds a timer that fires `after` this time from `now`.
    pub(super) fn add(&mut self, now: Instant, after: Duration, timer: Timer) {
        self.made += 1;
        self.pending.insert((now + after, self.made), timer);
    }

    /// When the next one fires.
    pub(super) fn next(&self) -> Option<Instant> {
        self.pending.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next one out if its time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.pending.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_wire::{JobId, TaskId};

    #[test]
    fn timers_fire_in_order_and_not_early() {
        let now = crate::clock::now();
        let key = |index| {
            (
                TaskId {
                    job: JobId(1),
                    index,
                },
                1,
            )
        };
        let mut timers = Timers::default();
        timers.add(now, Duration::from_secs(2), Timer::Kill(key(2)));
        timers.add(now, Duration::from_secs(1), Timer::Drain(key(1)));
        assert_eq!(timers.due(now), None);
        assert_eq!(timers.next(), Some(now + Duration::from_secs(1)));
        let later = now + Duration::from_secs(3);
        assert_eq!(timers.due(later), Some(Timer::Drain(key(1))));
        assert_eq!(timers.due(later), Some(Timer::Kill(key(2))));
        assert_eq!(timers.due(later), None);
    }
}
