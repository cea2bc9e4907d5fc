//! Taking a job.

use std::sync::Arc;

use rand::RngExt;
use starling_gossip::MemberState;
use starling_placement::{Need, NodeFacts, could_ever};
use starling_wire::copies::{MAX_COPIES, MAX_OWNERS};
use starling_wire::jobs::JobMessage;
use starling_wire::{JobId, JobSpec, NodeId};

use super::{Owner, Placing, Timer};
use crate::effect::{CommandError, Effect, Event, EventKind, NearMiss, Reply};
use crate::engine::Ctx;
use crate::input::RequestId;
use crate::job::Job;
use crate::saved;

/// How often a submit waits for the disks of other owners.
const MAX_WAITS: u32 = 3;

/// A submit that was not answered yet.
pub(super) struct Submit {
    request: RequestId,
    waits: u32,
}

/// The most near misses that an answer lists.
const MAX_MISSES: usize = 32;

impl Owner {
    /// Takes a job if it is well-formed and some node could hold its tasks. The answer leaves when
    /// the job is on the disks of a majority of its owners.
    pub(crate) fn submit(
        &mut self,
        request: RequestId,
        mut spec: JobSpec,
        ctx: &mut Ctx<'_>,
    ) -> Result<(), CommandError> {
        spec.imply_constraints();
        spec.check()?;
        if self.own_jobs(ctx.me) >= ctx.config.max_jobs {
            self.retire_oldest(ctx);
        }
        self.check_room(&spec, ctx)?;
        check_possible(&spec, ctx)?;
        let id = loop {
            let id = JobId(ctx.rng.random());
            if !self.jobs.contains_key(&id) {
                break id;
            }
        };
        let count = spec.count;
        let mut owners = vec![ctx.me];
        let others = ctx.config.owners.clamp(1, MAX_OWNERS) - 1;
        owners.extend(self.choose_owners(&[], others, ctx));
        let job = Job::new(id, Arc::new(spec), ctx.me, owners, ctx.now);
        ctx.fx.saves.push(saved::save_job(&job));
        ctx.fx.after.push(Effect::Confirm(id));
        ctx.fx.after.push(Effect::Event(Event {
            kind: EventKind::JobSubmitted,
            job: Some(id),
            task: None,
            node: None,
            detail: format!("{} with {count} tasks", job.spec.name),
        }));
        self.open_tasks += count as usize;
        let placing = Placing {
            ready: (0..count).collect(),
            ..Placing::default()
        };
        self.placing.insert((job.submitted, id), placing);
        self.link_owners(&job, ctx.me);
        for owner in job.owners.iter().filter(|owner| **owner != ctx.me) {
            self.copies.head(*owner, id);
        }
        if job.owners.len() > 1 {
            self.timers
                .insert((ctx.now + ctx.config.copy_wait, Timer::Submit(id)));
        }
        self.jobs.insert(id, job);
        self.submits.insert(id, Submit { request, waits: 0 });
        self.ensure_audit(ctx);
        Ok(())
    }

    /// Jobs for which this node acts.
    fn own_jobs(&self, me: NodeId) -> usize {
        let own = self.jobs.values().filter(|job| job.actor == me);
        own.count()
    }

    /// The job is on disk: its tasks may be claimed for.
    pub(crate) fn durable(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.durable = true;
        let round = self
            .placing
            .get(&(job.submitted, id))
            .and_then(|placing| placing.round);
        self.acknowledge(id, ctx);
        if let Some(round) = round {
            self.decide_if_complete(round, ctx);
        }
    }

    /// Answers whoever submitted a job, if it is on enough disks.
    pub(super) fn acknowledge(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        let (Some(submit), Some(job)) = (self.submits.get(&id), self.jobs.get(&id)) else {
            return;
        };
        if !job.durable {
            return;
        }
        let copies = self.copies_of(job, |node| ctx.alive(node).is_some(), ctx.me);
        let enough = u32::try_from(job.owners.len() / 2 + 1).unwrap_or(1);
        if copies >= enough || submit.waits >= MAX_WAITS {
            let request = submit.request;
            self.submits.remove(&id);
            let reply = Ok(Reply::Submitted { job: id, copies });
            ctx.fx.after.push(Effect::Reply { request, reply });
        }
    }

