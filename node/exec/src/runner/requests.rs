//! What the daemon can ask of the runner. Everything can be asked twice.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};
use starling_wire::Outcome;

use super::Key;
use super::core::Runner;
use super::journal::Record;
use super::tasks::Entry;
use super::timers::Timer;
use crate::launch::{Held, Launch};
use crate::protocol::{Event, Request};

/// Tasks held at most, whatever their state.
const MAX_TASKS: usize = 200_000;
/// Ends that wait for their acknowledgement at most; the oldest are forgotten.
const MAX_ENDED: usize = 100_000;
/// Tasks told in one event after a hello.
const HELD_CHUNK: usize = 4096;
/// How long a killed process may take to vanish before the runner leaves without it.
pub(super) const OVERDUE: Duration = Duration::from_secs(1);
/// The longest grace that is honoured.
const MAX_GRACE: Duration = Duration::from_secs(24 * 3600);

impl Runner {
    pub(super) fn carry_out(&mut self, now: Instant, request: Request) {
        match request {
            Request::Hello(settings) => {
                self.janitor
                    .bound_logs(settings.logs_bytes, settings.logs_tasks);
                self.settings = settings;
                self.greet();
            }
            Request::Start(launches) => {
                launches
                    .into_iter()
                    .for_each(|launch| self.take(now, launch));
            }
            Request::Stop(task, epoch, outcome) => self.stop(now, (task, epoch), outcome),
            Request::Lease(leases) => {
                for (task, epoch, until) in leases {
                    self.lease(now, (task, epoch), until);
                }
            }
            Request::Acknowledge(keys) => keys.into_iter().for_each(|key| self.forget(key)),
            Request::Shutdown(millis) => self.leave(now, Some(Duration::from_millis(millis))),
        }
    }

    /// Tells a daemon that just connected what there is.
    fn greet(&mut self) {
        let Some(daemon) = &mut self.daemon else {
            return;
        };
        daemon.greeted = true;
        let held: Vec<Held> = self
            .tasks
            .iter()
            .map(|(&(task, epoch), entry)| {
                let (pid, ended) = match entry {
                    Entry::Queued { .. } => (0, None),
                    Entry::Running(running) => (running.pid.as_raw_pid().unsigned_abs(), None),
                    Entry::Ended(outcome) => (0, Some(outcome.clone())),
                };
                let note = self.notes.get(&(task, epoch)).cloned().unwrap_or_default();
                Held {
                    task,
                    epoch,
                    pid,
                    ended,
                    note,
                }
            })
            .collect();
        // Each chunk is an event of its own; they share frames where they fit.
        for chunk in held.chunks(HELD_CHUNK) {
            daemon.push(Event::Held(chunk.to_vec()));
            daemon.tell();
        }
        daemon.push(Event::Ready(std::process::id()));
    }

    /// Takes a task to be started, unless it is known; then its state is told again.
    fn take(&mut self, now: Instant, mut launch: Launch) {
        let key = (launch.task, launch.epoch);
        match self.tasks.get(&key) {
            Some(Entry::Queued { .. }) => {}
            Some(Entry::Running(running)) => {
                let pid = running.pid.as_raw_pid().unsigned_abs();
                self.push(Event::Started(key.0, key.1, pid));
            }
            Some(Entry::Ended(outcome)) => {
                let event = Event::Ended(key.0, key.1, outcome.clone());
                self.push(event);
            }
            None if self.leave_by.is_some() => self.end(key, Outcome::Evicted),
            None if self.tasks.len() >= MAX_TASKS => {
                let reason = format!("this node's runner already holds {MAX_TASKS} tasks");
                self.end(key, Outcome::NotStarted(reason));
            }
            None => {
                let launch_lease = launch.lease;
                let note = std::mem::take(&mut launch.note);
                if !note.is_empty() {
                    self.notes.insert(key, note);
                }
                self.tasks.insert(
                    key,
                    Entry::Queued {
                        launch: Box::new(launch),
                        tries: 0,
                    },
                );
                if let Some(until) = launch_lease {
                    self.lease(now, key, until);
                }
                self.queue.push_back(key);
            }
        }
    }

    /// Stops a task: SIGTERM to its group now, SIGKILL when its grace is over. One that has no
    /// process, be it unknown, is over at once, with the outcome that was asked for; and a start
    /// that comes after it is not carried out.
    pub(super) fn stop(&mut self, now: Instant, key: Key, outcome: Outcome) {
        match self.tasks.get_mut(&key) {
            None | Some(Entry::Queued { .. }) => self.end(key, outcome),
            Some(Entry::Ended(outcome)) => {
                let event = Event::Ended(key.0, key.1, outcome.clone());
                self.push(event);
            }
            Some(Entry::Running(running)) if running.ended.is_some() => {}
            Some(Entry::Running(running)) => {
                // Who asked for it to be stopped does not want it to run elsewhere.
                let first = running.stop.is_none();
                if first || outcome == Outcome::Stopped {
                    running.stop = Some(outcome);
                }
                if first {
                    let _ = kill_process_group(running.pid, Signal::TERM);
                    let _ = kill_process_group(running.pid, Signal::CONT);
                    let grace = running.grace.min(MAX_GRACE);
                    self.timers.add(now, grace, Timer::Kill(key));
                }
            }
        }
    }

    /// Notes that a task is over, for the journal and the daemon.
    pub(super) fn end(&mut self, (task, epoch): Key, outcome: Outcome) {
        self.journal
            .push(&Record::Ended(task, epoch, outcome.clone()));
        self.push(Event::Ended(task, epoch, outcome.clone()));
        self.tasks.insert((task, epoch), Entry::Ended(outcome));
        self.ended.push_back((task, epoch));
        self.ended_count += 1;
        while self.ended_count > MAX_ENDED {
            let Some(oldest) = self.ended.pop_front() else {
                break;
            };
            self.forget(oldest);
        }
    }

    /// Forgets a task that is over, and removes its working directory.
    fn forget(&mut self, key: Key) {
        if !matches!(self.tasks.get(&key), Some(Entry::Ended(_))) {
            return;
        }
        self.tasks.remove(&key);
        self.notes.remove(&key);
        self.leases.remove(&key);
        self.ended_count -= 1;
        self.journal.push(&Record::Acknowledged(key.0, key.1));
        if let Some(dir) = self.work.leave(key) {
            self.janitor.remove_tree(dir);
        }
        if self.ended.len() > 2 * self.ended_count + 1024 {
            let tasks = &self.tasks;
            self.ended
                .retain(|key| matches!(tasks.get(key), Some(Entry::Ended(_))));
        }
    }

    /// Stops every task, each to be reported as evicted, within `deadline` if there is one, and
    /// then ends the runner.
    pub(super) fn leave(&mut self, now: Instant, deadline: Option<Duration>) {
        let grace = |entry: &Entry| match entry {
            Entry::Running(running) => running.grace,
            _ => Duration::ZERO,
        };
        let longest = self.tasks.values().map(grace).max().unwrap_or_default();
        let within = longest.min(deadline.unwrap_or(longest)).min(MAX_GRACE);
        self.leave_by = Some(now + within);
        let live: Vec<Key> = self
            .tasks
            .iter()
            .filter(|(_, entry)| !matches!(entry, Entry::Ended(_)))
            .map(|(key, _)| *key)
            .collect();
        for key in live {
            self.stop(now, key, Outcome::Evicted);
            self.timers.add(now, within, Timer::Kill(key));
        }
    }

    /// Whether killed tasks have had their time to vanish.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.leave_by.is_some_and(|by| now >= by + OVERDUE)
    }
}
