//! Taking in what another owner tells of a job. Both records become one, whatever came first.

use std::collections::BTreeSet;

use starling_wire::copies::{JobCopy, JobHead, MAX_COPIES, MAX_OWNERS, TaskCopy, TaskEnd};
use starling_wire::jobs::{JobMessage, MAX_TASKS};
use starling_wire::{Epoch, JobId, NodeId, TaskId};

use super::{Owner, Timer};
use crate::effect::{Effect, Event, EventKind};
use crate::engine::Ctx;
use crate::job::{Job, JobState, Task, TaskState, bounded};
use crate::saved;

/// Whether the sender of a copy is to hear more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It has all that is known here.
    Taken,
    /// Something is known here that it may lack, and follows.
    Owing,
    /// There is no record of the job here.
    Unknown,
    /// Nothing can be said of it.
    Nothing,
}

impl Owner {
    /// Another owner tells what is new; it hears when that is on disk.
    pub(super) fn copy(&mut self, from: NodeId, seq: u64, items: Vec<JobCopy>, ctx: &mut Ctx<'_>) {
        let (mut owing, mut unknown) = (Vec::new(), Vec::new());
        for item in items.into_iter().take(MAX_COPIES) {
            let id = item.job;
            match self.take_copy(from, item, ctx) {
                Answer::Owing => owing.push(id),
                Answer::Unknown => unknown.push(id),
                Answer::Taken | Answer::Nothing => {}
            }
        }
        ctx.send_after(
            from,
            JobMessage::Copied {
                seq,
                owing,
                unknown,
            },
        );
    }

    fn take_copy(&mut self, from: NodeId, copy: JobCopy, ctx: &mut Ctx<'_>) -> Answer {
        let id = copy.job;
        let actor = copy.actor.unwrap_or(from);
        if !self.jobs.contains_key(&id) {
            let Some(head) = &copy.head else {
                return Answer::Unknown;
            };
            if !head.owners.contains(&ctx.me) {
                // It was held here once, and is not any more.
                return Answer::Nothing;
            }
            if actor == ctx.me || !self.may_hold(head, ctx) {
                return Answer::Unknown;
            }
            if let Some(at) = copy.finished
                && at + ctx.config.retention <= ctx.now
            {
                return Answer::Nothing;
            }
            self.hold_copy(&copy, head, actor, ctx);
            self.merge(from, copy, ctx);
            self.watch_actor(id, ctx);
            return Answer::Taken;
        }
        let Some(job) = self.jobs.get_mut(&id) else {
            return Answer::Unknown;
        };
        if copy.whole {
            job.awaiting.remove(&from);
        }
        let known = (job.term, job.actor);
        let told = (copy.term, actor);
        let theirs = copy.head.as_ref().map_or(&job.owners, |head| &head.owners);
        let outbids = told > known
            && job.actor == ctx.me
            && comes_before(ctx.me, actor, &job.owners)
            && comes_before(ctx.me, actor, theirs);
        let mine = told > known && actor == ctx.me;
        let answer = if outbids || (mine && job.actor == ctx.me) {
            self.outbid(id, from, &copy, ctx);
            Answer::Taken
        } else if mine {
            // An earlier life of this node acted, and its disk does not know.
            self.act_again(id, copy.term, ctx);
            Answer::Taken
        } else if told > known {
            if self.follow(id, actor, &copy, ctx) {
                Answer::Owing
            } else {
                Answer::Taken
            }
        } else if told < known {
            self.copies.head(from, id);
            Answer::Owing
        } else {
            if let Some(head) = &copy.head
                && job.owners != head.owners
                && head.owners.len() <= MAX_OWNERS
            {
                self.change_owners(id, head.owners.clone(), ctx);
            }
            if let Some(job) = self.jobs.get(&id) {
                if job.actor == ctx.me && !job.owners.contains(&from) {
                    self.copies.head(from, id);
                }
                if job.state.is_over() && copy.finished.is_none() {
                    // It has missed the end, and whoever acted may be gone.
                    self.copies.all(from, job, false);
                }
            }
            Answer::Taken
        };
        self.merge(from, copy, ctx);
        self.forget_foreign(id, ctx);
        answer
    }

