//! Binding tasks to nodes: claims, late binding to nodes that offer room, and bounces.

use std::sync::Arc;
use std::time::Duration;

use starling_placement::{Candidate, Decision, NodeLoad, Verdict, could_ever};
use starling_wire::jobs::{JobMessage, MAX_TASKS};
use starling_wire::{JobId, NodeId, TaskId, Time};

use super::outlook::{facts_of, need_of};
use super::place::{InFlight, ROUND_TASKS};
use super::report::REFUSED_PAUSE;
use super::{Owner, Timer, tie};
use crate::effect::{Event, EventKind};
use crate::engine::Ctx;
use crate::job::{Job, TaskState};

impl Owner {
    /// Claims room on `node` for the next `count` ready tasks of a job.
    pub(super) fn claim(
        &mut self,
        key: (Time, JobId),
        node: NodeId,
        count: u32,
        decision: Option<&Arc<Decision<NodeId>>>,
        bounced: bool,
        ctx: &mut Ctx<'_>,
    ) {
        let Some(placing) = self.placing.get_mut(&key) else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&key.1) else {
            return;
        };
        let mut tasks = Vec::new();
        while tasks.len() < count as usize
            && let Some(index) = placing.ready.pop_first()
        {
            let Some(last) = job.task(index).map(|task| task.epoch) else {
                continue;
            };
            let epoch = job.next_epoch(last);
            job.set_state(index, TaskState::Starting);
            if let Some(task) = job.task_mut(index) {
                task.epoch = epoch;
                task.node = Some(node);
                task.outcome = None;
                task.seen = false;
                task.leasing = false;
                task.started = None;
                task.decision = decision.map(Arc::clone).or_else(|| task.decision.take());
            }
            let id = job.task_id(index);
            tie(&mut self.at, &mut self.ties_changed, node, id);
            tasks.push((index, epoch));
        }
        if placing.ready.is_empty() {
            placing.in_vain = 0;
            if placing.round.is_none() {
                self.placing.remove(&key);
                job.waits = None;
            }
        }
        for chunk in tasks.chunks(MAX_TASKS) {
            let claim = InFlight {
                job: key.1,
                node,
                tasks: chunk.to_vec(),
                tries: 1,
                bounced,
            };
            let request = self.request();
            self.send_claim(request, &claim, ctx);
            self.claims.insert(request, claim);
        }
    }

    pub(super) fn send_claim(&mut self, request: u64, claim: &InFlight, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get(&claim.job) else {
            return;
        };
        self.timers
            .insert((ctx.now + ctx.config.resend, Timer::Claim(request)));
        let (spec, tasks) = (Arc::clone(&job.spec), claim.tasks.clone());
        let owners = job.owners.clone();
        ctx.send(
            claim.node,
            JobMessage::Claim {
                request,
                job: claim.job,
                spec,
                tasks,
                owners,
            },
        );
    }

    /// A node offers room: tasks that wait bind to it, or it is told that none does.
    pub(super) fn offered(&mut self, node: NodeId, load: &NodeLoad, ctx: &mut Ctx<'_>) {
        if self.pull(node, load, ctx) == 0 {
            ctx.send(node, JobMessage::Pass);
        }
    }

    /// A node offers room, or tells its load by the way: tasks that wait bind to it now. Says how
    /// many did.
    pub(super) fn pull(&mut self, node: NodeId, load: &NodeLoad, ctx: &mut Ctx<'_>) -> u32 {
        if self.placing.is_empty() || load.draining || !self.distrust.trusts(&node, ctx.now) {
            return 0;
        }
        let Some(facts) = facts_of(ctx, &node) else {
            return 0;
        };
        let mut free = load.free;
        for claim in self.claims.values().filter(|claim| claim.node == node) {
            if let Some(job) = self.jobs.get(&claim.job) {
                for _ in &claim.tasks {
                    free = free.minus(&job.spec.need);
                }
            }
        }
        let (mut deals, mut more) = (Vec::new(), None);
        for (key, placing) in &self.placing {
            if more.is_some() {
                break;
            }
            let Some(job) = self.jobs.get(&key.1) else {
                continue;
            };
            // Only those that were left without room: the others are about to ask two nodes.
            if placing.in_vain == 0 || !job.durable {
                continue;
            }
            if could_ever(&need_of(&job.spec), &facts).is_err() {
                continue;
            }
            let ready = u32::try_from(placing.ready.len()).unwrap_or(u32::MAX);
            let room = free.room_for(&job.spec.need, ready.min(ROUND_TASKS));
            for _ in 0..room {
                free = free.minus(&job.spec.need);
            }
            if room > 0 {
                deals.push((*key, room));
            }
            if ready > room && more.is_none() {
                more = Some(job.spec.need);
            }
        }
        let mut bound = 0;
        for (key, room) in deals {
            let Some(job) = self.jobs.get(&key.1) else {
                continue;
            };
            let spec = Arc::clone(&job.spec);
            let need = need_of(&spec);
            let cached = self
                .knowledge
                .judge(&ctx.config.policy, |fit| fit.fit(&need, &facts, load));
            let decision = Arc::new(Decision {
                at_us: ctx.now.as_micros(),
                batch: room,
                candidates: vec![Candidate {
                    node,
                    cached,
                    age_ms: 0,
                    live: None,
                    room: Some(room),
                    verdict: Verdict::Chosen,
                }],
            });
            bound += room;
            self.counters.pulled += u64::from(room);
            self.claim(key, node, room, Some(&decision), false, ctx);
        }
        if let Some(need) = more.filter(|_| bound > 0) {
            // The offer used up this owner's place in the node's line, and more of its tasks wait.
            self.counters.waits += 1;
            ctx.send(node, JobMessage::Wait { need });
        }
        bound
    }

    /// Tasks that `from` refused for want of room go to the node that it named, once.
    pub(super) fn bounce(&mut self, id: JobId, tasks: Vec<u32>, to: NodeId, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let key = (job.submitted, job.id);
        let able = facts_of(ctx, &to)
            .is_some_and(|facts| could_ever(&need_of(&job.spec), &facts).is_ok())
            && self.distrust.trusts(&to, ctx.now);
        let last = tasks
            .first()
            .and_then(|index| job.task(*index))
            .and_then(|task| task.decision.clone());
        for index in &tasks {
            let pause = if able { Duration::ZERO } else { REFUSED_PAUSE };
            let task = TaskId {
                job: id,
                index: *index,
            };
            self.unsettle(task, pause, ctx);
        }
        let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let free = self
            .placing
            .get(&key)
            .is_some_and(|placing| placing.round.is_none());
        if able && free {
            self.counters.bounced += u64::from(count);
            self.claim(key, to, count, last.as_ref(), true, ctx);
        }
    }

    /// Tells of a placement that was accepted.
    pub(super) fn tell_placed(job: &Job, index: u32, node: NodeId, ctx: &mut Ctx<'_>) {
        ctx.event(Event {
            kind: EventKind::TaskPlaced,
            job: Some(job.id),
            task: Some(TaskId { job: job.id, index }),
            node: Some(node),
            detail: String::new(),
        });
    }
}
