//! Tasks as containers, by the Docker Engine API over a Unix socket. The engine keeps a container
//! alive whatever happens to the daemon, so no process of ours stands in between: what is known of a
//! container lies in its labels, and a daemon that comes back finds its own by them and no others.
//!
//! ```text
//!   start ── worker ── image ── create, start ── follow: output, exit, stop ── ended
//!   open  ── adopt ─── worker ────────────────── follow
//!   watch: is the engine there? what is nobody's goes
//! ```

mod adopt;
mod create;
mod engine;
mod image;
mod labels;
mod notes;
mod output;
mod sockets;
mod watch;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::query_parameters::RemoveContainerOptions;
use futures::future::BoxFuture;
use starling_wire::{ContainerEngine, Epoch, Outcome, TaskId};
use tokio::sync::{Notify, Semaphore, mpsc, watch as watching};
use tokio::time::timeout;

use crate::ExecError;
use crate::client::ExecConfig;
use crate::executor::Executor;
use crate::launch::{ExecEvent, Held, Launch};
use crate::logs::bounds::KeptLogs;
use crate::procfs;
use crate::runner::Key;
use engine::{Engine, is_missing};
use notes::Notes;
use worker::Worker;

pub use sockets::Sockets;

/// Events that may wait for the daemon; past that containers wait with their reports.
const EVENTS: usize = 4096;
/// How many containers are made at a time.
const STARTS: usize = 16;
/// How many images are fetched at a time.
const PULLS: usize = 4;
/// How long a container's removal is waited for when the daemon leaves.
const REMOVE_WITHIN: Duration = Duration::from_secs(5);

/// What the executor of containers needs to know.
#[derive(Clone, Debug)]
pub struct ContainersConfig {
    /// Whose containers these are: the node's id.
    pub node: String,
    /// Where to look for an engine.
    pub sockets: Sockets,
}

/// The executor of containers.
#[derive(Clone, Debug)]
pub struct Containers {
    shared: Arc<Shared>,
}

/// What its parts share.
#[derive(Debug)]
struct Shared {
    node: String,
    sockets: Sockets,
    /// The executors' directory.
    dir: PathBuf,
    log_limit: u64,
    logs_bound: (u64, u64),
    /// The boot of the machine.
    boot: String,
    notes: Notes,
    engine: watching::Sender<Option<Arc<Engine>>>,
    /// Somebody has reason to believe that the engine is gone.
    doubt: Notify,
    book: Mutex<BTreeMap<Key, Line>>,
    /// A container has ended.
    ended: Notify,
    logs: Mutex<KeptLogs>,
    starts: Semaphore,
    pulls: Semaphore,
    events: mpsc::Sender<ExecEvent>,
    warned: Mutex<BTreeSet<String>>,
}

/// A container from the first word about it to its acknowledged end.
#[derive(Debug)]
struct Line {
    /// What its end is to be called, once it is to be stopped.
    stop: watching::Sender<Option<Outcome>>,
    ended: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Containers {
    /// Finds the engine, and in it the containers of `config.node`: those are held from now on,
    /// except what never ran or was ended by the machine's restart, which is removed. Nothing that
    /// has not the node's labels is ever touched. Without an engine nothing is held, and it is
    /// looked for on.
    pub async fn open(
        config: ContainersConfig,
        logs: &ExecConfig,
    ) -> Result<(Self, Vec<Held>, mpsc::Receiver<ExecEvent>), ExecError> {
        let (events, receiver) = mpsc::channel(EVENTS);
        let shared = Arc::new(Shared {
            notes: Notes::open(&logs.dir)?,
            node: config.node,
            sockets: config.sockets,
            dir: logs.dir.clone(),
            log_limit: logs.log_limit,
            logs_bound: (logs.logs_bytes, logs.logs_tasks),
            boot: procfs::boot_id(),
            engine: watching::Sender::new(None),
            doubt: Notify::new(),
            book: Mutex::default(),
            ended: Notify::new(),
            logs: Mutex::default(),
            starts: Semaphore::new(STARTS),
            pulls: Semaphore::new(PULLS),
            events,
            warned: Mutex::default(),
        });
        let held = if let Some(engine) = watch::first(&shared).await {
            let found = adopt::adopt(&shared, &engine).await;
            shared.engine.send_replace(Some(engine));
            found
        } else {
            Vec::new()
        };
        if shared.sockets != Sockets::Off {
            tokio::spawn(watch::watch(Arc::clone(&shared)));
        }
        Ok((Self { shared }, held, receiver))
    }

    /// What runs containers here at the moment.
    pub fn engine(&self) -> Option<ContainerEngine> {
        let engine = self.shared.engine.borrow();
        engine.as_ref().map(|engine| engine.facts.clone())
    }

    /// Whether this placement was asked of it, and its end is not acknowledged.
    pub(crate) fn knows(&self, key: Key) -> bool {
        lock(&self.shared.book).contains_key(&key)
    }

    /// Takes stock of the logs on disk, so that the oldest go first; those of `running` tasks stay.
    pub(crate) async fn take_stock(&self, running: BTreeSet<Key>) {
        let shared = Arc::clone(&self.shared);
        let taken = tokio::task::spawn_blocking(move || {
            lock(&shared.logs).take_stock(&shared.dir.join(crate::paths::LOGS), &running);
        });
        // It fails with the runtime only.
        let _ = taken.await;
    }
}

impl Executor for Containers {
    fn start(&self, launches: Vec<Launch>) {
        for launch in launches {
            let key = (launch.task, launch.epoch);
            let grace = Duration::from_millis(launch.grace_ms.into());
            if let Some(worker) = Worker::hire(&self.shared, key, grace, None) {
                tokio::spawn(worker.begin(launch));
            }
        }
    }

