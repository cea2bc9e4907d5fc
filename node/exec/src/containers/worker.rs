//! One container from its start, or from where it is found again, to its end.

use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, KillContainerOptions, StartContainerOptions,
    WaitContainerOptions,
};
use futures::StreamExt;
use starling_wire::{Container, Outcome};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::engine::{Engine, Trouble, is_missing};
use super::{Line, Shared, create, image, labels, lock, output};
use crate::launch::{ExecEvent, Launch};
use crate::runner::Key;

/// How long a start waits for an engine that does not answer.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How long a container is believed to run whose engine does not answer; after that its task is lost
/// and may run elsewhere.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause before an engine is asked again that broke off in the middle.
const PAUSE: Duration = Duration::from_millis(200);
/// The exit code of what SIGKILL ended.
const KILLED: i32 = 137;
/// So often is it looked, after such an end, whether it was for want of memory.
const KILL_LOOKS: u32 = 5;
/// How long the rest of an ended container's output is waited for.
const OUTPUT_WITHIN: Duration = Duration::from_secs(10);

/// Who follows one container.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    key: Key,
    name: String,
    grace: Duration,
    stop: watch::Receiver<Option<Outcome>>,
    /// What its end is to be called, once it has been told to end.
    told: Option<Outcome>,
    /// When it is killed, if it has been told to end and may still do so.
    kill_at: Option<Instant>,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exit {
    code: i32,
    out_of_memory: bool,
}

/// Why a container is not followed any more.
enum Over {
    Exit(Exit),
    /// The engine does not know it.
    Missing,
    /// The engine does not answer.
    Silence,
}

impl Worker {
    /// A worker for a placement; none if it has one. `stop` is what an earlier daemon wanted its end
    /// to be called.
    pub(super) fn hire(
        shared: &Arc<Shared>,
        key: Key,
        grace: Duration,
        stop: Option<Outcome>,
    ) -> Option<Self> {
        let mut book = lock(&shared.book);
        if book.contains_key(&key) {
            return None;
        }
        let (sender, receiver) = watch::channel(stop);
        book.insert(
            key,
            Line {
                stop: sender,
                ended: false,
            },
        );
        Some(Self {
            shared: Arc::clone(shared),
            key,
            name: labels::name(key, &shared.node),
            grace,
            stop: receiver,
            told: None,
            kill_at: None,
        })
    }

    /// Starts the container and follows it to its end.
    pub(super) async fn begin(mut self, launch: Launch) {
        let outcome = match self.start(&launch).await {
            Ok(()) => {
                let (task, epoch) = self.key;
                let started = ExecEvent::Started {
                    task,
                    epoch,
                    pid: 0,
                };
                // Without a daemon there is nobody to tell; the container stays.
                if self.shared.events.send(started).await.is_err() {
                    return;
                }
                self.follow().await
            }
            Err(outcome) => outcome,
        };
        self.end(outcome).await;
    }

    /// Follows a container that was found again to its end.
    pub(super) async fn go_on(mut self) {
        let outcome = self.follow().await;
        self.end(outcome).await;
    }

    async fn end(self, outcome: Outcome) {
        if let Some(line) = lock(&self.shared.book).get_mut(&self.key) {
            line.ended = true;
        }
        self.shared.ended.notify_waiters();
        let (task, epoch) = self.key;
        let ended = ExecEvent::Ended {
            task,
            epoch,
            outcome,
        };
        // Without a daemon there is nobody to tell; the next one finds it again.
        let _ = self.shared.events.send(ended).await;
    }

    async fn start(&mut self, launch: &Launch) -> Result<(), Outcome> {
        let Some(container) = &launch.container else {
            return Err(Outcome::NotStarted("it is no container".to_owned()));
        };
        let shared = Arc::clone(&self.shared);
        let mut stop = self.stop.clone();
        let until = Instant::now() + START_PATIENCE;
        let problem = loop {
            // A stop may cut the preparation short. What is made after that is not left half-way:
            // once it may run, it has its grace.
            let ready = tokio::select! {
                biased;
                outcome = wanted(&mut stop) => Err(outcome),
                ready = self.prepare(container, until) => Ok(ready),
            };
            let made = match ready {
                Err(outcome) => break outcome,
                Ok(Ok(engine)) => self.make(&engine, launch, container).await,
                Ok(Err(trouble)) => Err(trouble),
            };
            match made {
                Ok(()) => return Ok(()),
                Err(Trouble::Silence(_)) if Instant::now() < until => {
                    shared.doubt.notify_one();
                    sleep(PAUSE).await;
                }
                Err(Trouble::Silence(why) | Trouble::Refused(why)) => {
                    break Outcome::NotStarted(why);
                }
            }
        };
        // What was made of it goes, now or with the end's acknowledgement.
        shared.remove(self.key).await;
        Err(problem)
    }

