//! Both executors behind one handle: each task goes to the one that it is for.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use futures::future::BoxFuture;
use starling_wire::{ContainerEngine, Epoch, Outcome, TaskId};
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

use crate::ExecError;
use crate::client::{ExecConfig, Processes, RunnerPid};
use crate::containers::{Containers, ContainersConfig};
use crate::executor::Executor;
use crate::launch::{ExecEvent, Held, Launch};
use crate::runner::Key;

/// What runs a node's tasks.
#[derive(Clone, Debug)]
pub struct Executors {
    processes: Processes,
    containers: Containers,
}

/// What happens to its tasks.
#[derive(Debug)]
pub struct ExecEvents {
    processes: Receiver<ExecEvent>,
    containers: Receiver<ExecEvent>,
}

impl ExecEvents {
    /// The next event; none when nothing can happen any more. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<ExecEvent> {
        tokio::select! {
            Some(event) = self.processes.recv() => Some(event),
            Some(event) = self.containers.recv() => Some(event),
            else => None,
        }
    }

    /// An event that has happened already, if there is one.
    pub fn try_recv(&mut self) -> Result<ExecEvent, TryRecvError> {
        self.processes
            .try_recv()
            .or_else(|_| self.containers.try_recv())
    }
}

impl Executors {
    /// Opens both, and returns what they hold.
    pub async fn open(
        config: ExecConfig,
        containers: ContainersConfig,
    ) -> Result<(Self, Vec<Held>, ExecEvents), ExecError> {
        let (processes, mut held, process_events) = Processes::open(config.clone()).await?;
        let (containers, found, container_events) = Containers::open(containers, &config).await?;
        held.extend(found);
        let running = held.iter().filter(|held| held.ended.is_none());
        let running: BTreeSet<Key> = running.map(|held| (held.task, held.epoch)).collect();
        containers.take_stock(running).await;
        let executors = Self {
            processes,
            containers,
        };
        let events = ExecEvents {
            processes: process_events,
            containers: container_events,
        };
        Ok((executors, held, events))
    }

    /// The executors' directory, for [`crate::logs`].
    pub fn dir(&self) -> &Path {
        self.processes.dir()
    }

    /// The pid of the runner of the moment, which follows it when it is replaced.
    pub fn runner_pid(&self) -> RunnerPid {
        self.processes.runner_pid()
    }

    /// Lets tasks that were started with a lease run until then, in nanoseconds of
    /// [`crate::monotonic`]. Only processes have leases: their runner ends them in time even if the
    /// daemon is gone.
    pub fn lease(&self, leases: Vec<(TaskId, Epoch, u64)>) {
        self.processes.lease(leases);
    }

    /// What runs containers here at the moment; changes are told as
    /// [`ExecEvent::Containers`](crate::ExecEvent::Containers).
    pub fn container_engine(&self) -> Option<ContainerEngine> {
        self.containers.engine()
    }

    /// Who runs a placement that was started.
    fn of(&self, key: Key) -> &dyn Executor {
        if self.containers.knows(key) {
            &self.containers
        } else {
            &self.processes
        }
    }
}

impl Executor for Executors {
    fn start(&self, launches: Vec<Launch>) {
        let is_container = |launch: &Launch| launch.container.is_some();
        let (containers, processes): (Vec<_>, Vec<_>) =
            launches.into_iter().partition(is_container);
        for (executor, launches) in [
            (&self.processes as &dyn Executor, processes),
            (&self.containers, containers),
        ] {
            if !launches.is_empty() {
                executor.start(launches);
            }
        }
    }

    fn stop(&self, task: TaskId, epoch: Epoch, outcome: Outcome) {
        self.of((task, epoch)).stop(task, epoch, outcome);
    }

    fn acknowledge(&self, tasks: Vec<(TaskId, Epoch)>) {
        let is_container = |key: &Key| self.containers.knows(*key);
        let (containers, processes): (Vec<_>, Vec<_>) = tasks.into_iter().partition(is_container);
        if !processes.is_empty() {
            self.processes.acknowledge(processes);
        }
        if !containers.is_empty() {
            self.containers.acknowledge(containers);
        }
    }

    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        let both = [
            self.processes.shutdown(deadline),
            self.containers.shutdown(deadline),
        ];
        Box::pin(async move {
            futures::future::join_all(both).await;
        })
    }
}