    /// The first signal is the one that the image asks for, SIGTERM if it asks for none.
    fn stop(&self, task: TaskId, epoch: Epoch, outcome: Outcome) {
        if let Some(line) = lock(&self.shared.book).get(&(task, epoch)) {
            line.stop(outcome);
        }
    }

    fn acknowledge(&self, tasks: Vec<(TaskId, Epoch)>) {
        for key in tasks {
            let over = lock(&self.shared.book)
                .get(&key)
                .is_some_and(|line| line.ended);
            if over {
                lock(&self.shared.book).remove(&key);
                let shared = Arc::clone(&self.shared);
                // What cannot be removed now is nobody's, and goes later.
                tokio::spawn(async move { shared.remove(key).await });
            }
        }
    }

    /// Removes what is left: nobody will ask for it here.
    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        for line in lock(&self.shared.book).values() {
            line.stop(Outcome::Evicted);
        }
        Box::pin(async move {
            let _ = timeout(deadline, self.shared.all_ended()).await;
            let left: Vec<Key> = lock(&self.shared.book).keys().copied().collect();
            let removals = left.into_iter().map(|key| self.shared.remove(key));
            let _ = timeout(REMOVE_WITHIN, futures::future::join_all(removals)).await;
        })
    }
}

impl Line {
    fn stop(&self, outcome: Outcome) {
        self.stop.send_if_modified(|stop| {
            let news =
                stop.is_none() || (outcome == Outcome::Stopped && *stop != Some(outcome.clone()));
            if news {
                *stop = Some(outcome);
            }
            news
        });
    }
}

impl Shared {
    /// The engine, if it is there within `patience`.
    async fn engine_within(&self, patience: Duration) -> Option<Arc<Engine>> {
        let mut engine = self.engine.subscribe();
        let there = timeout(patience, engine.wait_for(Option::is_some)).await;
        there.ok()?.ok()?.clone()
    }

    /// Why nothing runs containers here.
    fn why_none(&self) -> String {
        match &self.sockets {
            Sockets::Off => "this node runs no containers: it was started so".to_owned(),
            sockets => format!("no container engine answers at {}", sockets.in_words()),
        }
    }

    async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if lock(&self.book).values().all(|line| line.ended) {
                return;
            }
            ended.await;
        }
    }

    /// Removes a container with what runs in it and its nameless volumes; false if that failed.
    async fn remove(&self, key: Key) -> bool {
        let engine = self.engine.borrow().clone();
        let Some(engine) = engine else {
            return false;
        };
        let gone = remove(&engine, &labels::name(key, &self.node)).await;
        if gone {
            self.notes.end(key);
        }
        gone
    }

    /// Tells a person, once.
    async fn warn_once(&self, text: String) {
        if lock(&self.warned).insert(text.clone()) {
            // Without a daemon there is nobody to tell.
            let _ = self.events.send(ExecEvent::Warning(text)).await;
        }
    }

    fn logs_dir(&self) -> PathBuf {
        self.dir.join(Path::new(crate::paths::LOGS))
    }
}

/// Removes a container by name or id; false if that failed.
async fn remove(engine: &Engine, name: &str) -> bool {
    let options = RemoveContainerOptions {
        force: true,
        v: true,
        ..RemoveContainerOptions::default()
    };
    match engine.docker.remove_container(name, Some(options)).await {
        Ok(()) => true,
        Err(error) if is_missing(&error) => true,
        Err(error) => {
            tracing::debug!(%name, %error, "a container cannot be removed yet");
            false
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use starling_wire::{Container, JobId};

    /// A container to be started, of which everything that can be left out is.
    pub(crate) fn launch() -> Launch {
        Launch {
            task: TaskId {
                job: JobId(7),
                index: 3,
            },
            epoch: 11,
            command: Vec::new(),
            env: BTreeMap::new(),
            dir: None,
            user: None,
            cpu_limit: None,
            memory_limit: None,
            grace_ms: 0,
            lease: None,
            container: Some(Box::new(Container {
                image: "app".into(),
                ..Container::default()
            })),
            note: Vec::new(),
        }
    }

    /// Without an engine and without a chance of one, a start fails with a reason, once, and is
    /// forgotten when that is acknowledged.
    #[tokio::test]
    async fn nothing_starts_where_containers_are_off() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = ContainersConfig {
            node: "node".into(),
            sockets: Sockets::Off,
        };
        let logs = ExecConfig::new(dir.path(), "/bin/false");
        let opened = Containers::open(config, &logs).await;
        let (containers, held, mut events) = opened.expect("it opens");
        assert!(held.is_empty() && containers.engine().is_none());
        let launch = launch();
        let key = (launch.task, launch.epoch);
        containers.start(vec![launch.clone(), launch.clone()]);
        let ended = events.recv().await;
        let Some(ExecEvent::Ended {
            task,
            outcome: Outcome::NotStarted(reason),
            ..
        }) = ended
        else {
            panic!("{ended:?}");
        };
        assert_eq!(task, launch.task);
        assert!(reason.contains("runs no containers"), "{reason}");
        assert!(containers.knows(key));
        containers.acknowledge(vec![key]);
        assert!(!containers.knows(key));
        containers.shutdown(Duration::from_secs(1)).await;
        assert!(events.try_recv().is_err());
    }
}
