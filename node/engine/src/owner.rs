//! The owner's side: this node's jobs, and what it takes to bring each of their tasks to an end.

mod bind;
mod copies;
mod explain;
mod follow;
mod merge;
mod outlook;
mod permits;
mod place;
mod predictions;
mod recover;
mod replace;
mod report;
mod stop;
mod stranger;
mod submit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use starling_placement::Classes;
use starling_wire::jobs::JobMessage;
use starling_wire::{JobId, NodeId, TaskId, Time};

use crate::counters::Counters;
use crate::engine::Ctx;
use crate::job::{Job, TaskState};
use copies::Copies;
pub(crate) use outlook::class_of;
use outlook::{Distrust, Knowledge};
use permits::Permit;
use place::{InFlight, Round};
pub use predictions::Predictions;
use report::Claimed;
use submit::Submit;

/// Something an owner does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A round of probes has waited long enough.
    Round(u64),
    /// A claim was not answered.
    Claim(u64),
    /// A task's pause before its next try is over.
    Delayed(TaskId),
    /// A job that found no room may look again.
    Blocked(JobId),
    /// Halts of a job's tasks may have got lost.
    Halts(JobId),
    /// Compare notes with all hosts.
    Audit,
    /// After a restart, the hosts had time to report.
    Recovered,
    /// A job was taken up: hosts and other owners had time to report.
    Resume(JobId),
    /// A task that was to be stopped when its job was taken up, and that nobody reported.
    Stopped(TaskId),
    /// A job that was submitted waits for the disks of its other owners.
    Submit(JobId),
    /// Copies that were sent may have got lost.
    Copy(NodeId, u64),
    /// A node that the view lacks was looked for long enough.
    Stranger(NodeId),
    /// An owner that is gone had time to come back.
    Replace(NodeId),
    /// A finished job's result need no longer be kept.
    Retention(JobId),
}

/// How the placement of a job's pending tasks stands.
#[derive(Default)]
struct Placing {
    /// Tasks that may be placed now.
    ready: BTreeSet<u32>,
    /// The round of probes under way.
    round: Option<u64>,
    /// No room was found; there is no new round before this, unless somebody offers room.
    blocked: Option<Time>,
    /// How many rounds in a row found no room.
    in_vain: u32,
}

/// This node as an owner of jobs.
pub(crate) struct Owner {
    pub(crate) jobs: BTreeMap<JobId, Job>,
    /// Jobs with pending tasks, in the order in which they were taken.
    placing: BTreeMap<(Time, JobId), Placing>,
    rounds: BTreeMap<u64, Round>,
    claims: BTreeMap<u64, InFlight>,
    /// Placements that have not ended, by node.
    at: BTreeMap<NodeId, BTreeSet<TaskId>>,
    /// Whether a node entered or left `at` since the engine last asked.
    ties_changed: bool,
    timers: BTreeSet<(Time, Timer)>,
    /// Whether the timer of the audit is set.
    auditing: bool,
    /// Jobs for which the timer of their halts is set.
    halting: BTreeSet<JobId>,
    requests: u64,
    open_tasks: usize,
    mean_service: Duration,
    pub(crate) knowledge: Knowledge,
    pub(crate) predictions: Predictions,
    distrust: Distrust,
    /// What other owners may lack.
    copies: Copies,
    /// To whom tasks of jobs whose tasks need a lease are leased.
    permits: BTreeMap<TaskId, Permit>,
    /// Jobs by who else owns them, or did.
    by_peer: BTreeMap<NodeId, BTreeSet<JobId>>,
    /// Who else owns the jobs that this node takes.
    companions: Vec<NodeId>,
    /// Tasks whose end is not yet on another owner's disk: nobody was told.
    uncommitted: BTreeMap<JobId, BTreeSet<u32>>,
    /// Jobs that were submitted and not acknowledged.
    submits: BTreeMap<JobId, Submit>,
    /// Whether there was time since the start to see who is there.
    looked_around: bool,
    /// Nodes that this one works with and its view lacks, and until when they are looked for.
    strangers: BTreeMap<NodeId, Time>,
    /// How many audits there were.
    audits: u32,
    pub(crate) counters: Counters,
}

impl Default for Owner {
    fn default() -> Self {
        Self {
            jobs: BTreeMap::new(),
            placing: BTreeMap::new(),
            rounds: BTreeMap::new(),
            claims: BTreeMap::new(),
            at: BTreeMap::new(),
            ties_changed: false,
            timers: BTreeSet::new(),
            auditing: false,
            halting: BTreeSet::new(),
            requests: 0,
            open_tasks: 0,
            mean_service: Duration::from_secs(1),
            knowledge: Knowledge::default(),
            predictions: Predictions::default(),
            distrust: Distrust::default(),
            copies: Copies::default(),
            permits: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            companions: Vec::new(),
            uncommitted: BTreeMap::new(),
            submits: BTreeMap::new(),
            looked_around: false,
            strangers: BTreeMap::new(),
            audits: 0,
            counters: Counters::default(),
        }
    }
}

