//! What must hold when the weather has cleared.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use starling_engine::{Engine, EventKind, JobState};
use starling_wire::{JobId, NodeId, TaskId};

use super::Weather;
use super::run::{Run, SECOND};
use crate::sim::World;

impl Run {
    /// Every acknowledged job comes to an end, the same at all that hold it.
    pub(super) fn all_end(&mut self) -> Result<(), String> {
        for id in self.jobs() {
            let over = |w: &World| {
                let mut held = w
                    .nodes()
                    .into_iter()
                    .filter_map(|node| w.job(node, id))
                    .peekable();
                held.peek().is_some() && held.all(|job| job.state.is_over())
            };
            if !self.world.run_until(150 * SECOND, over) {
                let story = self.story(id, None);
                return Err(format!(
                    "job {id} never ends:{}{story}",
                    self.seen_by_all(id)
                ));
            }
            for node in &self.nodes {
                let Some(job) = self.world.job(*node, id) else {
                    continue;
                };
                let all = job.counts.succeeded == job.spec.count;
                if job.state != JobState::Finished || !all {
                    let (seen, story) = (self.seen_by_all(id), self.story(id, None));
                    return Err(format!("{node:?} does not see {id} succeed:{seen}{story}"));
                }
            }
            self.told_once(id)?;
        }
        Ok(())
    }

    /// Nobody tells an end twice; and as long as nobody was wrongly held dead, only one tells it.
    fn told_once(&self, id: JobId) -> Result<(), String> {
        let mut told: BTreeSet<(Option<NodeId>, Option<TaskId>)> = BTreeSet::new();
        for (at, by, event) in &self.world.events {
            let ends = matches!(event.kind, EventKind::JobFinished | EventKind::TaskEnded);
            if !ends || event.job != Some(id) {
                continue;
            }
            let by = Some(*by).filter(|_| self.weather != Weather::Clear);
            if !told.insert((by, event.task)) {
                let story = self.story(id, event.task);
                return Err(format!(
                    "at {at} the end of {id} {:?} is told again:{story}",
                    event.task
                ));
            }
        }
        Ok(())
    }

    /// Nothing is left of it anywhere.
    pub(super) fn nothing_left(&mut self) -> Result<(), String> {
        // What was taken and never acknowledged may have begun late.
        let idle = |w: &World| {
            let mut tasks = w.machines.iter().flat_map(|m| m.tasks.values());
            tasks.all(|runs| runs.ended.is_some())
        };
        self.world.run_until(120 * SECOND, idle);
        self.world.run_for(30 * SECOND);
        let jobs = self.jobs();
        for machine in &self.world.machines {
            let node = machine.node;
            let mut tasks = machine.tasks.iter();
            if let Some((task, _)) = tasks.find(|(_, runs)| runs.ended.is_none()) {
                let seen = self.seen_by_all(task.job);
                return Err(format!("{node:?} still runs {task}:{seen}"));
            }
            let engine = machine.engine.iter();
            let mut held = engine.flat_map(Engine::held);
            if let Some(held) = held.find(|held| jobs.contains(&held.task.job)) {
                let seen = self.seen_by_all(held.task.job);
                let (now, story) = (self.world.now(), self.story(held.task.job, None));
                return Err(format!(
                    "at {now} {node:?} still keeps {held:?}:{seen}{story}"
                ));
            }
        }
        match self.world.violations().first() {
            None => Ok(()),
            Some(violation) => Err(violation.clone()),
        }
    }

    /// How those that hold a job see it, and who holds placements of it.
    fn seen_by_all(&self, id: JobId) -> String {
        let mut seen = String::new();
        for node in &self.nodes {
            if let Some(job) = self.world.job(*node, id) {
                let (owners, counts) = (&job.owners, job.counts);
                let (actor, term) = (job.actor, job.term);
                let _ = write!(
                    seen,
                    "\n{node:?}: {actor:?} acts in {term}, of {owners:?}, {counts:?}"
                );
            }
            let engine = self.world.engine(*node).into_iter();
            let held = engine.flat_map(Engine::held);
            for held in held.filter(|held| held.task.job == id) {
                let _ = write!(seen, "\n{node:?} holds {held:?}");
            }
        }
        seen
    }

    /// What was told of a job or a task, and of nodes.
    fn story(&self, id: JobId, task: Option<TaskId>) -> String {
        let concerns = |e: &starling_engine::Event| {
            (e.job.is_none() && e.kind == EventKind::NodeDead)
                || (e.job == Some(id) && (task.is_none() || e.task.is_none() || e.task == task))
        };
        let told = self.world.events.iter().filter(|(_, _, e)| concerns(e));
        told.map(|(at, by, e)| format!("\n{at} {by:?} {:?} {:?} {}", e.kind, e.node, e.detail))
            .collect()
    }
}
