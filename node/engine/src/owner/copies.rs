//! Copies of jobs for their other owners: what changed since an owner last had it on disk, one
//! message at a time to each, so that changes pile up into few messages when there are many.

use std::collections::{BTreeMap, BTreeSet};

use starling_wire::copies::{JobCopy, JobHead, MAX_COPIES, TaskCopy, TaskEnd};
use starling_wire::jobs::JobMessage;
use starling_wire::{JobId, JobSpec, NodeId, Outcome, Time};

use super::{Owner, Timer};
use crate::engine::Ctx;
use crate::job::{Job, Task, TaskState};

/// About so many bytes of copies go into one message; one job's head may come on top.
const MESSAGE: usize = 24 * 1024;
/// About what a job takes in a message, in bytes, without its head and tasks.
const ITEM_BYTES: usize = 64;
/// About what a task takes, in bytes, without the reason of its end.
const TASK_BYTES: usize = 112;

/// What another owner may lack of a job.
#[derive(Clone, Debug, Default)]
struct News {
    head: bool,
    tasks: BTreeSet<u32>,
}

/// A message that was not answered yet.
#[derive(Debug)]
struct Sent {
    seq: u64,
    items: BTreeMap<JobId, News>,
}

/// What another node may lack.
#[derive(Debug, Default)]
struct Peer {
    news: BTreeMap<JobId, News>,
    sent: Option<Sent>,
}

/// What other nodes may lack of this node's jobs.
#[derive(Debug, Default)]
pub(super) struct Copies {
    peers: BTreeMap<NodeId, Peer>,
    /// Peers to which something may have to be sent.
    unsent: BTreeSet<NodeId>,
    seq: u64,
}

impl Copies {
    /// `peer` may lack the head of a job.
    pub(super) fn head(&mut self, peer: NodeId, job: JobId) {
        self.news(peer, job).head = true;
    }

    /// `peer` may lack the state of a job, or that of one of its tasks.
    pub(super) fn state(&mut self, peer: NodeId, job: JobId, task: Option<u32>) {
        self.news(peer, job).tasks.extend(task);
    }

    /// `peer` may lack all about a job, except its head if `head` is not set. Says whether that is
    /// anything.
    pub(super) fn all(&mut self, peer: NodeId, job: &Job, head: bool) -> bool {
        let tasks: BTreeSet<u32> = (0..)
            .zip(&job.tasks)
            .filter(|(_, task)| task.state.is_over() || task.halting || task.attempts > 0)
            .map(|(index, _)| index)
            .collect();
        if !head && tasks.is_empty() {
            return false;
        }
        let news = self.news(peer, job.id);
        news.head |= head;
        news.tasks.extend(tasks);
        true
    }

    fn news(&mut self, peer: NodeId, job: JobId) -> &mut News {
        self.unsent.insert(peer);
        let peer = self.peers.entry(peer).or_default();
        peer.news.entry(job).or_default()
    }

    /// Whether `peer` has all about a job on disk, as far as there was something to tell.
    pub(super) fn has_all(&self, peer: &NodeId, job: JobId) -> bool {
        self.peers.get(peer).is_none_or(|peer| {
            let sent = peer.sent.as_ref();
            !peer.news.contains_key(&job) && sent.is_none_or(|sent| !sent.items.contains_key(&job))
        })
    }

    /// Nobody needs to hear of a job any more.
    pub(super) fn drop_job(&mut self, job: JobId) {
        let peers: Vec<NodeId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.drop_for(&peer, job);
        }
    }

    /// `peer` need not hear of a job any more.
    pub(super) fn drop_for(&mut self, peer: &NodeId, job: JobId) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.news.remove(&job);
            if known.news.is_empty() && known.sent.is_none() {
                self.peers.remove(peer);
            }
        }
    }

    /// Whether nobody who can be reached has still to be told something.
    pub(super) fn is_idle(&self, ctx: &Ctx<'_>) -> bool {
        self.peers.keys().all(|peer| ctx.alive(peer).is_none())
    }

    /// A node is there again.
    pub(super) fn is_back(&mut self, peer: NodeId) {
        if self.peers.contains_key(&peer) {
            self.unsent.insert(peer);
        }
    }

    /// The message that was sent is given up for lost: what it told is told again.
    pub(super) fn unsend(&mut self, peer: &NodeId) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        if let Some(sent) = known.sent.take() {
            for (job, lost) in sent.items {
                let news = known.news.entry(job).or_default();
                news.head |= lost.head;
                news.tasks.extend(lost.tasks);
            }
            self.unsent.insert(*peer);
        }
    }
}

impl Owner {
    /// Sends what piled up to those who have answered the last message.
    pub(crate) fn send_copies(&mut self, ctx: &mut Ctx<'_>) {
        if self.copies.unsent.is_empty() {
            return;
        }
        for peer in std::mem::take(&mut self.copies.unsent) {
            if ctx.alive(&peer).is_some() {
                self.send_copy(peer, ctx);
            }
        }
    }