impl Owner {
    pub(crate) fn message(&mut self, from: NodeId, message: JobMessage, ctx: &mut Ctx<'_>) {
        match message {
            JobMessage::Room {
                request: 0, load, ..
            } => self.offered(from, &load, ctx),
            JobMessage::Room {
                request,
                room,
                load,
            } => {
                self.answered(from, request, room, load, ctx);
            }
            JobMessage::Claimed {
                request,
                job,
                accepted,
                refused,
                load,
                bounce,
                ..
            } => {
                let all_taken = refused.is_empty();
                let answer = Claimed {
                    job,
                    accepted,
                    refused,
                    free: load.free,
                    bounce,
                };
                self.claimed(from, request, answer, ctx);
                // Whoever has just refused does not have the room that its load seems to show.
                if all_taken {
                    self.pull(from, &load, ctx);
                }
            }
            JobMessage::Reports { items, load, heir } => {
                self.reports(from, items, heir, ctx);
                self.pull(from, &load, ctx);
            }
            JobMessage::Copy { seq, items } => self.copy(from, seq, items, ctx),
            JobMessage::Copied {
                seq,
                owing,
                unknown,
            } => self.copied(from, seq, &owing, &unknown, ctx),
            JobMessage::Lease { round, tasks } => self.lease(from, round, tasks, ctx),
            JobMessage::Released(tasks) => self.released(from, &tasks, ctx.now),
            JobMessage::Disown(jobs) => self.disowned(from, &jobs, ctx),
            _ => {}
        }
    }

    pub(crate) fn tick(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(&(at, timer)) = self.timers.first()
            && at <= ctx.now
        {
            self.timers.pop_first();
            match timer {
                Timer::Round(request) => self.decide(request, ctx),
                Timer::Claim(request) => self.claim_unanswered(request, ctx),
                Timer::Delayed(task) => self.ready(task, ctx.me),
                Timer::Blocked(job) => self.unblock(job, ctx.now),
                Timer::Halts(job) => {
                    self.halting.remove(&job);
                    self.halt_again(job, ctx);
                }
                Timer::Audit => self.audit_all(ctx),
                Timer::Recovered => self.recovered(ctx),
                Timer::Resume(job) => self.resume(job, ctx),
                Timer::Stopped(task) => self.stopped_unseen(task, ctx),
                Timer::Submit(job) => self.submit_waited(job, ctx),
                Timer::Copy(peer, seq) => self.copy_unanswered(peer, seq),
                Timer::Stranger(node) => self.not_found(node, ctx),
                Timer::Replace(node) => self.replace_gone(node, ctx),
                Timer::Retention(job) => self.retire(job, ctx),
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Who else owns this node's jobs, and where tasks of those are: those nodes are watched.
    pub(crate) fn ties(&self) -> impl Iterator<Item = NodeId> {
        self.by_peer.keys().chain(self.at.keys()).copied()
    }

    /// Whether all that was to be told to other owners is on their disks, as far as they are there.
    pub(crate) fn has_told(&self, ctx: &Ctx<'_>) -> bool {
        self.copies.is_idle(ctx)
    }

    /// Takes what the configuration knows of classes.
    pub(crate) fn give(&mut self, classes: Option<Arc<dyn Classes>>) {
        self.knowledge.give(classes);
    }

    /// How many tasks found no place yet, roughly: a power of two, so that it is not told anew with
    /// each task.
    pub(crate) fn waiting(&self) -> u32 {
        let blocked = self.placing.values().filter(|p| p.blocked.is_some());
        let waiting: usize = blocked.map(|placing| placing.ready.len()).sum();
        let waiting = u32::try_from(waiting).unwrap_or(1 << 20).min(1 << 20);
        if waiting == 0 {
            0
        } else {
            1 << waiting.ilog2()
        }
    }

    /// Whether [`Owner::ties`] changed since this was last asked.
    pub(crate) const fn ties_changed(&mut self) -> bool {
        std::mem::replace(&mut self.ties_changed, false)
    }

    fn request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Lets a pending task be placed, now.
    fn ready(&mut self, id: TaskId, me: NodeId) {
        let Some(job) = self.jobs.get(&id.job) else {
            return;
        };
        let Some(task) = job.task(id.index) else {
            return;
        };
        let placeable = task.state == TaskState::Pending && job.resumes.is_none();
        // A pause may end when another acts.
        if job.actor == me && placeable && !job.state.is_over() {
            let placing = self.placing.entry((job.submitted, job.id)).or_default();
            placing.ready.insert(id.index);
        }
    }

    fn unblock(&mut self, id: JobId, now: Time) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        if let Some(placing) = self.placing.get_mut(&(job.submitted, id))
            && placing.blocked.is_some_and(|until| until <= now)
        {
            placing.blocked = None;
        }
    }

    /// Takes a placement off the books of the node it was on.
    fn unplace(&mut self, node: Option<NodeId>, id: TaskId) {
        if let Some(node) = node
            && let Some(tasks) = self.at.get_mut(&node)
        {
            tasks.remove(&id);
            if tasks.is_empty() {
                self.at.remove(&node);
                self.ties_changed = true;
            }
        }
    }

    /// Makes room for a new job: the result that has been kept longest is forgotten early.
    fn retire_oldest(&mut self, ctx: &mut Ctx<'_>) {
        let finished = self.jobs.values().filter(|job| job.state.is_over());
        if let Some(id) = finished
            .min_by_key(|job| (job.finished, job.id))
            .map(|job| job.id)
        {
            self.retire(id, ctx);
        }
    }

    fn retire(&mut self, id: JobId, ctx: &mut Ctx<'_>) {
        if self.jobs.get(&id).is_some_and(|job| job.state.is_over()) {
            self.forget(id, ctx);
        }
    }
}

/// Puts a placement on the books of its node.
fn tie(
    at: &mut BTreeMap<NodeId, BTreeSet<TaskId>>,
    changed: &mut bool,
    node: NodeId,
    task: TaskId,
) {
    let tasks = at.entry(node).or_insert_with(|| {
        *changed = true;
        BTreeSet::new()
    });
    tasks.insert(task);
}
