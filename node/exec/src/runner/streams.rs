//! A task's standard output and error on their way from the pipe to a file. A full disk loses
//! output, never the task.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use starling_wire::{Epoch, TaskId};

use crate::logs::file::LogFile;
use crate::paths;
use crate::protocol::not_now;

/// Bytes read from a pipe at once: as much as a pipe holds by default.
pub(super) const CHUNK: usize = 64 << 10;
/// How many chunks one stream may deliver before others get their turn.
const TURN: usize = 4;

/// What a pipe had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Nothing more for now.
    Waiting,
    /// There may be more at once; others first.
    More,
    /// Every writer has gone.
    Closed,
}

/// One of a task's two streams.
#[derive(Debug)]
pub(super) struct Stream {
    pipe: File,
    file: LogFile,
    failed: bool,
}

impl Stream {
    /// Takes the reading end of a pipe, which must not block.
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: File::from(pipe),
            file: LogFile::default(),
            failed: false,
        }
    }

    /// The pipe, to be watched.
    pub(super) fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Bytes kept on disk.
    pub(super) const fn kept(&self) -> u64 {
        self.file.kept()
    }

    /// Moves what is in the pipe to the file. `path` is asked for only if a file is to be opened.
    /// An error concerns the file, is reported once per stream, and output is dropped after it.
    pub(super) fn pump(
        &mut self,
        buffer: &mut [u8],
        limit: u64,
        path: impl Fn() -> PathBuf,
    ) -> (Pumped, Option<io::Error>) {
        let mut problem = None;
        for _ in 0..TURN {
            match self.pipe.read(buffer) {
                Ok(0) => return (Pumped::Closed, problem),
                Ok(count) => {
                    if !self.failed
                        && let Err(error) = self.file.keep(&buffer[..count], limit, &path)
                    {
                        self.failed = true;
                        problem = Some(error);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if not_now(&error) => return (Pumped::Waiting, problem),
                Err(_) => return (Pumped::Closed, problem),
            }
        }
        (Pumped::More, problem)
    }
}

/// The two streams of a task by their place: 0 is standard output, 1 standard error.
pub(super) fn log_path(task: TaskId, epoch: Epoch, place: usize) -> PathBuf {
    paths::log(task, epoch, if place == 0 { "out" } else { "err" })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn output_is_bounded_and_the_newest_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job/0.1.out");
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let mut writer = File::from(writer);
        let mut stream = Stream::new(reader);
        let mut buffer = vec![0; CHUNK];
        let mut all = Vec::new();
        for round in 0..50_u8 {
            let bytes = [round; 333];
            writer.write_all(&bytes).unwrap();
            all.extend_from_slice(&bytes);
            let (pumped, problem) = stream.pump(&mut buffer, 4096, || path.clone());
            assert!(pumped == Pumped::Waiting && problem.is_none());
        }
        drop(writer);
        assert_eq!(
            stream.pump(&mut buffer, 4096, || path.clone()).0,
            Pumped::Closed
        );
        let mut kept = fs::read(paths::rotated(&path)).unwrap();
        kept.extend(fs::read(&path).unwrap());
        assert_eq!(kept.len() as u64, stream.kept());
        assert!(kept.len() <= 4096 && kept.len() > 2048);
        assert!(all.ends_with(&kept));
    }

    #[test]
    fn output_that_cannot_be_kept_is_dropped_after_one_error() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let mut writer = File::from(writer);
        let mut stream = Stream::new(reader);
        let mut buffer = vec![0; CHUNK];
        let mut errors = 0;
        for _ in 0..3 {
            writer.write_all(b"x").unwrap();
            let (_, problem) = stream.pump(&mut buffer, 4096, || "/proc/no/file".into());
            errors += usize::from(problem.is_some());
        }
        assert_eq!(errors, 1);
    }
}
