//! What the runner knows of each task.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::Duration;

use rustix::process::Pid;
use starling_wire::Outcome;

use super::Key;
use super::journal::Record;
use super::streams::Stream;
use crate::cgroup::TaskGroup;
use crate::launch::Launch;

/// A task as the runner holds it.
#[derive(Debug)]
pub(super) enum Entry {
    /// Its turn to be started has not come, or comes again.
    Queued { launch: Box<Launch>, tries: u32 },
    /// It has a process.
    Running(Box<Running>),
    /// It is over, and the daemon has not taken note of that yet.
    Ended(Outcome),
}

/// A task with a process.
#[derive(Debug)]
pub(super) struct Running {
    /// Its number in tokens.
    pub(super) number: u64,
    pub(super) pid: Pid,
    pub(super) start: u64,
    pub(super) grace: Duration,
    pub(super) streams: [Option<Stream>; 2],
    /// Bytes in the files of streams that are closed.
    pub(super) kept: u64,
    /// What to report if it is being stopped.
    pub(super) stop: Option<Outcome>,
    /// How its process ended; from then on only output is waited for.
    pub(super) ended: Option<Ending>,
    pub(super) group: Option<TaskGroup>,
    pub(super) back: Option<File>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Code(i32),
    Signal(i32),
}

/// What a journal must hold to say what these tasks are.
pub(super) fn records<'a>(
    mark: &str,
    boot: &str,
    tasks: &'a BTreeMap<Key, Entry>,
) -> impl Iterator<Item = Record> + 'a {
    let head = Record::Runner {
        mark: mark.to_owned(),
        boot: boot.to_owned(),
    };
    let rest = tasks
        .iter()
        .filter_map(|(&(task, epoch), entry)| match entry {
            // One that waits for another try has no process, and will be asked for again.
            Entry::Queued { .. } => None,
            Entry::Running(running) => {
                let pid = running.pid.as_raw_pid().unsigned_abs();
                Some(Record::Started(task, epoch, pid, running.start))
            }
            Entry::Ended(outcome) => Some(Record::Ended(task, epoch, outcome.clone())),
        });
    std::iter::once(head).chain(rest)
}
