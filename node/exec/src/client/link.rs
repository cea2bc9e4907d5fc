//! The way to a runner: connect to the one that serves the directory, or start one, detached, and
//! connect to that.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::ExecConfig;
use crate::launch::Held;
use crate::protocol::{Event, FrameError, FrameReader, Request, VERSION, push_frame};
use crate::{ExecError, paths};

/// How long a runner may take to answer, which may have orphans to kill first.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// The pauses between two tries to connect, first and last.
const PAUSES: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(20));
/// How often a runner is started before giving up, and the pause after one that exited.
const STARTS: u32 = 5;
const START_PAUSE: Duration = Duration::from_millis(200);
/// A runner's error file is begun anew when it has this many bytes.
const STDERR_LIMIT: u64 = 1 << 20;

/// A connection to a runner that has told what it holds.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: Arc<UnixStream>,
    /// Holds the bytes that arrived after the runner's greeting.
    pub(super) reader: FrameReader,
    /// What came in the greeting's last frame after it.
    pub(super) early: Vec<Event>,
    pub(super) held: Vec<Held>,
    pub(super) pid: u32,
}

/// Connects to the runner of the directory, and starts one if none answers.
pub(super) async fn open(config: &ExecConfig) -> Result<Link, ExecError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.dir)
        .map_err(|error| ExecError::io("create the directory", &config.dir, error))?;
    let deadline = Instant::now() + ANSWER_WITHIN;
    let mut pause = PAUSES.0;
    let mut runner = None;
    let mut starts = 0;
    loop {
        let problem = match connect(config).await {
            Ok(link) => return Ok(link),
            Err(error @ ExecError::Version { .. }) => return Err(error),
            Err(error) => error,
        };
        // One that hung up is there: another daemon took this one's place, or it is just leaving.
        let is_there = matches!(problem, ExecError::Protocol(_));
        let is_alive = runner
            .as_ref()
            .is_some_and(|wait: &tokio::task::JoinHandle<_>| !wait.is_finished());
        if Instant::now() >= deadline || (!is_alive && !is_there && starts == STARTS) {
            return Err(ExecError::NoRunner(format!(
                "{problem}{}",
                last_words(&config.dir)
            )));
        }
        if is_alive || is_there {
            sleep(pause).await;
            pause = PAUSES.1.min(pause * 2);
            continue;
        }
        if starts > 0 {
            // It exited: perhaps because another one holds the directory, which will answer.
            sleep(START_PAUSE).await;
        }
        let mut child = start(config)?;
        starts += 1;
        runner = Some(tokio::spawn(async move { child.wait().await }));
    }
}

/// Connects to the runner of the directory, if one answers.
pub(super) async fn connect(config: &ExecConfig) -> Result<Link, ExecError> {
    let dir = File::open(&config.dir)
        .map_err(|error| ExecError::io("open the directory", &config.dir, error))?;
    let path = paths::socket(&config.dir, &dir);
    let socket = UnixStream::connect(&path)
        .await
        .map_err(|error| ExecError::io("connect to", config.dir.join(paths::SOCKET), error))?;
    match timeout(ANSWER_WITHIN, greet(config, socket)).await {
        Ok(link) => link,
        Err(_) => Err(ExecError::Protocol("the runner does not greet".to_owned())),
    }
}

async fn greet(config: &ExecConfig, mut socket: UnixStream) -> Result<Link, ExecError> {
    let broken = |error: io::Error| ExecError::Protocol(error.to_string());
    let mut hello = Vec::new();
    push_frame(&mut hello, &[Request::Hello(config.settings())]).map_err(refused)?;
    socket.write_all(&hello).await.map_err(broken)?;
    let mut reader = FrameReader::default();
    let mut held = Vec::new();
    let mut early = Vec::new();
    let mut ready = None;
    while ready.is_none() {
        if socket.read_buf(reader.buffer()).await.map_err(broken)? == 0 {
            return Err(ExecError::Protocol("the runner hung up".to_owned()));
        }
        while ready.is_none()
            && let Some(events) = reader.next::<Event>().map_err(refused)?
        {
            for event in events {
                match event {
                    Event::Held(some) => held.extend(some),
                    Event::Ready(pid) => ready = Some(pid),
                    other => early.push(other),
                }
            }
        }
    }
    let pid = ready.unwrap_or_default();
    Ok(Link {
        socket: Arc::new(socket),
        reader,
        early,
        held,
        pid,
    })
}

fn refused(error: FrameError) -> ExecError {
    match error {
        FrameError::Version(theirs) => ExecError::Version {
            theirs,
            ours: VERSION,
        },
        other => ExecError::Protocol(other.to_string()),
    }
}

/// Starts a runner. It makes itself independent; here it is only waited for, so that its end
/// leaves no zombie.
fn start(config: &ExecConfig) -> Result<tokio::process::Child, ExecError> {
    let path = config.dir.join(paths::STDERR);
    if fs::metadata(&path).is_ok_and(|meta| meta.len() > STDERR_LIMIT) {
        let _ = fs::remove_file(&path);
    }
    let stderr = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .map_err(|error| ExecError::io("open", &path, error))?;
    Command::new(&config.exe)
        .args(&config.runner_args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(stderr))
        .spawn()
        .map_err(|error| ExecError::io("start the runner", &config.exe, error))
}

/// The last line a runner wrote about what went wrong.
fn last_words(dir: &Path) -> String {
    let text = fs::read(dir.join(paths::STDERR)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.map(|line| format!("; it last wrote: {}", crate::protocol::clip(line)))
        .unwrap_or_default()
}
