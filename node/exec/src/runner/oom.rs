//! Whether the machine's memory was the reason for a SIGKILL that Starling did not send to a task
//! without a memory limit. The kernel counts its kills for the whole machine only; a kill in the
//! last ten to twenty seconds is taken as this task's, unless another task has been given it.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::procfs;

/// How long a kill is looked back for, at least.
const WINDOW: Duration = Duration::from_secs(10);

/// Follows the machine's count of out-of-memory kills.
#[derive(Debug)]
pub(super) struct MachineKills {
    /// The count one to two windows ago.
    before: u64,
    /// The count up to one window ago.
    recent: u64,
    refreshed: Instant,
}

impl MachineKills {
    /// Begins to follow.
    pub(super) fn new(now: Instant) -> Self {
        let count = count();
        Self {
            before: count,
            recent: count,
            refreshed: now,
        }
    }

    /// When [`MachineKills::refresh`] should be called, as long as tasks run.
    pub(super) fn next(&self) -> Instant {
        self.refreshed + WINDOW
    }

    /// Moves the window on if it is time.
    pub(super) fn refresh(&mut self, now: Instant) {
        if now < self.next() {
            return;
        }
        let idle = now >= self.next() + WINDOW;
        let count = count();
        self.before = if idle { count } else { self.recent };
        self.recent = count;
        self.refreshed = now;
    }

    /// Whether a kill happened lately that has not been claimed, and claims it.
    pub(super) fn claim(&mut self) -> bool {
        if count() > self.before {
            self.claimed();
            return true;
        }
        false
    }

    /// Notes that a kill is known to be another task's, told by its own counter.
    pub(super) fn claimed(&mut self) {
        self.before += 1;
        self.recent = self.recent.max(self.before);
    }
}

fn count() -> u64 {
    procfs::keyed(Path::new("/proc/vmstat"), "oom_kill").unwrap_or(0)
}
