//! Jobs and tasks as their owner sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use starling_placement::Decision;
use starling_wire::{Epoch, JobId, JobSpec, NodeId, Outcome, TaskId, Time};

/// How a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Some task has not ended.
    Active,
    /// Somebody asked to stop it and some task has not ended.
    Stopping,
    /// Every task has ended by itself.
    Finished,
    /// Every task has ended, and somebody had asked to stop it.
    Stopped,
}

impl JobState {
    /// Whether every task has ended.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Stopped)
    }

    /// The word for people and programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
        }
    }
}

/// How a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskState {
    /// It has no place.
    Pending,
    /// A node was asked to run it, or has accepted it and not yet reported it running.
    Starting,
    /// It runs.
    Running,
    /// It ended with exit code 0.
    Succeeded,
    /// It ended otherwise and is not tried again.
    Failed,
    /// It was stopped on request.
    Stopped,
}

impl TaskState {
    /// Whether it has ended for good.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stopped)
    }

    /// The word for people and programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// How many tasks of a job are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Without a place.
    pub pending: u32,
    /// Asked of a node.
    pub starting: u32,
    /// Running.
    pub running: u32,
    /// Ended with exit code 0.
    pub succeeded: u32,
    /// Ended otherwise.
    pub failed: u32,
    /// Stopped on request.
    pub stopped: u32,
}

impl Counts {
    pub(crate) const fn of(&mut self, state: TaskState) -> &mut u32 {
        match state {
            TaskState::Pending => &mut self.pending,
            TaskState::Starting => &mut self.starting,
            TaskState::Running => &mut self.running,
            TaskState::Succeeded => &mut self.succeeded,
            TaskState::Failed => &mut self.failed,
            TaskState::Stopped => &mut self.stopped,
        }
    }

    /// Tasks that have not ended for good.
    pub const fn open(&self) -> u32 {
        self.pending + self.starting + self.running
    }
}

/// A job that this node owns.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its identity.
    pub id: JobId,
    /// What was asked for.
    pub spec: Arc<JobSpec>,
    /// Who took it.
    pub taker: NodeId,
    /// Who holds its record, in the order in which they act.
    pub owners: Vec<NodeId>,
    /// Who acts for it.
    pub actor: NodeId,
    /// Grows with each taking up by an owner; the upper part of its tasks' epochs.
    pub term: u32,
    /// When it was taken.
    pub submitted: Time,
    /// When its last task ended.
    pub finished: Option<Time>,
    /// How it is.
    pub state: JobState,
    /// Its tasks, by index.
    pub tasks: Vec<Task>,
    /// How many are in each state.
    pub counts: Counts,
    /// The last round of placement that left tasks without a place, and what they wait for.
    pub waits: Option<(Arc<Decision<NodeId>>, String)>,
    /// When this node learned that it is over, by its own clock: clocks differ.
    pub(crate) over_since: Option<Time>,
    /// Whether its record is on disk.
    pub(crate) durable: bool,
    /// Owners that were replaced while they were dead: they may act on a record of their own.
    pub(crate) former: Vec<NodeId>,
    /// Owners that may know of results which this node has not heard of yet.
    pub(crate) awaiting: BTreeSet<NodeId>,
    /// Until when at most those are waited for; meanwhile nothing is placed.
    pub(crate) resumes: Option<Time>,
    /// Whether its end has been told.
    pub(crate) told: bool,
    /// Whether all its owners are known to have all its results.
    pub(crate) settled: bool,
    /// How often in a row its tasks failed on a node.
    pub(crate) failures: BTreeMap<NodeId, u32>,
}

/// A task of a job that this node owns.
#[derive(Clone, Debug)]
pub struct Task {
    /// How it is.
    pub state: TaskState,
    /// Where it is or was last.
    pub node: Option<NodeId>,
    /// Its last placement's fencing number; 0 before the first.
    pub epoch: Epoch,
    /// How often it was started and ended by itself.
    pub attempts: u32,
    /// How often in a row it ended without having run for long.
    pub(crate) streak: u32,
    /// How often it was placed again because its node was lost or gave it up.
    pub moves: u32,
    /// How it ended last.
    pub outcome: Option<Outcome>,
    /// When it was last seen to start.
    pub started: Option<Time>,
    /// When it ended for good.
    pub ended: Option<Time>,
    /// How long it ran, by its host's clock.
    pub ran: Option<Duration>,
    /// Why it is where it is.
    pub decision: Option<Arc<Decision<NodeId>>>,
    /// Whether its node waits until a majority of the job's owners leases it.
    pub leasing: bool,
    /// Somebody asked to stop it.
    pub(crate) halting: bool,
    /// Whether its host reported it running in this life of the owner.
    pub(crate) seen: bool,
}

impl Task {
    pub(crate) const fn new() -> Self {
        Self {
            state: TaskState::Pending,
            node: None,
            epoch: 0,
            attempts: 0,
            streak: 0,
            moves: 0,
            outcome: None,
            started: None,
            ended: None,
            ran: None,
            decision: None,
            leasing: false,
            halting: false,
            seen: false,
        }
    }
}

