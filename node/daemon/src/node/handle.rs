//! How the rest of the daemon reaches the engine: commands and reads go to the driver's queue, and
//! events come back by a log that anybody may follow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use starling_api::Event;
use starling_engine::{Command, CommandError, Engine, Reply};
use tokio::sync::{broadcast, mpsc, oneshot};

/// Requests that may wait for the driver.
pub(crate) const REQUESTS: usize = 1_024;
/// Events that are kept for those who come later.
const EVENTS_KEPT: usize = 2_000;
/// Events that a slow follower may lag behind before it misses some.
const EVENTS_LAG: usize = 8_192;
/// How long a request may wait for the engine.
const DEADLINE: Duration = Duration::from_secs(10);

/// A look at the engine's state.
pub(crate) type Look = Box<dyn FnOnce(&Engine) + Send>;

/// What the driver is asked for.
pub(crate) enum Request {
    Command(Command, oneshot::Sender<Result<Reply, CommandError>>),
    Read(Look),
}

/// The driver is gone, or does not get round to it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the daemon is shutting down, or too busy to answer")]
pub(crate) struct Unavailable;

/// A way to the engine; cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    requests: mpsc::Sender<Request>,
    pub(crate) events: EventLog,
}

impl Handle {
    pub(crate) fn new(events: EventLog) -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(REQUESTS);
        (Self { requests, events }, receiver)
    }

    /// Gives the engine a command and waits for its answer.
    pub(crate) async fn command(
        &self,
        command: Command,
    ) -> Result<Result<Reply, CommandError>, Unavailable> {
        let (sender, receiver) = oneshot::channel();
        self.ask(Request::Command(command, sender), receiver).await
    }

    /// Looks at the engine's state.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (sender, receiver) = oneshot::channel();
        let look = Box::new(move |engine: &Engine| drop(sender.send(look(engine))));
        self.ask(Request::Read(look), receiver).await
    }

    async fn ask<T>(
        &self,
        request: Request,
        answer: oneshot::Receiver<T>,
    ) -> Result<T, Unavailable> {
        let way = async {
            self.requests.send(request).await.map_err(|_| Unavailable)?;
            answer.await.map_err(|_| Unavailable)
        };
        tokio::time::timeout(DEADLINE, way)
            .await
            .map_err(|_| Unavailable)?
    }
}

/// The latest events, and a subscription to what comes.
#[derive(Clone)]
pub(crate) struct EventLog {
    kept: Arc<Mutex<VecDeque<Arc<Event>>>>,
    live: broadcast::Sender<Arc<Event>>,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        let (live, _) = broadcast::channel(EVENTS_LAG);
        Self {
            kept: Arc::default(),
            live,
        }
    }

    /// Adds an event; its number is one more than the last one's.
    pub(crate) fn push(&self, mut event: Event) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        event.seq = kept.back().map_or(1, |last| last.seq + 1);
        let event = Arc::new(event);
        kept.push_back(Arc::clone(&event));
        if kept.len() > EVENTS_KEPT {
            kept.pop_front();
        }
        // Nobody may be listening; that is no error.
        let _ = self.live.send(event);
    }

    /// What is kept, and everything after it without a gap.
    pub(crate) fn follow(&self) -> (Vec<Arc<Event>>, broadcast::Receiver<Arc<Event>>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.iter().cloned().collect(), self.live.subscribe())
    }
}
