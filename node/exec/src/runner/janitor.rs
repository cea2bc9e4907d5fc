//! Clears away what tasks leave: working directories that are not empty, control groups, and the
//! oldest logs once their total passes its bound. A thread of its own, because each of these may
//! take long and the runner's loop must not. It sleeps unless there is something to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use starling_wire::{Epoch, TaskId};

use crate::cgroup::TaskGroup;
use crate::logs::bounds::KeptLogs;
use crate::paths;

/// How many chores may wait; after that the runner waits for the janitor.
const QUEUE: usize = 1024;

/// One thing to clear away.
#[derive(Debug)]
enum Chore {
    Tree(PathBuf),
    Group(TaskGroup),
    Logs(TaskId, Epoch, u64),
    Bounds(u64, u64),
    Done(SyncSender<()>),
}

/// The runner's side of the janitor.
#[derive(Debug)]
pub(super) struct Janitor {
    chores: SyncSender<Chore>,
}

impl Janitor {
    /// Starts the thread. It first takes stock of the logs that are there.
    pub(super) fn start() -> std::io::Result<Self> {
        let (chores, waiting) = sync_channel(QUEUE);
        let worker = thread::Builder::new()
            .name("janitor".into())
            .stack_size(256 << 10);
        worker.spawn(move || work(&waiting))?;
        Ok(Self { chores })
    }

    /// Removes a directory with all that is in it.
    pub(super) fn remove_tree(&self, path: PathBuf) {
        let _ = self.chores.send(Chore::Tree(path));
    }

    /// Removes a task's control groups, and kills what is left in them.
    pub(super) fn remove_group(&self, group: TaskGroup) {
        let _ = self.chores.send(Chore::Group(group));
    }

    /// Notes that the logs of a task that is over take this many bytes.
    pub(super) fn keep_logs(&self, task: TaskId, epoch: Epoch, bytes: u64) {
        let _ = self.chores.send(Chore::Logs(task, epoch, bytes));
    }

    /// Sets the bounds of the logs of all tasks that are over.
    pub(super) fn bound_logs(&self, bytes: u64, tasks: u64) {
        let _ = self.chores.send(Chore::Bounds(bytes, tasks));
    }

    /// Waits until everything asked for so far is done.
    pub(super) fn finish(&self) {
        let (done, wait) = sync_channel(1);
        if self.chores.send(Chore::Done(done)).is_ok() {
            let _ = wait.recv();
        }
    }
}

fn work(waiting: &Receiver<Chore>) {
    let mut logs = KeptLogs::default();
    let mut bounds = None;
    for chore in waiting {
        match chore {
            Chore::Tree(path) => drop(fs::remove_dir_all(path)),
            Chore::Group(group) => group.destroy(),
            Chore::Logs(task, epoch, bytes) => logs.add(task, epoch, bytes),
            Chore::Bounds(bytes, tasks) => {
                if bounds.is_none() {
                    logs.take_stock(Path::new(paths::LOGS), &BTreeSet::new());
                }
                bounds = Some((bytes, tasks));
            }
            Chore::Done(done) => drop(done.send(())),
        }
        if let Some((bytes, tasks)) = bounds {
            logs.trim(Path::new(paths::LOGS), bytes, tasks);
        }
    }
}
