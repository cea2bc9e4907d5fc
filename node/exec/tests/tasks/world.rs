//! The verbs of the tests: a directory with a runner, and everything that happens in it. Every
//! wait has a deadline, and nothing is left behind, whether a test passes or not.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use starling_exec::{ExecConfig, ExecEvent, Executor, Held, Launch, Processes};
use starling_wire::{Epoch, JobId, Outcome, TaskId};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

pub(crate) const RUNNER: &str = "__runner";
pub(crate) const ENTER: &str = "__enter";
/// How long a single event may take.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Marks every process of a world, with its directory as the value.
const WORLD: &str = "WORLD_OF_TEST";

pub(crate) type Key = (TaskId, Epoch);

pub(crate) fn key(index: u32) -> Key {
    (
        TaskId {
            job: JobId(42),
            index,
        },
        1,
    )
}

/// A daemon's executor with its runner.
pub(crate) struct World {
    pub(crate) config: ExecConfig,
    pub(crate) held: Vec<Held>,
    connection: Option<(Processes, Receiver<ExecEvent>)>,
    /// Events that came while another was waited for.
    early: Vec<ExecEvent>,
    _temp: Option<TempDir>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(adjust: impl FnOnce(&mut ExecConfig)) -> Self {
        let temp = tempfile::Builder::new()
            .prefix("starling-exec-")
            .tempdir()
            .unwrap();
        // As in production: the tasks of other users pass through a directory that is closed.
        let mut config = ExecConfig::new(temp.path().join("tasks"), "/proc/self/exe");
        adjust(&mut config);
        config.runner_args = vec![RUNNER.into(), config.dir.clone().into()];
        config.enter_args = vec![ENTER.into()];
        let mut world = Self {
            config,
            held: Vec::new(),
            connection: None,
            early: Vec::new(),
            _temp: Some(temp),
        };
        world.connect().await;
        world
    }

    pub(crate) async fn connect(&mut self) {
        let opened = timeout(SOON, Processes::open(self.config.clone()))
            .await
            .unwrap();
        let (executor, held, events) = opened.unwrap();
        self.held = held;
        self.connection = Some((executor, events));
    }

    /// What a daemon's death does.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
        self.early.clear();
    }

    /// The executor as the daemon sees it.
    pub(crate) fn executor(&self) -> &dyn Executor {
        self.processes()
    }

    pub(crate) fn processes(&self) -> &Processes {
        &self.connection.as_ref().unwrap().0
    }

    pub(crate) fn runner(&self) -> u32 {
        self.processes().runner_pid().get().unwrap()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.config.dir
    }

    /// A task that runs a shell script.
    pub(crate) fn sh(&self, index: u32, script: &str) -> Launch {
        self.task(index, &["sh", "-c", script])
    }

    pub(crate) fn task(&self, index: u32, command: &[&str]) -> Launch {
        let (task, epoch) = key(index);
        Launch {
            task,
            epoch,
            command: command.iter().map(|&word| word.to_owned()).collect(),
            env: BTreeMap::from([(WORLD.to_owned(), self.dir().to_str().unwrap().to_owned())]),
            dir: None,
            user: None,
            cpu_limit: None,
            memory_limit: None,
            grace_ms: 5_000,
            lease: None,
            container: None,
            note: Vec::new(),
        }
    }

    pub(crate) fn start(&self, launch: Launch) {
        self.executor().start(vec![launch]);
    }

    pub(crate) async fn event(&mut self) -> ExecEvent {
        if !self.early.is_empty() {
            return self.early.remove(0);
        }
        self.next().await
    }

    async fn next(&mut self) -> ExecEvent {
        let (_, events) = self.connection.as_mut().unwrap();
        timeout(SOON, events.recv())
            .await
            .unwrap_or_else(|_| panic!("nothing came; earlier: {:?}", self.early))
            .unwrap()
    }

    /// Waits for the first event that `wanted` takes; the others stay to be waited for.
    pub(crate) async fn find<T>(&mut self, wanted: impl Fn(&ExecEvent) -> Option<T>) -> T {
        if let Some(at) = self.early.iter().position(|event| wanted(event).is_some()) {
            return wanted(&self.early.remove(at)).unwrap();
        }
        let deadline = Instant::now() + SOON;
        loop {
            assert!(
                Instant::now() < deadline,
                "only these came: {:?}",
                self.early
            );
            let event = self.next().await;
            match wanted(&event) {
                Some(found) => return found,
                None => self.early.push(event),
            }
        }
    }

    pub(crate) async fn started(&mut self, index: u32) -> u32 {
        let wanted = key(index);
        self.find(|event| match event {
            ExecEvent::Started { task, epoch, pid } if (*task, *epoch) == wanted => Some(*pid),
            _ => None,
        })
        .await
    }

    pub(crate) async fn ended(&mut self, index: u32) -> Outcome {
        let wanted = key(index);
        self.find(|event| match event {
            ExecEvent::Ended {
                task,
                epoch,
                outcome,
            } if (*task, *epoch) == wanted => Some(outcome.clone()),
            _ => None,
        })
        .await
    }

    /// Runs a task to its end.
    pub(crate) async fn run(&mut self, launch: Launch) -> Outcome {
        let index = launch.task.index;
        self.start(launch);
        self.ended(index).await
    }

    pub(crate) fn log(&self, index: u32, stream: &str) -> PathBuf {
        let (task, epoch) = key(index);
        self.dir()
            .join(format!("logs/{}/{}.{epoch}.{stream}", task.job, task.index))
    }

    pub(crate) fn output(&self, index: u32) -> String {
        fs::read_to_string(self.log(index, "out")).unwrap_or_default()
    }

    /// Waits until a task has written a first line.
    pub(crate) async fn output_of(&self, index: u32) -> String {
        until(|| self.output(index).ends_with('\n')).await;
        self.output(index)
    }

    pub(crate) fn work(&self, index: u32) -> PathBuf {
        let (task, epoch) = key(index);
        self.dir().join(format!("work/{task}-{epoch}"))
    }

    /// Ends the world in order and checks that nothing of it is left.
    pub(crate) async fn finish(mut self) {
        if self.connection.is_none() {
            self.connect().await;
        }
        timeout(SOON, self.executor().shutdown(Duration::ZERO))
            .await
            .unwrap();
        self.disconnect();
        until(|| processes(self.dir()).is_empty()).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // First, or else it would start another runner in the place of the one killed.
        self.disconnect();
        for _ in 0..100 {
            let left = processes(&self.config.dir);
            if left.is_empty() {
                return;
            }
            left.into_iter().for_each(kill);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The runner and the tasks of a world, by their command line and their environment.
fn processes(dir: &Path) -> Vec<u32> {
    let dir = dir.to_str().unwrap().as_bytes();
    let marked = |pid: &u32| {
        let read = |file| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let mark = [WORLD.as_bytes(), b"=", dir].concat();
        let (command, environment) = (read("cmdline"), read("environ"));
        let mut command = command.split(|byte| *byte == 0).skip(1);
        command.next() == Some(RUNNER.as_bytes()) && command.next() == Some(dir)
            || environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark)
    };
    let own = std::process::id();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != own && marked(pid)).collect()
}

pub(crate) fn kill(pid: u32) {
    let _ = kill_process(
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
        Signal::KILL,
    );
}

/// Whether a process is there and not over.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| {
        let state = rest.trim_start().chars().next();
        state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
    })
}

/// Waits for a condition that no event announces.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "the condition did not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
