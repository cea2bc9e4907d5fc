//! What can go wrong, with the path and the remedy.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the store cannot be opened or a batch not be saved. Cheap to clone: all batches of a failed
/// transaction are told the same.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file.
    #[error("{0} is in use by another daemon: stop that one, or choose another --data-dir")]
    InUse(PathBuf),
    /// A newer program wrote the file.
    #[error(
        "{path} was written by a newer version of starling (format {found}; this one knows up to \
         {known}) and is left as it is: run the newer version, or choose another --data-dir"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format that this program knows.
        known: u64,
    },
    /// The file does not hold what it should.
    #[error(
        "{path} is damaged ({problem}): restore it from a backup, or move it away and let the node \
         start without its jobs"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// No space is left.
    #[error("the disk of {0} is full: make room there")]
    DiskFull(PathBuf),
    /// The file or its directory may not be written.
    #[error(
        "{0} may not be written by this user: change its owner or mode, or choose another --data-dir"
    )]
    Denied(PathBuf),
    /// The system failed in some other way.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// Too many batches wait for the disk.
    #[error("the disk does not keep up: too many changes wait to be saved")]
    Busy,
    /// The store's thread is gone.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(path),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied(path)
            }
            io::ErrorKind::InvalidData => Self::Damaged {
                path,
                problem: error.to_string(),
            },
            _ => Self::Io {
                path,
                source: Arc::new(error),
            },
        }
    }

    pub(crate) fn redb(path: &Path, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                Self::InUse(path.to_owned())
            }
            redb::Error::Io(error) => Self::io(path, error),
            other => Self::Damaged {
                path: path.to_owned(),
                problem: other.to_string(),
            },
        }
    }
}