    /// Whether a record of another owner's job may be held here as well.
    fn may_hold(&self, head: &JobHead, ctx: &Ctx<'_>) -> bool {
        let most = ctx.config.max_jobs.saturating_mul(MAX_OWNERS);
        head.owners.len() <= MAX_OWNERS && self.jobs.len() < most && head.spec.check().is_ok()
    }

    fn hold_copy(&mut self, copy: &JobCopy, head: &JobHead, actor: NodeId, ctx: &mut Ctx<'_>) {
        let (spec, owners) = (head.spec.clone(), head.owners.clone());
        let mut job = Job::new(copy.job, spec, head.taker, owners, head.submitted);
        job.actor = actor;
        job.term = copy.term;
        job.durable = true;
        job.told = true;
        ctx.fx.saves.push(saved::save_job(&job));
        self.link_owners(&job, ctx.me);
        self.jobs.insert(copy.job, job);
    }

    /// Adds what a copy says of a job's tasks to what is known.
    fn merge(&mut self, from: NodeId, copy: JobCopy, ctx: &mut Ctx<'_>) {
        let id = copy.job;
        let mut halts: Vec<(NodeId, (TaskId, Epoch))> = Vec::new();
        let mut changed = Vec::new();
        let mut stopped = Vec::new();
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let acts = job.actor == ctx.me;
        let was_over = job.state.is_over();
        let stops = copy.stopping && job.state == JobState::Active;
        if stops {
            job.state = JobState::Stopping;
            ctx.fx.saves.push(saved::save_job(job));
        }
        let key = (job.submitted, id);
        for news in copy.tasks {
            let task_id = job.task_id(news.index);
            let Some(task) = job.task(news.index) else {
                continue;
            };
            let placed = !task.state.is_over() && task.state != TaskState::Pending;
            let place = task.node.filter(|_| placed).map(|node| (node, task.epoch));
            match join(job, &news) {
                Joined::Same => continue,
                Joined::Changed => {}
                Joined::Halts => stopped.push(news.index),
                Joined::Over => {
                    if acts {
                        self.open_tasks = self.open_tasks.saturating_sub(1);
                        if let Some((node, epoch)) = place {
                            halts.push((node, (task_id, epoch)));
                        }
                        if let Some(placing) = self.placing.get_mut(&key) {
                            placing.ready.remove(&news.index);
                        }
                    }
                }
            }
            if let Some(task) = job.task(news.index) {
                ctx.fx.saves.push(saved::save_task(task_id, task));
            }
            changed.push(news.index);
        }
        let over = !was_over && job.counts.open() == 0;
        if over {
            job.state = match job.state {
                JobState::Stopping => JobState::Stopped,
                _ => JobState::Finished,
            };
            job.finished = Some(copy.finished.unwrap_or(ctx.now));
            job.over_since = Some(ctx.now);
            job.waits = None;
            ctx.fx.saves.push(saved::save_job(job));
            // Kept here from now on: clocks differ.
            let until = ctx.now + ctx.config.retention;
            self.timers.insert((until, Timer::Retention(id)));
        }
        if acts && (stops || over || !changed.is_empty()) {
            let others = job.owners.clone();
            for other in others {
                if other != ctx.me && other != from {
                    self.copies.state(other, id, None);
                    for index in &changed {
                        self.copies.state(other, id, Some(*index));
                    }
                }
            }
        }
        for (node, (task, epoch)) in halts {
            self.unplace(Some(node), task);
            // The copy of it that runs here is one too many.
            ctx.send(node, JobMessage::Halt(vec![(task, epoch)]));
        }
        if acts {
            self.stop_merged(id, stops, &stopped, ctx);
            if over {
                let told = copy.finished.is_some();
                self.finished_elsewhere(id, told, ctx);
            }
        }
    }

