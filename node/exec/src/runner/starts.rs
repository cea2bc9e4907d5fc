//! Starting what is queued: a few tasks per turn, so that a thousand starts delay neither output
//! nor ends. That a process may exist is in the journal before it does.

use std::time::{Duration, Instant};

use starling_wire::Outcome;

use super::Key;
use super::core::{Runner, watch};
use super::journal::Record;
use super::recover;
use super::spawn::{Child, Failure, FirstStep};
use super::tasks::{Entry, Running};
use super::timers::Timer;
use crate::cgroup::{Limiter, TaskGroup};
use crate::launch::Launch;
use crate::protocol::{Event, clip};

/// Tasks started in one turn.
const TURN: usize = 4;
/// The pauses before a start that failed for want of something passing is tried again.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
];

impl Runner {
    pub(super) fn start_some(&mut self, now: Instant) {
        let mut turn = Vec::new();
        while turn.len() < TURN
            && let Some(key) = self.queue.pop_front()
        {
            if let Some(Entry::Queued { launch, tries }) = self.tasks.get(&key) {
                self.journal.push(&Record::Starting(key.0, key.1));
                turn.push((key, launch.clone(), *tries));
            }
        }
        if turn.is_empty() {
            return;
        }
        self.write_journal(now);
        for (key, launch, tries) in turn {
            if self.is_lapsed(key) {
                self.leases.remove(&key);
                self.end(key, Outcome::Evicted);
                continue;
            }
            self.start(now, key, &launch, tries);
        }
    }

    fn start(&mut self, now: Instant, key: Key, launch: &Launch, tries: u32) {
        let group = self.limit(key, launch, tries);
        let step = (group.is_some() || launch.user.is_some()).then(|| FirstStep {
            enter: &self.settings.enter,
            entrances: group.as_ref().map(TaskGroup::entrances).unwrap_or_default(),
        });
        let mark = recover::mark(&self.mark, key.0, key.1);
        match self.spawner.spawn(launch, &mark, step, &mut self.work) {
            Ok(child) => self.hold(key, launch, child, group),
            Err(failure) => {
                if let Some(group) = group {
                    self.janitor.remove_group(group);
                }
                self.retry(now, key, failure, tries);
            }
        }
    }

    fn hold(&mut self, key: Key, launch: &Launch, child: Child, group: Option<TaskGroup>) {
        let number = self.next_number;
        self.next_number += 1;
        for (place, stream) in child.streams.iter().enumerate() {
            if let Err(error) = watch(&self.epoll, stream.pipe(), number * 2 + place as u64) {
                self.warn(&format!("the output of a task cannot be watched: {error}"));
            }
        }
        let pid = child.pid.as_raw_pid().unsigned_abs();
        self.journal
            .push(&Record::Started(key.0, key.1, pid, child.start));
        self.push(Event::Started(key.0, key.1, pid));
        self.by_pid.insert(child.pid, key);
        self.by_number.insert(number, key);
        self.running += 1;
        let running = Running {
            number,
            pid: child.pid,
            start: child.start,
            grace: Duration::from_millis(u64::from(launch.grace_ms)),
            streams: child.streams.map(Some),
            kept: 0,
            stop: None,
            ended: None,
            group,
            back: child.back,
        };
        self.tasks.insert(key, Entry::Running(Box::new(running)));
    }

    fn retry(&mut self, now: Instant, key: Key, failure: Failure, tries: u32) {
        let reason = match failure {
            Failure::Passing(_) if (tries as usize) < PAUSES.len() => {
                if let Some(Entry::Queued { tries, .. }) = self.tasks.get_mut(&key) {
                    *tries += 1;
                }
                self.timers
                    .add(now, PAUSES[tries as usize], Timer::Retry(key));
                return;
            }
            Failure::Passing(reason) | Failure::Lasting(reason) => reason,
        };
        self.end(key, Outcome::NotStarted(clip(&reason)));
    }

    /// Makes the control groups of a task that asks for limits, as far as the host allows.
    fn limit(&mut self, key: Key, launch: &Launch, tries: u32) -> Option<TaskGroup> {
        if launch.cpu_limit.is_none() && launch.memory_limit.is_none() {
            return None;
        }
        if self.settings.enter.is_empty() {
            self.warn("tasks run without the limits they ask for: this daemon cannot set any");
            return None;
        }
        let tag = &self.tag;
        let limiter = self.limiter.get_or_insert_with(|| Limiter::discover(tag));
        // The group of an earlier try may still be on its way out.
        let name = format!("{}-{}-{tries}", key.0, key.1);
        let (group, warnings) = limiter.group(&name, launch.cpu_limit, launch.memory_limit);
        for text in warnings {
            self.warn(&format!(
                "tasks run without the limits they ask for: {text}"
            ));
        }
        (!group.is_empty()).then_some(group)
    }
}
