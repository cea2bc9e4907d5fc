//! Taking jobs up again after a restart, and comparing notes with hosts ever after.

use std::collections::BTreeMap;

use starling_wire::jobs::{JobMessage, MAX_TASKS};
use starling_wire::{Epoch, JobId, NodeId, TaskId};

use super::follow::kept_until;
use super::{Owner, Timer};
use crate::engine::Ctx;
use crate::job::{Job, TaskState};

/// With each so manieth audit, whoever acts for a job is asked whether it still does.
const ASK: u32 = 6;

impl Owner {
    /// Takes up the jobs that an earlier life of this node owned. Tasks that had a place keep it
    /// until their node denies it or is gone; nothing is placed before hosts and other owners had
    /// time to report.
    pub(crate) fn take_up(&mut self, jobs: BTreeMap<JobId, Job>, ctx: &mut Ctx<'_>) {
        let mut open = false;
        let ids: Vec<JobId> = jobs.keys().copied().collect();
        self.jobs = jobs;
        for id in ids {
            let Some(job) = self.jobs.get(&id).cloned() else {
                continue;
            };
            self.link_owners(&job, ctx.me);
            let acts = job.actor == ctx.me;
            if job.state.is_over() {
                self.timers
                    .insert((kept_until(&job, ctx), Timer::Retention(id)));
                if acts && !job.settled {
                    for owner in job.owners.iter().filter(|owner| **owner != ctx.me) {
                        self.copies.all(*owner, &job, true);
                    }
                }
                continue;
            }
            open = true;
            if acts && let Some(job) = self.jobs.get_mut(&id) {
                job.begin_term(ctx.me, 0);
                self.act_for(id, ctx.config.recovery, ctx);
            }
        }
        self.looked_around = !open;
        if open {
            self.timers
                .insert((ctx.now + ctx.config.recovery, Timer::Recovered));
            self.ensure_audit(ctx);
            self.audit(ctx.me, ctx);
        }
    }

    /// The hosts had time to report: what is on a node that nobody sees is placed anew, and jobs
    /// whose actor nobody sees are taken over.
    pub(super) fn recovered(&mut self, ctx: &mut Ctx<'_>) {
        self.looked_around = true;
        let nodes: Vec<NodeId> = self.at.keys().copied().collect();
        for node in nodes {
            if self.is_gone(node, ctx) {
                self.node_gone(node, ctx);
            }
        }
        self.look_after_copies(false, ctx);
        let uncommitted: Vec<JobId> = self.uncommitted.keys().copied().collect();
        for id in uncommitted {
            if !self.has_company(id, ctx) {
                self.commit_all(id, ctx);
            }
        }
    }

    /// A task that was to be stopped when its job was taken up runs nowhere.
    pub(super) fn stopped_unseen(&mut self, id: TaskId, ctx: &mut Ctx<'_>) {
        let task = self.jobs.get(&id.job).and_then(|job| job.task(id.index));
        if self.is_acting(id.job, ctx.me)
            && task.is_some_and(|task| task.halting && task.state == TaskState::Pending)
        {
            self.settle(id, TaskState::Stopped, None, ctx);
        }
    }

    /// A node is there, for the first time or again: compare notes with it.
    pub(crate) fn node_alive(&mut self, node: NodeId, ctx: &mut Ctx<'_>) {
        self.strangers.remove(&node);
        self.audit(node, ctx);
        self.owner_alive(node, ctx);
    }

    pub(super) fn audit_all(&mut self, ctx: &mut Ctx<'_>) {
        let nodes: Vec<NodeId> = self.at.keys().copied().collect();
        for node in nodes {
            if ctx.alive(&node).is_some() {
                self.audit(node, ctx);
            } else if self.is_gone(node, ctx) {
                // A task was found there when the node was held dead, and it did not come back.
                self.node_gone(node, ctx);
            }
        }
        let (at, by_peer) = (&self.at, &self.by_peer);
        self.strangers
            .retain(|node, _| at.contains_key(node) || by_peer.contains_key(node));
        self.audits = self.audits.wrapping_add(1);
        self.look_after_copies(self.audits.is_multiple_of(ASK), ctx);
        self.auditing = false;
        if self.open_tasks > 0 || !self.by_peer.is_empty() {
            self.ensure_audit(ctx);
        }
    }

    /// Audits go on as long as there is an open task.
    pub(super) fn ensure_audit(&mut self, ctx: &Ctx<'_>) {
        if !std::mem::replace(&mut self.auditing, true) {
            self.timers
                .insert((ctx.now + ctx.config.audit, Timer::Audit));
        }
    }

    /// Asks a node about the placements it is believed to hold; claims under way are not among
    /// them, their answers come by themselves.
    fn audit(&self, node: NodeId, ctx: &mut Ctx<'_>) {
        let Some(tasks) = self.at.get(&node) else {
            return;
        };
        let claimed: std::collections::BTreeSet<TaskId> = self
            .claims
            .values()
            .filter(|claim| claim.node == node)
            .flat_map(|claim| {
                claim.tasks.iter().map(|(index, _)| TaskId {
                    job: claim.job,
                    index: *index,
                })
            })
            .collect();
        let held: Vec<(TaskId, Epoch)> = tasks
            .iter()
            .filter(|id| !claimed.contains(id))
            .filter_map(|id| Some((*id, self.jobs.get(&id.job)?.task(id.index)?.epoch)))
            .collect();
        for chunk in held.chunks(MAX_TASKS) {
            ctx.send(node, JobMessage::Audit(chunk.to_vec()));
        }
    }
}
