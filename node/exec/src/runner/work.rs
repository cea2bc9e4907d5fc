//! The working directories of tasks that named none. Making and removing one takes a seventh of
//! what a short task costs altogether (140 us on ext4), renaming one eight times less: so what a
//! task left empty and untouched is given to the next one under its own name.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use super::Key;
use super::users::User;
use crate::launch::Launch;
use crate::paths;

/// Empty directories kept at most.
const MAX_SPARE: usize = 256;
/// Their access rights.
const MODE: u32 = 0o700;

/// Gives out working directories and takes them back.
#[derive(Debug)]
pub(super) struct Workspace {
    uid: u32,
    spare: Vec<PathBuf>,
    /// Whether one was given out since the last tidying.
    busy: bool,
}

impl Workspace {
    /// The workspace of a runner with this user number.
    pub(super) const fn new(uid: u32) -> Self {
        Self {
            uid,
            spare: Vec::new(),
            busy: false,
        }
    }

    /// The directory a task is to run in; the error is for people.
    pub(super) fn enter(
        &mut self,
        launch: &Launch,
        user: Option<&User>,
    ) -> Result<PathBuf, String> {
        if let Some(dir) = &launch.dir {
            if !Path::new(dir).is_absolute() {
                return Err(format!(
                    "`{dir}`: the working directory must be an absolute path"
                ));
            }
            return Ok(PathBuf::from(dir));
        }
        let dir = paths::work(launch.task, launch.epoch);
        self.make(&dir, user).map_err(|error| {
            format!(
                "cannot make the working directory `{}`: {error}",
                dir.display()
            )
        })?;
        Ok(dir)
    }

    fn make(&mut self, dir: &Path, user: Option<&User>) -> io::Result<()> {
        self.busy = true;
        if let Some(spare) = self.spare.pop()
            && fs::rename(spare, dir).is_ok()
        {
            return chown_to(dir, user);
        }
        match DirBuilder::new().mode(MODE).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(dir)?,
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        chown_to(dir, user)
    }

    /// Takes back the directory of a task that is over; one that cannot be used again is returned,
    /// to be removed with all that is in it.
    pub(super) fn leave(&mut self, (task, epoch): Key) -> Option<PathBuf> {
        let dir = paths::work(task, epoch);
        let Ok(meta) = fs::symlink_metadata(&dir) else {
            return None;
        };
        let is_as_made = meta.is_dir() && meta.uid() == self.uid && meta.mode() & 0o7777 == MODE;
        let is_empty = || fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_none());
        if is_as_made && self.spare.len() < MAX_SPARE && is_empty() {
            self.spare.push(dir);
            return None;
        }
        Some(dir)
    }

    /// Whether there are spare directories to be tidied away some time.
    pub(super) const fn has_spare(&self) -> bool {
        !self.spare.is_empty()
    }

    /// Returns the spare directories to be removed, unless some were of use lately.
    pub(super) fn tidy(&mut self) -> Vec<PathBuf> {
        if std::mem::take(&mut self.busy) {
            return Vec::new();
        }
        std::mem::take(&mut self.spare)
    }
}

fn chown_to(dir: &Path, user: Option<&User>) -> io::Result<()> {
    user.map_or(Ok(()), |user| chown(dir, Some(user.uid), Some(user.gid)))
}
