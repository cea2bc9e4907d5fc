//! How tasks end. A task is over when its main process is: what is left of its process group is
//! killed then, and what it wrote is brought home before the end is reported. Something that left
//! the group (a daemon with a session of its own) lives on, and may hold a pipe open: that is
//! waited for a moment only.

use std::io::Read;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group, wait};
use starling_wire::Outcome;

use super::Key;
use super::core::Runner;
use super::streams::{Pumped, log_path};
use super::tasks::{Ending, Entry, Running};
use super::timers::Timer;
use crate::cgroup::TaskGroup;
use crate::enter;
use crate::protocol::{MAX_TEXT, clip};

/// How long output that is still to come is waited for after a task's end.
const DRAIN: Duration = Duration::from_millis(100);
/// How often a stream is read out at a task's end, at most: 256 KiB each.
const DRAIN_ROUNDS: usize = 64;
/// The exit code that shells give for a command that was killed.
const SHELL_KILLED: i32 = 128 + 9;

impl Runner {
    /// Waits for every child that is over.
    pub(super) fn reap(&mut self, now: Instant) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.bury(now, pid, status),
                Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn bury(&mut self, now: Instant, pid: Pid, status: WaitStatus) {
        let ending = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ending::Code(code),
            (None, Some(signal)) => Ending::Signal(signal),
            (None, None) => return,
        };
        // What a task left behind and this process inherited is not in the table.
        let Some(key) = self.by_pid.remove(&pid) else {
            return;
        };
        let Some(Entry::Running(running)) = self.tasks.get_mut(&key) else {
            return;
        };
        // The number cannot belong to a new group yet: it was this process's until a moment ago,
        // and the kernel gives numbers out in turn.
        let _ = kill_process_group(pid, Signal::KILL);
        running.ended = Some(ending);
        let tokens = [running.number * 2, running.number * 2 + 1];
        for token in tokens {
            for _ in 0..DRAIN_ROUNDS {
                if self.pump_once(token) != Pumped::More {
                    break;
                }
            }
        }
        if !self.finish_if_silent(key) {
            self.timers.add(now, DRAIN, Timer::Drain(key));
        }
    }

    /// Moves a stream's output on, after the loop woke up for it.
    pub(super) fn pump(&mut self, token: u64) {
        match self.pump_once(token) {
            Pumped::Waiting => {}
            Pumped::More => self.more.push(token),
            Pumped::Closed => {
                if let Some(key) = self.by_number.get(&(token / 2)) {
                    self.finish_if_silent(*key);
                }
            }
        }
    }

    fn pump_once(&mut self, token: u64) -> Pumped {
        let place = usize::from(token % 2 == 1);
        let Some(key) = self.by_number.get(&(token / 2)).copied() else {
            return Pumped::Closed;
        };
        let Some(Entry::Running(running)) = self.tasks.get_mut(&key) else {
            return Pumped::Closed;
        };
        let Some(stream) = &mut running.streams[place] else {
            return Pumped::Closed;
        };
        let path = || log_path(key.0, key.1, place);
        let (pumped, problem) = stream.pump(&mut self.buffer, self.settings.log_limit, path);
        if pumped == Pumped::Closed {
            running.kept += stream.kept();
            // Closing the pipe ends its being watched too.
            running.streams[place] = None;
        }
        if let Some(error) = problem {
            self.warn(&format!(
                "output of tasks cannot be kept ({error}); make room on the data directory's disk"
            ));
        }
        pumped
    }

    fn finish_if_silent(&mut self, key: Key) -> bool {
        let Some(Entry::Running(running)) = self.tasks.get(&key) else {
            return true;
        };
        let silent = running.streams.iter().all(Option::is_none);
        match running.ended {
            Some(ending) if silent => {
                self.finish(key, ending);
                true
            }
            _ => false,
        }
    }

    /// Carries out what timers ask for.
    pub(super) fn fire(&mut self, now: Instant) {
        while let Some(timer) = self.timers.due(now) {
            match timer {
                Timer::Kill(key) => {
                    if let Some(Entry::Running(running)) = self.tasks.get(&key)
                        && running.ended.is_none()
                    {
                        let _ = kill_process_group(running.pid, Signal::KILL);
                    }
                }
                Timer::Lease(key) => self.lease_due(now, key),
                Timer::Drain(key) => {
                    if let Some(Entry::Running(running)) = self.tasks.get(&key)
                        && let Some(ending) = running.ended
                    {
                        self.finish(key, ending);
                    }
                }
                Timer::Tidy => self.tidy(),
                Timer::Retry(key) => {
                    if let Some(Entry::Queued { .. }) = self.tasks.get(&key) {
                        self.queue.push_back(key);
                    }
                }
            }
        }
    }

    /// Reports a task whose process is over and whose output is home.
    fn finish(&mut self, key: Key, ending: Ending) {
        let Some(Entry::Running(mut running)) = self.tasks.remove(&key) else {
            return;
        };
        self.by_number.remove(&running.number);
        self.running -= 1;
        let open = running.streams.iter().flatten();
        let kept = running.kept + open.map(super::streams::Stream::kept).sum::<u64>();
        if kept > 0 {
            self.janitor.keep_logs(key.0, key.1, kept);
        }
        let outcome = self.outcome(&mut running, ending);
        if let Some(group) = running.group.take() {
            self.janitor.remove_group(group);
        }
        self.end(key, outcome);
    }

    fn outcome(&mut self, running: &mut Running, ending: Ending) -> Outcome {
        if let Some(outcome) = running.stop.take() {
            return outcome;
        }
        if ending == Ending::Code(enter::FAILED)
            && let Some(reason) = running.back.as_ref().and_then(told)
        {
            return Outcome::NotStarted(reason);
        }
        let group = running.group.as_ref();
        let counted = group.and_then(TaskGroup::memory_kills);
        let limited = counted.is_some_and(|kills| kills > 0);
        match ending {
            // A shell that ran the program which was killed says so by its code.
            Ending::Signal(9) | Ending::Code(SHELL_KILLED) if limited => {
                self.kills.claimed();
                Outcome::OutOfMemory
            }
            // Where the task has a count of its own, kills elsewhere say nothing of it.
            Ending::Signal(9) if counted.is_none() && self.kills.claim() => Outcome::OutOfMemory,
            Ending::Signal(signal) => Outcome::Signalled(signal),
            Ending::Code(code) => Outcome::Exited(code),
        }
    }
}

/// What the first step wrote, if anything: then the program did not start.
fn told(mut back: &std::fs::File) -> Option<String> {
    let mut bytes = [0; 4 * MAX_TEXT];
    let count = back.read(&mut bytes).ok().filter(|count| *count > 0)?;
    Some(clip(&String::from_utf8_lossy(&bytes[..count])))
}
