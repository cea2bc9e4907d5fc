//! Deciding about claims: accept, or refuse with a fresh record.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use starling_gossip::MemberState;
use starling_placement::{Fit, MeasuredFit, Need, NodeFacts, Resources, feasible};
use starling_wire::codec;
use starling_wire::copies::MAX_OWNERS;
use starling_wire::job::Partition;
use starling_wire::jobs::{JobMessage, MAX_TASKS, Phase, Refusal, Report};
use starling_wire::{Epoch, JobId, JobSpec, NodeId, Outcome, TaskId};

use super::{Class, Held, Host, MAX_HELD, MAX_WAITERS, MAX_WAITERS_OF_ONE, Stage, Waiter};
use crate::effect::Effect;
use crate::engine::Ctx;
use crate::owner::class_of;
use crate::saved::{self, HeldRow};

impl Host {
    pub(super) fn claim(
        &mut self,
        owner: NodeId,
        request: u64,
        job: JobId,
        (spec, owners): (&Arc<JobSpec>, &[NodeId]),
        tasks: Vec<(u32, Epoch)>,
        ctx: &mut Ctx<'_>,
    ) {
        let owners = &owners[..owners.len().min(MAX_OWNERS)];
        let mut accepted = Vec::new();
        let mut refused = Vec::new();
        self.offered.remove(&owner);
        for (index, epoch) in tasks.into_iter().take(MAX_TASKS) {
            let task = TaskId { job, index };
            match self.decide(owner, task, epoch, spec, ctx) {
                Ok(known) => {
                    if !known {
                        self.accept(task, epoch, owner, (spec, owners), ctx);
                    }
                    accepted.push((index, epoch));
                }
                Err(refusal) => refused.push((index, epoch, refusal)),
            }
        }
        let room = self.room(owner, &spec.need, ctx);
        let load = self.load_for(owner, &ctx.gossip.my_fixed().capacity);
        let full = refused.iter().any(|(.., why)| *why == Refusal::Full);
        let bounce = if full && ctx.config.policy.bounce {
            somebody_else(owner, spec, ctx)
        } else {
            None
        };
        ctx.send(
            owner,
            JobMessage::Claimed {
                request,
                job,
                accepted,
                refused,
                room,
                load,
                bounce,
            },
        );
    }

    /// Whether the placement is taken; `Ok(true)` if it is held already.
    fn decide(
        &mut self,
        owner: NodeId,
        task: TaskId,
        epoch: Epoch,
        spec: &JobSpec,
        ctx: &mut Ctx<'_>,
    ) -> Result<bool, Refusal> {
        if self
            .graves
            .get(&(owner, task))
            .is_some_and(|buried| *buried >= epoch)
        {
            return Err(Refusal::Stale);
        }
        if let Some(held) = self.held.get(&task) {
            let owned = held.owner == owner || self.is_owner(owner, task);
            if owned && held.epoch == epoch {
                return Ok(true);
            }
            if !owned || held.epoch > epoch || self.is_outranked(owner, task, ctx) {
                return Err(Refusal::Stale);
            }
            // An older copy is still here: it goes first, the new one finds a place elsewhere.
            if !held.is_over() {
                self.stop(task, Outcome::Evicted, ctx);
            }
            return Err(Refusal::Full);
        }
        if self.draining {
            return Err(Refusal::Draining);
        }
        let fixed = ctx.gossip.my_fixed();
        if !spec
            .constraints
            .iter()
            .all(|constraint| constraint.met_by(&fixed.labels))
        {
            return Err(Refusal::Constraint);
        }
        if self.held.len() >= MAX_HELD || !spec.need.fits(&self.free_for(owner, &fixed.capacity)) {
            return Err(Refusal::Full);
        }
        Ok(false)
    }

    fn accept(
        &mut self,
        task: TaskId,
        epoch: Epoch,
        owner: NodeId,
        (spec, owners): (&Arc<JobSpec>, &[NodeId]),
        ctx: &mut Ctx<'_>,
    ) {
        if !self.ties.contains_key(&task.job) {
            ctx.fx.lazy.push(saved::save_spec(task.job, spec));
        }
        let term = u32::try_from(epoch >> 24).unwrap_or(u32::MAX);
        self.tie(task.job, owners, term, Some(spec));
        let row = HeldRow {
            epoch,
            owner,
            need: spec.need,
            since: ctx.now,
            class: spec.class_name(),
            owners: owners.to_vec(),
        };
        ctx.fx.lazy.push(saved::save_held(task, &row));
        let leases = spec.partition == Partition::Stop;
        self.hold(
            task,
            Held {
                epoch,
                owner,
                need: spec.need,
                class: Class::new(row.class.clone()),
                stage: if leases {
                    Stage::Leasing
                } else {
                    Stage::Starting
                },
                since: ctx.now,
                pressed: self.pressed.sum_at(ctx.now),
                ended: None,
                noted: false,
                resending: false,
            },
        );
        if leases {
            return self.seek_lease(task, ctx.now);
        }
        ctx.fx.now.push(Effect::Start {
            task,
            epoch,
            spec: Arc::clone(spec),
            note: codec::encode(&row),
            lease: None,
        });
    }

