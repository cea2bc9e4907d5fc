//! Where things lie inside the runner's directory. The runner's working directory is that
//! directory, so it uses these paths as they are; the daemon joins them to the directory's path.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use starling_wire::{Epoch, JobId, TaskId};

/// The socket on which the runner serves the daemon.
pub(crate) const SOCKET: &str = "runner.sock";
/// Locked by the runner as long as it lives; holds its pid.
pub(crate) const LOCK: &str = "runner.lock";
/// The runner's memory: what it has started, what ended, what was acknowledged.
pub(crate) const JOURNAL: &str = "runner.log";
/// The runner's standard error.
pub(crate) const STDERR: &str = "runner.err";
/// Holds the working directories of tasks that named none.
pub(crate) const WORK: &str = "work";
/// Holds what tasks wrote, one directory per job.
pub(crate) const LOGS: &str = "logs";

/// Holds a note for each container.
pub(crate) const CONTAINERS: &str = "containers";

/// The longest path a Unix socket's address takes, without the closing zero byte.
const SUN_PATH: usize = 107;

/// The working directory of a task that named none.
pub(crate) fn work(task: TaskId, epoch: Epoch) -> PathBuf {
    PathBuf::from(format!("{WORK}/{task}-{epoch}"))
}

/// The directory of a job's log files.
pub(crate) fn job_logs(job: JobId) -> PathBuf {
    PathBuf::from(format!("{LOGS}/{job}"))
}

/// The log file of one stream (`out` or `err`) of a task.
pub(crate) fn log(task: TaskId, epoch: Epoch, stream: &str) -> PathBuf {
    PathBuf::from(format!(
        "{LOGS}/{}/{}.{epoch}.{stream}",
        task.job, task.index
    ))
}

/// The rotated file beside a log file.
pub(crate) fn rotated(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// A path to the socket in `dir` that fits into a socket address, however long `dir` is; `open` is
/// that directory, opened, and must stay open until the path has been used.
pub(crate) fn socket(dir: &Path, open: &File) -> PathBuf {
    let plain = dir.join(SOCKET);
    if plain.as_os_str().len() <= SUN_PATH {
        return plain;
    }
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd()))
}
