//! The daemon's handle on its runner. Calls never block: they write straight to the socket from
//! whatever thread calls, so that no task switch lies between "start" and the runner; what the
//! socket does not take at once is written by the driving task. What was asked for is kept in a
//! book until it is done, so that a runner that dies in between is replaced without losing or
//! doubling anything.

mod book;
mod drive;
mod frames;
mod link;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use starling_wire::{Epoch, Outcome, TaskId};
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc, watch};

use crate::ExecError;
use crate::executor::Executor;
use crate::launch::{ExecEvent, Held, Launch};
use crate::protocol::{Request, Settings, not_now, push_frame};
use book::Book;

/// Events that may wait for the daemon; past that the runner keeps them.
const EVENTS: usize = 4096;
/// How much longer than asked for a shutdown waits for the runner's own end.
const SHUTDOWN_SLACK: Duration = Duration::from_secs(3);

/// What the executor needs to know.
#[derive(Clone, Debug)]
pub struct ExecConfig {
    /// The runner's directory, for example `tasks` in the data directory; made if it is missing.
    pub dir: PathBuf,
    /// The binary that can be a runner; `/proc/self/exe` holds through an upgrade.
    pub exe: PathBuf,
    /// The arguments that make it call [`crate::runner_main`] with `dir`.
    pub runner_args: Vec<OsString>,
    /// The arguments that make it call [`crate::enter_main`] with all arguments after them; empty
    /// means that no task can have limits or a user of its own.
    pub enter_args: Vec<OsString>,
    /// Bytes of log kept per stream of a task, current and rotated file together.
    pub log_limit: u64,
    /// Bytes of log kept of all tasks that are over, together; the oldest go first.
    pub logs_bytes: u64,
    /// How many tasks that are over keep their logs; the oldest go first.
    pub logs_tasks: u64,
    /// How long a runner that holds no task waits for a daemon before it exits.
    pub idle_exit: Duration,
}

impl ExecConfig {
    /// The usual bounds: 4 MiB of log per stream, 1 GiB and 10,000 tasks in all, and a runner that
    /// leaves after 10 s without daemon and task.
    pub fn new(dir: impl Into<PathBuf>, exe: impl Into<PathBuf>) -> Self {
        let usual = Settings::default();
        Self {
            dir: dir.into(),
            exe: exe.into(),
            runner_args: Vec::new(),
            enter_args: Vec::new(),
            log_limit: usual.log_limit,
            logs_bytes: usual.logs_bytes,
            logs_tasks: usual.logs_tasks,
            idle_exit: Duration::from_millis(usual.idle_exit_ms),
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            log_limit: self.log_limit,
            logs_bytes: self.logs_bytes,
            logs_tasks: self.logs_tasks,
            idle_exit_ms: u64::try_from(self.idle_exit.as_millis()).unwrap_or(u64::MAX),
            enter: self.enter_args.clone(),
        }
    }
}

/// The pid of the runner of the moment, 0 while there is none; for the sensors.
#[derive(Clone, Debug, Default)]
pub struct RunnerPid(Arc<AtomicU32>);

impl RunnerPid {
    /// The pid, if there is a runner.
    pub fn get(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    fn set(&self, pid: u32) {
        self.0.store(pid, Ordering::Relaxed);
    }
}

/// The daemon's handle on its runner. When the last clone is dropped the connection is closed; the
/// runner keeps the tasks.
#[derive(Clone, Debug)]
pub struct Processes {
    handle: Arc<Handle>,
}

/// Tells the driving task when the last clone is gone.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    dir: PathBuf,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.dropped.notify_one();
    }
}

impl Processes {
    /// Connects to the runner that serves `config.dir`, starts one if none answers, and returns
    /// what it holds: tasks that run, and ends that were never acknowledged. Needs a tokio runtime
    /// with I/O and time.
    pub async fn open(
        config: ExecConfig,
    ) -> Result<(Self, Vec<Held>, mpsc::Receiver<ExecEvent>), ExecError> {
        let link = link::open(&config).await?;
        let (events, receiver) = mpsc::channel(EVENTS);
        let shared = Arc::new(Shared::default());
        let held = link.held.clone();
        shared.state().book = Book::of(&held);
        let dir = config.dir.clone();
        shared.attach(&link);
        tokio::spawn(drive::drive(Arc::clone(&shared), config, link, events));
        Ok((
            Self {
                handle: Arc::new(Handle { shared, dir }),
            },
            held,
            receiver,
        ))
    }

