//! The task that tells when it began: it writes the time at which its `main` was entered into the
//! benchmark's FIFO and ends.
//!
//! It should cost next to nothing by itself, so it is a few lines of C, linked statically by the
//! `cc` that links Rust programs too. Where that fails, this binary does it when called with
//! [`WORD`]; its own start, a millisecond more, is then part of what is measured, and shows in the
//! bare spawn beside it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

/// The hidden subcommand.
const WORD: &str = "stamp";
const SOURCE: &str = include_str!("stamp.c");

/// Nanoseconds since 1970: the one clock that two processes can compare without unsafe code.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Acts as the task, if that is what this process was started for.
pub(crate) fn task() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != WORD {
        return None;
    }
    let began = now();
    let fifo = args.next()?;
    let send = || {
        File::options()
            .write(true)
            .open(fifo)?
            .write_all(&began.to_ne_bytes())
    };
    Some(if send().is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Where stamps arrive.
pub(crate) struct Stamps {
    fifo: pipe::Receiver,
    command: Vec<String>,
}

impl Stamps {
    /// A FIFO, and the program that writes to it, in `dir`.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join("stamps");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
        // Open for writing too: it shall not end between two tasks.
        let fifo = pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(&path)?;
        let mut command = match compile(dir) {
            Ok(program) => vec![program],
            Err(error) => {
                eprintln!("    cc does not make the small program ({error}); using this one");
                vec![std::env::current_exe()?, WORD.into()]
            }
        };
        command.push(path);
        let command = command
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        Ok(Self { fifo, command })
    }

    /// The command of a task that stamps.
    pub(crate) fn command(&self) -> &[String] {
        &self.command
    }

    /// The next stamp, or `None` if it does not come in time.
    pub(crate) async fn next(&mut self, patience: Duration) -> Option<u64> {
        let mut bytes = [0; 8];
        let read = self.fifo.read_exact(&mut bytes);
        tokio::time::timeout(patience, read).await.ok()?.ok()?;
        Some(u64::from_ne_bytes(bytes))
    }
}

fn compile(dir: &Path) -> io::Result<PathBuf> {
    let (source, program) = (dir.join("stamp.c"), dir.join("stamp"));
    std::fs::write(&source, SOURCE)?;
    let mut problem = io::Error::other("no way was tried");
    for linking in [&["-static"][..], &[]] {
        let mut cc = Command::new("cc");
        cc.arg("-O2")
            .args(linking)
            .arg("-o")
            .arg(&program)
            .arg(&source);
        match cc
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
        {
            Ok(status) if status.success() => return Ok(program),
            Ok(status) => problem = io::Error::other(status.to_string()),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}
