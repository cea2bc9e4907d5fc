//! Leases: a task of a job whose partition policy is "stop" runs only while a majority of the job's
//! owners has leased it to this node (Gray & Cheriton 1989). A lease counts from when it was asked
//! for, by this node's clock, and ends a little before its owners may lease the task to another by
//! theirs; the executor ends the task then, whether or not the daemon is there to say so.

use std::collections::BTreeMap;

use starling_wire::job::Partition;
use starling_wire::jobs::{JobMessage, MAX_TASKS};
use starling_wire::{Epoch, JobId, NodeId, Outcome, TaskId, Time, codec};

use super::{Held, Host, Stage};
use crate::effect::Effect;
use crate::engine::Ctx;
use crate::lease;
use crate::saved::HeldRow;

/// So often is a lease renewed within its time.
const RENEWALS: u32 = 4;
/// A lease ends so much sooner here, as a share of its time: killing takes a moment.
const MARGIN: u32 = 16;

/// A held placement's lease.
type Lease = lease::Lease<NodeId, Time>;

/// The leases of the placements held here.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: BTreeMap<TaskId, Lease>,
    round: u64,
    renew: Option<Time>,
    /// Placements that are over and whose owners are to know it.
    released: Vec<(TaskId, Epoch)>,
}

impl Leases {
    pub(super) const fn next_deadline(&self) -> Option<Time> {
        self.renew
    }

    /// A placement is over.
    pub(super) fn end(&mut self, task: TaskId, epoch: Epoch, surely: bool) {
        // What a runner that died held may still run: its lease ends by itself.
        if self.held.remove(&task).is_some() && surely {
            self.released.push((task, epoch));
        }
    }
}

impl Host {
    /// Whether a job's tasks need a lease to run.
    pub(super) fn is_leased(&self, job: JobId) -> bool {
        let spec = self.ties.get(&job).and_then(|tie| tie.spec.as_ref());
        spec.is_some_and(|spec| spec.partition == Partition::Stop)
    }

    /// A placement is held that needs a lease; it is asked for at once.
    pub(super) fn seek_lease(&mut self, task: TaskId, now: Time) {
        self.leases.held.insert(task, Lease::default());
        self.leases.renew = Some(now);
    }

    pub(super) fn lease_tick(&mut self, ctx: &mut Ctx<'_>) {
        self.tell_released(ctx);
        if self.leases.renew.is_none_or(|at| at > ctx.now) {
            return;
        }
        self.leases.renew = None;
        if self.leases.held.is_empty() {
            return;
        }
        self.leases.renew = Some(ctx.now + ctx.config.lease / RENEWALS);
        // Greater than in any life before, as long as the clock does not go back meanwhile.
        self.leases.round = ctx.now.as_micros().max(self.leases.round + 1);
        let round = self.leases.round;
        let mut asks: BTreeMap<NodeId, Vec<(TaskId, Epoch)>> = BTreeMap::new();
        for (task, lease) in &mut self.leases.held {
            let (Some(held), Some(tie)) = (self.held.get(task), self.ties.get(&task.job)) else {
                continue;
            };
            if held.stage == Stage::Leasing && !held.noted && lease.round() > 0 {
                // It waits for longer than an answer takes: its owner is to know.
                self.unsent.insert((held.owner, *task));
            }
            lease.begin(round, ctx.now);
            for owner in &tie.owners {
                asks.entry(*owner).or_default().push((*task, held.epoch));
            }
        }
        for (owner, tasks) in asks {
            for chunk in tasks.chunks(MAX_TASKS) {
                let tasks = chunk.to_vec();
                ctx.send(owner, JobMessage::Lease { round, tasks });
            }
        }
    }

    /// An owner leases placements to this node.
    pub(super) fn leased(
        &mut self,
        from: NodeId,
        round: u64,
        tasks: &[(TaskId, Epoch)],
        ctx: &mut Ctx<'_>,
    ) {
        for (task, epoch) in tasks.iter().take(MAX_TASKS) {
            let Some(held) = self.held.get(task).filter(|held| held.epoch == *epoch) else {
                continue;
            };
            let (Some(lease), Some(tie)) =
                (self.leases.held.get_mut(task), self.ties.get(&task.job))
            else {
                continue;
            };
            let time = ctx.config.lease - ctx.config.lease / MARGIN;
            let owners = tie.owners.len();
            if !tie.owners.contains(&from) {
                continue;
            }
            let until = lease.agree(from, round, owners, ctx.now, |asked| asked + time);
            let Some(until) = until else { continue };
            let waits = held.stage == Stage::Leasing;
            if waits {
                self.start_leased(*task, until, ctx);
            } else {
                let (task, epoch) = (*task, *epoch);
                ctx.fx.now.push(Effect::Lease { task, epoch, until });
            }
        }
    }

    /// A newer placement was leased: one that still waits has nothing to wait for.
    pub(super) fn not_leased(
        &mut self,
        from: NodeId,
        stale: &[(TaskId, Epoch)],
        ctx: &mut Ctx<'_>,
    ) {
        for (task, epoch) in stale.iter().take(MAX_TASKS) {
            let waits = self.held.get(task).is_some_and(|held| {
                held.epoch == *epoch && held.stage == Stage::Leasing && self.is_owner(from, *task)
            });
            if waits {
                self.stop(*task, Outcome::Evicted, ctx);
            }
        }
    }

    /// A placement waited for its lease and has it.
    fn start_leased(&mut self, task: TaskId, until: Time, ctx: &mut Ctx<'_>) {
        let pressed = self.pressed.sum_at(ctx.now);
        let Some(tie) = self.ties.get(&task.job) else {
            return;
        };
        let (Some(spec), Some(held)) = (tie.spec.clone(), self.held.get_mut(&task)) else {
            return;
        };
        held.stage = Stage::Starting;
        held.since = ctx.now;
        held.pressed = pressed;
        let row = row(held, tie.owners.clone());
        ctx.fx.now.push(Effect::Start {
            task,
            epoch: held.epoch,
            spec,
            note: codec::encode(&row),
            lease: Some(until),
        });
    }

    /// Tells owners what is over.
    fn tell_released(&mut self, ctx: &mut Ctx<'_>) {
        let mut told: BTreeMap<NodeId, Vec<(TaskId, Epoch)>> = BTreeMap::new();
        for (task, epoch) in std::mem::take(&mut self.leases.released) {
            let owners = self.ties.get(&task.job).map(|tie| &tie.owners);
            for owner in owners.into_iter().flatten() {
                told.entry(*owner).or_default().push((task, epoch));
            }
        }
        for (owner, tasks) in told {
            for chunk in tasks.chunks(MAX_TASKS) {
                ctx.send(owner, JobMessage::Released(chunk.to_vec()));
            }
        }
    }
}

/// What a host remembers of a placement.
pub(super) fn row(held: &Held, owners: Vec<NodeId>) -> HeldRow {
    HeldRow {
        epoch: held.epoch,
        owner: held.owner,
        need: held.need,
        since: held.since,
        class: held.class.name.clone(),
        owners,
    }
}
