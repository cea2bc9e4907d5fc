//! The one place where the daemon reads the clock: microseconds since 1970 that never go back
//! while it runs, whatever happens to the machine's wall clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use starling_wire::Time;

/// The daemon's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    offset: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        // A machine whose clock stands before 1970 counts from there.
        let offset = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            offset,
        }
    }

    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.offset + self.started.elapsed()
    }

    /// The machine's monotonic clock at a time to come, in nanoseconds, rather too early than too
    /// late.
    pub(crate) fn monotonic(&self, time: Time) -> u64 {
        let now = starling_exec::monotonic();
        let left = u64::try_from(time.since(self.now()).as_nanos()).unwrap_or(u64::MAX);
        now.saturating_add(left)
    }

    /// The runtime's instant for a time; the past is now.
    pub(crate) fn instant(&self, time: Time) -> tokio::time::Instant {
        tokio::time::Instant::now() + time.since(self.now())
    }
}
