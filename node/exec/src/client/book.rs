//! What the daemon has asked for and heard so far, per task. Pure: it decides which reports are
//! news, and what to say to a runner that took another's place.

use std::collections::{BTreeMap, BTreeSet};

use starling_wire::Outcome;

use crate::launch::{ExecEvent, Held, Launch};
use crate::protocol::{Event, Request};
use crate::runner::Key;

/// How far a task has come, as the daemon has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Asked to be started; kept to be asked again.
    Asked(Box<Launch>),
    /// Known by name only: asked to be stopped, or queued by the runner for an earlier daemon.
    Unknown,
    /// It has a process.
    Running,
    /// Its end has been reported.
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    stage: Stage,
    stop: Option<Outcome>,
}

impl From<Stage> for Line {
    fn from(stage: Stage) -> Self {
        Self { stage, stop: None }
    }
}

/// The book: every task from the first word about it to its acknowledged end.
#[derive(Debug, Default)]
pub(super) struct Book {
    lines: BTreeMap<Key, Line>,
}

impl Book {
    /// The book of a daemon that begins with what the runner holds, and has been told all of it.
    pub(super) fn of(held: &[Held]) -> Self {
        let line = |held: &Held| {
            let stage = match held {
                Held { ended: Some(_), .. } => Stage::Ended,
                Held { pid: 0, .. } => Stage::Unknown,
                _ => Stage::Running,
            };
            ((held.task, held.epoch), Line::from(stage))
        };
        Self {
            lines: held.iter().map(line).collect(),
        }
    }

    /// Notes that a task is to be started; false if it is known.
    pub(super) fn start(&mut self, launch: &Launch) -> bool {
        let key = (launch.task, launch.epoch);
        if self.lines.contains_key(&key) {
            return false;
        }
        self.lines
            .insert(key, Stage::Asked(Box::new(launch.clone())).into());
        true
    }

    /// Notes that a task is to be stopped.
    pub(super) fn stop(&mut self, key: Key, outcome: &Outcome) {
        let line = self
            .lines
            .entry(key)
            .or_insert_with(|| Stage::Unknown.into());
        if line.stop.is_none() || *outcome == Outcome::Stopped {
            line.stop = Some(outcome.clone());
        }
    }

    /// Notes that an end is acknowledged; false if there was none.
    pub(super) fn acknowledge(&mut self, key: Key) -> bool {
        let ended = self
            .lines
            .get(&key)
            .is_some_and(|line| line.stage == Stage::Ended);
        if ended {
            self.lines.remove(&key);
        }
        ended
    }

    /// Takes a report; returns it if it is news.
    pub(super) fn hear(&mut self, event: Event) -> Option<ExecEvent> {
        match event {
            Event::Started(task, epoch, pid) => {
                let line = self.lines.get_mut(&(task, epoch))?;
                if !matches!(line.stage, Stage::Asked(_) | Stage::Unknown) {
                    return None;
                }
                line.stage = Stage::Running;
                Some(ExecEvent::Started { task, epoch, pid })
            }
            Event::Ended(task, epoch, outcome) => {
                let line = self.lines.get_mut(&(task, epoch))?;
                if line.stage == Stage::Ended {
                    return None;
                }
                line.stage = Stage::Ended;
                Some(ExecEvent::Ended {
                    task,
                    epoch,
                    outcome,
                })
            }
            Event::Warning(text) => Some(ExecEvent::Warning(text)),
            Event::Held(_) | Event::Ready(_) => None,
        }
    }

