//! The listening sockets and the connections that come in at them.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use starling_api::{SOCKET_FILE, TOKEN_FILE, socket_path};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::Backend;
use super::guard::{Secret, Via};
use super::router::{App, router};
use super::token;

/// The most connections at a time; more wait until one ends.
const MAX_CONNECTIONS: usize = 1024;
/// How long a client may take to send a request's head, and to send nothing between requests.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long running requests get when the daemon stops.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How many connections wait to be accepted.
const BACKLOG: i32 = 1024;

/// Where to listen.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// The data directory, where the Unix socket and the token are.
    pub data_dir: PathBuf,
    /// A TCP address to listen at as well.
    pub tcp: Option<SocketAddr>,
}

/// Why the API cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Another daemon answers at the socket.
    #[error(
        "another daemon uses the data directory {0}: choose another with --data-dir, or stop that one"
    )]
    InUse(PathBuf),
    /// The Unix socket cannot be made.
    #[error("cannot listen at {path}: {source}")]
    Unix {
        /// The socket's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The TCP address cannot be had.
    #[error("cannot serve the API at {addr}: {source}; choose another address with --api")]
    Tcp {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The token's file cannot be read or made.
    #[error("cannot use the token in {path}: {source}")]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Sockets that listen and do not answer yet, so that what is wrong with them is told before the
/// daemon does anything else. Dropping them closes them and leaves the file.
#[derive(Debug)]
pub struct Listeners {
    socket: PathBuf,
    unix: UnixListener,
    tcp: Option<(TcpListener, SocketAddr, Arc<str>)>,
}

impl Listeners {
    /// Opens the sockets. Whoever calls must hold the data directory's lock, so that only a dead
    /// daemon's socket can be in the way.
    pub async fn open(config: &HttpConfig) -> Result<Self, HttpError> {
        let socket = config.data_dir.join(SOCKET_FILE);
        let tcp = match config.tcp {
            None => None,
            Some(addr) => Some(open_tcp(addr, &config.data_dir).await?),
        };
        let unix = open_unix(&socket, &config.data_dir).await?;
        Ok(Self { socket, unix, tcp })
    }

    /// The Unix socket's file.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The TCP address, with the port that was assigned if 0 was asked for.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(|(_, addr, _)| *addr)
    }

    /// Answers requests until `stop`; then ends streams, lets running requests finish for a moment
    /// and removes the socket's file.
    pub async fn serve<B: Backend>(self, backend: Arc<B>, stop: CancellationToken) {
        let (tcp, secret) = match self.tcp {
            Some((listener, _, secret)) => (Some(listener), Some(secret)),
            None => (None, None),
        };
        let app = App {
            backend,
            stop: stop.clone(),
        };
        let service = TowerToHyperService::new(router(app, Secret(secret)));
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let connections = TaskTracker::new();
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.unix.accept() => {
                    accepted.map(|(stream, _)| Accepted::Unix(stream))
                }
                accepted = accept(tcp.as_ref()) => accepted,
            };
            let serving = match accepted {
                Ok(Accepted::Unix(stream)) => connections.spawn(connection(
                    stream,
                    Via::Unix,
                    service.clone(),
                    stop.clone(),
                    permit,
                )),
                Ok(Accepted::Tcp(stream, local)) => connections.spawn(connection(
                    stream,
                    Via::Tcp(local),
                    service.clone(),
                    stop.clone(),
                    permit,
                )),
                Err(error) => {
                    // Out of file descriptors, or the client is gone already.
                    tracing::debug!(%error, "accepting an API connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            drop(serving);
        }
        connections.close();
        let _ = tokio::time::timeout(STOP_LIMIT, connections.wait()).await;
        let _ = std::fs::remove_file(&self.socket);
    }
}

enum Accepted {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream, SocketAddr),
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<Accepted> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    Ok(Accepted::Tcp(stream, local))
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    via: Via,
    service: TowerToHyperService<axum::Router>,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(via);
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an API connection broke");
    }
}

async fn open_tcp(
    addr: SocketAddr,
    data_dir: &Path,
) -> Result<(TcpListener, SocketAddr, Arc<str>), HttpError> {
    let secret = token::load_or_make(data_dir).map_err(|source| HttpError::Token {
        path: data_dir.join(TOKEN_FILE),
        source,
    })?;
    let failed = |source| HttpError::Tcp { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound, secret.into()))
}

async fn open_unix(socket: &Path, data_dir: &Path) -> Result<UnixListener, HttpError> {
    let failed = |source| HttpError::Unix {
        path: socket.to_owned(),
        source,
    };
    let (path, folder) = socket_path(socket).map_err(failed)?;
    match tokio::net::UnixStream::connect(&path).await {
        Ok(_) => return Err(HttpError::InUse(data_dir.to_owned())),
        // A dead daemon's: nobody answers, so it may be replaced. Anything else that has the name
        // is not ours to remove.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && is_socket(socket) => {
            std::fs::remove_file(socket).map_err(failed)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = bind(&path).map_err(failed)?;
    drop(folder);
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket())
}

/// Binds with mode 0600 from the first moment on: Linux gives the file the mode of the socket.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}
