//! The thread that owns the file: group commit, and getting up again after an error.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use redb::Database;
use tokio::sync::mpsc;

use crate::open::{OpenFile, STATE, open_database};
use crate::{Batch, MAX_QUEUED, StoreError};

/// A transaction that has grown to so many bytes takes no further batches.
const MAX_TRANSACTION: usize = 16 << 20;

/// A batch on its way to disk, and whom to tell.
pub(crate) struct Request {
    batch: Batch,
    done: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

impl Request {
    pub(crate) fn new(
        batch: Batch,
        done: impl FnOnce(Result<(), StoreError>) + Send + 'static,
    ) -> Self {
        Self {
            batch,
            done: Box::new(done),
        }
    }

    pub(crate) fn done(self, result: Result<(), StoreError>) {
        (self.done)(result);
    }

    fn size(&self) -> usize {
        let bytes = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| {
            key.len() + value.as_ref().map_or(0, Vec::len)
        };
        self.batch.iter().map(bytes).sum()
    }
}

/// The thread, as its handles see it.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Request>>,
    closed: mpsc::Sender<Request>,
    thread: Option<JoinHandle<()>>,
    transactions: Arc<AtomicU64>,
}

impl Writer {
    pub(crate) fn start(file: OpenFile) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::channel(MAX_QUEUED);
        let transactions = Arc::new(AtomicU64::new(0));
        let path = file.path.clone();
        let disk = Disk {
            path: file.path,
            database: Some(file.database),
            _lock: file.lock,
            transactions: Arc::clone(&transactions),
        };
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(disk, requests))
            .map_err(|error| StoreError::io(&path, error))?;
        Ok(Self {
            queue: Some(queue),
            closed: mpsc::channel(1).0,
            thread: Some(thread),
            transactions,
        })
    }

    pub(crate) fn queue(&self) -> &mpsc::Sender<Request> {
        // It is only taken away in `drop`.
        self.queue.as_ref().unwrap_or(&self.closed)
    }

    pub(crate) fn transactions(&self) -> &AtomicU64 {
        &self.transactions
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

fn run(mut disk: Disk, mut requests: mpsc::Receiver<Request>) {
    let mut group = Vec::new();
    while let Some(first) = requests.blocking_recv() {
        let mut size = first.size();
        group.push(first);
        while size < MAX_TRANSACTION
            && let Ok(next) = requests.try_recv()
        {
            size += next.size();
            group.push(next);
        }
        let result = disk.commit(&group);
        if let Err(error) = &result {
            tracing::error!(%error, batches = group.len(), "saving failed");
        }
        for request in group.drain(..) {
            request.done(result.clone());
        }
    }
}

struct Disk {
    path: PathBuf,
    /// None after an error until it could be opened again: redb refuses all work after an I/O error.
    database: Option<Database>,
    _lock: File,
    transactions: Arc<AtomicU64>,
}

impl Disk {
    fn commit(&mut self, group: &[Request]) -> Result<(), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open_database(&self.path)?,
        };
        match write(&database, group) {
            Ok(()) => {
                self.database = Some(database);
                self.transactions.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(StoreError::redb(&self.path, error)),
        }
    }
}

fn write(database: &Database, group: &[Request]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(STATE)?;
        for (key, value) in group.iter().flat_map(|request| &request.batch) {
            match value {
                Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                None => table.remove(key.as_slice())?,
            };
        }
    }
    Ok(transaction.commit()?)
}
