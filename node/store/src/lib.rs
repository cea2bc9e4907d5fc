//! Where a node keeps what must survive it: keys and values in one redb file.
//!
//! One thread owns the file. It takes all batches that have queued up while the last commit went to
//! disk and commits them in one durable transaction, so durability costs a disk flush per *round*
//! and not per batch; when nothing is queued, a batch is committed at once, without any delay.
//!
//! The engine decides what is saved; this crate knows nothing of it. A file that a newer version
//! wrote is refused and left as it is.

mod error;
mod open;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot};

pub use error::StoreError;
use writer::{Request, Writer};

/// The file's name in a data directory.
pub const FILE: &str = "state.redb";

/// The version of the file's format that this program writes; it reads no newer one.
pub const FORMAT: u64 = 1;

/// The most batches that wait for the disk.
pub const MAX_QUEUED: usize = 8192;

/// Changes that are saved together or not at all: for each key its new value, or none to remove it.
/// Later changes of a key win.
pub type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// All that was saved, by key.
pub type Saved = Vec<(Vec<u8>, Vec<u8>)>;

/// A handle to the store. Clones share it. When the last one is dropped, what is queued is still
/// committed, and the drop waits for that.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Arc<Writer>,
}

impl Store {
    /// Opens the file at `path`, or makes it, and reads all that it holds. Blocks; the file is
    /// locked against other processes until the last handle is dropped.
    pub fn open(path: &Path) -> Result<(Self, Saved), StoreError> {
        let (file, saved) = open::open(path)?;
        let writer = Arc::new(Writer::start(file)?);
        Ok((Self { writer }, saved))
    }

    /// Commits `batch`; it is on disk when this returns. Batches are committed in the order in which
    /// they were handed in. Waits while the queue is full.
    ///
    /// After an error the batch is not in the store, unless the error came from the last flush to
    /// disk: then it may be there after a restart.
    pub async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let (told, answer) = oneshot::channel();
        let request = Request::new(batch, move |result| {
            let _ = told.send(result);
        });
        let sent = self.writer.queue().send(request).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// As [`Self::commit`], but returns at once and calls `done` from the store's thread, in order.
    /// `done` must be quick. When the queue is full it is called right here, with
    /// [`StoreError::Busy`].
    pub fn submit(&self, batch: Batch, done: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        let request = Request::new(batch, done);
        match self.writer.queue().try_send(request) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(request)) => request.done(Err(StoreError::Busy)),
            Err(mpsc::error::TrySendError::Closed(request)) => {
                request.done(Err(StoreError::Closed));
            }
        }
    }

    /// How many transactions were committed since the file was opened: with group commit, fewer than
    /// batches.
    pub fn transactions(&self) -> u64 {
        self.writer.transactions().load(Ordering::Relaxed)
    }
}
