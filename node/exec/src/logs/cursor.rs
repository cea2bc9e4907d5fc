//! Where a reader stands in one stream, which is up to two files that change their names while it
//! reads: they are told apart by device and inode.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{LogError, Stream};
use crate::paths;

/// Bytes given out at once, at most.
const CHUNK: usize = 64 << 10;

/// Where a reader stands in one stream.
#[derive(Debug)]
pub(super) struct Cursor {
    stream: Stream,
    path: PathBuf,
    open: Option<File>,
}

impl Cursor {
    /// At no place yet.
    pub(super) const fn new(stream: Stream, path: PathBuf) -> Self {
        Self {
            stream,
            path,
            open: None,
        }
    }

    /// Which stream it is.
    pub(super) const fn stream(&self) -> Stream {
        self.stream
    }

    /// Says that this stream's file is the one that failed.
    pub(super) fn error(&self, source: io::Error) -> LogError {
        LogError::Io {
            path: self.path.clone(),
            source,
        }
    }

    /// Opens the oldest file, or goes to where the last `tail` lines begin.
    pub(super) fn begin(&mut self, tail: Option<u64>) -> io::Result<()> {
        // Newest first; between the two the newer may have become the older.
        let newer = open(&self.path)?;
        let older = open(&paths::rotated(&self.path))?;
        let same = match (&newer, &older) {
            (Some(newer), Some(older)) => identity(newer)? == identity(older)?,
            _ => false,
        };
        let mut files: Vec<File> = newer.filter(|_| !same).into_iter().chain(older).collect();
        let Some(lines) = tail else {
            self.open = files.pop();
            return Ok(());
        };
        let mut wanted = lines;
        // The very last line end closes a line and does not begin another.
        let mut is_end = true;
        let last = files.len().saturating_sub(1);
        for (at, mut file) in files.into_iter().enumerate() {
            if let Some(start) = tail_start(&mut file, &mut wanted, &mut is_end)? {
                file.seek(SeekFrom::Start(start))?;
                self.open = Some(file);
                return Ok(());
            }
            if at == last {
                file.seek(SeekFrom::Start(0))?;
                self.open = Some(file);
            }
        }
        Ok(())
    }

    /// The next bytes; empty at the end of what is written.
    pub(super) fn read(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let Some(file) = &mut self.open else {
                self.open = match open(&paths::rotated(&self.path))? {
                    Some(file) => Some(file),
                    None => open(&self.path)?,
                };
                match self.open {
                    Some(_) => continue,
                    None => return Ok(Vec::new()),
                }
            };
            let bytes = read_chunk(file)?;
            if !bytes.is_empty() {
                return Ok(bytes);
            }
            let Some(next) = self.successor()? else {
                return Ok(Vec::new());
            };
            // The last of it may have been written between the end seen and the change seen.
            let rest = match &mut self.open {
                Some(file) => read_chunk(file)?,
                None => Vec::new(),
            };
            if !rest.is_empty() {
                return Ok(rest);
            }
            self.open = Some(next);
        }
    }

    /// The file that follows the open one, if that is no longer the newest.
    fn successor(&self) -> io::Result<Option<File>> {
        let Some(file) = &self.open else {
            return Ok(None);
        };
        let own = identity(file)?;
        let Some(newer) = open(&self.path)? else {
            return Ok(None);
        };
        if identity(&newer)? == own {
            return Ok(None);
        }
        match open(&paths::rotated(&self.path))? {
            // Two changes at once: what lay between is the older of the two now.
            Some(older) if ![own, identity(&newer)?].contains(&identity(&older)?) => {
                Ok(Some(older))
            }
            _ => Ok(Some(newer)),
        }
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let meta = file.metadata()?;
    Ok((meta.dev(), meta.ino()))
}

fn read_chunk(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(CHUNK as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Where the last `wanted` lines of a file begin; none if it has fewer, which are then taken off
/// `wanted`. `is_end` says whether nothing of the log follows.
fn tail_start(file: &mut File, wanted: &mut u64, is_end: &mut bool) -> io::Result<Option<u64>> {
    let mut end = file.seek(SeekFrom::End(0))?;
    if *wanted == 0 {
        return Ok(Some(end));
    }
    while end > 0 {
        let begin = end.saturating_sub(CHUNK as u64);
        file.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        file.by_ref().take(end - begin).read_to_end(&mut bytes)?;
        for (at, byte) in bytes.iter().enumerate().rev() {
            if *byte == b'\n' && !*is_end {
                *wanted -= 1;
                if *wanted == 0 {
                    return Ok(Some(begin + at as u64 + 1));
                }
            }
            *is_end = false;
        }
        end = begin;
    }
    Ok(None)
}
