//! Opening the file: lock, check of the version without touching it, creation, reading all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, TableError,
};

use crate::{FORMAT, Saved, StoreError};

pub(crate) const STATE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("state");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT_KEY: &str = "format";

/// Memory for pages. All that is saved is read once at the start and then only written.
const CACHE_BYTES: usize = 8 << 20;

/// A file this much larger than what it holds is compacted when it is opened.
const SLACK_BYTES: u64 = 32 << 20;

/// The open file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) path: PathBuf,
    pub(crate) database: Database,
    /// Held for as long as the file is used, also while the database is opened anew after an error.
    pub(crate) lock: File,
}

pub(crate) fn open(path: &Path) -> Result<(OpenFile, Saved), StoreError> {
    let lock = lock(path)?;
    let length = fs::metadata(path).map(|data| data.len());
    match length {
        Ok(0) => make(path)?,
        Ok(_) => check_version(path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(path)?,
        Err(error) => return Err(StoreError::io(path, error)),
    }
    let mut database = open_database(path)?;
    let saved = read_all(&database).map_err(|error| StoreError::redb(path, error))?;
    compact(path, &mut database, &saved);
    let file = OpenFile {
        path: path.to_owned(),
        database,
        lock,
    };
    Ok((file, saved))
}

pub(crate) fn open_database(path: &Path) -> Result<Database, StoreError> {
    builder()
        .open(path)
        .map_err(|error| StoreError::redb(path, error))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// A lock of our own beside the file: it also covers the moments when the file is made or opened
/// anew. The system releases it when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = path.with_extension("lock");
    let lock = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(|error| StoreError::io(&lock_path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(StoreError::io(&lock_path, error)),
    }
}

/// Makes the file whole under another name first, so that a crash meanwhile leaves no half file.
fn make(path: &Path) -> Result<(), StoreError> {
    let draft = path.with_extension("new");
    let failed = |error| StoreError::io(&draft, error);
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let filled = fill(&draft);
    if filled.is_err() {
        let _ = fs::remove_file(&draft);
    }
    filled.map_err(|error| StoreError::redb(&draft, error))?;
    fs::rename(&draft, path).map_err(failed)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| StoreError::io(path, error))
}

fn fill(draft: &Path) -> Result<(), redb::Error> {
    let database = builder().create(draft)?;
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
    transaction.open_table(STATE)?;
    transaction.commit()?;
    Ok(database.close()?)
}

/// Refuses a newer format before anything could write to the file.
fn check_version(path: &Path) -> Result<(), StoreError> {
    let found = match builder().open_read_only(path) {
        Ok(database) => {
            let found = version(&database);
            let closed = database.close();
            closed.map_err(|error| StoreError::redb(path, error))?;
            found
        }
        // It was not closed in order and must be repaired to be read: a copy in memory is.
        Err(DatabaseError::RepairAborted) => {
            let bytes = fs::read(path).map_err(|error| StoreError::io(path, error))?;
            let copy = builder()
                .create_with_backend(Copy(RwLock::new(bytes)))
                .map_err(|error| StoreError::redb(path, error))?;
            version(&copy)
        }
        Err(error) => return Err(StoreError::redb(path, error)),
    };
    match found.map_err(|error| StoreError::redb(path, error))? {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: FORMAT,
        }),
        _ => Err(StoreError::Damaged {
            path: path.to_owned(),
            problem: "it does not say which format it has; starling did not write it".to_owned(),
        }),
    }
}

fn version(database: &impl ReadableDatabase) -> Result<Option<u64>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(table.get(FORMAT_KEY)?.map(|value| value.value()))
}

fn read_all(database: &Database) -> Result<Saved, redb::Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(STATE)?;
    let mut saved = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        saved.push((key.value().to_vec(), value.value().to_vec()));
    }
    Ok(saved)
}

/// Gives space back that finished jobs took. It is only a favour: its failure is no error.
fn compact(path: &Path, database: &mut Database, saved: &Saved) {
    let held: usize = saved
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    let held = u64::try_from(held).unwrap_or(u64::MAX);
    let length = fs::metadata(path).map_or(0, |data| data.len());
    if length < held.saturating_mul(4).saturating_add(SLACK_BYTES) {
        return;
    }
    match database.compact() {
        Ok(_) => {
            let now = fs::metadata(path).map_or(0, |data| data.len());
            tracing::info!(before = length, now, "compacted the store");
        }
        Err(error) => tracing::warn!(%error, "the store could not be compacted"),
    }
}

/// A file's bytes in memory, as a database.
#[derive(Debug)]
struct Copy(RwLock<Vec<u8>>);

impl Copy {
    fn span(offset: u64, length: usize) -> std::io::Result<std::ops::Range<usize>> {
        let start = usize::try_from(offset).map_err(std::io::Error::other)?;
        let end = start.checked_add(length);
        end.map(|end| start..end)
            .ok_or_else(|| std::io::ErrorKind::InvalidInput.into())
    }
}

impl StorageBackend for Copy {
    fn len(&self) -> std::io::Result<u64> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        u64::try_from(bytes.len()).map_err(std::io::Error::other)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let span = Self::span(offset, out.len())?;
        let found = bytes.get(span).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        let len = usize::try_from(len).map_err(std::io::Error::other)?;
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        bytes.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let span = Self::span(offset, data.len())?;
        let place = bytes
            .get_mut(span)
            .ok_or(std::io::ErrorKind::UnexpectedEof)?;
        place.copy_from_slice(data);
        Ok(())
    }
}
