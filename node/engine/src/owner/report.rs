//! What comes back: answers to claims, reports of hosts, and the loss of a node.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use starling_placement::Resources;
use starling_wire::jobs::{JobMessage, MAX_TASKS, Phase, Refusal, Report};
use starling_wire::{Epoch, JobId, NodeId, Outcome, Restart, TaskId};

use super::{Owner, Timer, tie};
use crate::effect::{Event, EventKind};
use crate::engine::Ctx;
use crate::job::{JobState, TaskState, bounded};
use crate::saved;

/// The longest pause before a task whose node gave it up again and again is placed anew.
const MAX_MOVE_PAUSE: Duration = Duration::from_secs(5);

/// The pause after a refused claim: a place that looked free was not, and asking again at once would
/// find the same.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// What an owner tells a host about one of its reports.
enum Note {
    /// Taken note of; `true` for an end.
    Noted(bool),
    /// Stop it, and this much is noted.
    Halt,
    /// Nothing yet: another owner is to have it on disk first, or it is for another to say.
    Wait,
}

/// A host's answer to a claim.
pub(super) struct Claimed {
    pub(super) job: JobId,
    pub(super) accepted: Vec<(u32, Epoch)>,
    pub(super) refused: Vec<(u32, Epoch, Refusal)>,
    /// What the host says it has free.
    pub(super) free: Resources,
    /// Who, as it thinks, has room.
    pub(super) bounce: Option<NodeId>,
}

impl Owner {
    /// A host answered a claim.
    pub(super) fn claimed(
        &mut self,
        from: NodeId,
        request: u64,
        answer: Claimed,
        ctx: &mut Ctx<'_>,
    ) {
        let Claimed {
            job: id,
            accepted,
            refused,
            free,
            bounce,
        } = answer;
        let mut bounced = false;
        if let Some(claim) = self.claims.get(&request)
            && claim.node == from
        {
            bounced = claim.bounced;
            self.claims.remove(&request);
        }
        if refused.is_empty() {
            self.distrust.clear(&from);
        } else if let Some(job) = self.jobs.get(&id)
            && refused.iter().any(|(.., why)| *why == Refusal::Full)
            && job.spec.need.fits(&free)
        {
            self.distrust.add(from, ctx.now);
        }
        let mut homeless = Vec::new();
        for (index, epoch) in accepted.into_iter().take(MAX_TASKS) {
            let Some(job) = self.jobs.get(&id) else { break };
            let Some(task) = job.task(index) else {
                continue;
            };
            let current = task.epoch == epoch && task.node == Some(from);
            if current && task.state == TaskState::Starting {
                ctx.fx.lazy.push(saved::save_task(job.task_id(index), task));
                Self::tell_placed(job, index, from, ctx);
                if task.halting {
                    ctx.send(from, JobMessage::Halt(vec![(job.task_id(index), epoch)]));
                }
            } else if !current {
                // It was given up meanwhile: the copy that has just begun must not go on.
                ctx.send(from, JobMessage::Halt(vec![(job.task_id(index), epoch)]));
            }
        }
        for (index, epoch, refusal) in refused.into_iter().take(MAX_TASKS) {
            let Some(task) = self.jobs.get(&id).and_then(|job| job.task(index)) else {
                continue;
            };
            let current = task.epoch == epoch && task.node == Some(from);
            if current && task.state == TaskState::Starting {
                tracing::debug!(job = %id, index, node = ?from, ?refusal, "a claim was refused");
                self.counters.refused += 1;
                if bounce.is_some() && !bounced && refusal == Refusal::Full {
                    homeless.push(index);
                } else {
                    self.unsettle(TaskId { job: id, index }, REFUSED_PAUSE, ctx);
                }
            }
        }
        if let Some(to) = bounce.filter(|_| !homeless.is_empty()) {
            self.bounce(id, homeless, to, ctx);
        }
    }

    /// A claim was not answered in time: ask again, and in the end elsewhere.
    pub(super) fn claim_unanswered(&mut self, request: u64, ctx: &mut Ctx<'_>) {
        let Some(mut claim) = self.claims.remove(&request) else {
            return;
        };
        // Some may have been reported running, or have ended, or been placed elsewhere, meanwhile.
        let job = self.jobs.get(&claim.job);
        claim.tasks.retain(|(index, epoch)| {
            job.and_then(|job| job.task(*index)).is_some_and(|task| {
                task.epoch == *epoch
                    && task.node == Some(claim.node)
                    && task.state == TaskState::Starting
            })
        });
        if claim.tasks.is_empty() {
            return;
        }
        if claim.tries < ctx.config.claim_tries {
            claim.tries += 1;
            self.send_claim(request, &claim, ctx);
            self.claims.insert(request, claim);
            return;
        }
        let id = |index| TaskId {
            job: claim.job,
            index,
        };
        let halts = claim.tasks.iter().map(|(i, epoch)| (id(*i), *epoch));
        ctx.send(claim.node, JobMessage::Halt(halts.collect()));
        for (index, _) in &claim.tasks {
            self.unsettle(id(*index), Duration::ZERO, ctx);
        }
    }