    /// Owners did not have a job on disk in time: others are asked in their place, and in the end
    /// the copies there are have to do.
    pub(super) fn submit_waited(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        let (Some(submit), Some(job)) = (self.submits.get_mut(&id), self.jobs.get(&id)) else {
            return;
        };
        submit.waits += 1;
        if submit.waits >= MAX_WAITS {
            return self.acknowledge(id, ctx);
        }
        self.timers
            .insert((ctx.now + ctx.config.copy_wait, Timer::Submit(id)));
        let late: Vec<NodeId> = job
            .owners
            .iter()
            .copied()
            .filter(|owner| *owner != ctx.me && !self.copies.has_all(owner, id))
            .collect();
        for owner in late {
            self.companions.retain(|node| *node != owner);
            if !self.replace_owner(id, owner, ctx) {
                self.copies.unsend(&owner);
            }
        }
    }

    /// The job could not be written: it was never taken, and nothing of it has begun.
    pub(crate) fn not_durable(&mut self, id: JobId, reason: String, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get(&id).filter(|job| !job.durable) else {
            return;
        };
        let owners = job.owners.iter().chain(&job.former);
        let others: Vec<NodeId> = owners.copied().filter(|node| *node != ctx.me).collect();
        for other in others {
            ctx.send(other, JobMessage::Disown(vec![id]));
        }
        if let Some(submit) = self.submits.remove(&id) {
            let (request, reply) = (submit.request, Err(CommandError::Storage(reason)));
            ctx.fx.now.push(Effect::Reply { request, reply });
        }
        self.forget(id, ctx);
    }

    /// What a node said it had taken was never taken after all.
    pub(super) fn disowned(&mut self, from: NodeId, jobs: &[JobId], ctx: &mut Ctx<'_>) {
        for id in jobs.iter().take(MAX_COPIES) {
            if self.jobs.get(id).is_some_and(|job| job.actor == from) && from != ctx.me {
                self.forget(*id, ctx);
            }
        }
    }

    fn check_room(&self, spec: &JobSpec, ctx: &Ctx<'_>) -> Result<(), CommandError> {
        let full = |what: &str, held, limit| {
            Err(CommandError::Full {
                what: what.to_owned(),
                held,
                limit,
            })
        };
        let held = self.own_jobs(ctx.me);
        if held >= ctx.config.max_jobs {
            return full("jobs", held, ctx.config.max_jobs);
        }
        if self.open_tasks + spec.count as usize > ctx.config.max_tasks {
            return full("unfinished tasks", self.open_tasks, ctx.config.max_tasks);
        }
        Ok(())
    }
}

/// Refuses what no node here could ever hold, with each node's reason.
fn check_possible(spec: &JobSpec, ctx: &Ctx<'_>) -> Result<(), CommandError> {
    let need = Need {
        resources: spec.need,
        constraints: &spec.constraints,
        class: super::class_of(spec),
    };
    let mut misses = Vec::new();
    for member in ctx.gossip.members() {
        if matches!(member.state, MemberState::Dead | MemberState::Left) {
            continue;
        }
        let Some(fixed) = member.fixed else { continue };
        let facts = NodeFacts {
            capacity: fixed.capacity,
            labels: &fixed.labels,
            platform: &fixed.platform,
        };
        match could_ever(&need, &facts) {
            Ok(()) => return Ok(()),
            Err(miss) if misses.len() < MAX_MISSES => {
                misses.push(NearMiss {
                    node: member.node,
                    name: fixed.name.clone(),
                    miss,
                });
            }
            Err(_) => {}
        }
    }
    Err(CommandError::Impossible(misses))
}
