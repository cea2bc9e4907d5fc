//! Taking jobs up again after a restart, and comparing notes with hosts ever after.

use std::collections::BTreeMap;
use std::time::Duration;

use starling_wire::jobs::{JobMessage, MAX_TASKS};
use starling_wire::{Epoch, JobId, NodeId, TaskId};

use super::{Owner, Timer, tie};
use crate::engine::Ctx;
use crate::job::{Job, JobState, TaskState};
use crate::saved;

impl Owner {
    /// Takes up the jobs that an earlier life of this node owned. Tasks that had a place keep it
    /// until their node denies it or is gone; nothing is placed before the hosts had time to report
    /// what they run.
    pub(crate) fn take_up(&mut self, jobs: BTreeMap<JobId, Job>, ctx: &mut Ctx<'_>) {
        self.jobs = jobs;
        let mut open = Vec::new();
        for job in self.jobs.values_mut() {
            if job.state.is_over() {
                let kept = job.finished.unwrap_or(ctx.now) + ctx.config.retention;
                self.timers.insert((kept, Timer::Retention(job.id)));
                continue;
            }
            job.term = job.term.saturating_add(1);
            ctx.fx.saves.push(saved::save_job(job));
            if job.state == JobState::Stopping {
                for task in &mut job.tasks {
                    task.halting = !task.state.is_over();
                }
            }
            self.open_tasks += job.counts.open() as usize;
            open.push(job.id);
        }
        if open.is_empty() {
            return;
        }
        for id in &open {
            let Some(job) = self.jobs.get(id) else {
                continue;
            };
            for (index, task) in (0..).zip(&job.tasks) {
                if matches!(task.state, TaskState::Starting | TaskState::Running)
                    && let Some(node) = task.node
                {
                    let id = job.task_id(index);
                    tie(&mut self.at, &mut self.ties_changed, node, id);
                }
            }
            if job.tasks.iter().any(|task| task.halting) {
                self.halt_soon(*id, Duration::ZERO, ctx);
            }
        }
        self.timers
            .insert((ctx.now + ctx.config.recovery, Timer::Recovered));
        self.ensure_audit(ctx);
        self.audit(ctx.me, ctx);
        for id in open {
            self.finish_if_over(id, ctx);
        }
    }

    /// The hosts had time to report: what still has no place is placed, and what is on a node that
    /// nobody sees is placed anew.
    pub(super) fn recovered(&mut self, ctx: &mut Ctx<'_>) {
        let nodes: Vec<NodeId> = self.at.keys().copied().collect();
        for node in nodes {
            if ctx.alive(&node).is_none() {
                self.node_gone(node, ctx);
            }
        }
        let pending: Vec<TaskId> = self
            .jobs
            .values()
            .filter(|job| job.state == JobState::Active)
            .flat_map(|job| {
                (0..)
                    .zip(&job.tasks)
                    .filter(|(_, task)| task.state == TaskState::Pending)
                    .map(|(index, _)| job.task_id(index))
            })
            .collect();
        for id in pending {
            self.ready(id);
        }
    }

    /// A node is there, for the first time or again: compare notes with it.
    pub(crate) fn node_alive(&mut self, node: NodeId, ctx: &mut Ctx<'_>) {
        self.audit(node, ctx);
    }

    pub(super) fn audit_all(&mut self, ctx: &mut Ctx<'_>) {
        let nodes: Vec<NodeId> = self.at.keys().copied().collect();
        for node in nodes {
            if ctx.alive(&node).is_some() {
                self.audit(node, ctx);
            } else {
                // A task was found there when the node was held dead, and it did not come back.
                self.node_gone(node, ctx);
            }
        }
        self.auditing = false;
        if self.open_tasks > 0 {
            self.ensure_audit(ctx);
        }
    }

    /// Audits go on as long as there is an open task.
    pub(super) fn ensure_audit(&mut self, ctx: &Ctx<'_>) {
        if !std::mem::replace(&mut self.auditing, true) {
            self.timers
                .insert((ctx.now + ctx.config.audit, Timer::Audit));
        }
    }

    /// Asks a node about the placements it is believed to hold; claims under way are not among
    /// them, their answers come by themselves.
    fn audit(&self, node: NodeId, ctx: &mut Ctx<'_>) {
        let Some(tasks) = self.at.get(&node) else {
            return;
        };
        let claimed: std::collections::BTreeSet<TaskId> = self
            .claims
            .values()
            .filter(|claim| claim.node == node)
            .flat_map(|claim| {
                claim.tasks.iter().map(|(index, _)| TaskId {
                    job: claim.job,
                    index: *index,
                })
            })
            .collect();
        let held: Vec<(TaskId, Epoch)> = tasks
            .iter()
            .filter(|id| !claimed.contains(id))
            .filter_map(|id| Some((*id, self.jobs.get(&id.job)?.task(id.index)?.epoch)))
            .collect();
        for chunk in held.chunks(MAX_TASKS) {
            ctx.send(node, JobMessage::Audit(chunk.to_vec()));
        }
    }

    /// A job of which a crash left only the last word unsaid.
    fn finish_if_over(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        if job.state != JobState::Stopping {
            return;
        }
        let pending: Vec<TaskId> = (0..)
            .zip(&job.tasks)
            .filter(|(_, task)| task.state == TaskState::Pending)
            .map(|(index, _)| job.task_id(index))
            .collect();
        for task in pending {
            self.settle(task, TaskState::Stopped, None, ctx);
        }
    }
}
