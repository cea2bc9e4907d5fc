//! One stream of a task's output on disk. The file is made with the first byte and bounded: at half
//! its limit it becomes `NAME.1`, in place of the one before, and a new one begins.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::paths;

/// The least that a stream's files may be limited to.
const LEAST_LIMIT: u64 = 1 << 10;

/// The file of one stream, and the one before it.
#[derive(Debug, Default)]
pub(crate) struct LogFile {
    file: Option<File>,
    /// Bytes in the current file.
    size: u64,
    /// Bytes in the rotated file.
    rotated: u64,
}

impl LogFile {
    /// Bytes kept on disk.
    pub(crate) const fn kept(&self) -> u64 {
        self.size + self.rotated
    }

    /// Appends bytes; `limit` is what both files may take together. `path` is asked for only if a
    /// file is to be opened.
    pub(crate) fn keep(
        &mut self,
        mut bytes: &[u8],
        limit: u64,
        path: &impl Fn() -> PathBuf,
    ) -> io::Result<()> {
        let half = limit.max(LEAST_LIMIT) / 2;
        while !bytes.is_empty() {
            if self.size >= half {
                let current = path();
                fs::rename(&current, paths::rotated(&current))?;
                (self.file, self.rotated, self.size) = (None, self.size, 0);
            }
            let room = usize::try_from(half - self.size).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(open(&path())?),
            };
            file.write_all(now)?;
            self.size += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            options.open(path)
        }
        opened => opened,
    }
}
