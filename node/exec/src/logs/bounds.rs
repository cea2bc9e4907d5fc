//! The bound of what tasks that are over leave on disk as logs: the oldest go first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use starling_wire::{Epoch, TaskId};

/// The files a task's log may consist of.
const SUFFIXES: [&str; 4] = ["out", "out.1", "err", "err.1"];

/// A task's log files without their suffix: the job's directory and the beginning of the name.
type Stem = (String, String);

fn job_file(task: TaskId, epoch: Epoch) -> Stem {
    (task.job.to_string(), format!("{}.{epoch}", task.index))
}

/// The logs of tasks that are over, oldest first.
#[derive(Debug, Default)]
pub(crate) struct KeptLogs {
    kept: VecDeque<(Stem, u64)>,
    bytes: u64,
}

impl KeptLogs {
    /// Adds those of a task that is over.
    pub(crate) fn add(&mut self, task: TaskId, epoch: Epoch, bytes: u64) {
        self.bytes += bytes;
        self.kept.push_back((job_file(task, epoch), bytes));
    }

    /// Finds the logs that earlier runs left, besides those of `running` tasks. What tasks write
    /// meanwhile is counted twice at worst.
    pub(crate) fn take_stock(&mut self, root: &Path, running: &BTreeSet<(TaskId, Epoch)>) {
        let running: BTreeSet<Stem> = running.iter().map(|(t, e)| job_file(*t, *e)).collect();
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
        found.retain(|stem, _| !running.contains(stem));
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
    pub(crate) fn trim(&mut self, root: &Path, bytes: u64, tasks: u64) {
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
        let mut logs = KeptLogs::default();
        logs.take_stock(root, &BTreeSet::new());
        assert_eq!((logs.kept.len(), logs.bytes), (3, 400));
        logs.trim(root, 250, 10);
        assert!(!root.join("old").exists() && root.join("new/0.1.out").exists());
        let task = TaskId {
            job: starling_wire::JobId(1),
            index: 2,
        };
        logs.add(task, 1, 1);
        logs.trim(root, 250, 2);
        assert!(!root.join("new/0.1.out").exists());
        assert!(root.join("new/1.1.err").exists() && root.join("new/stranger").exists());
    }
}
