//! Durability in order: what the engine wants saved goes to the store in batches, and what must
//! wait for it is handed back when it is on disk.
//!
//! Lazy saves ride along with the next batch, or go by themselves a little later, so that tasks
//! that come and go do not cost a disk flush each.

use std::collections::VecDeque;
use std::time::Duration;

use starling_engine::{Effect, Save};
use starling_store::Store;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long lazy saves wait for company.
const LAZY: Duration = Duration::from_millis(50);
/// How long after a failed write the next try is.
const RETRY: Duration = Duration::from_secs(1);

type Rows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

struct Batch {
    rows: Rows,
    after: Vec<Effect>,
}

/// What became of a batch.
pub(crate) struct Stored(Result<(), String>);

/// What is to be done now.
pub(crate) enum Outcome {
    /// The batch is on disk: carry this out.
    Durable(Vec<Effect>),
    /// The disk refused it, for this reason: carry this out in its stead. The rest will follow
    /// when the disk takes it.
    Refused(Vec<Effect>, String),
}

/// The order of saves on their way to the disk.
pub(crate) struct Journal {
    store: Store,
    done: mpsc::UnboundedSender<Stored>,
    /// Batches handed to the store, oldest first.
    sent: VecDeque<Batch>,
    /// After a failure: batches that the store has given back, oldest first.
    failed: VecDeque<Batch>,
    /// After a failure: batches made since, oldest first.
    held: VecDeque<Batch>,
    retry: Option<Instant>,
    lazy: Rows,
    lazy_due: Option<Instant>,
}

impl Journal {
    pub(crate) fn new(store: Store) -> (Self, mpsc::UnboundedReceiver<Stored>) {
        // As many completions as batches, and those are bounded by the store's queue.
        let (done, receiver) = mpsc::unbounded_channel();
        let journal = Self {
            store,
            done,
            sent: VecDeque::new(),
            failed: VecDeque::new(),
            held: VecDeque::new(),
            retry: None,
            lazy: Vec::new(),
            lazy_due: None,
        };
        (journal, receiver)
    }

    /// Takes saves; what is in `after` comes back when they are durable, at once if there are none.
    pub(crate) fn save(
        &mut self,
        saves: Vec<Save>,
        after: Vec<Effect>,
        lazy: Vec<Save>,
    ) -> Vec<Effect> {
        self.lazy
            .extend(lazy.into_iter().map(|save| (save.key, save.value)));
        if saves.is_empty() {
            if !self.lazy.is_empty() {
                self.lazy_due.get_or_insert_with(|| Instant::now() + LAZY);
            }
            if after.is_empty() {
                return after;
            }
            // It waits for nothing new, but may rest on what is still on its way to the disk.
            if self.retry.is_none() {
                match self.sent.back_mut() {
                    Some(last) => last.after.extend(after),
                    None => return after,
                }
                return Vec::new();
            }
        }
        let mut rows = std::mem::take(&mut self.lazy);
        self.lazy_due = None;
        rows.extend(saves.into_iter().map(|save| (save.key, save.value)));
        self.submit(Batch { rows, after });
        Vec::new()
    }

    fn submit(&mut self, batch: Batch) {
        if self.retry.is_some() {
            self.held.push_back(batch);
            return;
        }
        let done = self.done.clone();
        self.store.submit(batch.rows.clone(), move |result| {
            let _ = done.send(Stored(result.map_err(|error| report(&error))));
        });
        self.sent.push_back(batch);
    }

    /// The store is done with the oldest batch.
    pub(crate) fn stored(&mut self, Stored(result): Stored) -> Outcome {
        let Some(mut batch) = self.sent.pop_front() else {
            return Outcome::Durable(Vec::new());
        };
        match result {
            Ok(()) => {
                let after = std::mem::take(&mut batch.after);
                if self.retry.is_some() {
                    // An older batch is still to come and must not have the last word.
                    self.failed.push_back(batch);
                }
                Outcome::Durable(after)
            }
            Err(reason) => {
                self.retry = Some(Instant::now() + RETRY);
                // Whoever waits for an answer gets it now; the rest keeps its order.
                let (answers, rest) =
                    std::mem::take(&mut batch.after)
                        .into_iter()
                        .partition(|effect| {
                            matches!(effect, Effect::Reply { .. } | Effect::Confirm(_))
                        });
                batch.after = rest;
                self.failed.push_back(batch);
                Outcome::Refused(answers, reason)
            }
        }
    }

    /// When [`Journal::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.retry.filter(|_| self.sent.is_empty()), self.lazy_due]
            .into_iter()
            .flatten()
            .min()
    }

    /// Writes what has waited long enough.
    pub(crate) fn tick(&mut self) {
        let now = Instant::now();
        if self.lazy_due.is_some_and(|due| due <= now) {
            self.lazy_due = None;
            let rows = std::mem::take(&mut self.lazy);
            self.submit(Batch {
                rows,
                after: Vec::new(),
            });
        }
        if self.sent.is_empty() && self.retry.is_some_and(|due| due <= now) {
            self.retry = None;
            let mut batches = std::mem::take(&mut self.failed);
            batches.append(&mut self.held);
            for batch in batches {
                self.submit(batch);
            }
        }
    }

    /// Whether everything is on disk.
    pub(crate) fn is_idle(&self) -> bool {
        self.sent.is_empty() && self.retry.is_none() && self.lazy.is_empty()
    }
}

/// An error with its causes, on one line.
pub(crate) fn report(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
