//! Makes a process of a task. The plain case takes std's `posix_spawn` path (no fork of the
//! runner's memory, no closure before the program begins); tasks with limits or a user of their
//! own go by the hidden first step of `enter.rs`.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::ioctl_fionbio;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::program::{is_passing, reason, resolve};
use super::recover::MARK;
use super::streams::Stream;
use super::users::{self, User};
use super::work::Workspace;
use crate::enter::Plan;
use crate::launch::Launch;
use crate::procfs;

/// Where programs are looked for when neither the task nor the runner has a `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why there is no process.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something was short; it may work a moment later.
    Passing(String),
    /// It will not work; the reason is for people.
    Lasting(String),
}

/// A task's process just made.
#[derive(Debug)]
pub(super) struct Child {
    /// Its pid, which is its process group too.
    pub(super) pid: Pid,
    /// Its start in ticks since boot; 0 if it was over too soon to be read.
    pub(super) start: u64,
    /// Standard output and error.
    pub(super) streams: [Stream; 2],
    /// Where the first step tells why the program did not start.
    pub(super) back: Option<File>,
}

/// What the first step is to do, if there is to be one.
#[derive(Debug)]
pub(super) struct FirstStep<'a> {
    /// The arguments that make this binary take the step.
    pub(super) enter: &'a [OsString],
    /// The control groups to enter.
    pub(super) entrances: Vec<PathBuf>,
}

/// Makes processes.
#[derive(Debug)]
pub(super) struct Spawner {
    null: File,
    /// The runner's own standard error, which is elsewhere while a process is made.
    stderr: OwnedFd,
    /// Variables of the runner that tasks do not inherit.
    hidden: Vec<OsString>,
    path: OsString,
    uid: u32,
    /// The limit of open files as it was, which is the tasks', and as it is for the runner.
    files: (Rlimit, Rlimit),
}

impl Spawner {
    /// Raises the runner's limit of open files as far as it may be: each running task takes two to
    /// four. The tasks get the limit as it was, because programs exist that close every possible
    /// descriptor one by one.
    pub(super) fn new() -> io::Result<Self> {
        let before = getrlimit(Resource::Nofile);
        let mut raised = Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        };
        if setrlimit(Resource::Nofile, raised).is_err() {
            raised = before;
        }
        let starling = |key: &OsString| key.as_encoded_bytes().starts_with(b"STARLING_");
        let null = File::open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        Ok(Self {
            null,
            stderr: io::stderr().as_fd().try_clone_to_owned()?,
            hidden: std::env::vars_os()
                .map(|(key, _)| key)
                .filter(starling)
                .collect(),
            path: std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into()),
            uid: rustix::process::geteuid().as_raw(),
            files: (before, raised),
        })
    }

    /// Makes the process of a task; `mark` tells it apart from all others.
    pub(super) fn spawn(
        &self,
        launch: &Launch,
        mark: &str,
        step: Option<FirstStep<'_>>,
        work: &mut Workspace,
    ) -> Result<Child, Failure> {
        let user = self.user(launch)?;
        let dir = work
            .enter(launch, user.as_ref())
            .map_err(Failure::Lasting)?;
        let Some((name, arguments)) = launch.command.split_first() else {
            return Err(Failure::Lasting("the command is empty".to_owned()));
        };
        let path = launch
            .env
            .get("PATH")
            .map_or(self.path.as_os_str(), |path| path.as_ref());
        let program = resolve(name, path, &dir).map_err(Failure::Lasting)?;
        let failed = |error: io::Error| {
            let reason = reason(&error, &program, &dir);
            if is_passing(&error) {
                Failure::Passing(reason)
            } else {
                Failure::Lasting(reason)
            }
        };

        let step = step.filter(|step| user.is_some() || !step.entrances.is_empty());
        let (mut command, back) = match step {
            None => (Command::new(&program), None),
            Some(step) => {
                let back = pipe().map_err(failed)?;
                (
                    by_first_step(step, launch, user.as_ref(), &program)?,
                    Some(back),
                )
            }
        };
        if back.is_none() {
            command.arg0(name).args(arguments);
        }
        for key in &self.hidden {
            command.env_remove(key);
        }
        if let Some(user) = &user {
            command
                .env("HOME", &user.home)
                .env("USER", &user.name)
                .env("LOGNAME", &user.name);
        }
        command
            .envs(&launch.env)
            .env(MARK, mark)
            .current_dir(&dir)
            .process_group(0);

        let (out, out_child) = pipe().map_err(failed)?;
        let (err, err_child) = pipe().map_err(failed)?;
        let stdin = back.as_ref().map(|(_, child)| child);
        let ends = (stdin, &out_child, &err_child);
        let child = self
            .with_stdio_of_task(ends, || command.spawn())
            .map_err(failed)?;
        let start = procfs::stat(child.id()).map_or(0, |stat| stat.start);
        Ok(Child {
            pid: Pid::from_child(&child),
            start,
            streams: [Stream::new(out), Stream::new(err)],
            back: back.map(|(ours, _)| File::from(ours)),
        })
    }

    /// Has the runner's own standard descriptors be the task's while `action` makes the process,
    /// which inherits them, and its limit of open files too. To hand descriptors over by name
    /// would not do: the C library refuses those above the limit.
    fn with_stdio_of_task<T>(
        &self,
        (stdin, out, err): (Option<&OwnedFd>, &OwnedFd, &OwnedFd),
        action: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let (before, raised) = self.files;
        let give = || {
            if let Some(stdin) = stdin {
                dup2_stdin(stdin)?;
            }
            dup2_stdout(out)?;
            dup2_stderr(err)
        };
        let result = give().map_err(io::Error::from).and_then(|()| {
            let lowered = before != raised && setrlimit(Resource::Nofile, before).is_ok();
            let result = action();
            if lowered {
                let _ = setrlimit(Resource::Nofile, raised);
            }
            result
        });
        // These can fail for want of nothing: the descriptors exist on both sides.
        let _ = dup2_stdin(&self.null);
        let _ = dup2_stdout(&self.null);
        let _ = dup2_stderr(&self.stderr);
        result
    }

    /// The user to become; none if that is the runner's own.
    fn user(&self, launch: &Launch) -> Result<Option<User>, Failure> {
        let Some(wanted) = &launch.user else {
            return Ok(None);
        };
        let user = users::find(wanted).map_err(Failure::Lasting)?;
        if user.uid == self.uid {
            return Ok(None);
        }
        if self.uid != 0 {
            return Err(Failure::Lasting(format!(
                "cannot run as user `{wanted}`: the daemon of this node does not run as root"
            )));
        }
        Ok(Some(user))
    }
}

/// The command of the first step, which leads to the program.
fn by_first_step(
    step: FirstStep<'_>,
    launch: &Launch,
    user: Option<&User>,
    program: &Path,
) -> Result<Command, Failure> {
    if step.enter.is_empty() {
        let reason = "this node's daemon cannot run tasks as other users";
        return Err(Failure::Lasting(reason.to_owned()));
    }
    let plan = Plan {
        entrances: step.entrances,
        user: user.map(|user| (user.uid, user.gid, user.groups.clone())),
        program: program.to_owned(),
        arguments: launch.command.iter().map(OsString::from).collect(),
    };
    // The child's own link to its file, which holds even after an upgrade.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("starling-enter")
        .args(step.enter)
        .args(plan.to_args());
    Ok(command)
}

/// A pipe whose reading end does not block and whose ends are closed in children.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    ioctl_fionbio(&reader, true)?;
    Ok((reader, writer))
}