    /// Somebody asked another owner to stop this.
    fn stop_merged(&mut self, id: JobId, all: bool, tasks: &[u32], ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let indices: BTreeSet<u32> = if all {
            (0..job.spec.count).collect()
        } else {
            tasks.iter().copied().collect()
        };
        if indices.is_empty() {
            return;
        }
        for index in indices {
            let Some(task) = self.jobs.get_mut(&id).and_then(|job| job.task_mut(index)) else {
                continue;
            };
            if task.state.is_over() {
                continue;
            }
            task.halting = true;
            if task.state == TaskState::Pending {
                self.settle(TaskId { job: id, index }, TaskState::Stopped, None, ctx);
            }
        }
        self.halt_again(id, ctx);
    }

    /// What another owner told was the last that was missing of a job.
    fn finished_elsewhere(&mut self, id: JobId, told: bool, ctx: &mut Ctx<'_>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.told |= told;
        }
        self.tell_finished(id, ctx);
    }

    /// Tells of a job's end, once, when all its results are where they should be.
    pub(super) fn tell_finished(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        if self.uncommitted.contains_key(&id) {
            return;
        }
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        if job.actor != ctx.me || !job.state.is_over() || std::mem::replace(&mut job.told, true) {
            return;
        }
        let counts = job.counts;
        let detail = format!(
            "{} succeeded, {} failed, {} stopped",
            counts.succeeded, counts.failed, counts.stopped
        );
        ctx.fx.after.push(Effect::Event(Event {
            kind: EventKind::JobFinished,
            job: Some(id),
            task: None,
            node: None,
            detail,
        }));
    }

    /// The ends of these tasks are on another owner's disk as well: their hosts may forget them, and
    /// whoever listens is told.
    pub(super) fn commit(&mut self, id: JobId, tasks: &BTreeSet<u32>, ctx: &mut Ctx<'_>) {
        let Some(waiting) = self.uncommitted.get_mut(&id) else {
            return;
        };
        let done: Vec<u32> = waiting.intersection(tasks).copied().collect();
        waiting.retain(|index| !tasks.contains(index));
        if waiting.is_empty() {
            self.uncommitted.remove(&id);
        }
        self.tell_ends(id, &done, ctx);
        self.tell_finished(id, ctx);
    }

    /// Nobody else is there to have results on disk: this node's own has to do.
    pub(super) fn commit_all(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        let waiting = self.uncommitted.remove(&id).unwrap_or_default();
        let waiting: Vec<u32> = waiting.into_iter().collect();
        self.tell_ends(id, &waiting, ctx);
        self.tell_finished(id, ctx);
    }

    fn tell_ends(&self, id: JobId, tasks: &[u32], ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let mut noted: std::collections::BTreeMap<NodeId, Vec<(TaskId, Epoch, bool)>> =
            std::collections::BTreeMap::new();
        for index in tasks {
            let Some(task) = job.task(*index) else {
                continue;
            };
            let task_id = job.task_id(*index);
            self.tell_end(task_id, ctx);
            if let Some(node) = task.node {
                noted
                    .entry(node)
                    .or_default()
                    .push((task_id, task.epoch, true));
            }
        }
        for (node, ends) in noted {
            for chunk in ends.chunks(MAX_TASKS) {
                ctx.send_after(node, JobMessage::Noted(chunk.to_vec()));
            }
        }
    }

    /// Tells of a task's end.
    pub(super) fn tell_end(&self, id: TaskId, ctx: &mut Ctx<'_>) {
        let Some(task) = self.jobs.get(&id.job).and_then(|job| job.task(id.index)) else {
            return;
        };
        let detail = task
            .outcome
            .as_ref()
            .map_or_else(|| "stopped".to_owned(), ToString::to_string);
        ctx.fx.after.push(Effect::Event(Event {
            kind: EventKind::TaskEnded,
            job: Some(id.job),
            task: Some(id),
            node: task.node,
            detail,
        }));
    }

    /// Once all owners have a job's last word there is nothing to be told after a restart.
    pub(super) fn settle_job(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let acts = job.actor == ctx.me && job.state.is_over() && !job.settled;
        if acts
            && job
                .owners
                .iter()
                .all(|owner| *owner == ctx.me || self.copies.has_all(owner, id))
        {
            job.settled = true;
            ctx.fx.lazy.push(saved::save_job(job));
        }
    }
}

