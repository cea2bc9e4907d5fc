//! What a data directory holds besides state: the node's key, the cluster's secret, and the lock
//! that keeps a second daemon out. Secrets are files of mode 0600.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::TryRng;
use rand::rngs::SysRng;
use starling_net::ClusterSecret;

/// The node's key: the 32-byte seed of an Ed25519 key.
const NODE_KEY: &str = "node.key";
/// The cluster's secret, 32 bytes.
const CLUSTER_KEY: &str = "cluster.key";

/// What is wrong with a data directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("{}: {doing}", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error(
        "{}: another daemon uses this data directory; stop it, or give this one its own \
         with --data-dir", path.display()
    )]
    InUse { path: PathBuf },
    #[error(
        "{}: not a key of 32 bytes; restore it from a backup, or remove it to make a new one \
         (the node then is a new node)", path.display()
    )]
    BadKey { path: PathBuf },
    #[error("the operating system gives no random numbers")]
    NoRandomness,
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io {
        path,
        doing,
        source,
    }
}

/// A data directory that this process alone uses.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it is missing, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, IdentityError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(io_error(path, "the data directory cannot be made"))?;
        let path = path
            .canonicalize()
            .map_err(io_error(path, "the data directory cannot be entered"))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io_error(
                &lock_path,
                "the data directory cannot be written to",
            ))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(IdentityError::InUse { path }),
            Err(TryLockError::Error(source)) => {
                Err(io_error(&lock_path, "the lock cannot be taken")(source))
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The seed of the node's key, made on the first start.
    pub(crate) fn node_key(&self) -> Result<[u8; 32], IdentityError> {
        let path = self.path.join(NODE_KEY);
        if let Some(key) = read_key(&path)? {
            return Ok(key);
        }
        let mut key = [0; 32];
        SysRng
            .try_fill_bytes(&mut key)
            .map_err(|_| IdentityError::NoRandomness)?;
        write_key(&path, &key)?;
        Ok(key)
    }

    /// The secret of the cluster this node belongs to, if it belongs to one.
    pub(crate) fn cluster(&self) -> Result<Option<ClusterSecret>, IdentityError> {
        Ok(read_key(&self.path.join(CLUSTER_KEY))?.map(ClusterSecret::from_bytes))
    }

    /// Makes this node a member of a cluster, from now on.
    pub(crate) fn set_cluster(&self, secret: &ClusterSecret) -> Result<(), IdentityError> {
        write_key(&self.path.join(CLUSTER_KEY), secret.as_bytes())
    }

    /// Undoes [`DataDir::set_cluster`] after a join that came to nothing.
    pub(crate) fn unset_cluster(&self) -> Result<(), IdentityError> {
        let path = self.path.join(CLUSTER_KEY);
        fs::remove_file(&path).map_err(io_error(&path, "the file cannot be removed"))
    }
}

fn read_key(path: &Path) -> Result<Option<[u8; 32]>, IdentityError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, "the key cannot be read")(error)),
    };
    let mode = file.metadata().map_or(0, |meta| meta.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others may read this secret; mode 0600 is set");
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .map_err(io_error(path, "its mode cannot be set to 0600"))?;
    }
    let mut bytes = Vec::new();
    (&mut file)
        .take(33)
        .read_to_end(&mut bytes)
        .map_err(io_error(path, "the key cannot be read"))?;
    match <[u8; 32]>::try_from(bytes) {
        Ok(key) => Ok(Some(key)),
        Err(_) => Err(IdentityError::BadKey {
            path: path.to_owned(),
        }),
    }
}

/// Writes a key so that a crash leaves either none or the whole.
fn write_key(path: &Path, key: &[u8; 32]) -> Result<(), IdentityError> {
    let fresh = path.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(key)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        path.parent()
            .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    write().map_err(io_error(path, "the key cannot be written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_kept_secret() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let key = data.node_key().unwrap();
        assert_eq!(data.node_key().unwrap(), key);
        let mode = fs::metadata(dir.path().join(NODE_KEY))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(data.cluster().unwrap().is_none());
        data.set_cluster(&ClusterSecret::from_bytes([3; 32]))
            .unwrap();
        assert_eq!(
            data.cluster().unwrap().map(|s| *s.as_bytes()),
            Some([3; 32])
        );
    }

    #[test]
    fn a_second_daemon_is_kept_out_and_a_damaged_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        let second = DataDir::open(dir.path()).unwrap_err();
        assert!(second.to_string().contains("another daemon"), "{second}");
        fs::write(dir.path().join(NODE_KEY), b"short").unwrap();
        let error = first.node_key().unwrap_err();
        assert!(error.to_string().contains("32 bytes"), "{error}");
    }
}