    fn send_copy(&mut self, to: NodeId, ctx: &mut Ctx<'_>) {
        let Some(peer) = self.copies.peers.get_mut(&to) else {
            return;
        };
        if peer.sent.is_some() {
            return;
        }
        let mut items = Vec::new();
        let mut sent = BTreeMap::new();
        let mut bytes = 0;
        while bytes < MESSAGE
            && items.len() < MAX_COPIES
            && let Some((id, mut news)) = peer.news.pop_first()
        {
            let Some(job) = self.jobs.get(&id) else {
                continue;
            };
            let mut told = News {
                head: std::mem::take(&mut news.head),
                tasks: BTreeSet::new(),
            };
            bytes += ITEM_BYTES;
            if told.head {
                bytes += spec_bytes(&job.spec) + 40 * job.owners.len();
            }
            let mut tasks = Vec::new();
            while bytes < MESSAGE
                && let Some(index) = news.tasks.pop_first()
            {
                if let Some(task) = job.task(index) {
                    bytes += TASK_BYTES + reason_bytes(task);
                    tasks.push(task_copy(index, task));
                    told.tasks.insert(index);
                }
            }
            let whole = news.tasks.is_empty();
            if !whole {
                peer.news.insert(id, news);
            }
            items.push(job_copy(job, ctx.me, told.head, tasks, whole));
            sent.insert(id, told);
        }
        if items.is_empty() {
            self.copies.peers.remove(&to);
            return;
        }
        self.copies.seq += 1;
        let seq = self.copies.seq;
        peer.sent = Some(Sent { seq, items: sent });
        let again = ctx.now + ctx.config.resend;
        self.timers.insert((again, Timer::Copy(to, seq)));
        // At once: two disks are as fast as one. Whoever acts hears after a crash what others know.
        ctx.send(to, JobMessage::Copy { seq, items });
    }

    /// A message may have got lost, or its answer.
    pub(super) fn copy_unanswered(&mut self, peer: NodeId, seq: u64) {
        let sent = self.copies.peers.get(&peer).and_then(|p| p.sent.as_ref());
        if sent.is_some_and(|sent| sent.seq == seq) {
            self.copies.unsend(&peer);
        }
    }

    /// Another owner has on disk what it was sent.
    pub(super) fn copied(
        &mut self,
        from: NodeId,
        seq: u64,
        owing: &[JobId],
        unknown: &[JobId],
        ctx: &mut Ctx<'_>,
    ) {
        let Some(peer) = self.copies.peers.get_mut(&from) else {
            return;
        };
        let Some(sent) = peer.sent.take_if(|sent| sent.seq == seq) else {
            return;
        };
        if peer.news.is_empty() {
            self.copies.peers.remove(&from);
        } else {
            self.copies.unsent.insert(from);
        }
        let owing: BTreeSet<JobId> = owing.iter().copied().take(MAX_COPIES).collect();
        let unknown: BTreeSet<JobId> = unknown.iter().copied().take(MAX_COPIES).collect();
        for (id, news) in sent.items {
            if unknown.contains(&id) {
                self.is_unknown(id, from, news.head, ctx);
                continue;
            }
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            if !owing.contains(&id) {
                job.awaiting.remove(&from);
            }
            let is_owner = job.owners.contains(&from);
            if is_owner {
                // Whoever submitted it hears that it is taken before anybody hears that it is over.
                self.acknowledge(id, ctx);
                self.commit(id, &news.tasks, ctx);
            }
            self.settle_job(id, ctx);
            self.forget_foreign(id, ctx);
        }
    }

    /// An owner has no record of a job: it gets the whole, or will not have it, or whoever acts has
    /// forgotten it for good.
    fn is_unknown(&mut self, id: JobId, peer: NodeId, had_head: bool, ctx: &mut Ctx<'_>) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let is_owner = job.owners.contains(&peer);
        if job.actor == ctx.me {
            if had_head && is_owner {
                self.replace_owner(id, peer, ctx);
            } else if is_owner {
                self.copies.all(peer, job, true);
            }
        } else if job.actor == peer {
            // It was never taken after all, or is over and forgotten.
            self.forget(id, ctx);
        }
    }

    /// How many nodes have the job's record on disk, this one included, as far as is known here.
    pub(crate) fn copies_of(
        &self,
        job: &Job,
        ctx_alive: impl Fn(&NodeId) -> bool,
        me: NodeId,
    ) -> u32 {
        let others = job.owners.iter().filter(|owner| {
            **owner != me && ctx_alive(owner) && self.copies.has_all(owner, job.id)
        });
        let others = u32::try_from(others.count()).unwrap_or(u32::MAX);
        others + u32::from(job.durable && job.owners.contains(&me))
    }
}

fn job_copy(job: &Job, me: NodeId, head: bool, tasks: Vec<TaskCopy>, whole: bool) -> JobCopy {
    JobCopy {
        job: job.id,
        term: job.term,
        actor: Some(job.actor).filter(|actor| *actor != me),
        head: head.then(|| JobHead {
            spec: job.spec.clone(),
            taker: job.taker,
            owners: job.owners.clone(),
            submitted: job.submitted,
        }),
        stopping: job.is_stopping(),
        finished: job.finished,
        tasks,
        whole,
    }
}

fn task_copy(index: u32, task: &Task) -> TaskCopy {
    let end = task.state.is_over().then(|| TaskEnd {
        outcome: task.outcome.clone(),
        stopped: task.state == TaskState::Stopped,
        ended: task.ended.unwrap_or(Time::ZERO),
        ran_us: task
            .ran
            .map(|ran| u64::try_from(ran.as_micros()).unwrap_or(u64::MAX)),
        node: task.node,
        epoch: task.epoch,
    });
    TaskCopy {
        index,
        attempts: task.attempts,
        halting: task.halting,
        end,
    }
}

/// About what a job's description takes in a message, in bytes.
fn spec_bytes(spec: &JobSpec) -> usize {
    let words = spec.command.iter().map(|word| word.len() + 3);
    let env = spec.env.iter().map(|(k, v)| k.len() + v.len() + 6);
    200 + spec.name.len() + words.sum::<usize>() + env.sum::<usize>() + 64 * spec.constraints.len()
}

fn reason_bytes(task: &Task) -> usize {
    match &task.outcome {
        Some(Outcome::NotStarted(reason)) => reason.len(),
        _ => 0,
    }
}