    /// Gets the engine and the image.
    async fn prepare(&self, container: &Container, until: Instant) -> Result<Arc<Engine>, Trouble> {
        let shared = &self.shared;
        let patience = if shared.sockets.paths().is_empty() {
            Duration::ZERO
        } else {
            until.saturating_duration_since(Instant::now())
        };
        let Some(engine) = shared.engine_within(patience).await else {
            return Err(Trouble::Refused(shared.why_none()));
        };
        image::ensure(&engine, container, &shared.pulls).await?;
        Ok(engine)
    }

    /// Makes the container and starts it. May be tried again after a silence.
    async fn make(
        &self,
        engine: &Engine,
        launch: &Launch,
        container: &Container,
    ) -> Result<(), Trouble> {
        let shared = &self.shared;
        let _turn = shared.starts.acquire().await;
        let whose = (shared.node.as_str(), shared.boot.as_str());
        let (body, cannot) = create::body(launch, container, whose, engine.can);
        for what in cannot {
            shared
                .warn_once(format!(
                    "the container engine cannot enforce a {what} limit here; containers run \
                     without it"
                ))
                .await;
        }
        if let Err(error) = shared.notes.begin(self.key) {
            return Err(Trouble::Refused(format!(
                "no note of it can be kept: {error}"
            )));
        }
        let options = CreateContainerOptions {
            name: Some(self.name.clone()),
            ..CreateContainerOptions::default()
        };
        match engine.docker.create_container(Some(options), body).await {
            Ok(_) => {}
            // An earlier try got so far, or farther: then it runs, or has run, and not twice.
            Err(Error::DockerResponseServerError {
                status_code: 409, ..
            }) => match state_of(engine, &self.name).await {
                Ok(state) if state.status != Some(Status::CREATED) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(Trouble::of("", &error)),
            },
            Err(error) => return Err(Trouble::of("", &error)),
        }
        let started = engine
            .docker
            .start_container(&self.name, None::<StartContainerOptions>)
            .await;
        match started {
            Ok(()) => Ok(()),
            // So did this one, all the way.
            Err(Error::DockerResponseServerError {
                status_code: 304, ..
            }) => Ok(()),
            Err(error) => Err(Trouble::of("", &error)),
        }
    }

    /// Follows the container to its end.
    async fn follow(&mut self) -> Outcome {
        let shared = Arc::clone(&self.shared);
        // Whether the engine was away when the container may have ended.
        let mut broken = false;
        loop {
            let Some(engine) = shared.engine_within(PATIENCE).await else {
                return self.told.clone().unwrap_or(Outcome::Lost);
            };
            let pump = tokio::spawn(output::pump(
                Arc::clone(&engine),
                self.name.clone(),
                shared.dir.clone(),
                self.key,
                shared.log_limit,
            ));
            // What runs on did not fall with its engine.
            broken &= !is_running(&engine, &self.name).await;
            let over = self.watch(&engine).await;
            if matches!(over, Over::Silence) {
                pump.abort();
                broken = true;
                shared.doubt.notify_one();
                sleep(PAUSE).await;
                continue;
            }
            self.keep_output(pump).await;
            return match over {
                Over::Exit(exit) => outcome(exit, self.told.take(), broken),
                _ => self.told.take().unwrap_or(Outcome::Lost),
            };
        }
    }

    /// Waits until all that the container said is on disk.
    async fn keep_output(&self, mut pump: tokio::task::JoinHandle<(u64, Option<std::io::Error>)>) {
        let said = timeout(OUTPUT_WITHIN, &mut pump).await;
        pump.abort();
        let Ok(Ok((bytes, problem))) = said else {
            return;
        };
        if let Some(problem) = problem {
            let text = format!("a container's output cannot be kept: {problem}");
            self.shared.warn_once(text).await;
        }
        let (most_bytes, most_tasks) = self.shared.logs_bound;
        let mut logs = lock(&self.shared.logs);
        logs.add(self.key.0, self.key.1, bytes);
        logs.trim(&self.shared.logs_dir(), most_bytes, most_tasks);
    }

    /// Waits for the container's end, and stops it when that is asked for.
    async fn watch(&mut self, engine: &Engine) -> Over {
        let mut exit = std::pin::pin!(exit_of(engine, &self.name));
        let mut stop = self.stop.clone();
        loop {
            let news = self.told.clone();
            tokio::select! {
                biased;
                over = &mut exit => return over,
                outcome = changed(&mut stop, news.as_ref()) => {
                    if news.is_none() {
                        self.kill_at = Some(Instant::now() + self.grace);
                    }
                    if let Err(error) = self.shared.notes.stop(self.key, &outcome) {
                        tracing::warn!(%error, "no note of a stop can be kept");
                    }
                    self.told = Some(outcome);
                    if news.is_none() {
                        self.signal(engine, &stop_signal(engine, &self.name).await).await;
                    }
                }
                () = due(self.kill_at) => {
                    self.kill_at = None;
                    self.signal(engine, "SIGKILL").await;
                }
            }
        }
    }