/// How many of an epoch's low bits count placements within a term.
const PLACEMENT_BITS: u32 = 24;
/// A job's first term. The low eight bits of a later one are of whoever began it, so that two owners
/// that take a job up at a time do so in different terms.
pub(crate) const FIRST_TERM: u32 = 1 << 8;
/// After so many failures in a row a node is avoided for a job.
const SHUNNED: u32 = 3;
/// The most nodes whose failures are counted for a job.
const MAX_FAILING: usize = 256;
/// The most former owners that are remembered.
pub(crate) const MAX_FORMER: usize = 8;

impl Job {
    /// A job that `taker` has just taken, not yet on disk.
    pub(crate) fn new(
        id: JobId,
        spec: Arc<JobSpec>,
        taker: NodeId,
        owners: Vec<NodeId>,
        submitted: Time,
    ) -> Self {
        let count = spec.count.min(starling_wire::job::MAX_COUNT);
        Self {
            id,
            taker,
            owners,
            actor: taker,
            term: FIRST_TERM,
            submitted,
            finished: None,
            over_since: None,
            state: JobState::Active,
            tasks: vec![Task::new(); count as usize],
            counts: Counts {
                pending: count,
                ..Counts::default()
            },
            waits: None,
            durable: false,
            former: Vec::new(),
            awaiting: BTreeSet::new(),
            resumes: None,
            told: false,
            settled: false,
            failures: BTreeMap::new(),
            spec,
        }
    }

    /// The epoch for a new placement of a task whose last one was `last`.
    pub(crate) fn next_epoch(&self, last: Epoch) -> Epoch {
        (last + 1).max((Epoch::from(self.term) << PLACEMENT_BITS) + 1)
    }

    /// Whether an epoch is of a term before the present one.
    pub(crate) const fn is_earlier(&self, epoch: Epoch) -> bool {
        let term = epoch >> PLACEMENT_BITS;
        term >= FIRST_TERM as Epoch && term < self.term as Epoch
    }

    /// Takes the job up in a term after `other` and its own.
    pub(crate) const fn begin_term(&mut self, me: NodeId, other: u32) {
        let last = if self.term > other { self.term } else { other };
        let count = (last >> 8).saturating_add(1);
        self.term = (count << 8) | (me.tag() & 0xff);
        self.actor = me;
    }

    /// A task of it has ended on a node, well or not.
    pub(crate) fn note_end(&mut self, node: NodeId, failed: bool) {
        if !failed {
            self.failures.remove(&node);
        } else if self.failures.len() < MAX_FAILING || self.failures.contains_key(&node) {
            let count = self.failures.entry(node).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Whether its tasks failed on a node one after the other: others are tried first.
    pub(crate) fn shuns(&self, node: &NodeId) -> bool {
        self.failures
            .get(node)
            .is_some_and(|count| *count >= SHUNNED)
    }

    /// Whether somebody asked to stop it.
    pub(crate) const fn is_stopping(&self) -> bool {
        matches!(self.state, JobState::Stopping | JobState::Stopped)
    }

    /// Remembers an owner that is none any more.
    pub(crate) fn remember(&mut self, node: NodeId) {
        if !self.former.contains(&node) {
            self.former.push(node);
            if self.former.len() > MAX_FORMER {
                self.former.remove(0);
            }
        }
    }

    /// The identity of the task at `index`.
    pub const fn task_id(&self, index: u32) -> TaskId {
        TaskId {
            job: self.id,
            index,
        }
    }

    /// The task at `index`.
    pub fn task(&self, index: u32) -> Option<&Task> {
        self.tasks.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn task_mut(&mut self, index: u32) -> Option<&mut Task> {
        self.tasks.get_mut(usize::try_from(index).ok()?)
    }

    /// Moves a task to another state, keeping the counts.
    pub(crate) fn set_state(&mut self, index: u32, state: TaskState) {
        let Some(task) = self.tasks.get_mut(index as usize) else {
            return;
        };
        let old = std::mem::replace(&mut task.state, state);
        *self.counts.of(old) -= 1;
        *self.counts.of(state) += 1;
    }
}

/// The most bytes of a reason that travels: a report of many tasks must fit into a frame.
const MAX_REASON: usize = 160;

/// An outcome that fits into a report beside many others.
pub(crate) fn bounded(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::NotStarted(reason) if reason.len() > MAX_REASON => {
            let end = reason.floor_char_boundary(MAX_REASON);
            Outcome::NotStarted(format!("{}...", &reason[..end]))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_only_grow_within_a_term_and_over_terms() {
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let mut job = Job::new(JobId(1), Arc::default(), a, vec![a, b], Time::ZERO);
        let first = job.next_epoch(0);
        let second = job.next_epoch(first);
        let mut other = job.clone();
        job.begin_term(a, 0);
        other.begin_term(b, 0);
        let third = job.next_epoch(first);
        assert!(0 < first && first < second && second < third);
        assert!(job.is_earlier(first) && !job.is_earlier(third));
        assert!(!job.is_earlier(1 << PLACEMENT_BITS), "nobody placed that");
        assert_ne!(job.term, other.term);
        other.begin_term(b, job.term);
        assert!(other.term > job.term);
    }
}
