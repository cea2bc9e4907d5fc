//! Which owner a host answers to: the one that acts for the job, and the next in order when that one
//! is gone; and what a host does by itself when no owner is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use starling_wire::copies::{Acting, MAX_COPIES, MAX_OWNERS};
use starling_wire::job::Partition;
use starling_wire::{JobId, JobSpec, NodeId, Outcome, TaskId, Time, codec};

use super::leases::row;
use super::{Host, Stage};
use crate::effect::Effect;
use crate::engine::Ctx;
use crate::saved;

/// How long an owner that acts for another may leave an end unanswered.
const TURN: Duration = Duration::from_secs(5);

/// What a host knows of a job of which it holds placements.
#[derive(Clone, Debug)]
pub(super) struct Tie {
    /// Who holds the job's record, in the order in which they act.
    pub(super) owners: Vec<NodeId>,
    /// The latest term that is known here.
    pub(super) term: u32,
    /// What is run, where it is known.
    pub(super) spec: Option<Arc<JobSpec>>,
    /// How many placements are held.
    pub(super) count: u32,
    /// When its reports last went to another owner for want of an answer.
    pub(super) turned: Time,
}

impl Host {
    /// Whether `node` is an owner of a job of which placements are held here.
    pub(super) fn is_owner(&self, node: NodeId, task: TaskId) -> bool {
        let held = self.held.get(&task);
        held.is_some_and(|held| held.owner == node)
            || self
                .ties
                .get(&task.job)
                .is_some_and(|tie| tie.owners.contains(&node))
    }

    /// Whether the owner that a placement answers to is there and comes before `node` in order: what
    /// a stand-in says, that was cut off and does not know yet, must not end what runs well.
    pub(super) fn is_outranked(&self, node: NodeId, task: TaskId, ctx: &Ctx<'_>) -> bool {
        let (Some(held), Some(tie)) = (self.held.get(&task), self.ties.get(&task.job)) else {
            return false;
        };
        let rank = |node: NodeId| tie.owners.iter().position(|owner| *owner == node);
        let there = held.owner == ctx.me || ctx.alive(&held.owner).is_some();
        held.owner != node
            && there
            && rank(held.owner).is_some_and(|first| rank(node).is_none_or(|rank| first < rank))
    }

    /// Somebody says who acts for jobs.
    pub(super) fn acting(&mut self, from: NodeId, items: Vec<Acting>, ctx: &mut Ctx<'_>) {
        for item in items.into_iter().take(MAX_COPIES) {
            let Some(tie) = self.ties.get(&item.job) else {
                continue;
            };
            let believed = tie.owners.contains(&from) || item.owners.contains(&from);
            if !believed || item.term < tie.term || item.owners.len() > MAX_OWNERS {
                continue;
            }
            let first = self.held.range(all_of(item.job)).next();
            // Unless whoever acted so far says so itself.
            let outranked = first.is_some_and(|(task, held)| {
                held.owner != from && self.is_outranked(item.actor, *task, ctx)
            });
            if outranked {
                continue;
            }
            let Some(tie) = self.ties.get_mut(&item.job) else {
                continue;
            };
            tie.term = item.term;
            self.orphans.remove(&item.job);
            if tie.owners != item.owners {
                self.change_heirs(item.job, item.owners);
                self.save_ties(item.job, ctx);
            }
            self.answer_to(item.job, item.actor);
        }
    }

    /// A job of which placements are held has other owners.
    fn change_heirs(&mut self, job: JobId, owners: Vec<NodeId>) {
        let Some(tie) = self.ties.get_mut(&job) else {
            return;
        };
        for node in &owners {
            let count = self.heirs.entry(*node).or_default();
            *count += 1;
            self.ties_changed |= *count == 1;
        }
        for node in std::mem::replace(&mut tie.owners, owners) {
            if let Some(count) = self.heirs.get_mut(&node) {
                *count -= 1;
                if *count == 0 {
                    self.heirs.remove(&node);
                    self.ties_changed = true;
                }
            }
        }
    }

    /// Writes anew who owns the placements of a job.
    fn save_ties(&self, job: JobId, ctx: &mut Ctx<'_>) {
        let Some(tie) = self.ties.get(&job) else {
            return;
        };
        for (task, held) in self.held.range(all_of(job)) {
            let row = row(held, tie.owners.clone());
            ctx.fx.lazy.push(saved::save_held(*task, &row));
        }
    }

