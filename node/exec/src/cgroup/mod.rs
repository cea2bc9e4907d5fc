//! CPU and memory limits by control groups, for the tasks that ask for them: version 2 where the
//! controller is there and delegated, version 1 otherwise. Each limited task gets a group of its
//! own below `starling-TAG`; the process enters it before its program begins (see `enter.rs`).
//! Where nothing is writable, tasks run without limits and one warning says what would help.

mod place;
mod v1;
mod v2;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

pub(crate) use place::Hierarchies;

use crate::procfs;

/// How long the processes of a group that is being removed may take to vanish.
const DESTROY_TRIES: u32 = 100;
/// The pause between two tries.
const DESTROY_PAUSE: Duration = Duration::from_millis(10);
/// What would make limits possible.
const REMEDY: &str = "run the daemon as root, or as a systemd service or scope with Delegate=yes (control groups \
     need to be writable for it)";

/// Makes groups for limited tasks.
#[derive(Debug)]
pub(crate) struct Limiter {
    cpu: Result<Controller, String>,
    memory: Result<Controller, String>,
}

/// Where groups of one controller are made.
#[derive(Clone, Debug)]
enum Controller {
    V1(PathBuf),
    V2(PathBuf),
}

impl Limiter {
    /// Looks for control groups that can be written; `tag` sets those of one runner apart.
    pub(crate) fn discover(tag: &str) -> Self {
        let places = Hierarchies::of_this_process();
        let v2 = places.v2().map(|place| v2::prepare(place, &base_name(tag)));
        let find = |name: &str| {
            let newer = match &v2 {
                Some(Ok(base)) if base.has(name) => return Ok(Controller::V2(base.dir.clone())),
                Some(Err(why)) => why.clone(),
                Some(Ok(_)) | None => "version 2 does not offer it".to_owned(),
            };
            let Some(place) = places.v1(name) else {
                return Err(format!("{newer}, and version 1 has no `{name}` controller"));
            };
            v1::prepare(place, &base_name(tag))
                .map(Controller::V1)
                .map_err(|why| format!("{newer}; version 1: {why}"))
        };
        Self {
            cpu: find("cpu"),
            memory: find("memory"),
        }
    }

    /// Makes a group with the limits asked for, and says for each that is not possible why, and
    /// what would change that.
    pub(crate) fn group(
        &self,
        name: &str,
        cpu: Option<u32>,
        memory: Option<u64>,
    ) -> (TaskGroup, Vec<String>) {
        let mut group = TaskGroup::default();
        let mut warnings = Vec::new();
        if let Some(cpu) = cpu {
            let done = self.cpu.clone().and_then(|controller| match controller {
                Controller::V1(base) => group.add(&base, name, |dir| v1::limit_cpu(dir, cpu)),
                Controller::V2(base) => group.add(&base, name, |dir| v2::limit_cpu(dir, cpu)),
            });
            if let Err(why) = done {
                warnings.push(format!("no CPU limits on this host: {why}; {REMEDY}"));
            }
        }
        if let Some(memory) = memory {
            let done = self.memory.clone().and_then(|controller| match controller {
                Controller::V1(base) => {
                    group.add(&base, name, |dir| v1::limit_memory(dir, memory))?;
                    group.kills = Some(base.join(name).join(v1::KILLS));
                    Ok(())
                }
                Controller::V2(base) => {
                    group.add(&base, name, |dir| v2::limit_memory(dir, memory))?;
                    group.kills = Some(base.join(name).join(v2::KILLS));
                    Ok(())
                }
            });
            if let Err(why) = done {
                warnings.push(format!("no memory limits on this host: {why}; {REMEDY}"));
            }
        }
        (group, warnings)
    }

    fn bases(&self) -> impl Iterator<Item = &Path> {
        [&self.cpu, &self.memory]
            .into_iter()
            .filter_map(|found| match found {
                Ok(Controller::V1(base) | Controller::V2(base)) => Some(base.as_path()),
                Err(_) => None,
            })
    }

