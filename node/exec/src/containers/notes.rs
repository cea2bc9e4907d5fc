//! What must survive the daemon about its containers and is not in their labels: which there are,
//! so that a start waits for their engine, and what a stop was to be called. One small file for
//! each container.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use starling_wire::{Outcome, codec};

use crate::ExecError;
use crate::paths;
use crate::runner::Key;

/// The most bytes of a note.
const MAX_NOTE: usize = 1024;

/// The folder of notes.
#[derive(Debug)]
pub(super) struct Notes {
    dir: PathBuf,
}

impl Notes {
    /// Opens the folder below the executor's directory.
    pub(super) fn open(dir: &Path) -> Result<Self, ExecError> {
        let dir = dir.join(paths::CONTAINERS);
        fs::create_dir_all(&dir)
            .map_err(|error| ExecError::io("create the directory", &dir, error))?;
        Ok(Self { dir })
    }

    fn path(&self, (task, epoch): Key) -> PathBuf {
        self.dir.join(format!("{task}-{epoch}"))
    }

    /// Whether there are containers as far as is known.
    pub(super) fn any(&self) -> bool {
        fs::read_dir(&self.dir).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// A container is about to be made.
    pub(super) fn begin(&self, key: Key) -> io::Result<()> {
        fs::write(self.path(key), [])
    }

    /// It is being stopped, to be reported like this.
    pub(super) fn stop(&self, key: Key, outcome: &Outcome) -> io::Result<()> {
        // In one step: a half of it would be nothing.
        let part = self.dir.join(format!("{}-{}.part", key.0, key.1));
        fs::write(&part, codec::encode(outcome))?;
        fs::rename(part, self.path(key))
    }

    /// How it is to be reported, if it was being stopped.
    pub(super) fn stopped(&self, key: Key) -> Option<Outcome> {
        codec::decode(&fs::read(self.path(key)).ok()?, MAX_NOTE).ok()
    }

    /// It is gone.
    pub(super) fn end(&self, key: Key) {
        // One that stays costs a little patience at the next start.
        let _ = fs::remove_file(self.path(key));
    }

    /// Nothing is known of any container: what the folder holds is forgotten.
    pub(super) fn clear(&self, keep: impl Fn(&str) -> bool) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_none_or(|name| !keep(name)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use starling_wire::{JobId, TaskId};

    #[test]
    fn a_stop_is_remembered_until_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let task = |index| TaskId {
            job: JobId(5),
            index,
        };
        let (one, two) = ((task(1), 7), (task(2), 7));
        let notes = Notes::open(dir.path()).unwrap();
        assert!(!notes.any());
        notes.begin(one).unwrap();
        assert_eq!(notes.stopped(one), None);
        notes.stop(one, &Outcome::Evicted).unwrap();
        let notes = Notes::open(dir.path()).unwrap();
        assert_eq!(notes.stopped(one), Some(Outcome::Evicted));
        notes.begin(two).unwrap();
        let kept = format!("{}-{}", two.0, two.1);
        notes.clear(|name| name == kept);
        assert_eq!(notes.stopped(one), None);
        assert!(notes.any());
        notes.end(two);
        notes.end(two);
        assert!(!notes.any());
    }
}
