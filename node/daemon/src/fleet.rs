//! Several real daemons on this machine, each a process with a data directory of its own: for the
//! demo, the end-to-end tests and the benchmark. They join by token over loopback, can be killed
//! with or without what they run, and leave nothing behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use starling_api::{Client, ClientError, NodeState, SOCKET_FILE};

/// How long a daemon may take to answer after its start.
const START: Duration = Duration::from_secs(20);
/// How long daemons may take to find together.
const FORM: Duration = Duration::from_secs(30);
/// How long a daemon may take to leave in order.
const LEAVE: Duration = Duration::from_secs(15);
/// How long a runner may take to stand still before it is killed.
const STANDSTILL: Duration = Duration::from_secs(1);
/// How often something that cannot be awaited is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What goes wrong with daemons as processes.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A file, folder or process could not be had.
    #[error("{doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A daemon did not do what it should in time; the end of its log is there to say why.
    #[error("{name} {problem}; the end of its log:\n{log}")]
    Daemon {
        /// Which.
        name: String,
        /// What it did not do.
        problem: String,
        /// The end of its log.
        log: String,
    },
    /// A daemon's API said no.
    #[error("{name} answered with an error")]
    Api {
        /// Which.
        name: String,
        /// What it said.
        #[source]
        source: ClientError,
    },
}

fn io_error(doing: impl Into<String>) -> impl FnOnce(io::Error) -> FleetError {
    let doing = doing.into();
    move |source| FleetError::Io { doing, source }
}

/// One daemon.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its data directory.
    pub dir: PathBuf,
    /// A client of its API.
    pub client: Client,
    /// Flags of its next `starling up`, beside those of the whole fleet.
    pub flags: Vec<String>,
    join: Option<String>,
    child: Option<Child>,
}

/// Daemons that make one cluster. Dropping it kills what still runs.
#[derive(Debug)]
pub struct Fleet {
    exe: PathBuf,
    root: PathBuf,
    flags: Vec<String>,
    /// The daemons, in the order in which they were started.
    pub members: Vec<Member>,
}

impl Fleet {
    /// Starts `count` daemons of the program `exe` below `root`, which must exist, and waits until
    /// each sees all. `flags` go to each `starling up`.
    pub async fn start(
        exe: &Path,
        root: &Path,
        count: usize,
        flags: &[&str],
    ) -> Result<Self, FleetError> {
        let flags = flags.iter().map(ToString::to_string).collect();
        let mut fleet = Self {
            exe: exe.to_owned(),
            root: root.to_owned(),
            flags,
            members: Vec::new(),
        };
        for _ in 0..count {
            fleet.add().await?;
        }
        fleet.formed(count).await?;
        Ok(fleet)
    }