    /// Removes the groups this runner made its tasks' groups in.
    pub(crate) fn remove(self) {
        self.bases().for_each(|base| {
            let _ = fs::remove_dir(base);
        });
    }
}

fn base_name(tag: &str) -> String {
    format!("starling-{tag}")
}

/// Kills and removes what a runner that died left in its groups.
pub(crate) fn clear_leftovers(tag: &str) {
    for place in Hierarchies::of_this_process().all() {
        for parent in place.candidates() {
            let base = parent.join(base_name(tag));
            let Ok(entries) = fs::read_dir(&base) else {
                continue;
            };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    destroy(&entry.path());
                }
            }
            let _ = fs::remove_dir(&base);
        }
    }
}

/// The groups of one limited task, one per hierarchy.
#[derive(Debug, Default)]
pub(crate) struct TaskGroup {
    dirs: Vec<PathBuf>,
    kills: Option<PathBuf>,
}

impl TaskGroup {
    fn add(
        &mut self,
        base: &Path,
        name: &str,
        limit: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), String> {
        let dir = base.join(name);
        let made = fs::create_dir_all(&dir).and_then(|()| limit(&dir));
        if let Err(error) = made {
            if !self.dirs.contains(&dir) {
                let _ = fs::remove_dir(&dir);
            }
            return Err(format!("`{}`: {error}", dir.display()));
        }
        if !self.dirs.contains(&dir) {
            self.dirs.push(dir);
        }
        Ok(())
    }

    /// Whether no limit could be set at all.
    pub(crate) const fn is_empty(&self) -> bool {
        self.dirs.is_empty()
    }

    /// The files into which a process writes itself to enter.
    pub(crate) fn entrances(&self) -> Vec<PathBuf> {
        self.dirs
            .iter()
            .map(|dir| dir.join("cgroup.procs"))
            .collect()
    }

    /// How many processes of the task the kernel killed for want of memory; none if it does not
    /// count them for this task.
    pub(crate) fn memory_kills(&self) -> Option<u64> {
        procfs::keyed(self.kills.as_deref()?, "oom_kill")
    }

    /// Kills what is left in the groups and removes them. May take a second; not for the runner's
    /// main loop.
    pub(crate) fn destroy(&self) {
        self.dirs.iter().for_each(|dir| destroy(dir));
    }
}

fn destroy(dir: &Path) {
    for _ in 0..DESTROY_TRIES {
        match fs::remove_dir(dir) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => {}
        }
        if fs::write(dir.join("cgroup.kill"), "1").is_err() {
            let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            for pid in members.lines().filter_map(|line| line.parse().ok()) {
                if let Some(pid) = Pid::from_raw(pid) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
        }
        thread::sleep(DESTROY_PAUSE);
    }
}

/// The quota and period in microseconds that mean `millis` thousandths of a core. The kernel takes
/// no quota under a millisecond, so that tiny limits get a longer period.
fn cpu_quota(millis: u32) -> (u64, u64) {
    let period: u64 = if millis < 10 { 1_000_000 } else { 100_000 };
    ((u64::from(millis) * period / 1000).max(1000), period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_mean_the_share_that_was_asked_for() {
        assert_eq!(cpu_quota(1), (1_000, 1_000_000));
        assert_eq!(cpu_quota(10), (1_000, 100_000));
        assert_eq!(cpu_quota(1_500), (150_000, 100_000));
    }

    #[test]
    fn without_controllers_each_limit_is_explained() {
        let limiter = Limiter {
            cpu: Err("a".into()),
            memory: Err("b".into()),
        };
        let (group, warnings) = limiter.group("x", Some(1), Some(1));
        assert!(group.is_empty() && group.memory_kills().is_none());
        assert!(warnings.len() == 2 && warnings.iter().all(|text| text.contains("Delegate=yes")));
        assert!(limiter.group("x", None, None).1.is_empty());
    }
}