    /// Begins to stop a placement.
    pub(super) fn stop(&mut self, task: TaskId, outcome: Outcome, ctx: &mut Ctx<'_>) {
        let Some(held) = self.held.get_mut(&task) else {
            return;
        };
        if matches!(
            held.stage,
            Stage::Leasing | Stage::Starting | Stage::Running
        ) {
            held.stage = Stage::Stopping;
            ctx.fx.now.push(Effect::StopTask {
                task,
                epoch: held.epoch,
                outcome,
            });
        }
    }

    pub(super) fn halt(&mut self, from: NodeId, tasks: Vec<(TaskId, Epoch)>, ctx: &mut Ctx<'_>) {
        let mut gone = Vec::new();
        for (task, epoch) in tasks.into_iter().take(MAX_TASKS) {
            match self.held.get(&task) {
                Some(held)
                    if held.epoch <= epoch
                        && self.is_owner(from, task)
                        && !self.is_outranked(from, task, ctx) =>
                {
                    if held.is_over() {
                        self.unsent.insert((held.owner, task));
                    } else {
                        self.stop(task, Outcome::Stopped, ctx);
                    }
                }
                Some(_) => {}
                None => {
                    self.bury(from, task, epoch);
                    let phase = Phase::Ended {
                        outcome: Outcome::Stopped,
                        ran_us: 0,
                    };
                    gone.push(Report { task, epoch, phase });
                }
            }
        }
        if !gone.is_empty() {
            let load = self.load_untaken(&ctx.gossip.my_fixed().capacity);
            let (items, heir) = (gone, false);
            ctx.send(from, JobMessage::Reports { items, load, heir });
        }
    }

    pub(super) fn wait(&mut self, owner: NodeId, need: Resources) {
        let waiter = Waiter { owner, need };
        let own = self.waiters.iter().filter(|w| w.owner == owner).count();
        if self.waiters.len() < MAX_WAITERS
            && own < MAX_WAITERS_OF_ONE
            && !self.waiters.contains(&waiter)
        {
            self.waiters.push_back(waiter);
            // There may be room since this owner asked.
            self.freed = true;
        }
    }

    /// An owner to whom room was offered needs none: the next one in line does not wait for its
    /// time to be up.
    pub(super) fn pass(&mut self, owner: NodeId) {
        self.freed |= self.offered.remove(&owner).is_some();
    }
}

/// A member is named only if what is known of it is no older: a guess costs a claim.
const BOUNCE_AGE: Duration = Duration::from_secs(2);
/// How many random members are looked at for one that has room.
pub(super) const LOOKED_AT: usize = 16;

/// The better of two random members that seem to have room for a task which does not fit here.
fn somebody_else(owner: NodeId, spec: &JobSpec, ctx: &mut Ctx<'_>) -> Option<NodeId> {
    let start = NodeId(ctx.rng.random());
    let need = Need {
        resources: spec.need,
        constraints: &spec.constraints,
        class: class_of(spec),
    };
    let mut best: Option<(f64, NodeId)> = None;
    let mut found = 0;
    for member in ctx.gossip.members_from(&start).take(LOOKED_AT) {
        let Some(fixed) = member.fixed else { continue };
        let fresh = member.age <= BOUNCE_AGE;
        let able = member.state == MemberState::Alive && member.node != ctx.me && fresh;
        let facts = NodeFacts {
            capacity: fixed.capacity,
            labels: &fixed.labels,
            platform: &fixed.platform,
        };
        if !able || member.node == owner || feasible(&need, &facts, &member.load).is_err() {
            continue;
        }
        let score = MeasuredFit.fit(&need, &facts, &member.load).total();
        if best.is_none_or(|(held, _)| score > held) {
            best = Some((score, member.node));
        }
        found += 1;
        if found == 2 {
            break;
        }
    }
    best.map(|(_, node)| node)
}