    /// Sets the flags that go to each `starling up` from here on.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(ToString::to_string).collect();
    }

    /// Starts one more daemon, which joins by a token of the first.
    pub async fn add(&mut self) -> Result<usize, FleetError> {
        let name = format!("node-{}", self.members.len());
        let dir = self.root.join(&name);
        let join = match self.members.first() {
            Some(first) => Some(first.token().await?),
            None => None,
        };
        let client = Client::unix(dir.join(SOCKET_FILE));
        self.members.push(Member {
            name,
            dir,
            client,
            flags: Vec::new(),
            join,
            child: None,
        });
        let at = self.members.len() - 1;
        self.boot(at).await?;
        Ok(at)
    }

    /// Starts a member's daemon, for the first time or again, and waits until it answers.
    pub async fn boot(&mut self, at: usize) -> Result<(), FleetError> {
        let (exe, flags) = (self.exe.clone(), self.flags.clone());
        let member = &mut self.members[at];
        fs::create_dir_all(&member.dir)
            .map_err(io_error(format!("{} cannot be made", member.dir.display())))?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(member.dir.join("daemon.log"))
            .map_err(io_error("a daemon's log cannot be made"))?;
        let mut command = Command::new(exe);
        command
            .arg("up")
            .args(["--name", &member.name])
            .args(["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"])
            .args(flags)
            .args(&member.flags)
            .arg("--data-dir")
            .arg(&member.dir)
            .env_remove("STARLING_DATA_DIR")
            .env_remove("STARLING_API")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(token) = member.join.take() {
            command.args(["--join", &token]);
        }
        let child = command
            .spawn()
            .map_err(io_error("a daemon cannot be started"))?;
        member.child = Some(child);
        let deadline = Instant::now() + START;
        loop {
            if member.client.health().await.is_ok() {
                return Ok(());
            }
            let ended = member
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                return Err(member.failed(format!("ended at once ({status})")));
            }
            if Instant::now() > deadline {
                return Err(member.failed("does not answer".to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until each running daemon sees `count` alive.
    pub async fn formed(&self, count: usize) -> Result<(), FleetError> {
        let deadline = Instant::now() + FORM;
        for member in self.members.iter().filter(|member| member.child.is_some()) {
            loop {
                let alive = member.alive().await?;
                if alive == count {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(member.failed(format!("sees {alive} of {count} nodes")));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Kills a daemon with SIGKILL, and unless `spare_tasks` its runner and tasks too, as a power
    /// cut of its machine would.
    pub fn kill(&mut self, at: usize, spare_tasks: bool) {
        self.members[at].kill(spare_tasks);
    }

    /// Lets a daemon leave in order and returns how its process ended.
    pub async fn leave(&mut self, at: usize) -> Result<ExitStatus, FleetError> {
        let member = &mut self.members[at];
        member.signal(Signal::TERM);
        member.ended(Instant::now() + LEAVE).await
    }

    /// Ends all daemons in order, the last first, and kills those that do not.
    pub async fn stop(mut self) {
        for member in self.members.iter().rev() {
            member.signal(Signal::TERM);
        }
        let deadline = Instant::now() + LEAVE;
        for member in &mut self.members {
            // What is left, and what outlived its daemon, goes when this is dropped.
            let _ = member.ended(deadline).await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.kill(false);
        }
    }
}

impl Member {
    /// A fresh token.
    pub async fn token(&self) -> Result<String, FleetError> {
        self.client
            .token()
            .await
            .map(|view| view.token)
            .map_err(|error| self.api(error))
    }

    /// Sends a signal to its daemon, if one was started and not killed.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            send(pid, signal);
        }
    }

    /// Waits until its daemon has ended by itself.
    async fn ended(&mut self, deadline: Instant) -> Result<ExitStatus, FleetError> {
        loop {
            let status = match &mut self.child {
                None => return Err(self.failed("does not run".to_owned())),
                Some(child) => child
                    .try_wait()
                    .map_err(io_error("a daemon cannot be awaited"))?,
            };
            if let Some(status) = status {
                self.child = None;
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(self.failed("does not leave".to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The process id of its daemon, if it was started and not killed.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// How many nodes it holds to be alive, and knows by name.
    pub async fn alive(&self) -> Result<usize, FleetError> {
        let nodes = self.client.nodes().await.map_err(|error| self.api(error))?;
        let there = |node: &&starling_api::NodeView| {
            node.state == NodeState::Alive && !node.name.is_empty()
        };
        Ok(nodes.items.iter().filter(there).count())
    }

    /// The process id of its runner, if one lives.
    pub fn runner(&self) -> Option<u32> {
        let tasks = self.dir.join("tasks");
        let tasks = tasks.to_string_lossy();
        processes().into_keys().find(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let args: Vec<_> = line.split(|byte| *byte == 0).collect();
            args.get(1) == Some(&b"runner".as_slice())
                && args.get(2).is_some_and(|dir| *dir == tasks.as_bytes())
        })
    }

    /// The log of its daemon so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("daemon.log")).unwrap_or_default()
    }

    /// An error about this daemon, with the end of its log.
    fn failed(&self, problem: String) -> FleetError {
        let log = self.log();
        let lines: Vec<_> = log.lines().rev().take(12).collect();
        let log = lines.into_iter().rev().collect::<Vec<_>>().join("\n");
        FleetError::Daemon {
            name: self.name.clone(),
            problem,
            log,
        }
    }

    fn api(&self, source: ClientError) -> FleetError {
        FleetError::Api {
            name: self.name.clone(),
            source,
        }
    }

    fn kill(&mut self, spare_tasks: bool) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing to kill and all to reap.
            let _ = child.kill();
            let _ = child.wait();
        }
        if spare_tasks {
            return;
        }
        let Some(runner) = self.runner() else { return };
        // A runner that stands still starts no task between being looked at and being killed.
        send(runner, Signal::STOP);
        let deadline = Instant::now() + STANDSTILL;
        while !stands_still(runner) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        let below: Vec<u32> = processes()
            .into_iter()
            .filter(|(_, parent)| *parent == runner)
            .map(|(pid, _)| pid)
            .collect();
        send(runner, Signal::KILL);
        for pid in below {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                // Each task leads a process group of its own.
                let _ = kill_process_group(pid, Signal::KILL);
            }
        }
        // It is not a child, so it cannot be awaited.
        let deadline = Instant::now() + STANDSTILL;
        while self.runner().is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        // It may be gone already.
        let _ = kill_process(pid, signal);
    }
}

/// All processes of this machine, with their parents.
fn processes() -> BTreeMap<u32, u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, state_and_parent(pid)?.1))
        })
        .collect()
}

/// Whether a process was stopped, or is gone.
fn stands_still(pid: u32) -> bool {
    state_and_parent(pid).is_none_or(|(state, _)| matches!(state, 'T' | 't' | 'Z' | 'X'))
}

fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows its end does not.
    let mut after = stat.rsplit_once(") ")?.1.split(' ');
    Some((after.next()?.chars().next()?, after.next()?.parse().ok()?))
}
