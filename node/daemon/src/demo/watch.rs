//! Following the demo's jobs by their events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use starling_api::{Event, EventKind, Streamed};

use super::show;

/// What has happened so far.
pub(super) struct Watch {
    events: Streamed<Event>,
    open_jobs: BTreeSet<String>,
    ended: u64,
    victim: Option<(String, Instant)>,
    /// Whether somebody has found that the victim does not answer.
    suspected: bool,
    /// When the victim was held to be dead.
    pub(super) noticed: Option<Duration>,
    /// Tasks that lost their place with the victim, and how long after the kill they ran again.
    pub(super) displaced: BTreeMap<String, Option<Duration>>,
    pub(super) retried: u64,
}

impl Watch {
    pub(super) fn new(events: Streamed<Event>, jobs: Vec<String>) -> Self {
        Self {
            events,
            open_jobs: jobs.into_iter().collect(),
            ended: 0,
            victim: None,
            suspected: false,
            noticed: None,
            displaced: BTreeMap::new(),
            retried: 0,
        }
    }

    pub(super) const fn ended(&self) -> u64 {
        self.ended
    }

    pub(super) fn all_over(&self) -> bool {
        self.open_jobs.is_empty()
    }

    /// The kill is about to happen.
    pub(super) fn kill(&mut self, name: &str) -> Instant {
        let now = Instant::now();
        self.victim = Some((name.to_owned(), now));
        now
    }

    /// How long after the kill the last displaced task ran again.
    pub(super) fn recovered(&self) -> Option<Duration> {
        self.displaced
            .values()
            .copied()
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max()
    }

    /// Follows until something holds.
    pub(super) async fn until(
        &mut self,
        limit: Duration,
        bar: &ProgressBar,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + limit;
        while !holds(self) {
            match tokio::time::timeout_at(deadline, self.events.next()).await {
                Ok(Some(Ok(event))) => self.take(&event, bar),
                Ok(Some(Err(error))) => return Err(format!("the events broke off: {error}")),
                Ok(None) => return Err("the events ended".to_owned()),
                Err(_) => return Err(format!("not done within {} s", limit.as_secs())),
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &Event, bar: &ProgressBar) {
        let since = self.victim.as_ref().map(|(_, killed)| killed.elapsed());
        let by_victim = self.victim.as_ref().is_some_and(|(name, _)| {
            event
                .subject
                .as_ref()
                .is_some_and(|node| node.name == *name)
        });
        match event.kind {
            EventKind::TaskEnded => {
                self.ended += 1;
                bar.set_position(self.ended);
            }
            EventKind::TaskRetried => self.retried += 1,
            EventKind::TaskDisplaced => {
                if let Some(task) = &event.task {
                    self.displaced.insert(task.clone(), None);
                }
            }
            EventKind::TaskStarted => {
                let again = event
                    .task
                    .as_ref()
                    .and_then(|task| self.displaced.get_mut(task));
                if let Some(again) = again {
                    *again = since;
                }
            }
            EventKind::JobFinished | EventKind::JobStopped => {
                if let Some(job) = &event.job {
                    self.open_jobs.remove(job);
                }
                bar.suspend(|| show::line(&event.message));
            }
            EventKind::NodeDead if by_victim && self.noticed.is_none() => {
                self.noticed = since;
                bar.suspend(|| show::line(&event.message));
            }
            // Each member that notices tells; once is enough.
            EventKind::NodeSuspect if by_victim && !self.suspected && self.noticed.is_none() => {
                self.suspected = true;
                bar.suspend(|| show::line(&event.message));
            }
            _ => {}
        }
    }
}
