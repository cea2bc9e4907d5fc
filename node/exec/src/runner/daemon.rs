//! The runner's side of the connection to the daemon: frames in, events out, neither ever
//! blocking. A daemon that lets too much pile up is cut off; it finds everything again when it
//! connects anew.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::protocol::{Event, FrameError, FrameReader, Request, VERSION, not_now, push_frame};

/// The most bytes that may wait for the daemon.
const MAX_WAITING: usize = 64 << 20;
/// The most events of one frame.
const FRAME_EVENTS: usize = 4096;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// The most bytes read before others get their turn.
const TURN: usize = 1 << 20;

/// The connection to the daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    socket: UnixStream,
    reader: FrameReader,
    events: Vec<Event>,
    out: Vec<u8>,
    sent: usize,
    /// Whether it has said hello: before that it is told nothing.
    pub(super) greeted: bool,
    /// Whether the loop is to wake up when the socket takes bytes again.
    pub(super) watched_for_room: bool,
}

impl Daemon {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            reader: FrameReader::default(),
            events: Vec::new(),
            out: Vec::new(),
            sent: 0,
            greeted: false,
            watched_for_room: false,
        })
    }

    /// The socket, to be watched.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads what has come. None means that the connection is over.
    pub(super) fn hear(&mut self) -> Option<Vec<Request>> {
        let mut requests = Vec::new();
        let mut total = 0;
        while total < TURN {
            let buffer = self.reader.buffer();
            let before = buffer.len();
            buffer.resize(before + CHUNK, 0);
            let read = self.socket.read(&mut buffer[before..]);
            buffer.truncate(before + read.as_ref().map_or(0, |count| *count));
            match read {
                Ok(0) => return None,
                Ok(count) => total += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if not_now(&error) => break,
                Err(_) => return None,
            }
            match self.frames(&mut requests) {
                Ok(()) => {}
                Err(error) => {
                    eprintln!("the daemon is cut off: {error}");
                    return None;
                }
            }
            if total % CHUNK != 0 {
                break;
            }
        }
        Some(requests)
    }

    fn frames(&mut self, requests: &mut Vec<Request>) -> Result<(), FrameError> {
        loop {
            match self.reader.next() {
                Ok(Some(list)) => requests.extend(list),
                Ok(None) => return Ok(()),
                Err(error) => {
                    if matches!(error, FrameError::Version(_)) {
                        // An empty list in our own version says which one that is.
                        let _ = self.socket.write(&[2, 0, 0, 0, VERSION, 0x80]);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Notes an event; [`Daemon::tell`] sends it.
    pub(super) fn push(&mut self, event: Event) {
        if self.greeted {
            self.events.push(event);
        }
    }

    /// Sends what there is. False means that the connection is over.
    pub(super) fn tell(&mut self) -> bool {
        for events in self.events.chunks(FRAME_EVENTS) {
            if let Err(error) = push_frame(&mut self.out, events) {
                eprintln!("events cannot be told: {error}");
                return false;
            }
        }
        self.events.clear();
        while self.is_waiting() {
            match self.socket.write(&self.out[self.sent..]) {
                Ok(0) => return false,
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if not_now(&error) => {
                    let waiting = self.out.len() - self.sent;
                    if self.sent > waiting {
                        self.out.drain(..self.sent);
                        self.sent = 0;
                    }
                    return waiting <= MAX_WAITING;
                }
                Err(_) => return false,
            }
        }
        self.out.clear();
        self.out.shrink_to(CHUNK);
        self.sent = 0;
        true
    }

    /// Whether bytes wait for room in the socket.
    pub(super) fn is_waiting(&self) -> bool {
        self.sent < self.out.len()
    }
}
