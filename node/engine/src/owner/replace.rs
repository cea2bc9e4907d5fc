//! Owners that are gone or come back: who is told, and who takes the place of one that stays away.

use starling_wire::{JobId, NodeId};

use super::{Owner, Timer};
use crate::engine::Ctx;

impl Owner {
    /// An owner is gone: if it stays away another takes its place.
    pub(crate) fn owner_gone(&mut self, node: NodeId, ctx: &mut Ctx<'_>) {
        if !self.by_peer.contains_key(&node) {
            return;
        }
        let at = ctx.now + ctx.config.replace_owner;
        self.timers.insert((at, Timer::Replace(node)));
        self.succeed(node, ctx);
        // Whoever waits for this owner's disk waits in vain.
        let jobs = self.by_peer.get(&node).cloned().unwrap_or_default();
        for id in jobs {
            if !self.has_company(id, ctx) {
                self.commit_all(id, ctx);
            }
        }
    }

    /// Whether another owner of a job can be reached, or may yet be found.
    pub(super) fn has_company(&mut self, id: JobId, ctx: &Ctx<'_>) -> bool {
        let owners = self.jobs.get(&id).map(|job| job.owners.clone());
        let mut others = owners.into_iter().flatten();
        others.any(|owner| owner != ctx.me && !self.is_gone(owner, ctx))
    }

    /// Gives the place of an owner that stayed away to others, job by job.
    pub(super) fn replace_gone(&mut self, node: NodeId, ctx: &mut Ctx<'_>) {
        let Some(jobs) = self.by_peer.get(&node).cloned() else {
            return;
        };
        if ctx.alive(&node).is_some() {
            return;
        }
        let mut vain = false;
        for id in jobs {
            let Some(job) = self.jobs.get(&id) else {
                continue;
            };
            if job.actor == ctx.me && job.owners.contains(&node) {
                vain |= !self.replace_owner(id, node, ctx);
            }
        }
        if vain {
            // Nobody else is there yet.
            let at = ctx.now + ctx.config.replace_owner;
            self.timers.insert((at, Timer::Replace(node)));
        }
    }

    /// Another node becomes owner of a job in `node`'s place; says whether there is one. Owners that
    /// lease a job's tasks are never replaced.
    pub(super) fn replace_owner(&mut self, id: JobId, node: NodeId, ctx: &mut Ctx<'_>) -> bool {
        if self.is_leasing(id) {
            self.copies.unsend(&node);
            return true;
        }
        let Some(job) = self.jobs.get(&id) else {
            return true;
        };
        let mut without = job.owners.clone();
        without.extend(&job.former);
        let Some(next) = self.choose_owners(&without, 1, ctx).first().copied() else {
            return false;
        };
        let Some(job) = self.jobs.get(&id) else {
            return true;
        };
        let owners = job
            .owners
            .iter()
            .map(|o| if *o == node { next } else { *o });
        let owners: Vec<NodeId> = owners.collect();
        self.change_owners(id, owners, ctx);
        // Should it come back, it hears that it holds the record no more.
        self.copies.head(node, id);
        let Some(job) = self.jobs.get(&id) else {
            return true;
        };
        for owner in &job.owners {
            if *owner == next {
                self.copies.all(next, job, true);
            } else if *owner != ctx.me {
                self.copies.head(*owner, id);
            }
        }
        for host in self.hosts_of(id) {
            self.announce_to(host, std::iter::once(id), ctx);
        }
        true
    }

    /// An owner, or one that was, is there: both sides compare who acts, and it hears what it missed.
    pub(super) fn owner_alive(&mut self, node: NodeId, ctx: &Ctx<'_>) {
        self.copies.is_back(node);
        for id in self.by_peer.get(&node).cloned().unwrap_or_default() {
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            if job.state.is_over() || job.actor != ctx.me {
                continue;
            }
            self.copies.head(node, id);
            let rank = |node: NodeId| job.owners.iter().position(|owner| *owner == node);
            if rank(node) < rank(ctx.me) && rank(node).is_some() && job.resumes.is_none() {
                // It may be about to act again: nothing new is placed before both have spoken.
                job.resumes = Some(ctx.now + ctx.config.takeover);
                self.placing.remove(&(job.submitted, id));
                self.rounds.retain(|_, round| round.job != id);
                self.timers
                    .insert((ctx.now + ctx.config.takeover, Timer::Resume(id)));
            }
        }
    }
}
