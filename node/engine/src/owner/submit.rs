//! Taking a job.

use std::sync::Arc;

use rand::RngExt;
use starling_gossip::MemberState;
use starling_placement::{Need, NodeFacts, could_ever};
use starling_wire::{JobId, JobSpec};

use super::{Owner, Placing};
use crate::effect::{CommandError, Effect, Event, EventKind, NearMiss, Reply};
use crate::engine::Ctx;
use crate::job::{Counts, Job, JobState, Task};
use crate::saved;

/// The most near misses that an answer lists.
const MAX_MISSES: usize = 32;

impl Owner {
    /// Takes a job if it is well-formed and some node could hold its tasks. The answer leaves when
    /// the job is on disk.
    pub(crate) fn submit(
        &mut self,
        spec: JobSpec,
        ctx: &mut Ctx<'_>,
    ) -> Result<Reply, CommandError> {
        spec.check()?;
        if self.jobs.len() >= ctx.config.max_jobs {
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
        let job = Job {
            id,
            owners: vec![ctx.me],
            term: 1,
            submitted: ctx.now,
            finished: None,
            state: JobState::Active,
            tasks: vec![Task::new(); count as usize],
            counts: Counts {
                pending: count,
                ..Counts::default()
            },
            waits: None,
            durable: false,
            spec: Arc::new(spec),
        };
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
        self.jobs.insert(id, job);
        self.ensure_audit(ctx);
        Ok(Reply::Submitted { job: id, copies: 1 })
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
        if let Some(round) = round {
            self.decide_if_complete(round, ctx);
        }
    }

    /// The job could not be written: it was never taken, and nothing of it has begun.
    pub(crate) fn not_durable(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        if self.jobs.get(&id).is_none_or(|job| job.durable) {
            return;
        }
        let Some(job) = self.jobs.remove(&id) else {
            return;
        };
        self.open_tasks = self.open_tasks.saturating_sub(job.counts.open() as usize);
        self.placing.remove(&(job.submitted, id));
        self.rounds.retain(|_, round| round.job != id);
        ctx.fx.lazy.extend(saved::forget_job(&job));
    }

    fn check_room(&self, spec: &JobSpec, ctx: &Ctx<'_>) -> Result<(), CommandError> {
        let full = |what: &str, held, limit| {
            Err(CommandError::Full {
                what: what.to_owned(),
                held,
                limit,
            })
        };
        if self.jobs.len() >= ctx.config.max_jobs {
            return full("jobs", self.jobs.len(), ctx.config.max_jobs);
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