/// Whether both own a job and `one` is to act before `other`.
fn comes_before(one: NodeId, other: NodeId, owners: &[NodeId]) -> bool {
    let rank = |node| owners.iter().position(|owner| *owner == node);
    matches!((rank(one), rank(other)), (Some(a), Some(b)) if a < b)
}

/// What a copy changed of a task.
enum Joined {
    Same,
    Changed,
    /// Somebody asked to stop it.
    Halts,
    /// It has ended, as was not known.
    Over,
}

/// Joins what is told of a task with what is known of it.
fn join(job: &mut Job, news: &TaskCopy) -> Joined {
    let Some(task) = job.task_mut(news.index) else {
        return Joined::Same;
    };
    let mut joined = Joined::Same;
    if news.attempts > task.attempts {
        task.attempts = news.attempts;
        joined = Joined::Changed;
    }
    if news.halting && !task.halting {
        task.halting = true;
        joined = if task.state.is_over() {
            Joined::Changed
        } else {
            Joined::Halts
        };
    }
    let Some(end) = &news.end else { return joined };
    let state = end_state(end);
    let was_over = task.state.is_over();
    if was_over && !is_better(end, state, task) {
        return joined;
    }
    task.outcome = end.outcome.clone().map(bounded);
    task.ended = Some(end.ended);
    task.ran = end.ran_us.map(std::time::Duration::from_micros);
    task.node = end.node.or(task.node);
    task.epoch = task.epoch.max(end.epoch);
    job.set_state(news.index, state);
    if was_over {
        Joined::Changed
    } else {
        Joined::Over
    }
}

fn end_state(end: &TaskEnd) -> TaskState {
    if end.outcome.as_ref().is_some_and(|o| o.is_success()) {
        TaskState::Succeeded
    } else if end.stopped {
        TaskState::Stopped
    } else {
        TaskState::Failed
    }
}

/// Of two ends of a task, one on each side of a partition, all owners keep the same: success first,
/// then the earlier.
fn is_better(end: &TaskEnd, state: TaskState, task: &Task) -> bool {
    let rank = |state| match state {
        TaskState::Succeeded => 0,
        TaskState::Failed => 1,
        _ => 2,
    };
    let theirs = (rank(state), Some(end.ended), end.epoch);
    let ours = (rank(task.state), task.ended, task.epoch);
    theirs < ours
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use starling_wire::{JobSpec, Outcome, Time};

    use super::*;

    fn job() -> Job {
        let spec = JobSpec {
            count: 2,
            ..JobSpec::default()
        };
        let taker = NodeId([1; 32]);
        Job::new(JobId(1), Arc::new(spec), taker, vec![taker], Time::ZERO)
    }

    fn news() -> impl Strategy<Value = TaskCopy> {
        let end = (0..3_i32, 0..4_u64, 0..3_u64).prop_map(|(code, at, epoch)| TaskEnd {
            outcome: (code < 2).then_some(Outcome::Exited(code)),
            stopped: code == 2,
            ended: Time(at),
            ran_us: None,
            node: None,
            epoch,
        });
        (0..3_u32, 0..3_u32, any::<bool>(), proptest::option::of(end)).prop_map(
            |(index, attempts, halting, end)| TaskCopy {
                index,
                attempts,
                halting,
                end,
            },
        )
    }

    proptest! {
        #[test]
        fn copies_lead_to_the_same_record_in_any_order(
            mut all in prop::collection::vec(news(), 0..8), turn in 0..8_usize,
        ) {
            let record = |all: &[TaskCopy]| {
                let mut job = job();
                for news in all.iter().chain(all) {
                    join(&mut job, news);
                }
                let tasks = job.tasks.iter();
                let tasks: Vec<_> = tasks
                    .map(|t| (t.state, t.attempts, t.halting, t.outcome.clone(), t.ended))
                    .collect();
                (tasks, job.counts)
            };
            let before = record(&all);
            let turn = turn % all.len().max(1);
            all.rotate_left(turn);
            all.reverse();
            prop_assert_eq!(before, record(&all));
        }
    }
}