    /// Reports about a job go to `actor` from now on, beginning with all that is held of it.
    fn answer_to(&mut self, job: JobId, actor: NodeId) {
        for (task, held) in self.held.range_mut(all_of(job)) {
            if held.owner == actor {
                continue;
            }
            if !held.is_over() {
                let count = self.by_owner.entry(held.owner).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.by_owner.remove(&held.owner);
                }
                *self.by_owner.entry(actor).or_default() += 1;
                self.ties_changed = true;
            }
            self.unsent.remove(&(held.owner, *task));
            held.owner = actor;
            held.noted = false;
            if held.stage != Stage::Starting {
                self.unsent.insert((actor, *task));
            }
        }
    }

    /// An owner is gone: whoever is next in order hears what runs here of its jobs, unasked.
    pub(crate) fn owner_gone(&mut self, node: NodeId, ctx: &mut Ctx<'_>) {
        if !self.by_owner.contains_key(&node) && !self.held.values().any(|h| h.owner == node) {
            return;
        }
        let mut heirs: BTreeMap<JobId, NodeId> = BTreeMap::new();
        for (task, held) in &self.held {
            if held.owner == node
                && !heirs.contains_key(&task.job)
                && let Some(heir) = self.heir(task.job, ctx)
            {
                heirs.insert(task.job, heir);
            }
        }
        for (job, heir) in heirs {
            self.answer_to(job, heir);
            self.orphans.insert(job);
        }
    }

    /// The first owner in order that is there.
    pub(super) fn heir(&self, job: JobId, ctx: &Ctx<'_>) -> Option<NodeId> {
        let owners = &self.ties.get(&job)?.owners;
        let there = |owner: &&NodeId| **owner == ctx.me || ctx.alive(owner).is_some();
        owners.iter().find(there).copied()
    }

    /// A placement whose owner cannot be reached gets another, if one can.
    pub(super) fn seek_heir(&mut self, task: TaskId, ctx: &Ctx<'_>) {
        if let Some(held) = self.held.get(&task)
            && let owner = held.owner
            // An owner that was not seen yet may be about to be.
            && (ctx.gossip.member(&owner).is_some()
                || self.since + ctx.config.recovery <= ctx.now
                    && self.since.max(held.since) + ctx.patience() <= ctx.now)
            && let Some(heir) = self.heir(task.job, ctx)
            && heir != owner
        {
            self.answer_to(task.job, heir);
            self.orphans.insert(task.job);
        }
    }

    /// An owner is there, and does not say that it has noted an end: it may not have the job's record.
    /// The next in order that is there hears of it.
    pub(super) fn turn_to_next(&mut self, task: TaskId, ctx: &Ctx<'_>) {
        let (Some(tie), Some(held)) = (self.ties.get_mut(&task.job), self.held.get(&task)) else {
            return;
        };
        let waits = held.ended.is_some_and(|ended| ended + TURN <= ctx.now);
        if !self.orphans.contains(&task.job) || !waits || tie.turned + TURN > ctx.now {
            return;
        }
        tie.turned = ctx.now;
        let at = tie.owners.iter().position(|owner| *owner == held.owner);
        let from = at.map_or(0, |at| at + 1);
        let there = |owner: &&NodeId| **owner == ctx.me || ctx.alive(owner).is_some();
        let next = tie.owners.iter().cycle().skip(from).take(tie.owners.len());
        if let Some(next) = next.copied().find(|owner| there(&owner)) {
            self.answer_to(task.job, next);
        }
    }

    /// Holds on to what a job of which a placement is held runs, and who owns it.
    pub(super) fn tie(
        &mut self,
        job: JobId,
        owners: &[NodeId],
        term: u32,
        spec: Option<&Arc<JobSpec>>,
    ) {
        let tie = self.ties.entry(job).or_insert_with(|| Tie {
            owners: Vec::new(),
            term: 0,
            spec: None,
            count: 0,
            turned: Time::ZERO,
        });
        tie.count += 1;
        if tie.spec.is_none() {
            tie.spec = spec.cloned();
        }
        let newer = term >= tie.term && !owners.is_empty();
        if newer {
            tie.term = term;
        }
        if (newer || tie.owners.is_empty()) && tie.owners != owners {
            self.change_heirs(job, owners.to_vec());
        }
    }

    pub(super) fn untie(&mut self, job: JobId, ctx: &mut Ctx<'_>) {
        let Some(tie) = self.ties.get_mut(&job) else {
            return;
        };
        tie.count = tie.count.saturating_sub(1);
        if tie.count == 0 {
            self.change_heirs(job, Vec::new());
            self.ties.remove(&job);
            self.orphans.remove(&job);
            ctx.fx.lazy.push(saved::forget_spec(job));
        }
    }

    /// The machine came up alone: what it ran before a power cut ended it runs again, unless an owner
    /// is there to say where it shall run.
    pub(super) fn start_cold(&mut self, ctx: &mut Ctx<'_>) {
        let patience = self.since + ctx.patience();
        if ctx.now < patience && !ctx.gossip.is_alone() {
            // Owners may be somewhere in a large cluster.
            self.cold_start = Some(patience);
            return;
        }
        let lost: Vec<TaskId> = std::mem::take(&mut self.cold);
        for task in lost {
            if self.draining || self.heir(task.job, ctx).is_some() {
                continue;
            }
            let spec = self.ties.get(&task.job).and_then(|tie| tie.spec.clone());
            let capacity = ctx.gossip.my_fixed().capacity;
            let free = self.free(&capacity);
            let Some(spec) = spec else { continue };
            let pressed = self.pressed.sum_at(ctx.now);
            let Some(held) = self.held.get_mut(&task) else {
                continue;
            };
            if held.stage != Stage::Ended(Outcome::Lost) || !held.need.fits(&free) {
                continue;
            }
            tracing::info!(%task, "no owner is there: running it again");
            let leases = spec.partition == Partition::Stop;
            held.stage = if leases {
                Stage::Leasing
            } else {
                Stage::Starting
            };
            held.ended = None;
            held.since = ctx.now;
            held.pressed = pressed;
            let (epoch, owner) = (held.epoch, held.owner);
            let owners = self.ties.get(&task.job).map(|tie| tie.owners.clone());
            let row = row(held, owners.unwrap_or_default());
            self.unsent.remove(&(owner, task));
            self.reserve(task);
            if leases {
                self.seek_lease(task, ctx.now);
                continue;
            }
            ctx.fx.now.push(Effect::Start {
                task,
                epoch,
                spec,
                note: codec::encode(&row),
                lease: None,
            });
        }
    }
}

/// All tasks of a job.
const fn all_of(job: JobId) -> std::ops::RangeInclusive<TaskId> {
    let (first, last) = (0, u32::MAX);
    TaskId { job, index: first }..=TaskId { job, index: last }
}