    /// Lets tasks that were started with a lease run until then, in nanoseconds of
    /// [`crate::monotonic`].
    pub fn lease(&self, leases: Vec<(TaskId, Epoch, u64)>) {
        let mut state = self.handle.shared.state();
        state.send(vec![Request::Lease(leases)], &self.handle.shared.wake);
    }

    /// The runner's directory, for [`crate::logs`].
    pub fn dir(&self) -> &Path {
        &self.handle.dir
    }

    /// The pid of the runner of the moment, which follows it when it is replaced.
    pub fn runner_pid(&self) -> RunnerPid {
        self.handle.shared.pid.clone()
    }
}

impl Executor for Processes {
    fn start(&self, launches: Vec<Launch>) {
        let mut state = self.handle.shared.state();
        let fresh = launches
            .into_iter()
            .filter(|launch| state.book.start(launch))
            .collect();
        state.send(vec![Request::Start(fresh)], &self.handle.shared.wake);
    }

    /// SIGTERM goes to its process group, SIGKILL to all that is left of it.
    fn stop(&self, task: TaskId, epoch: Epoch, outcome: Outcome) {
        let mut state = self.handle.shared.state();
        state.book.stop((task, epoch), &outcome);
        state.send(
            vec![Request::Stop(task, epoch, outcome)],
            &self.handle.shared.wake,
        );
    }

    fn acknowledge(&self, mut tasks: Vec<(TaskId, Epoch)>) {
        let mut state = self.handle.shared.state();
        tasks.retain(|key| state.book.acknowledge(*key));
        state.send(vec![Request::Acknowledge(tasks)], &self.handle.shared.wake);
    }

    /// Ends the runner as well.
    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        let shared = &self.handle.shared;
        let mut left = shared.left.subscribe();
        {
            let mut state = shared.state();
            state.leaving = Some(deadline);
            state.send_shutdown(&shared.wake);
        }
        Box::pin(async move {
            let gone = left.wait_for(|left| *left);
            let _ = tokio::time::timeout(deadline + SHUTDOWN_SLACK, gone).await;
        })
    }
}

/// What the handle and the driving task share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There are bytes that the socket did not take at once.
    wake: Notify,
    /// The last handle is gone.
    dropped: Notify,
    /// Whether the runner has left after a shutdown.
    left: watch::Sender<bool>,
    pid: RunnerPid,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            wake: Notify::new(),
            dropped: Notify::new(),
            left: watch::Sender::new(false),
            pid: RunnerPid::default(),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses a new connection from now on, and brings both sides to the same knowledge.
    fn attach(&self, link: &link::Link) -> Vec<ExecEvent> {
        let mut state = self.state();
        let (events, requests) = state.book.reconcile(&link.held);
        state.socket = Some(Arc::clone(&link.socket));
        self.pid.set(link.pid);
        state.send(requests, &self.wake);
        state.send_shutdown(&self.wake);
        events
    }

    fn detach(&self) {
        let mut state = self.state();
        (state.socket, state.out, state.sent) = (None, Vec::new(), 0);
        self.pid.set(0);
    }
}

#[derive(Debug, Default)]
struct State {
    book: Book,
    socket: Option<Arc<UnixStream>>,
    out: Vec<u8>,
    sent: usize,
    leaving: Option<Duration>,
}

impl State {
    /// Writes requests to the socket. Without one they are made again from the book when there is.
    fn send(&mut self, requests: Vec<Request>, wake: &Notify) {
        if self.socket.is_none() {
            return;
        }
        let begin = self.out.len();
        for list in frames::into_frames(requests) {
            if let Err(error) = push_frame(&mut self.out, &list) {
                // `into_frames` keeps to the limit unless a single launch passes it.
                tracing::error!(%error, "a request to the runner is too large and is dropped");
            }
        }
        if self.out.len() > begin && !self.flush() {
            wake.notify_one();
        }
    }

    fn send_shutdown(&mut self, wake: &Notify) {
        if let Some(deadline) = self.leaving {
            let millis = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
            self.send(vec![Request::Shutdown(millis)], wake);
        }
    }

    /// Writes what waits; true if nothing does afterwards or ever will.
    fn flush(&mut self) -> bool {
        let Some(socket) = &self.socket else {
            return true;
        };
        while self.sent < self.out.len() {
            match socket.try_write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if not_now(&error) => return false,
                // The driving task sees the same when it reads.
                Err(_) => break,
            }
        }
        self.out.clear();
        self.sent = 0;
        true
    }
}
