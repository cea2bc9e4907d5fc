//! Signals, turned into bytes in a pipe that the loop can wait for.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// Where signals arrive as bytes.
#[derive(Debug)]
pub(super) struct Signals {
    pipe: UnixStream,
    asked_to_leave: Arc<AtomicBool>,
}

impl Signals {
    /// Has the signals that concern the runner arrive in a pipe, and those of a terminal nowhere.
    /// By handlers, not by ignoring them: children would inherit that.
    pub(super) fn register() -> io::Result<Self> {
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let asked_to_leave = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGTERM, Arc::clone(&asked_to_leave))?;
        for signal in [SIGHUP, SIGINT, SIGQUIT] {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
        }
        signal_hook::low_level::pipe::register(SIGTERM, write.try_clone()?)?;
        signal_hook::low_level::pipe::register(SIGCHLD, write)?;
        Ok(Self {
            pipe,
            asked_to_leave,
        })
    }

    /// The pipe, to be watched.
    pub(super) const fn pipe(&self) -> &UnixStream {
        &self.pipe
    }

    /// Empties the pipe; true if a SIGTERM has come since the last time.
    pub(super) fn take(&self) -> bool {
        let mut bytes = [0; 256];
        while matches!((&self.pipe).read(&mut bytes), Ok(count) if count == bytes.len()) {}
        self.asked_to_leave.swap(false, Ordering::Relaxed)
    }
}
