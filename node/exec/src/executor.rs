//! What the daemon asks of whatever runs its tasks.

use std::time::Duration;

use futures::future::BoxFuture;
use starling_wire::{Epoch, Outcome, TaskId};

use crate::launch::Launch;

/// What runs tasks of one kind on this machine. A task is named by its identity and its placement's
/// epoch. Each kind has an `open` besides, which finds what ran before the daemon's restart, gives
/// it out as [`Held`](crate::Held), and brings the stream of [`ExecEvent`](crate::ExecEvent)s; and
/// each writes what a task says to where [`logs`](crate::logs) reads it.
///
/// Calls never block. Tasks outlive the daemon, and so does the end of a task until it is
/// acknowledged.
pub trait Executor: Send + Sync {
    /// Starts tasks. One that was asked for before, with the same epoch, is not started again, as
    /// long as its end has not been acknowledged. Each is reported as started, and as ended at last.
    fn start(&self, launches: Vec<Launch>);

    /// Stops a task: a signal to end now, SIGKILL when its grace is over. It is reported as `outcome`
    /// (stopped or evicted); stopped wins if both are asked for. One that is not known is reported
    /// like that at once: it does not run, which is what was asked for. One that is over already
    /// keeps its outcome.
    fn stop(&self, task: TaskId, epoch: Epoch, outcome: Outcome);

    /// These ends are safely noted: all that is left of the tasks is removed. Their logs stay.
    fn acknowledge(&self, tasks: Vec<(TaskId, Epoch)>);

    /// Stops every task, each reported as evicted; none gets longer than `deadline`. Ends that are
    /// not acknowledged by then are told at the next start, if what ran them can still tell.
    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()>;
}
