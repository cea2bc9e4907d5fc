//! Makes a process of a task. The plain case takes std's `posix_spawn` path (no fork of the
//! runner's memory, no closure before the program begins); tasks with limits or a user of their
//! own go by the hidden first step of `enter.rs`.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::io::ioctl_fionbio;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

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
        Ok(Self {
            null: File::open("/dev/null")?,
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

        let (mut command, back) = match step {
            None if user.is_none() => {
                let mut command = Command::new(&program);
                command.arg0(name).args(arguments);
                command.stdin(self.null.try_clone().map_err(failed)?);
                (command, None)
            }
            step => {
                let (enter, entrances) =
                    step.map_or((&[][..], Vec::new()), |step| (step.enter, step.entrances));
                let (back, from_child) = pipe().map_err(failed)?;
                let plan = Plan {
                    entrances,
                    user: user
                        .as_ref()
                        .map(|user| (user.uid, user.gid, user.groups.clone())),
                    program: program.clone(),
                    arguments: launch.command.iter().map(OsString::from).collect(),
                };
                // The child's own link to its file, which holds even after an upgrade.
                let mut command = Command::new("/proc/self/exe");
                command
                    .arg0("starling-enter")
                    .args(enter)
                    .args(plan.to_args());
                command.stdin(Stdio::from(from_child));
                (command, Some(File::from(back)))
            }
        };
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
        command
            .stdout(Stdio::from(out_child))
            .stderr(Stdio::from(err_child));
        let child = command.spawn().map_err(failed)?;
        let pid = Pid::from_child(&child);
        if self.files.0 != self.files.1 {
            // At once after the program began, so before it can have asked; not before it begins,
            // because then the C library refuses descriptors above the limit.
            let _ = prlimit(Some(pid), Resource::Nofile, self.files.0);
        }
        let start = procfs::stat(child.id()).map_or(0, |stat| stat.start);
        Ok(Child {
            pid,
            start,
            streams: [Stream::new(out), Stream::new(err)],
            back,
        })
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

/// A pipe whose reading end does not block and whose ends are closed in children.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    ioctl_fionbio(&reader, true)?;
    Ok((reader, writer))
}
