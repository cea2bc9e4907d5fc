//! Leases: a task that must not run twice is killed here when its lease is over, whether or not a
//! daemon is there to renew it.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};
use starling_wire::Outcome;

use super::Key;
use super::core::Runner;
use super::tasks::Entry;
use super::timers::Timer;
use crate::clock::monotonic;

impl Runner {
    /// A task may run until then; a lease is never shortened.
    pub(super) fn lease(&mut self, now: Instant, key: Key, until: u64) {
        if !matches!(
            self.tasks.get(&key),
            Some(Entry::Queued { .. } | Entry::Running(_))
        ) {
            return;
        }
        let fresh = !self.leases.contains_key(&key);
        let held = self.leases.entry(key).or_default();
        *held = until.max(*held);
        // One timer per task: when it fires it looks how far the lease has moved.
        if fresh {
            self.timers.add(now, left(until), Timer::Lease(key));
        }
    }

    /// A lease may be over.
    pub(super) fn lease_due(&mut self, now: Instant, key: Key) {
        let Some(&until) = self.leases.get(&key) else {
            return;
        };
        let left = left(until);
        if !left.is_zero() {
            self.timers.add(now, left, Timer::Lease(key));
            return;
        }
        self.leases.remove(&key);
        match self.tasks.get_mut(&key) {
            Some(Entry::Queued { .. }) => self.end(key, Outcome::Evicted),
            Some(Entry::Running(running)) if running.ended.is_none() => {
                running.stop.get_or_insert(Outcome::Evicted);
                let _ = kill_process_group(running.pid, Signal::KILL);
            }
            _ => {}
        }
    }

    /// Whether a task's lease was over before it began.
    pub(super) fn is_lapsed(&self, key: Key) -> bool {
        let until = self.leases.get(&key);
        until.is_some_and(|until| left(*until).is_zero())
    }
}

fn left(until: u64) -> Duration {
    Duration::from_nanos(until.saturating_sub(monotonic()))
}