    /// Compares the book with what a runner holds that has just been connected to: what is news
    /// for the daemon, and what the runner must be told.
    pub(super) fn reconcile(&mut self, held: &[Held]) -> (Vec<ExecEvent>, Vec<Request>) {
        let mut events = Vec::new();
        let mut acknowledged = Vec::new();
        let present: BTreeSet<Key> = held.iter().map(|held| (held.task, held.epoch)).collect();
        for &Held {
            task,
            epoch,
            pid,
            ref ended,
            ..
        } in held
        {
            let event = match (ended, self.lines.contains_key(&(task, epoch))) {
                // Everything that is not acknowledged is in the book.
                (_, false) => {
                    acknowledged.push((task, epoch));
                    continue;
                }
                (Some(outcome), true) => Event::Ended(task, epoch, outcome.clone()),
                (None, true) if pid == 0 => continue,
                (None, true) => Event::Started(task, epoch, pid),
            };
            events.extend(self.hear(event));
        }
        let mut again = Vec::new();
        let mut stops = Vec::new();
        for (&(task, epoch), line) in &mut self.lines {
            let absent = !present.contains(&(task, epoch));
            let begun = line.stage == Stage::Running
                || (line.stage == Stage::Unknown && line.stop.is_none());
            if absent && begun {
                line.stage = Stage::Ended;
                events.push(ExecEvent::Ended {
                    task,
                    epoch,
                    outcome: Outcome::Lost,
                });
            }
            match (&line.stage, &line.stop) {
                (Stage::Ended, _) => {}
                (_, Some(outcome)) => stops.push(Request::Stop(task, epoch, outcome.clone())),
                (Stage::Asked(launch), None) if absent => again.push((**launch).clone()),
                _ => {}
            }
        }
        let mut requests = vec![Request::Acknowledge(acknowledged), Request::Start(again)];
        requests.append(&mut stops);
        (events, requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_wire::{JobId, TaskId};

    fn launch(index: u32) -> Launch {
        Launch {
            task: TaskId {
                job: JobId(1),
                index,
            },
            epoch: 1,
            command: vec!["x".repeat(1000)],
            env: BTreeMap::new(),
            dir: None,
            user: None,
            cpu_limit: None,
            memory_limit: None,
            grace_ms: 0,
            lease: None,
            container: None,
            note: Vec::new(),
        }
    }

    fn held(index: u32, pid: u32, ended: Option<Outcome>) -> Held {
        Held {
            task: TaskId {
                job: JobId(1),
                index,
            },
            epoch: 1,
            pid,
            ended,
            note: Vec::new(),
        }
    }

    #[test]
    fn each_report_is_news_once() {
        let mut book = Book::default();
        let task = launch(0).task;
        assert!(book.start(&launch(0)) && !book.start(&launch(0)));
        assert!(book.hear(Event::Started(task, 1, 5)).is_some());
        assert!(book.hear(Event::Started(task, 1, 5)).is_none());
        assert!(!book.acknowledge((task, 1)));
        assert!(
            book.hear(Event::Ended(task, 1, Outcome::Exited(0)))
                .is_some()
        );
        assert!(
            book.hear(Event::Ended(task, 1, Outcome::Exited(0)))
                .is_none()
        );
        assert!(book.acknowledge((task, 1)) && !book.acknowledge((task, 1)));
        assert!(
            book.hear(Event::Ended(task, 1, Outcome::Exited(0)))
                .is_none()
        );
    }

    #[test]
    fn a_new_runner_is_brought_up_to_date() {
        let mut book = Book::default();
        for index in 0..6 {
            book.start(&launch(index));
        }
        for index in [1, 2, 3] {
            book.hear(Event::Started(launch(index).task, 1, 9));
        }
        book.hear(Event::Ended(launch(3).task, 1, Outcome::Exited(0)));
        book.stop((launch(4).task, 1), &Outcome::Evicted);
        book.stop((launch(4).task, 1), &Outcome::Stopped);
        book.stop((launch(4).task, 1), &Outcome::Evicted);
        // 0 and 5 never arrived, 1 was lost and told so, 2 vanished, 3 waits to be acknowledged,
        // 7 has been acknowledged.
        let there = [
            held(1, 0, Some(Outcome::Lost)),
            held(3, 0, Some(Outcome::Exited(0))),
            held(7, 0, Some(Outcome::Exited(0))),
        ];
        let (events, requests) = book.reconcile(&there);
        let lost = |index| ExecEvent::Ended {
            task: launch(index).task,
            epoch: 1,
            outcome: Outcome::Lost,
        };
        assert_eq!(events, [lost(1), lost(2)]);
        let [
            Request::Acknowledge(forget),
            Request::Start(again),
            Request::Stop(stop, 1, outcome),
        ] = &requests[..]
        else {
            panic!("{requests:?}");
        };
        assert_eq!(forget[..], [(launch(7).task, 1)]);
        assert_eq!(again[..], [launch(0), launch(5)]);
        assert_eq!((*stop, outcome), (launch(4).task, &Outcome::Stopped));
    }
}
