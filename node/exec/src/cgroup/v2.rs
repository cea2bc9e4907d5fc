//! Control groups of version 2: one hierarchy, and a group that hands controllers on to its
//! children may hold no processes itself. So the group that holds the daemon can be used only
//! after its processes have moved to a leaf, which is done if they are all Starling's; otherwise a
//! group beside it is tried.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cpu_quota;
use super::place::Place;

/// The file that counts the kernel's kills.
pub(super) const KILLS: &str = "memory.events";
/// The leaf that takes the daemon's and the runner's processes.
const LEAF: &str = "starling-main";
/// The controllers that Starling uses.
const WANTED: [&str; 2] = ["cpu", "memory"];

/// The group below which tasks get theirs.
#[derive(Debug)]
pub(super) struct Base {
    /// The group.
    pub(super) dir: PathBuf,
    controllers: Vec<&'static str>,
}

impl Base {
    /// Whether its children can be limited by this controller.
    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.contains(&controller)
    }
}

/// Makes the group below which tasks get theirs.
pub(super) fn prepare(place: &Place, base: &str) -> Result<Base, String> {
    let mut why = String::from("version 2 offers neither cpu nor memory");
    for parent in place.candidates() {
        let offered = listed(&parent.join("cgroup.controllers"));
        if offered.is_empty() {
            continue;
        }
        match prepare_below(parent, &offered, base) {
            Ok(base) => return Ok(base),
            Err(error) => why = format!("version 2: `{}`: {error}", parent.display()),
        }
    }
    Err(why)
}

fn prepare_below(parent: &Path, offered: &[&'static str], base: &str) -> io::Result<Base> {
    if let Err(error) = hand_on(parent, offered) {
        if error.kind() != io::ErrorKind::ResourceBusy {
            return Err(error);
        }
        move_to_leaf(parent)?;
        hand_on(parent, offered)?;
    }
    let dir = parent.join(base);
    fs::create_dir_all(&dir)?;
    hand_on(&dir, offered)?;
    let controllers = listed(&dir.join("cgroup.subtree_control"));
    Ok(Base { dir, controllers })
}

/// Makes the controllers available to the children of `dir`.
fn hand_on(dir: &Path, controllers: &[&'static str]) -> io::Result<()> {
    let path = dir.join("cgroup.subtree_control");
    let there = listed(&path);
    for controller in controllers.iter().filter(|name| !there.contains(name)) {
        fs::write(&path, format!("+{controller}"))?;
    }
    Ok(())
}

/// Moves the processes of `dir` to a leaf in it, if every one of them is this same program.
fn move_to_leaf(dir: &Path) -> io::Result<()> {
    let own = fs::read_link("/proc/self/exe")?;
    let members = fs::read_to_string(dir.join("cgroup.procs"))?;
    let ours = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == own);
    if !members.lines().all(ours) {
        let text = "the group holds other processes, so that it cannot be divided";
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
    }
    let leaf = dir.join(LEAF);
    fs::create_dir_all(&leaf)?;
    for pid in members.lines() {
        fs::write(leaf.join("cgroup.procs"), pid)?;
    }
    Ok(())
}

/// Which of the wanted controllers a file of names lists.
fn listed(path: &Path) -> Vec<&'static str> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let has = |name: &&str| text.split_ascii_whitespace().any(|word| word == *name);
    WANTED.into_iter().filter(has).collect()
}

/// Limits the group to `millis` thousandths of a core.
pub(super) fn limit_cpu(dir: &Path, millis: u32) -> io::Result<()> {
    let (quota, period) = cpu_quota(millis);
    fs::write(dir.join("cpu.max"), format!("{quota} {period}"))
}

/// Limits the group to `bytes` of memory without swap, and has it killed as a whole.
pub(super) fn limit_memory(dir: &Path, bytes: u64) -> io::Result<()> {
    fs::write(dir.join("memory.max"), bytes.to_string())?;
    // Both are refinements that a kernel may lack.
    let _ = fs::write(dir.join("memory.swap.max"), "0");
    let _ = fs::write(dir.join("memory.oom.group"), "1");
    Ok(())
}
