//! Who acts for a job: taking over from an owner that is gone, following one that acts in a later
//! term, and replacing owners that stay away.

use std::collections::BTreeSet;
use std::time::Duration;

use starling_gossip::MemberState;
use starling_wire::copies::{Acting, JobCopy, MAX_OWNERS};
use starling_wire::jobs::JobMessage;
use starling_wire::{JobId, NodeId, TaskId, Time};

use super::{Owner, Timer, tie};
use crate::engine::Ctx;
use crate::job::{Job, TaskState};
use crate::saved;

/// Up to so many members are all told who acts now; of more, those hear that run something.
const TOLD: usize = 64;
/// The most jobs named in a message about who acts.
const MAX_ACTING: usize = 128;
/// How often it is looked again whether other owners have told what they know.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Owner {
    /// Nodes that hold a job's record beside this one, best first: by rendezvous hashing over this
    /// node and theirs, so that a node's jobs have the same few owners as long as those live, and a
    /// node that comes or goes changes little.
    pub(super) fn choose_owners(
        &mut self,
        without: &[NodeId],
        count: usize,
        ctx: &Ctx<'_>,
    ) -> Vec<NodeId> {
        let able = |node: &NodeId| {
            let member = ctx.gossip.member(node);
            *node != ctx.me
                && !without.contains(node)
                && member.is_some_and(|m| {
                    m.state == MemberState::Alive && m.fixed.is_some() && !m.load.draining
                })
        };
        if without.is_empty() {
            self.companions.retain(able);
            if self.companions.len() >= count {
                return self.companions.iter().copied().take(count).collect();
            }
        }
        let me = ctx.me.head();
        let mut ranked: Vec<(u64, NodeId)> = ctx
            .gossip
            .members()
            .map(|member| member.node)
            .filter(able)
            .map(|node| (rendezvous(me, node.head()), node))
            .collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        let chosen: Vec<NodeId> = ranked.into_iter().take(count).map(|(_, n)| n).collect();
        if without.is_empty() {
            self.companions.clone_from(&chosen);
        }
        chosen
    }

    /// Remembers who else owns a job: those are watched.
    pub(super) fn link_owners(&mut self, job: &Job, me: NodeId) {
        for owner in job.owners.iter().chain(&job.former) {
            if *owner != me {
                let jobs = self.by_peer.entry(*owner).or_insert_with(|| {
                    self.ties_changed = true;
                    BTreeSet::new()
                });
                jobs.insert(job.id);
            }
        }
    }

    fn unlink_owners(&mut self, job: &Job) {
        for owner in job.owners.iter().chain(&job.former) {
            if let Some(jobs) = self.by_peer.get_mut(owner) {
                jobs.remove(&job.id);
                if jobs.is_empty() {
                    self.by_peer.remove(owner);
                    self.ties_changed = true;
                }
            }
        }
    }

    /// A job has other owners than before.
    pub(super) fn change_owners(&mut self, id: JobId, owners: Vec<NodeId>, ctx: &mut Ctx<'_>) {
        if self.is_leasing(id) {
            return;
        }
        let Some(mut job) = self.jobs.remove(&id) else {
            return;
        };
        self.unlink_owners(&job);
        for old in std::mem::replace(&mut job.owners, owners) {
            if !job.owners.contains(&old) && old != ctx.me {
                job.remember(old);
            }
        }
        let now = &job.owners;
        job.former.retain(|node| !now.contains(node));
        self.link_owners(&job, ctx.me);
        ctx.fx.saves.push(saved::save_job(&job));
        self.jobs.insert(id, job);
    }

    /// Forgets a job, whatever its state.
    pub(super) fn forget(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        if self.jobs.get(&id).is_some_and(|job| job.actor == ctx.me) {
            self.step_down(id, ctx.me);
        }
        if let Some(job) = self.jobs.remove(&id) {
            self.unlink_owners(&job);
            self.copies.drop_job(id);
            self.forget_permits(id, ctx);
            self.uncommitted.remove(&id);
            self.submits.remove(&id);
            ctx.fx.lazy.extend(saved::forget_job(&job));
        }
    }

    /// A job that others own now is forgotten once they have all that is known here.
    pub(super) fn forget_foreign(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let told = self.copies.has_all(&job.actor, id)
            && job
                .former
                .iter()
                .all(|node| ctx.alive(node).is_none() || self.copies.has_all(node, id));
        if !job.owners.contains(&ctx.me) && job.actor != ctx.me && told {
            self.forget(id, ctx);
        }
    }

    /// Takes over whatever had an actor that is gone and falls to this node; tells the one that it
    /// falls to what is known here otherwise.
    pub(super) fn succeed(&mut self, gone: NodeId, ctx: &mut Ctx<'_>) {
        let jobs = self.by_peer.get(&gone).cloned().unwrap_or_default();
        let mut taken = Vec::new();
        for id in jobs {
            taken.extend(self.succeed_in(id, ctx));
        }
        self.announce(&taken, ctx);
    }

    /// Looks whether a copy that is held here has an actor.
    pub(super) fn watch_actor(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        let taken = self.succeed_in(id, ctx);
        self.announce(taken.as_slice(), ctx);
    }

    fn succeed_in(&mut self, id: JobId, ctx: &mut Ctx<'_>) -> Option<JobId> {
        let job = self.jobs.get(&id)?;
        let actor = job.actor;
        if actor == ctx.me || job.state.is_over() || !self.is_gone(actor, ctx) {
            return None;
        }
        let owners = self.jobs.get(&id)?.owners.clone();
        // One that was not found yet may be about to act.
        let heir = owners
            .into_iter()
            .find(|owner| *owner == ctx.me || !self.is_gone(*owner, ctx))?;
        if heir == ctx.me {
            self.take_over_job(id, ctx);
            return Some(id);
        }
        let job = self.jobs.get(&id)?;
        self.copies.all(heir, job, true);
        None
    }

    /// This node acts for a job from now on.
    fn take_over_job(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        tracing::info!(job = %id, after = ?job.actor, "acting for a job whose owner is gone");
        job.begin_term(ctx.me, 0);
        let mut pause = ctx.config.takeover;
        if ctx.gossip.member_count() > TOLD {
            // Nobody tells the hosts: they find out by themselves that the owner is gone.
            pause += ctx.config.gossip.watch_after * 4;
        }
        self.act_for(id, pause, ctx);
    }

    /// This node acted for a job before it lost the word of that: it does so in a term after `last`.
    pub(super) fn act_again(&mut self, id: JobId, last: u32, ctx: &mut Ctx<'_>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.begin_term(ctx.me, last);
        }
        self.act_for(id, ctx.config.takeover, ctx);
        self.announce(&[id], ctx);
    }

    /// Begins to act for a job in a term that was just begun: the other owners hear of it, and
    /// nothing is placed for a while.
    pub(super) fn act_for(&mut self, id: JobId, pause: Duration, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.settled = false;
        job.told = job.state.is_over();
        ctx.fx.saves.push(saved::save_job(job));
        let others: Vec<NodeId> = job
            .owners
            .iter()
            .copied()
            .filter(|n| *n != ctx.me)
            .collect();
        let gone = |node: &NodeId| {
            let member = ctx.gossip.member(node);
            member.is_some_and(|member| !member.state.is_live())
        };
        job.awaiting = others.iter().copied().filter(|node| !gone(node)).collect();
        job.resumes = Some(ctx.now + pause + ctx.config.recovery);
        for other in &others {
            self.copies.all(*other, job, true);
        }
        for former in &job.former {
            self.copies.head(*former, id);
        }
        if job.state.is_over() {
            return;
        }
        let stopping = job.is_stopping();
        let mut halts = false;
        let mut stopped = Vec::new();
        self.open_tasks += job.counts.open() as usize;
        for (index, task) in (0..).zip(&mut job.tasks) {
            if task.state.is_over() {
                continue;
            }
            task.halting |= stopping;
            halts |= task.halting;
            let task_id = TaskId { job: id, index };
            match task.state {
                TaskState::Pending if task.halting => stopped.push(task_id),
                TaskState::Starting | TaskState::Running => {
                    if let Some(node) = task.node {
                        tie(&mut self.at, &mut self.ties_changed, node, task_id);
                    }
                }
                _ => {}
            }
        }
        if halts {
            self.halt_soon(id, Duration::ZERO, ctx);
        }
        self.stopping_soon(stopped, ctx);
        self.timers.insert((ctx.now + pause, Timer::Resume(id)));
        self.ensure_audit(ctx);
    }

    /// Tasks that were to be stopped and have no place: a copy may still report, so their end waits
    /// as long as a placement would.
    fn stopping_soon(&mut self, tasks: Vec<TaskId>, ctx: &Ctx<'_>) {
        for id in tasks {
            self.timers
                .insert((ctx.now + ctx.config.takeover, Timer::Stopped(id)));
        }
    }

    /// Hosts had time to report. What still has no place is placed, unless other owners that can be
    /// reached have not told yet which tasks are over.
    pub(super) fn resume(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let Some(latest) = job.resumes.filter(|_| job.actor == ctx.me) else {
            return;
        };
        if ctx.now < latest && job.awaiting.iter().any(|node| ctx.alive(node).is_some()) {
            self.timers
                .insert((ctx.now + LOOK_AGAIN, Timer::Resume(id)));
            return;
        }
        job.resumes = None;
        job.awaiting.clear();
        let pending: Vec<TaskId> = (0..)
            .zip(&job.tasks)
            .filter(|(_, task)| task.state == TaskState::Pending && !task.halting)
            .map(|(index, _)| job.task_id(index))
            .collect();
        for task in pending {
            self.ready(task, ctx.me);
        }
    }

    /// Tells nodes who acts for jobs, so that they report what they run of them.
    pub(super) fn announce(&self, jobs: &[JobId], ctx: &mut Ctx<'_>) {
        if jobs.is_empty() || ctx.gossip.member_count() > TOLD {
            return;
        }
        let members: Vec<NodeId> = ctx
            .gossip
            .members()
            .filter(|member| member.state.is_live())
            .map(|member| member.node)
            .collect();
        for node in members {
            self.announce_to(node, jobs.iter().copied(), ctx);
        }
    }

    /// Tells one node who acts for jobs.
    pub(super) fn announce_to(
        &self,
        node: NodeId,
        jobs: impl Iterator<Item = JobId>,
        ctx: &mut Ctx<'_>,
    ) {
        let items: Vec<Acting> = jobs
            .filter_map(|id| self.jobs.get(&id))
            .map(|job| Acting {
                job: job.id,
                term: job.term,
                actor: job.actor,
                owners: job.owners.clone(),
            })
            .collect();
        for chunk in items.chunks(MAX_ACTING) {
            ctx.send(node, JobMessage::Acting(chunk.to_vec()));
        }
    }

    /// The nodes where tasks of a job are.
    pub(super) fn hosts_of(&self, id: JobId) -> Vec<NodeId> {
        let Some(job) = self.jobs.get(&id) else {
            return Vec::new();
        };
        let nodes: BTreeSet<NodeId> = job
            .tasks
            .iter()
            .filter(|task| matches!(task.state, TaskState::Starting | TaskState::Running))
            .filter_map(|task| task.node)
            .collect();
        nodes.into_iter().collect()
    }

    /// Another acts in a later term though this node comes before it in order, and is back or never
    /// was away: the first in order acts, in a term after that.
    pub(super) fn outbid(&mut self, id: JobId, from: NodeId, copy: &JobCopy, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.begin_term(ctx.me, copy.term);
        job.settled = false;
        ctx.fx.saves.push(saved::save_job(job));
        let other = copy.actor.unwrap_or(from);
        for node in [from, other] {
            if node != ctx.me {
                job.awaiting.insert(node);
            }
        }
        let told: BTreeSet<NodeId> = job
            .owners
            .iter()
            .chain(&job.former)
            .chain([&from, &other])
            .copied()
            .filter(|node| *node != ctx.me)
            .collect();
        for node in told {
            self.copies.head(node, id);
        }
        self.announce(&[id], ctx);
    }

    /// Another owner acts in a later term. Says whether something is known here that it may lack.
    pub(super) fn follow(
        &mut self,
        id: JobId,
        actor: NodeId,
        copy: &JobCopy,
        ctx: &mut Ctx<'_>,
    ) -> bool {
        let Some(job) = self.jobs.get(&id) else {
            return false;
        };
        let acted = job.actor == ctx.me;
        let was_told = acted && job.owners.contains(&actor);
        let before = job.owners.clone();
        let hosts = if acted { self.hosts_of(id) } else { Vec::new() };
        if acted {
            self.step_down(id, actor);
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.term = copy.term;
            job.actor = actor;
            job.settled = false;
            ctx.fx.saves.push(saved::save_job(job));
        }
        if let Some(head) = &copy.head
            && head.owners.len() <= MAX_OWNERS
        {
            self.change_owners(id, head.owners.clone(), ctx);
        }
        for host in hosts {
            self.announce_to(host, std::iter::once(id), ctx);
        }
        let Some(job) = self.jobs.get(&id) else {
            return false;
        };
        for other in before {
            if other != ctx.me && other != actor && !job.owners.contains(&other) {
                self.copies.head(other, id);
            }
        }
        if was_told {
            // It was kept up to date as an owner: what is still to be told is known.
            !self.copies.has_all(&actor, id)
        } else {
            self.copies.all(actor, job, false)
        }
    }

    /// This node acts no more for a job: it forgets where its tasks are.
    fn step_down(&mut self, id: JobId, actor: NodeId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        tracing::info!(job = %id, for_whom = ?actor, "another node acts for a job");
        let key = (job.submitted, id);
        job.resumes = None;
        job.awaiting.clear();
        job.waits = None;
        let mut places: Vec<(Option<NodeId>, TaskId)> = Vec::new();
        for index in 0..job.spec.count {
            let Some(task) = job.task(index) else { break };
            if task.state.is_over() {
                continue;
            }
            places.push((task.node, job.task_id(index)));
            job.set_state(index, TaskState::Pending);
            if let Some(task) = job.task_mut(index) {
                task.node = None;
                task.decision = None;
            }
        }
        self.open_tasks = self.open_tasks.saturating_sub(places.len());
        for (node, task) in places {
            self.unplace(node, task);
        }
        self.placing.remove(&key);
        self.rounds.retain(|_, round| round.job != id);
        self.claims.retain(|_, claim| claim.job != id);
    }

    /// A host that knows no better reported to this node: it hears who acts.
    pub(super) fn redirect(&self, host: NodeId, jobs: &BTreeSet<JobId>, ctx: &mut Ctx<'_>) {
        self.announce_to(host, jobs.iter().copied(), ctx);
    }

    /// Records of jobs whose actor was not seen since this node started, or has forgotten them.
    pub(super) fn look_after_copies(&mut self, ask: bool, ctx: &mut Ctx<'_>) {
        let held: Vec<JobId> = self
            .jobs
            .values()
            .filter(|job| job.actor != ctx.me && !job.state.is_over())
            .map(|job| job.id)
            .collect();
        let mut taken = Vec::new();
        for id in held {
            taken.extend(self.succeed_in(id, ctx));
            if let Some(job) = self.jobs.get(&id)
                && ask
                && job.actor != ctx.me
            {
                self.copies.state(job.actor, id, None);
            }
        }
        self.announce(&taken, ctx);
    }

    pub(super) fn is_acting(&self, id: JobId, me: NodeId) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.actor == me)
    }
}

/// A pseudo-random number for each pair of nodes (the finaliser of SplitMix64, Steele et al. 2014).
const fn rendezvous(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// When a job that was copied is to be kept until.
pub(super) fn kept_until(job: &Job, ctx: &Ctx<'_>) -> Time {
    job.over_since.unwrap_or(ctx.now) + ctx.config.retention
}
