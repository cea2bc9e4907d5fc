//! Where a daemon listens, how to reach it there, and what goes wrong on the way.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::ApiError;

/// The file in a data directory that a daemon's Unix socket is.
pub const SOCKET_FILE: &str = "api.sock";

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The longest path that the kernel takes for a Unix socket, its final zero not counted.
const SUN_PATH: usize = 107;

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At a Unix socket: this file.
    Unix(PathBuf),
    /// At a TCP address, `HOST:PORT`, with a bearer token.
    Tcp {
        /// `HOST:PORT`.
        addr: String,
        /// The token, if there is one.
        token: Option<String>,
    },
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { addr, .. } => f.write_str(addr),
        }
    }
}

/// Why a call did not get its answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no daemon answers at {at}: {remedy}")]
    NoDaemon {
        /// Where it was looked for.
        at: String,
        /// What to do.
        remedy: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The daemon answered no.
    #[error("{0}")]
    Refused(ApiError),
    /// The connection broke, or what came over it is not an answer.
    #[error("the daemon at {at} broke off: {problem}")]
    Broken {
        /// Which daemon.
        at: String,
        /// What happened.
        problem: String,
    },
}

impl ClientError {
    /// The error of the API, if the daemon gave one.
    pub const fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the daemon could not be reached at all, so that nothing was asked of it.
    pub const fn is_no_daemon(&self) -> bool {
        matches!(self, Self::NoDaemon { .. })
    }
}

/// A path under which the kernel takes the socket `path` for binding or connecting: itself, or a
/// short alias through the open directory when it is longer than a socket address can hold. The
/// alias works as long as the returned file is kept.
pub fn socket_path(path: &Path) -> io::Result<(PathBuf, Option<std::fs::File>)> {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;

    if path.as_os_str().as_bytes().len() <= SUN_PATH {
        return Ok((path.to_owned(), None));
    }
    let too_long = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "the path is longer than the {SUN_PATH} bytes that a Unix socket's may have; choose a data directory with a shorter path"
            ),
        )
    };
    if !cfg!(target_os = "linux") {
        return Err(too_long());
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(too_long());
    };
    let folder = std::fs::File::open(folder)?;
    let alias = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((alias, Some(folder)))
}

/// A connection of either kind.
pub(crate) enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Connection {
    /// Connects; also says what the `Host` header must be.
    pub(crate) async fn open(target: &Target) -> Result<(Self, String), ClientError> {
        let opened = tokio::time::timeout(CONNECT_LIMIT, Self::try_open(target)).await;
        opened
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| no_daemon(target, source))
    }

    async fn try_open(target: &Target) -> io::Result<(Self, String)> {
        match target {
            Target::Unix(path) => {
                let (path, _folder) = socket_path(path)?;
                let stream = UnixStream::connect(path).await?;
                Ok((Self::Unix(stream), "localhost".to_owned()))
            }
            Target::Tcp { addr, .. } => {
                let stream = TcpStream::connect(addr.as_str()).await?;
                stream.set_nodelay(true)?;
                // The address, not the name: the daemon takes no names but localhost, so that a
                // web page cannot reach it through a name of its own.
                let host = stream.peer_addr()?.to_string();
                Ok((Self::Tcp(stream), host))
            }
        }
    }
}

fn no_daemon(target: &Target, source: io::Error) -> ClientError {
    let remedy = match (source.kind(), target) {
        (io::ErrorKind::PermissionDenied, _) => {
            "you may not use it; only the user who runs the daemon may".to_owned()
        }
        (io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, Target::Unix(_)) => {
            "start one with `starling up`, or name its data directory with --data-dir".to_owned()
        }
        (io::ErrorKind::ConnectionRefused, Target::Tcp { addr, .. }) => {
            format!("start one there with `starling up --api {addr}`")
        }
        _ => source.to_string(),
    };
    ClientError::NoDaemon {
        at: target.to_string(),
        remedy,
        source,
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
