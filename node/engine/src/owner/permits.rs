//! Permits: to whom this node, as an owner, has leased the tasks of jobs whose partition policy is
//! "stop". An owner leases a task to one node at a time and to the newest placement only; of two
//! majorities of the same owners one node is in both, so a task runs on one node at a time. The
//! owners of such a job therefore never change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use starling_placement::Decision;
use starling_wire::job::Partition;
use starling_wire::jobs::{JobMessage, MAX_TASKS};
use starling_wire::{Epoch, JobId, NodeId, TaskId, Time};

use super::{Owner, Timer};
use crate::engine::Ctx;
use crate::job::Job;
use crate::lease::{self, Answer};
use crate::saved::{self, PermitRow};

/// Clocks of two machines may differ in rate by one part in so many.
const DRIFT: u32 = 50;

/// How often it is looked whether owners that lease are back.
const AGAIN: Duration = Duration::from_millis(500);

/// To whom a task is leased.
pub(super) type Permit = lease::Permit<NodeId, Time>;

/// How long a lease keeps others away, by the clock of an owner.
fn span(lease: Duration) -> Duration {
    lease + lease / DRIFT
}

impl Owner {
    /// Takes up what an earlier life leased: when it last did is not known, so each counts from now.
    pub(crate) fn take_up_permits(&mut self, rows: BTreeMap<TaskId, PermitRow>, ctx: &mut Ctx<'_>) {
        let until = ctx.now + span(ctx.config.lease);
        for (task, row) in rows {
            if !self.jobs.contains_key(&task.job) {
                ctx.fx.lazy.push(saved::forget_permit(task));
                continue;
            }
            let permit = Permit {
                epoch: row.epoch,
                host: row.host,
                until,
                over: false,
            };
            self.permits.insert(task, permit);
        }
    }

    /// A host asks for leases.
    pub(super) fn lease(
        &mut self,
        from: NodeId,
        round: u64,
        tasks: Vec<(TaskId, Epoch)>,
        ctx: &mut Ctx<'_>,
    ) {
        let (mut leased, mut stale) = (Vec::new(), Vec::new());
        let mut written = false;
        for (task, epoch) in tasks.into_iter().take(MAX_TASKS) {
            match self.may_lease(task, ctx.me) {
                Some(true) => {}
                Some(false) => {
                    stale.push((task, epoch));
                    // Whoever placed it again does not know that it is over.
                    let actor = self.jobs.get(&task.job).map(|job| job.actor);
                    if let Some(actor) = actor.filter(|actor| *actor != ctx.me) {
                        self.copies.state(actor, task.job, Some(task.index));
                    }
                    continue;
                }
                None => continue,
            }
            let until = ctx.now + span(ctx.config.lease);
            let mut permit = self.permits.remove(&task);
            let answer = lease::ask(&mut permit, (from, epoch), ctx.now, until);
            if let Some(permit) = permit {
                self.permits.insert(task, permit);
            }
            match answer {
                Answer::Held => {}
                Answer::Stale => stale.push((task, epoch)),
                Answer::Renewed => leased.push((task, epoch)),
                Answer::Granted => {
                    // On disk before it is told: a restart must not lease it to another.
                    let row = PermitRow { epoch, host: from };
                    ctx.fx.saves.push(saved::save_permit(task, &row));
                    written = true;
                    leased.push((task, epoch));
                }
            }
        }
        if leased.is_empty() && stale.is_empty() {
            return;
        }
        let answer = JobMessage::Leased {
            round,
            tasks: leased,
            stale,
        };
        if written {
            ctx.send_after(from, answer);
        } else {
            ctx.send(from, answer);
        }
    }

    /// A host has ended what it had a lease for.
    pub(super) fn released(&mut self, from: NodeId, tasks: &[(TaskId, Epoch)], now: Time) {
        for (task, epoch) in tasks.iter().take(MAX_TASKS) {
            if let Some(permit) = self.permits.get_mut(task) {
                lease::release(permit, from, *epoch, now);
            }
        }
    }

    /// Forgets to whom a job's tasks were leased.
    pub(super) fn forget_permits(&mut self, job: JobId, ctx: &mut Ctx<'_>) {
        let (first, last) = (0, u32::MAX);
        let all = TaskId { job, index: first }..=TaskId { job, index: last };
        let tasks: Vec<TaskId> = self.permits.range(all).map(|(task, _)| *task).collect();
        for task in tasks {
            self.permits.remove(&task);
            ctx.fx.lazy.push(saved::forget_permit(task));
        }
    }

    /// Whether tasks of a job could be leased now, as far as this node sees: not without a majority
    /// of its owners.
    pub(super) fn could_lease(&self, job: &Job, ctx: &Ctx<'_>) -> bool {
        let owners = job.owners.iter();
        let there = owners.filter(|owner| **owner == ctx.me || ctx.alive(owner).is_some());
        job.spec.partition == Partition::Keep || there.count() > job.owners.len() / 2
    }

    /// A job's tasks could not be leased to anybody: it looks again soon, and says so.
    pub(super) fn wait_for_owners(&mut self, key: (Time, JobId), ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&key.1) else {
            return;
        };
        let text = format!(
            "a majority of its {} owners to be reachable, because it may run at most once",
            job.owners.len()
        );
        let decision = Decision {
            at_us: ctx.now.as_micros(),
            batch: job.counts.pending,
            candidates: Vec::new(),
        };
        job.waits = Some((Arc::new(decision), text));
        let until = ctx.now + AGAIN;
        if let Some(placing) = self.placing.get_mut(&key) {
            placing.blocked = Some(until);
        }
        self.timers.insert((until, Timer::Blocked(key.1)));
    }

    /// Whether a job's owners are fixed because they lease its tasks.
    pub(super) fn is_leasing(&self, job: JobId) -> bool {
        let job = self.jobs.get(&job);
        job.is_some_and(|job| job.spec.partition == Partition::Stop)
    }

    /// Whether this node leases a task: not any more once that is over, and not at all without its
    /// job's record.
    fn may_lease(&self, task: TaskId, me: NodeId) -> Option<bool> {
        let job = self.jobs.get(&task.job)?;
        let leases = job.spec.partition == Partition::Stop && job.owners.contains(&me);
        let task = job.task(task.index).filter(|_| leases)?;
        Some(!task.state.is_over())
    }
}