    async fn signal(&self, engine: &Engine, signal: &str) {
        let options = KillContainerOptions {
            signal: signal.to_owned(),
        };
        // It may have ended meanwhile; and what does not answer is seen by whoever waits.
        if let Err(error) = engine
            .docker
            .kill_container(&self.name, Some(options))
            .await
        {
            tracing::debug!(container = %self.name, %error, "a signal was not taken");
        }
    }
}

/// Waits until a stop is asked for.
async fn wanted(stop: &mut watch::Receiver<Option<Outcome>>) -> Outcome {
    changed(stop, None).await
}

/// Waits until another end is asked for than the one that is known.
async fn changed(stop: &mut watch::Receiver<Option<Outcome>>, known: Option<&Outcome>) -> Outcome {
    let news = stop
        .wait_for(|stop| stop.is_some() && stop.as_ref() != known)
        .await;
    match news.ok().and_then(|news| news.clone()) {
        Some(outcome) => outcome,
        // Nobody can ask any more.
        None => std::future::pending().await,
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn state_of(engine: &Engine, name: &str) -> Result<ContainerState, Error> {
    let container = engine
        .docker
        .inspect_container(name, None::<InspectContainerOptions>)
        .await?;
    Ok(container.state.unwrap_or_default())
}

async fn is_running(engine: &Engine, name: &str) -> bool {
    let state = state_of(engine, name).await;
    state.is_ok_and(|state| state.running == Some(true))
}

/// The signal with which the image wants to be stopped.
async fn stop_signal(engine: &Engine, name: &str) -> String {
    let container = engine
        .docker
        .inspect_container(name, None::<InspectContainerOptions>)
        .await;
    let config = container.ok().and_then(|container| container.config);
    config
        .and_then(|config| config.stop_signal)
        .filter(|signal| !signal.is_empty())
        .unwrap_or_else(|| "SIGTERM".to_owned())
}

/// Waits until a container has ended, and asks how.
async fn exit_of(engine: &Engine, name: &str) -> Over {
    loop {
        let options = WaitContainerOptions {
            condition: "not-running".to_owned(),
        };
        let mut waited = std::pin::pin!(engine.docker.wait_container(name, Some(options)));
        match waited.next().await {
            Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => {}
            Some(Err(error)) if is_missing(&error) => return Over::Missing,
            Some(Err(_)) | None => return Over::Silence,
        }
        let state = match state_of(engine, name).await {
            Ok(state) => state,
            Err(error) if is_missing(&error) => return Over::Missing,
            Err(_) => return Over::Silence,
        };
        if state.running == Some(true) {
            sleep(PAUSE).await;
            continue;
        }
        let code = state.exit_code.and_then(|code| i32::try_from(code).ok());
        let mut killed = state.oom_killed == Some(true);
        // The engine may hear of a kill for want of memory a moment after the end itself.
        for _ in 0..KILL_LOOKS {
            if killed || code != Some(KILLED) {
                break;
            }
            sleep(PAUSE).await;
            let again = state_of(engine, name).await;
            killed = again.is_ok_and(|state| state.oom_killed == Some(true));
        }
        return Over::Exit(Exit {
            code: code.unwrap_or(-1),
            out_of_memory: killed,
        });
    }
}

/// What an exit means.
fn outcome(exit: Exit, told: Option<Outcome>, broken: bool) -> Outcome {
    match told {
        Some(told) => told,
        None if exit.code == 0 => Outcome::Exited(0),
        // It fell with its engine, and did not fail.
        None if broken => Outcome::Lost,
        None if exit.out_of_memory => Outcome::OutOfMemory,
        None => Outcome::Exited(exit.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_told_apart() {
        let exit = |code, out_of_memory| Exit {
            code,
            out_of_memory,
        };
        assert_eq!(outcome(exit(7, false), None, false), Outcome::Exited(7));
        assert_eq!(outcome(exit(137, true), None, false), Outcome::OutOfMemory);
        // A child was killed for its memory, and the task got over it.
        assert_eq!(outcome(exit(0, true), None, false), Outcome::Exited(0));
        assert_eq!(outcome(exit(137, false), None, true), Outcome::Lost);
        assert_eq!(outcome(exit(0, false), None, true), Outcome::Exited(0));
        let stopped = Some(Outcome::Stopped);
        assert_eq!(outcome(exit(143, false), stopped, true), Outcome::Stopped);
    }
}
