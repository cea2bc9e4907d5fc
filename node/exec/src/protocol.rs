//! What travels between the daemon and the runner: frames of a length (4 bytes, little-endian), a
//! version byte and a list in CBOR. Lists, because everything is batched: a hundred starts are one
//! write. A side that reads another version answers with an empty frame of its own and closes.

use std::ffi::OsString;
use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use starling_wire::{Epoch, Outcome, TaskId};

use crate::launch::{Held, Launch};

/// The version of the protocol spoken here.
pub(crate) const VERSION: u8 = 1;
/// The most bytes of a frame after its length.
pub(crate) const MAX_FRAME: usize = 16 << 20;
/// A frame that has this many bytes is closed and the next one begun.
pub(crate) const FRAME_TARGET: usize = 1 << 20;
/// The most characters of a reason or a warning.
pub(crate) const MAX_TEXT: usize = 500;

/// What the daemon tells the runner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The first request of a connection; answered with what the runner holds.
    Hello(Settings),
    /// Start tasks.
    Start(Vec<Launch>),
    /// Stop a task and report it with this outcome.
    Stop(TaskId, Epoch, Outcome),
    /// Tasks may go on until then, in nanoseconds of the monotonic clock.
    Lease(Vec<(TaskId, Epoch, u64)>),
    /// Forget tasks that ended.
    Acknowledge(Vec<(TaskId, Epoch)>),
    /// Stop every task, then exit; nothing is waited for longer than this many milliseconds.
    Shutdown(u64),
}

/// What the daemon's configuration means for the runner.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Bytes kept per stream of a task, the current and the rotated file together.
    pub(crate) log_limit: u64,
    /// Bytes kept of the logs of all tasks that are over.
    pub(crate) logs_bytes: u64,
    /// How many tasks that are over keep their logs.
    pub(crate) logs_tasks: u64,
    /// Milliseconds without a daemon and a task after which the runner exits.
    pub(crate) idle_exit_ms: u64,
    /// The arguments that make the binary call `enter_main`; empty if it has none.
    pub(crate) enter: Vec<OsString>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log_limit: 4 << 20,
            logs_bytes: 1 << 30,
            logs_tasks: 10_000,
            idle_exit_ms: 10_000,
            enter: Vec::new(),
        }
    }
}

/// What the runner tells the daemon.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// A part of what the runner holds, after a hello.
    Held(Vec<Held>),
    /// All that the runner holds has been told; this is its pid.
    Ready(u32),
    /// A task's process exists.
    Started(TaskId, Epoch, u32),
    /// A task is over.
    Ended(TaskId, Epoch, Outcome),
    /// Something a person should know.
    Warning(String),
}

/// Why bytes are no frame.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The other side speaks another version.
    #[error("it speaks version {0} of the protocol")]
    Version(u8),
    /// The length is out of range.
    #[error("a frame claims {0} bytes")]
    Length(usize),
    /// The content is not what it should be.
    #[error("a frame does not decode: {0}")]
    Content(String),
}

/// Appends a frame that holds `items` to `out`. Fails, and leaves `out` as it was, if they do not
/// fit into one.
pub(crate) fn push_frame<T: Serialize>(out: &mut Vec<u8>, items: &[T]) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, VERSION]);
    let written = serde_cbor::to_writer(&mut *out, &items);
    let length = out.len() - start - 4;
    let problem = match written {
        Err(error) => Some(FrameError::Content(error.to_string())),
        Ok(()) if length > MAX_FRAME => Some(FrameError::Length(length)),
        Ok(()) => None,
    };
    if let Some(problem) = problem {
        out.truncate(start);
        return Err(problem);
    }
    let bytes = u32::try_from(length).unwrap_or(0).to_le_bytes();
    out[start..start + 4].copy_from_slice(&bytes);
    Ok(())
}

/// Collects bytes and gives out the frames in them.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    bytes: Vec<u8>,
    at: usize,
}

impl FrameReader {
    /// Where received bytes are to be appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        &mut self.bytes
    }

    /// The next whole frame, if there is one.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Vec<T>>, FrameError> {
        let Some((head, rest)) = self.bytes[self.at..].split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        if length == 0 || length > MAX_FRAME {
            return Err(FrameError::Length(length));
        }
        if let Some(&version) = rest.first()
            && version != VERSION
        {
            return Err(FrameError::Version(version));
        }
        let Some(body) = rest.get(1..length) else {
            return Ok(None);
        };
        let items =
            serde_cbor::from_slice(body).map_err(|error| FrameError::Content(error.to_string()))?;
        self.at += 4 + length;
        Ok(Some(items))
    }
}

/// Whether an I/O error only says "not now".
pub(crate) fn not_now(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Shortens a text for people to what a message may carry.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use starling_wire::JobId;

    fn task(index: u32) -> TaskId {
        TaskId {
            job: JobId(7),
            index,
        }
    }

    #[test]
    fn frames_survive_any_cut() {
        let mut bytes = Vec::new();
        for index in 0..3 {
            let list = [Event::Ended(
                task(index),
                5,
                Outcome::NotStarted("no".into()),
            )];
            push_frame(&mut bytes, &list).unwrap();
        }
        for cut in 0..bytes.len() {
            let mut reader = FrameReader::default();
            let mut seen = 0;
            for part in [&bytes[..cut], &bytes[cut..]] {
                reader.buffer().extend_from_slice(part);
                while let Some(list) = reader.next::<Event>().unwrap() {
                    assert!(matches!(list[..], [Event::Ended(t, 5, _)] if t == task(seen)));
                    seen += 1;
                }
            }
            assert_eq!(seen, 3);
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for bytes in [
            &[0, 0, 0, 0, VERSION][..],
            &[255, 255, 255, 255, VERSION],
            &[3, 0, 0, 0, VERSION, 255, 255],
            &[3, 0, 0, 0, VERSION + 1, 0, 0],
        ] {
            let mut reader = FrameReader::default();
            reader.buffer().extend_from_slice(bytes);
            assert!(reader.next::<Request>().is_err());
        }
    }

    #[test]
    fn another_version_is_told_apart() {
        let mut reader = FrameReader::default();
        reader.buffer().extend_from_slice(&[1, 0, 0, 0, 9]);
        assert_eq!(
            reader.next::<Request>().unwrap_err(),
            FrameError::Version(9)
        );
    }
}
