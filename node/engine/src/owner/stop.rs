//! Stopping jobs and tasks on request.

use std::collections::BTreeMap;
use std::time::Duration;

use starling_wire::jobs::{JobMessage, MAX_TASKS};
use starling_wire::{Epoch, JobId, NodeId, TaskId};

use super::{Owner, Timer};
use crate::effect::{CommandError, Event, EventKind, Reply};
use crate::engine::Ctx;
use crate::input::Target;
use crate::job::{JobState, TaskState};
use crate::saved;

impl Owner {
    /// Stops a job or a task: what has no place ends at once, the rest when its host says so.
    pub(crate) fn stop(
        &mut self,
        target: Target,
        ctx: &mut Ctx<'_>,
    ) -> Result<Reply, CommandError> {
        let (id, indices) = match target {
            Target::Job(id) => (id, self.stoppable_job(id)?),
            Target::Task(task) => (task.job, vec![self.stoppable_task(task)?]),
        };
        let stopping = u32::try_from(indices.len()).unwrap_or(u32::MAX);
        if !self.is_acting(id, ctx.me) {
            self.pass_stop(id, target, &indices, ctx);
            return Ok(Reply::Stopping(stopping));
        }
        if matches!(target, Target::Job(_)) {
            let Some(job) = self.jobs.get_mut(&id) else {
                return Err(CommandError::UnknownJob(id));
            };
            job.state = JobState::Stopping;
            ctx.fx.saves.push(saved::save_job(job));
            let others = job.owners.iter().filter(|owner| **owner != ctx.me);
            for other in others {
                self.copies.state(*other, id, None);
            }
            let detail = format!("{stopping} tasks");
            let kind = EventKind::JobStopping;
            ctx.event(Event {
                kind,
                job: Some(id),
                task: None,
                node: None,
                detail,
            });
        }
        for index in indices {
            let Some(job) = self.jobs.get_mut(&id) else {
                break;
            };
            let Some(task) = job.task_mut(index) else {
                continue;
            };
            task.halting = true;
            if task.state == TaskState::Pending {
                self.settle(TaskId { job: id, index }, TaskState::Stopped, None, ctx);
            } else if let Target::Task(task_id) = target {
                ctx.fx.saves.push(saved::save_task(task_id, task));
                let (node, epoch) = (task.node, task.epoch);
                self.copy_state(task_id, ctx.me);
                if let Some(node) = node {
                    ctx.send(node, JobMessage::Halt(vec![(task_id, epoch)]));
                }
                self.halt_soon(id, ctx.config.resend, ctx);
            }
        }
        if matches!(target, Target::Job(_)) {
            self.halt_again(id, ctx);
        }
        Ok(Reply::Stopping(stopping))
    }

    /// Another owner acts: it hears that the job, or a task of it, is to be stopped.
    fn pass_stop(&mut self, id: JobId, target: Target, indices: &[u32], ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let whole = matches!(target, Target::Job(_));
        if whole {
            job.state = JobState::Stopping;
            ctx.fx.saves.push(saved::save_job(job));
        }
        let others: Vec<NodeId> = job.owners.iter().chain([&job.actor]).copied().collect();
        let mut asked = None;
        for index in indices.iter().filter(|_| !whole) {
            asked = Some(*index);
            if let Some(task) = job.task_mut(*index) {
                task.halting = true;
                let task_id = TaskId {
                    job: id,
                    index: *index,
                };
                ctx.fx.saves.push(saved::save_task(task_id, task));
            }
        }
        for other in others {
            if other != ctx.me {
                self.copies.state(other, id, asked);
            }
        }
    }

    fn stoppable_job(&self, id: JobId) -> Result<Vec<u32>, CommandError> {
        let job = self.jobs.get(&id).ok_or(CommandError::UnknownJob(id))?;
        if job.state != JobState::Active {
            let state = match job.state {
                JobState::Stopping => "being stopped",
                state => state.word(),
            };
            return Err(CommandError::Over {
                what: format!("job {id}"),
                state: state.to_owned(),
            });
        }
        Ok((0..job.spec.count)
            .filter(|&index| job.task(index).is_some_and(|task| !task.state.is_over()))
            .collect())
    }

    fn stoppable_task(&self, id: TaskId) -> Result<u32, CommandError> {
        let job = self
            .jobs
            .get(&id.job)
            .ok_or(CommandError::UnknownJob(id.job))?;
        let task = job.task(id.index).ok_or(CommandError::UnknownTask(id))?;
        if task.state.is_over() || task.halting {
            let state = if task.state.is_over() {
                task.state.word()
            } else {
                "being stopped"
            };
            return Err(CommandError::Over {
                what: format!("task {id}"),
                state: state.to_owned(),
            });
        }
        Ok(id.index)
    }

    /// Tells the hosts of a job's halting tasks to stop them, until all have ended.
    pub(super) fn halt_again(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let mut halts: BTreeMap<NodeId, Vec<(TaskId, Epoch)>> = BTreeMap::new();
        for (index, task) in (0..).zip(&job.tasks) {
            let placed = matches!(task.state, TaskState::Starting | TaskState::Running);
            if (task.halting || job.state == JobState::Stopping)
                && placed
                && let Some(node) = task.node
            {
                halts
                    .entry(node)
                    .or_default()
                    .push((job.task_id(index), task.epoch));
            }
        }
        if halts.is_empty() {
            return;
        }
        for (node, tasks) in halts {
            for chunk in tasks.chunks(MAX_TASKS) {
                ctx.send(node, JobMessage::Halt(chunk.to_vec()));
            }
        }
        self.halt_soon(id, ctx.config.resend, ctx);
    }

    /// Sees to it that halts are sent (again) in a while, unless that is seen to.
    pub(super) fn halt_soon(&mut self, id: JobId, pause: Duration, ctx: &Ctx<'_>) {
        if self.halting.insert(id) {
            self.timers.insert((ctx.now + pause, Timer::Halts(id)));
        }
    }
}
