//! Reading what a task wrote, while it runs or afterwards. A task's stream is kept in one file and
//! the one before it (`NAME.1`), so a reader goes from the older to the newer, and notices by the
//! file's identity when the newer one has become the older. Following is polling, only while
//! somebody follows: no watcher to set up, and nothing to pay when nobody does.

pub(crate) mod bounds;
mod cursor;
pub(crate) mod file;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use starling_wire::{Epoch, TaskId};

use crate::paths;
use cursor::Cursor;

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Which of a task's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Which streams to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Select {
    /// Standard output only.
    Out,
    /// Standard error only.
    Err,
    /// Both; their order relative to each other is not known and not kept.
    #[default]
    Both,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No placement of this task has left a log here: it wrote nothing, or it ran elsewhere, or
    /// its log was the oldest and had to go.
    #[error("no output of task {0} is kept on this node")]
    None(TaskId),
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Reads the log of one task at one placement.
#[derive(Debug)]
pub struct LogReader {
    epoch: Epoch,
    cursors: Vec<Cursor>,
}

impl LogReader {
    /// Opens the log of a task in the runner's directory `dir`: of the placement `epoch`, or of
    /// the latest that left one; from its beginning, or its last `tail` lines per stream. A
    /// placement that is named need not have written anything yet.
    pub async fn open(
        dir: &Path,
        task: TaskId,
        epoch: Option<Epoch>,
        select: Select,
        tail: Option<u64>,
    ) -> Result<Self, LogError> {
        let dir = dir.to_owned();
        let opened =
            tokio::task::spawn_blocking(move || Self::open_now(&dir, task, epoch, select, tail));
        opened.await.unwrap_or(Err(LogError::None(task)))
    }

    fn open_now(
        dir: &Path,
        task: TaskId,
        epoch: Option<Epoch>,
        select: Select,
        tail: Option<u64>,
    ) -> Result<Self, LogError> {
        let epoch = match epoch {
            Some(epoch) => epoch,
            None => latest(dir, task)?.ok_or(LogError::None(task))?,
        };
        let streams: &[Stream] = match select {
            Select::Out => &[Stream::Out],
            Select::Err => &[Stream::Err],
            Select::Both => &[Stream::Out, Stream::Err],
        };
        let mut cursors = Vec::new();
        for stream in streams {
            let name = if *stream == Stream::Out { "out" } else { "err" };
            let path = dir.join(paths::log(task, epoch, name));
            let mut cursor = Cursor::new(*stream, path);
            cursor.begin(tail).map_err(|source| cursor.error(source))?;
            cursors.push(cursor);
        }
        Ok(Self { epoch, cursors })
    }

    /// The placement whose log this is.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The next bytes of a stream, at most 64 KiB. At the end of what is written: none without
    /// `follow`; with it, waits for more for as long as it takes. Dropping the returned future
    /// loses nothing, so a follower selects between it and the task's end, and then reads on
    /// without `follow`.
    pub async fn next_chunk(
        &mut self,
        follow: bool,
    ) -> Result<Option<(Stream, Vec<u8>)>, LogError> {
        loop {
            if let Some(chunk) = self.chunk_now()? {
                return Ok(Some(chunk));
            }
            if !follow {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Reads without a thread of its own: what was written lately is in memory, and a chunk small.
    fn chunk_now(&mut self) -> Result<Option<(Stream, Vec<u8>)>, LogError> {
        for at in 0..self.cursors.len() {
            let cursor = &mut self.cursors[at];
            let bytes = cursor.read().map_err(|source| cursor.error(source))?;
            if !bytes.is_empty() {
                let stream = cursor.stream();
                // The other stream has its turn next.
                self.cursors.rotate_left(at + 1);
                return Ok(Some((stream, bytes)));
            }
        }
        Ok(None)
    }
}

/// The latest placement of a task that left a log.
fn latest(dir: &Path, task: TaskId) -> Result<Option<Epoch>, LogError> {
    let path = dir.join(paths::job_logs(task.job));
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LogError::Io { path, source }),
    };
    let prefix = format!("{}.", task.index);
    let epoch = |name: &str| name.strip_prefix(&prefix)?.split('.').next()?.parse().ok();
    Ok(entries
        .flatten()
        .filter_map(|entry| epoch(entry.file_name().to_str()?))
        .max())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use starling_wire::JobId;
    use std::io::Write;

    fn task() -> TaskId {
        TaskId {
            job: JobId(5),
            index: 3,
        }
    }

    fn write(dir: &Path, epoch: u64, name: &str, text: &str) -> PathBuf {
        let path = dir.join(paths::log(task(), epoch, name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    async fn rest(reader: &mut LogReader) -> String {
        let mut all = Vec::new();
        while let Some((_, bytes)) = reader.next_chunk(false).await.unwrap() {
            all.extend(bytes);
        }
        String::from_utf8(all).unwrap()
    }

    #[tokio::test]
    async fn tails_count_lines_over_both_files() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 2, "out.1", "a\nb\nc");
        write(dir.path(), 2, "out", "c\nd\ne");
        write(dir.path(), 1, "out", "old\n");
        let cases = [
            (None, "a\nb\ncc\nd\ne"),
            (Some(0), ""),
            (Some(1), "e"),
            (Some(2), "d\ne"),
            (Some(3), "cc\nd\ne"),
            (Some(4), "b\ncc\nd\ne"),
            (Some(99), "a\nb\ncc\nd\ne"),
        ];
        for (tail, expected) in cases {
            let mut reader = LogReader::open(dir.path(), task(), None, Select::Out, tail)
                .await
                .unwrap();
            assert_eq!(
                (reader.epoch(), rest(&mut reader).await.as_str()),
                (2, expected)
            );
        }
        let other = TaskId {
            job: JobId(6),
            index: 0,
        };
        let none = LogReader::open(dir.path(), other, None, Select::Both, None).await;
        assert!(matches!(none, Err(LogError::None(_))));
    }

    #[tokio::test]
    async fn a_reader_goes_through_rotations() {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = LogReader::open(dir.path(), task(), Some(1), Select::Both, None)
            .await
            .unwrap();
        assert_eq!(reader.next_chunk(false).await.unwrap(), None);
        let path = write(dir.path(), 1, "out", "one\n");
        assert_eq!(rest(&mut reader).await, "one\n");
        let mut first = fs::File::options().append(true).open(&path).unwrap();
        fs::rename(&path, paths::rotated(&path)).unwrap();
        first.write_all(b"two\n").unwrap();
        write(dir.path(), 1, "out", "three\n");
        assert_eq!(rest(&mut reader).await, "two\nthree\n");
        for text in ["four\n", "five\n"] {
            fs::rename(&path, paths::rotated(&path)).unwrap();
            write(dir.path(), 1, "out", text);
        }
        assert_eq!(rest(&mut reader).await, "four\nfive\n");
    }
}
