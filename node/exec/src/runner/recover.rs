//! What a runner does about the tasks of one that died before it: it kills them and reports them
//! as lost. A process is killed only if it is proven to be that task's: its pid and start time are
//! those that were written down since the machine started, or its environment carries the mark
//! that the dead runner gave that very task.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use starling_wire::{Epoch, TaskId};

use super::journal::{Known, Memory};
use crate::{clock, procfs};

/// The variable that marks every process of a task.
pub(super) const MARK: &str = "STARLING_RUN";
/// How long killed processes are waited for.
const GONE_WITHIN: Duration = Duration::from_secs(2);
/// How often processes are looked for.
const SWEEPS: usize = 8;

/// The value of [`MARK`] for one task of one runner.
pub(super) fn mark(runner: &str, task: TaskId, epoch: Epoch) -> String {
    format!("{runner}/{task}-{epoch}")
}

/// A mark for this runner, which no other runner has or had.
pub(super) fn own_mark(boot: &str) -> String {
    let pid = std::process::id();
    let start = procfs::stat(pid).map_or(0, |stat| stat.start);
    let boot = boot.get(..8).unwrap_or("unknown");
    format!("{boot}-{pid}-{start}")
}

/// Kills what is left of the tasks that `memory` holds as begun and not ended.
pub(super) fn kill_orphans(memory: &Memory, boot: &str) {
    let begun: Vec<_> = memory
        .tasks
        .iter()
        .filter(|(_, known)| !matches!(known, Known::Ended(_)))
        .map(|((task, epoch), known)| (mark(&memory.mark, *task, *epoch), known))
        .collect();
    if begun.is_empty() || boot.is_empty() || memory.boot != boot {
        return;
    }
    let mut killed = Vec::new();
    for (_, known) in &begun {
        if let Known::Started { pid, start } = known
            && procfs::stat(*pid).is_some_and(|stat| stat.start == *start && stat.group == *pid)
            && let Some(group) = i32::try_from(*pid).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process_group(group, Signal::KILL);
            killed.push(*pid);
        }
    }
    // What left its group, lost its leader, or was started just when the runner died. Again and
    // again, because such a process may have just made another.
    let marks = begun.iter().map(|(mark, _)| mark.as_bytes()).collect();
    for _ in 0..SWEEPS {
        let found = sweep(&marks);
        if found.is_empty() {
            break;
        }
        killed.extend(found);
        wait_for(&killed);
    }
    wait_for(&killed);
}

/// Kills every process that carries one of these marks.
fn sweep(marks: &BTreeSet<&[u8]>) -> Vec<u32> {
    let prefix = format!("{MARK}=");
    let marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| {
            variable
                .strip_prefix(prefix.as_bytes())
                .is_some_and(|value| marks.contains(value))
        })
    };
    let mut found = procfs::pids();
    found.retain(marked);
    for pid in &found {
        if let Some(process) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
    found
}

/// Waits until the killed processes are gone, so that "lost" means that they no longer run.
fn wait_for(killed: &[u32]) {
    let deadline = clock::now() + GONE_WITHIN;
    let alive = |pid: &u32| procfs::stat(*pid).is_some_and(|stat| !stat.zombie);
    while killed.iter().any(alive) && clock::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
}
