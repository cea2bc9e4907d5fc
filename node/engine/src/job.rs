//! Jobs and tasks as their owner sees them.

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
    /// Who holds its record, in the order in which they act.
    pub owners: Vec<NodeId>,
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
    /// Whether its record is on disk.
    pub(crate) durable: bool,
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
    /// Somebody asked to stop it.
    pub(crate) halting: bool,
}

impl Task {
    pub(crate) const fn new() -> Self {
        Self {
            state: TaskState::Pending,
            node: None,
            epoch: 0,
            attempts: 0,
            moves: 0,
            outcome: None,
            started: None,
            ended: None,
            ran: None,
            decision: None,
            halting: false,
        }
    }
}

/// How many of an epoch's low bits count placements within a term.
const PLACEMENT_BITS: u32 = 24;

impl Job {
    /// The epoch for a new placement of a task whose last one was `last`.
    pub(crate) fn next_epoch(&self, last: Epoch) -> Epoch {
        (last + 1).max((Epoch::from(self.term) << PLACEMENT_BITS) + 1)
    }

    /// Whether an epoch is of a term before the present one.
    pub(crate) const fn is_earlier(&self, epoch: Epoch) -> bool {
        epoch >> PLACEMENT_BITS < self.term as Epoch
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
        let mut job = Job {
            id: JobId(1),
            spec: Arc::default(),
            owners: vec![],
            term: 1,
            submitted: Time::ZERO,
            finished: None,
            state: JobState::Active,
            tasks: vec![],
            counts: Counts::default(),
            waits: None,
            durable: true,
        };
        let first = job.next_epoch(0);
        let second = job.next_epoch(first);
        job.term = 2;
        let third = job.next_epoch(first);
        assert!(0 < first && first < second && second < third);
    }
}
