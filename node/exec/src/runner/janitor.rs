//! Clears away what tasks leave: working directories that are not empty, control groups, and the
//! oldest logs once their total passes its bound. A thread of its own, because each of these may
//! take long and the runner's loop must not. It sleeps unless there is something to do.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::SystemTime;

use starling_wire::{Epoch, TaskId};

use crate::cgroup::TaskGroup;
use crate::paths;

/// How many chores may wait; after that the runner waits for the janitor.
const QUEUE: usize = 1024;
/// The files a task's log may consist of.
const SUFFIXES: [&str; 4] = ["out", "out.1", "err", "err.1"];

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
    let mut logs = Logs::default();
    let mut bounds = None;
    for chore in waiting {
        match chore {
            Chore::Tree(path) => drop(fs::remove_dir_all(path)),
            Chore::Group(group) => group.destroy(),
            Chore::Logs(task, epoch, bytes) => logs.add(job_file(task, epoch), bytes),
            Chore::Bounds(bytes, tasks) => {
                if bounds.is_none() {
                    logs.take_stock(Path::new(paths::LOGS));
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

/// A task's log files without their suffix: the job's directory and the beginning of the name.
type Stem = (String, String);

fn job_file(task: TaskId, epoch: Epoch) -> Stem {
    (task.job.to_string(), format!("{}.{epoch}", task.index))
}

/// The logs of tasks that are over, oldest first.
#[derive(Debug, Default)]
struct Logs {
    kept: VecDeque<(Stem, u64)>,
    bytes: u64,
}

impl Logs {
    fn add(&mut self, stem: Stem, bytes: u64) {
        self.bytes += bytes;
        self.kept.push_back((stem, bytes));
    }

    /// Finds the logs that earlier runners left. What this runner's tasks write meanwhile is
    /// counted twice at worst.
    fn take_stock(&mut self, root: &Path) {
        let mut found: BTreeMap<Stem, (SystemTime, u64)> = BTreeMap::new();
        for job in fs::read_dir(root).into_iter().flatten().flatten() {
            let Ok(name) = job.file_name().into_string() else {
                continue;
            };
            for file in fs::read_dir(job.path()).into_iter().flatten().flatten() {
                let (Ok(file_name), Ok(meta)) = (file.file_name().into_string(), file.metadata())
                else {
                    continue;
                };
                let stem: Vec<&str> = file_name.splitn(3, '.').collect();
                let [index, epoch, suffix] = stem[..] else {
                    continue;
                };
                if !SUFFIXES.contains(&suffix) {
                    continue;
                }
                let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                let entry = found
                    .entry((name.clone(), format!("{index}.{epoch}")))
                    .or_insert((modified, 0));
                entry.0 = entry.0.max(modified);
                entry.1 += meta.len();
            }
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_key(|(_, (modified, _))| *modified);
        let newer = std::mem::take(&mut self.kept);
        self.kept = found
            .into_iter()
            .map(|(stem, (_, bytes))| (stem, bytes))
            .collect();
        self.kept.extend(newer);
        self.bytes = self.kept.iter().map(|(_, bytes)| bytes).sum();
    }

    /// Removes the oldest until the rest is within its bounds.
    fn trim(&mut self, root: &Path, bytes: u64, tasks: u64) {
        while self.bytes > bytes || self.kept.len() as u64 > tasks {
            let Some(((job, stem), size)) = self.kept.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(size);
            let dir = root.join(job);
            for suffix in SUFFIXES {
                let _ = fs::remove_file(dir.join(format!("{stem}.{suffix}")));
            }
            // Succeeds with the job's last log only.
            let _ = fs::remove_dir(dir);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_logs_go_first_and_empty_jobs_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let write = |path: &str, age: u64| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, [0; 100]).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 - age);
            fs::File::options()
                .append(true)
                .open(path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        };
        write("old/0.1.out", 9);
        write("old/0.1.out.1", 9);
        write("new/0.1.out", 5);
        write("new/1.1.err", 3);
        write("new/stranger", 99);
        let mut logs = Logs::default();
        logs.take_stock(root);
        assert_eq!((logs.kept.len(), logs.bytes), (3, 400));
        logs.trim(root, 250, 10);
        assert!(!root.join("old").exists() && root.join("new/0.1.out").exists());
        logs.add(("new".into(), "2.1".into()), 1);
        logs.trim(root, 250, 2);
        assert!(!root.join("new/0.1.out").exists());
        assert!(root.join("new/1.1.err").exists() && root.join("new/stranger").exists());
    }
}