    /// A host reports.
    pub(super) fn reports(
        &mut self,
        from: NodeId,
        items: Vec<Report>,
        heir: bool,
        ctx: &mut Ctx<'_>,
    ) {
        let mut noted = Vec::new();
        let mut halts = Vec::new();
        let mut astray = BTreeSet::new();
        for report in items.into_iter().take(MAX_TASKS) {
            let (task, epoch) = (report.task, report.epoch);
            match self.jobs.get(&task.job) {
                // Whoever had the job is gone: another owner may have to tell of it first.
                None if heir => continue,
                // What is over is over, whoever acts.
                Some(job)
                    if job.actor != ctx.me
                        && job
                            .task(task.index)
                            .is_none_or(|task| !task.state.is_over()) =>
                {
                    astray.insert(task.job);
                    continue;
                }
                _ => {}
            }
            match self.report(from, report, ctx) {
                Note::Noted(end) => noted.push((task, epoch, end)),
                Note::Halt => halts.push((task, epoch)),
                Note::Wait => {}
            }
        }
        for id in &astray {
            self.watch_actor(*id, ctx);
        }
        astray.retain(|id| {
            let job = self.jobs.get(id);
            job.is_some_and(|job| job.actor != ctx.me && ctx.alive(&job.actor).is_some())
        });
        if !astray.is_empty() {
            self.redirect(from, &astray, ctx);
        }
        if !noted.is_empty() {
            ctx.send_after(from, JobMessage::Noted(noted));
        }
        if !halts.is_empty() {
            ctx.send(from, JobMessage::Halt(halts));
        }
    }

    fn report(&mut self, from: NodeId, report: Report, ctx: &mut Ctx<'_>) -> Note {
        let Report {
            task: id,
            epoch,
            phase,
        } = report;
        let ends = matches!(phase, Phase::Ended { .. });
        let unwanted = if ends { Note::Noted(true) } else { Note::Halt };
        let Some(job) = self.jobs.get_mut(&id.job) else {
            return unwanted;
        };
        if ends && job.resumes.is_some() && !job.awaiting.is_empty() {
            // Another owner may know of an end that came before, and was told.
            return Note::Wait;
        }
        // This life knows what it placed; what an earlier one placed it may have forgotten.
        let forgotten = job.is_earlier(epoch);
        let Some(task) = job.task_mut(id.index) else {
            return unwanted;
        };
        let here = task.epoch == epoch && task.node == Some(from);
        if task.state.is_over() {
            let waits = self.uncommitted.get(&id.job);
            if here && waits.is_some_and(|tasks| tasks.contains(&id.index)) {
                return Note::Wait;
            }
            return unwanted;
        }
        if epoch < task.epoch {
            return unwanted;
        }
        // Of two copies, one on each side of a partition, the one that was seen here goes on.
        let rival = !ends && task.state == TaskState::Running && task.seen;
        let known = here || (epoch > task.epoch && forgotten && !rival);
        if !known {
            return unwanted;
        }
        match phase {
            Phase::Running if here && task.state != TaskState::Pending => {
                task.seen = true;
                task.leasing = false;
                if task.state == TaskState::Starting {
                    task.started = Some(ctx.now);
                    job.set_state(id.index, TaskState::Running);
                    tell(ctx, EventKind::TaskStarted, id, Some(from), String::new());
                }
                Note::Noted(false)
            }
            Phase::Waiting if here && task.state == TaskState::Starting => {
                task.leasing = true;
                Note::Noted(false)
            }
            // It has not begun, and is not where it was placed last.
            Phase::Waiting => Note::Halt,
            // Nobody else runs it and this copy is as new as any: it goes on where it is.
            Phase::Running => {
                self.adopt(from, id, epoch, ctx);
                Note::Noted(false)
            }
            Phase::Ended { outcome, ran_us } => {
                // An end counts from where the task is, or from a copy that came back before the
                // task was placed anew.
                let came_back = task.state == TaskState::Pending || epoch > task.epoch;
                let by_itself = outcome.is_final() && outcome != Outcome::Stopped;
                if (here && task.state != TaskState::Pending) || (came_back && by_itself) {
                    self.take_over(from, id, epoch, ctx);
                    let ran = Duration::from_micros(ran_us);
                    self.end(id, from, bounded(outcome), ran, ctx);
                    let waits = self.uncommitted.get(&id.job);
                    if waits.is_some_and(|tasks| tasks.contains(&id.index)) {
                        return Note::Wait;
                    }
                }
                Note::Noted(true)
            }
        }
    }

