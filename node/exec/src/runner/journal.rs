//! The runner's memory: an append-only file of what it started, what ended and what was
//! acknowledged. It is not flushed to the disk, because it must survive the death of the process
//! and not a power cut (after which no task is left to be found). A record is its length, a
//! checksum and CBOR; reading ends at the first record that is not whole.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use starling_wire::{Epoch, Outcome, TaskId};

use super::Key;

/// A journal is rewritten when it has at least this many bytes and four times what it needs.
const COMPACT_AT: u64 = 4 << 20;
/// The most bytes of one record.
const MAX_RECORD: usize = 64 << 10;
/// The most bytes that are read of a journal.
const MAX_JOURNAL: u64 = 1 << 30;

/// One thing the runner must remember.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    /// A runner began here: its mark in the environment of its tasks, and the machine's boot id.
    Runner { mark: String, boot: String },
    /// A process of this task may exist from now on.
    Starting(TaskId, Epoch),
    /// It does: its pid and its start in ticks since boot.
    Started(TaskId, Epoch, u32, u64),
    /// The task is over.
    Ended(TaskId, Epoch, Outcome),
    /// The daemon took note of its end.
    Acknowledged(TaskId, Epoch),
}

/// What a journal says of a task that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// A process of it may exist.
    Starting,
    /// A process with this pid and start existed.
    Started { pid: u32, start: u64 },
    /// It is over.
    Ended(Outcome),
}

/// What a journal says altogether.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// The mark of the runner that wrote it last.
    pub(super) mark: String,
    /// The boot id of the machine at that time.
    pub(super) boot: String,
    /// The tasks, without those whose end was acknowledged.
    pub(super) tasks: BTreeMap<Key, Known>,
}

impl Memory {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Runner { mark, boot } => (self.mark, self.boot) = (mark, boot),
            Record::Starting(task, epoch) => {
                self.tasks.insert((task, epoch), Known::Starting);
            }
            Record::Started(task, epoch, pid, start) => {
                self.tasks
                    .insert((task, epoch), Known::Started { pid, start });
            }
            Record::Ended(task, epoch, outcome) => {
                self.tasks.insert((task, epoch), Known::Ended(outcome));
            }
            Record::Acknowledged(task, epoch) => {
                self.tasks.remove(&(task, epoch));
            }
        }
    }

    /// Reads the journal at `path`; an absent one is empty. Says how many bytes at its end could
    /// not be read.
    pub(super) fn read(path: &Path) -> io::Result<(Self, usize)> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => file.take(MAX_JOURNAL).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let mut memory = Self::default();
        let mut rest = &bytes[..];
        while let Some((record, after)) = split_record(rest) {
            memory.apply(record);
            rest = after;
        }
        Ok((memory, rest.len()))
    }
}

/// The journal while it is being written.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    size: u64,
    compact_at: u64,
    pending: Vec<u8>,
    broken: bool,
}

impl Journal {
    /// Begins a new journal in place of the old one, with `records` as its content. The old one is
    /// replaced at once or not at all.
    pub(super) fn create(records: impl Iterator<Item = Record>) -> io::Result<Self> {
        let path = Path::new(crate::paths::JOURNAL);
        let fresh = path.with_extension("new");
        let mut bytes = Vec::new();
        for record in records {
            push_record(&mut bytes, &record);
        }
        // A leftover of a runner that died here must not be appended to.
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&fresh)?;
        file.write_all(&bytes)?;
        fs::rename(&fresh, path)?;
        let size = bytes.len() as u64;
        let compact_at = COMPACT_AT.max(size.saturating_mul(4));
        Ok(Self {
            file,
            size,
            compact_at,
            pending: Vec::new(),
            broken: false,
        })
    }

    /// Notes a record; [`Journal::flush`] writes it.
    pub(super) fn push(&mut self, record: &Record) {
        push_record(&mut self.pending, record);
    }

    /// Writes what was noted. After an error the journal is unusable until it has been created
    /// again, and says so by [`Journal::wants_rewrite`].
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() || self.broken {
            self.pending.clear();
            return Ok(());
        }
        let written = self.file.write_all(&self.pending);
        self.size += self.pending.len() as u64;
        self.pending.clear();
        self.broken = written.is_err();
        written
    }

    /// Whether the journal should be created anew, because it grew or could not be written.
    pub(super) const fn wants_rewrite(&self) -> bool {
        self.broken || self.size >= self.compact_at
    }

    /// Whether a write failed, so that its end cannot be relied upon.
    pub(super) const fn is_broken(&self) -> bool {
        self.broken
    }
}

fn push_record(out: &mut Vec<u8>, record: &Record) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    if serde_cbor::to_writer(&mut *out, record).is_err() || out.len() - start > MAX_RECORD {
        out.truncate(start);
        return;
    }
    let length = u32::try_from(out.len() - start - 8).unwrap_or(0);
    let sum = checksum(&out[start + 8..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
}

fn split_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length > MAX_RECORD || length > rest.len() {
        return None;
    }
    let (body, rest) = rest.split_at(length);
    if checksum(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    Some((serde_cbor::from_slice(body).ok()?, rest))
}

/// FNV-1a: enough to tell a torn record from a whole one.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use starling_wire::JobId;

    fn records() -> Vec<Record> {
        let task = |index| TaskId {
            job: JobId(1),
            index,
        };
        vec![
            Record::Runner {
                mark: "m".into(),
                boot: "b".into(),
            },
            Record::Starting(task(0), 1),
            Record::Starting(task(1), 1),
            Record::Started(task(0), 1, 77, 1234),
            Record::Starting(task(2), 1),
            Record::Ended(task(2), 1, Outcome::Exited(3)),
            Record::Ended(task(3), 1, Outcome::Exited(0)),
            Record::Acknowledged(task(3), 1),
        ]
    }

    #[test]
    fn a_journal_cut_or_spoilt_anywhere_is_read_up_to_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut bytes = Vec::new();
        records()
            .iter()
            .for_each(|record| push_record(&mut bytes, record));
        fs::write(&path, &bytes).unwrap();
        let (memory, left) = Memory::read(&path).unwrap();
        assert_eq!(left, 0);
        assert_eq!((memory.mark.as_str(), memory.boot.as_str()), ("m", "b"));
        let known: Vec<_> = memory.tasks.values().cloned().collect();
        let started = Known::Started {
            pid: 77,
            start: 1234,
        };
        assert_eq!(
            known,
            [started, Known::Starting, Known::Ended(Outcome::Exited(3))]
        );
        for at in 0..bytes.len() {
            fs::write(&path, &bytes[..at]).unwrap();
            Memory::read(&path).unwrap();
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 0x55;
            fs::write(&path, &spoilt).unwrap();
            assert!(Memory::read(&path).unwrap().1 > 0, "byte {at}");
        }
    }

    #[test]
    fn no_journal_is_an_empty_one() {
        let (memory, left) = Memory::read(Path::new("/nonexistent/journal")).unwrap();
        assert_eq!((memory, left), (Memory::default(), 0));
    }
}
