//! The runner: one process per node that holds every task. One thread and one epoll loop over the
//! daemon's socket, the children's pipes and their deaths; only the janitor has a thread of its
//! own. It needs no daemon: what ends meanwhile is kept until one takes note of it.

mod core;
mod daemon;
mod ends;
mod janitor;
mod journal;
mod leases;
mod oom;
mod program;
mod recover;
mod requests;
mod signals;
mod spawn;
mod starts;
mod streams;
mod tasks;
mod timers;
mod users;
mod work;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::Mode;
use starling_wire::{Epoch, TaskId};

pub(crate) use program::reason;

use crate::{ExecError, cgroup, paths, procfs};
use journal::{Known, Memory};

/// A task at one placement.
pub(crate) type Key = (TaskId, Epoch);

/// What the hidden subcommand does: hold the tasks of the daemon whose runner directory is `dir`,
/// until there is neither a task nor a daemon for a while, or the daemon asks it to leave. Call it
/// before any thread is started, with standard input and output on `/dev/null` and standard error
/// in a file; it leaves its terminal's session, and SIGHUP and SIGINT do nothing to it. SIGTERM
/// has it stop every task, to be reported as evicted, and leave.
pub fn runner_main(dir: &Path) -> Result<(), ExecError> {
    // Fails only for a process that leads a group already, which then keeps its session.
    let _ = rustix::process::setsid();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| ExecError::io("create the directory", dir, error))?;
    rustix::process::chdir(dir)
        .map_err(|error| ExecError::io("enter the directory", dir, error.into()))?;
    // Held until the process ends.
    let _lock = lock(dir)?;
    let signals = signals::Signals::register()
        .map_err(|error| ExecError::io("watch signals of", dir, error))?;
    // So that what a task leaves behind stays below this process, and its CPU time is counted.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));

    let tag = tag(dir);
    let memory = remember(&tag);
    clear_work(&memory).map_err(|error| ExecError::io("use", dir.join(paths::WORK), error))?;
    let listener =
        listen().map_err(|error| ExecError::io("listen on", dir.join(paths::SOCKET), error))?;
    let runner = core::Runner::new(memory, tag, listener, signals)
        .map_err(|error| ExecError::io("keep the tasks of", dir, error))?;
    let done = runner.run();
    let _ = fs::remove_file(paths::SOCKET);
    done.map_err(|error| ExecError::io("wait for the tasks of", dir, error))
}

/// Takes the lock that makes this the directory's only runner.
fn lock(dir: &Path) -> Result<File, ExecError> {
    let path = || dir.join(paths::LOCK);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(paths::LOCK)
        .map_err(|error| ExecError::io("open", path(), error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(ExecError::Busy(dir.to_owned())),
        Err(TryLockError::Error(error)) => return Err(ExecError::io("lock", path(), error)),
    }
    // For people; nothing reads it.
    let _ = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Reads what an earlier runner held, kills what is left of it, and turns it into what this one
/// holds: ends only.
fn remember(tag: &str) -> Memory {
    let boot = procfs::boot_id();
    let mut memory = match Memory::read(Path::new(paths::JOURNAL)) {
        Ok((memory, 0)) => memory,
        Ok((memory, left)) => {
            eprintln!("the journal has {left} unreadable bytes at its end; ignored");
            memory
        }
        Err(error) => {
            eprintln!("the journal cannot be read, so that earlier tasks are forgotten: {error}");
            Memory::default()
        }
    };
    recover::kill_orphans(&memory, &boot);
    cgroup::clear_leftovers(tag);
    for known in memory.tasks.values_mut() {
        if !matches!(known, Known::Ended(_)) {
            *known = Known::Ended(starling_wire::Outcome::Lost);
        }
    }
    memory.mark = recover::own_mark(&boot);
    memory.boot = boot;
    memory
}

/// Makes the folder of working directories, and removes those in it that no task needs.
fn clear_work(memory: &Memory) -> io::Result<()> {
    // Tasks that run as other users have theirs in it, so it can be passed through.
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(paths::WORK)?;
    for entry in fs::read_dir(paths::WORK)?.flatten() {
        let path = entry.path();
        let needed = |key: &Key| paths::work(key.0, key.1) == path;
        if !memory.tasks.keys().any(needed) {
            let _ = fs::remove_dir_all(path);
        }
    }
    Ok(())
}

/// Opens the socket for this user only.
fn listen() -> io::Result<UnixListener> {
    match fs::remove_file(paths::SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(paths::SOCKET);
    rustix::process::umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Sets this directory's control groups apart from those of other runners on the machine.
fn tag(dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let hash = dir
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3_u64)
        });
    format!("{hash:016x}")
}