    /// Takes over a running copy that came back, or that a restart had forgotten.
    fn adopt(&mut self, from: NodeId, id: TaskId, epoch: Epoch, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&id.job) else {
            return;
        };
        let key = (job.submitted, job.id);
        job.set_state(id.index, TaskState::Running);
        self.take_over(from, id, epoch, ctx);
        let Some(task) = self
            .jobs
            .get_mut(&id.job)
            .and_then(|job| job.task_mut(id.index))
        else {
            return;
        };
        task.started.get_or_insert(ctx.now);
        task.seen = true;
        ctx.fx.lazy.push(saved::save_task(id, task));
        let halting = task.halting;
        tie(&mut self.at, &mut self.ties_changed, from, id);
        if let Some(placing) = self.placing.get_mut(&key) {
            placing.ready.remove(&id.index);
            if placing.ready.is_empty() && placing.round.is_none() {
                self.placing.remove(&key);
            }
        }
        if halting {
            ctx.send(from, JobMessage::Halt(vec![(id, epoch)]));
        }
        tell(
            ctx,
            EventKind::TaskStarted,
            id,
            Some(from),
            "found running".to_owned(),
        );
    }

    /// The copy of a task that counts is this one; where another may be, it is stopped, since nobody
    /// would ask about it again.
    fn take_over(&mut self, from: NodeId, id: TaskId, epoch: Epoch, ctx: &mut Ctx<'_>) {
        let Some(task) = self
            .jobs
            .get_mut(&id.job)
            .and_then(|job| job.task_mut(id.index))
        else {
            return;
        };
        let before = std::mem::replace(&mut task.epoch, epoch);
        let old = task.node.replace(from).filter(|old| *old != from);
        if let Some(old) = old {
            ctx.send(old, JobMessage::Halt(vec![(id, before)]));
            self.unplace(Some(old), id);
        }
    }

    /// A placement has ended.
    fn end(
        &mut self,
        id: TaskId,
        from: NodeId,
        outcome: Outcome,
        ran: Duration,
        ctx: &mut Ctx<'_>,
    ) {
        let Some(job) = self.jobs.get_mut(&id.job) else {
            return;
        };
        let (restart, most) = (job.spec.restart, job.spec.attempts);
        let Some(task) = job.task_mut(id.index) else {
            return;
        };
        // Stopped without our asking is given up by its node, as when a late halt met it.
        if (!outcome.is_final() || outcome == Outcome::Stopped) && !task.halting {
            tell(
                ctx,
                EventKind::TaskDisplaced,
                id,
                Some(from),
                outcome.to_string(),
            );
            let pause = Duration::from_millis(100 * u64::from(task.moves)).min(MAX_MOVE_PAUSE);
            task.moves += 1;
            // The epoch is spent: a late word of the copy that has ended is not believed.
            task.epoch += 1;
            self.unsettle(id, pause, ctx);
            return;
        }
        let state = if outcome.is_success() {
            TaskState::Succeeded
        } else if task.halting {
            TaskState::Stopped
        } else {
            TaskState::Failed
        };
        task.attempts = task.attempts.saturating_add(1);
        task.ran = Some(ran);
        let decision = task.decision.as_ref().filter(|_| outcome.is_success());
        if let Some(predicted) = decision.and_then(|decision| decision.predicted(from)) {
            self.predictions.add(predicted, ran);
        }
        if ran >= ctx.config.retry_reset {
            task.streak = 0;
        }
        task.streak = task.streak.saturating_add(1);
        let (attempts, streak) = (task.attempts, task.streak);
        let wanted = match restart {
            Restart::Never => false,
            Restart::OnFailure => state == TaskState::Failed,
            Restart::Always => state != TaskState::Stopped && !task.halting,
        };
        let again = wanted && (attempts < most || most == u32::MAX);
        if again {
            task.epoch += 1;
        }
        job.note_end(from, state == TaskState::Failed);
        if again {
            let pause = self.retry_pause(streak, ctx);
            let detail = format!(
                "{outcome}; try {} in {} ms",
                attempts.saturating_add(1),
                pause.as_millis()
            );
            tell(ctx, EventKind::TaskRetried, id, Some(from), detail);
            self.copy_state(id, ctx.me);
            self.unsettle(id, pause, ctx);
        } else {
            self.settle(id, state, Some(outcome), ctx);
        }
        // What failed at once says little about how long such tasks run.
        if state == TaskState::Succeeded {
            self.mean_service = (self.mean_service * 7 + ran) / 8;
        }
    }

    fn retry_pause(&self, streak: u32, ctx: &mut Ctx<'_>) -> Duration {
        let times = 2u32.saturating_pow(streak.saturating_sub(1));
        let doubled = ctx.config.retry_first.saturating_mul(times);
        let pause = doubled.min(ctx.config.retry_max);
        pause.mul_f64(ctx.rng.random_range(0.9..1.1))
    }

    /// A task has ended for good: on record, and its job with it if it was the last.
    pub(super) fn settle(
        &mut self,
        id: TaskId,
        state: TaskState,
        outcome: Option<Outcome>,
        ctx: &mut Ctx<'_>,
    ) {
        let Some(job) = self.jobs.get_mut(&id.job) else {
            return;
        };
        let key = (job.submitted, job.id);
        job.set_state(id.index, state);
        let Some(task) = job.task_mut(id.index) else {
            return;
        };
        task.outcome = outcome;
        task.ended = Some(ctx.now);
        let node = task.node;
        ctx.fx.saves.push(saved::save_task(id, task));
        self.open_tasks = self.open_tasks.saturating_sub(1);
        if job.counts.open() == 0 {
            job.state = match job.state {
                JobState::Stopping => JobState::Stopped,
                _ => JobState::Finished,
            };
            job.finished = Some(ctx.now);
            job.over_since = Some(ctx.now);
            job.waits = None;
            ctx.fx.saves.push(saved::save_job(job));
            self.timers
                .insert((ctx.now + ctx.config.retention, Timer::Retention(id.job)));
        }
        self.copy_state(id, ctx.me);
        // Told when it is on record, here and with another owner, so that a crash cannot make it be
        // told twice.
        if self.has_company(id.job, ctx) {
            self.uncommitted.entry(id.job).or_default().insert(id.index);
        } else {
            self.tell_end(id, ctx);
            self.tell_finished(id.job, ctx);
        }
        if let Some(placing) = self.placing.get_mut(&key) {
            placing.ready.remove(&id.index);
            if placing.ready.is_empty() && placing.round.is_none() {
                self.placing.remove(&key);
            }
        }
        self.unplace(node, id);
    }

    /// The other owners of a job may lack what is known of a task.
    pub(super) fn copy_state(&mut self, id: TaskId, me: NodeId) {
        let Some(job) = self.jobs.get(&id.job) else {
            return;
        };
        for owner in &job.owners {
            if *owner != me {
                self.copies.state(*owner, id.job, Some(id.index));
            }
        }
    }

    /// A task lost its place: it is pending again, and placed anew after `pause`.
    pub(super) fn unsettle(&mut self, id: TaskId, pause: Duration, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&id.job) else {
            return;
        };
        job.set_state(id.index, TaskState::Pending);
        let stopping = job.state == JobState::Stopping;
        let Some(task) = job.task_mut(id.index) else {
            return;
        };
        let node = task.node;
        ctx.fx.lazy.push(saved::save_task(id, task));
        if task.halting || stopping {
            self.settle(id, TaskState::Stopped, None, ctx);
            return;
        }
        self.unplace(node, id);
        if pause.is_zero() {
            self.ready(id, ctx.me);
        } else {
            self.timers.insert((ctx.now + pause, Timer::Delayed(id)));
        }
    }

    /// A node is dead or has left: its tasks are placed anew.
    pub(crate) fn node_gone(&mut self, node: NodeId, ctx: &mut Ctx<'_>) {
        self.claims.retain(|_, claim| claim.node != node);
        self.ties_changed = true;
        for id in self.at.remove(&node).unwrap_or_default() {
            let Some(job) = self.jobs.get_mut(&id.job) else {
                continue;
            };
            let Some(task) = job.task_mut(id.index) else {
                continue;
            };
            if task.state.is_over() || task.node != Some(node) {
                continue;
            }
            task.moves += 1;
            tell(
                ctx,
                EventKind::TaskDisplaced,
                id,
                Some(node),
                "its node is gone".to_owned(),
            );
            self.unsettle(id, Duration::ZERO, ctx);
        }
    }
}

pub(super) fn tell(
    ctx: &mut Ctx<'_>,
    kind: EventKind,
    task: TaskId,
    node: Option<NodeId>,
    detail: String,
) {
    ctx.event(Event {
        kind,
        job: Some(task.job),
        task: Some(task),
        node,
        detail,
    });
}
