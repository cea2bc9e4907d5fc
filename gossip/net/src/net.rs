//! The handle and the start. The handle never touches the swarm: frames go straight into a queue, the
//! rest goes to the driver as commands.

use std::collections::HashSet;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::core::transport::TransportError;
use libp2p::identity::Keypair;
use starling_wire::NodeId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::call::{CALL_DEADLINE, CallStream, IncomingCall, MAX_REQUEST};
use crate::driver::{Command, Driver, Setup};
use crate::router::Router;
use crate::stats::Counters;
use crate::{NetConfig, NetError, NetEvent, NetStats, addr, behaviour};

/// Commands that may wait for the driver.
const COMMANDS: usize = 4096;

/// Events that may wait for the owner; when they do, links stop reading.
const EVENTS: usize = 4096;

/// Calls that may wait for the owner.
const CALLS: usize = 64;

/// How long the operating system may take to say what we listen on.
const LISTEN_DEADLINE: Duration = Duration::from_secs(2);

/// A handle on the network of one node; clones are handles on the same.
#[derive(Clone)]
pub struct Net {
    me: NodeId,
    commands: mpsc::Sender<Command>,
    router: Arc<Router>,
    stats: Arc<Counters>,
    listening: Arc<RwLock<Vec<String>>>,
}

/// Starts the network of a node on the present tokio runtime. Events and calls must be read: when
/// nobody does, links stop reading, and when the event receiver is dropped, the network ends.
pub async fn start(
    config: NetConfig,
) -> Result<(Net, mpsc::Receiver<NetEvent>, mpsc::Receiver<IncomingCall>), NetError> {
    let key = Keypair::ed25519_from_bytes(config.key_seed)
        .map_err(|error| NetError::Key(error.to_string()))?;
    let me = addr::node_of(&key.public().to_peer_id())
        .ok_or_else(|| NetError::Key("the key is not an Ed25519 key".into()))?;
    let mut swarm = behaviour::swarm(&key, &config)?;
    let mut listeners = HashSet::new();
    for text in &config.listen {
        let addr = addr::parse(text)?;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => NetError::AddressInUse { addr: text.clone() },
            _ => NetError::Listen {
                addr: text.clone(),
                source: error,
            },
        };
        probe(&addr).map_err(failed)?;
        let listener = swarm.listen_on(addr.clone()).map_err(|error| match error {
            TransportError::Other(error) => failed(socket_error(error)),
            TransportError::MultiaddrNotSupported(_) => NetError::BadAddress {
                addr: text.clone(),
                problem: "this build cannot listen on such an address".into(),
            },
        })?;
        listeners.insert(listener);
    }
    let (commands, orders) = mpsc::channel(COMMANDS);
    let (events, told) = mpsc::channel(EVENTS);
    let (calls, called) = mpsc::channel(CALLS);
    let (ready, listening) = oneshot::channel();
    let stats = Arc::new(Counters::default());
    let router = Router::new(stats.clone());
    let net = Net {
        me,
        commands,
        router,
        stats,
        listening: Arc::default(),
    };
    let driver = Driver::new(Setup {
        me,
        link_key: config.secret.link_key(),
        advertise_all: config.advertise_loopback,
        swarm,
        commands: orders,
        events,
        calls,
        router: net.router.clone(),
        stats: net.stats.clone(),
        listening: net.listening.clone(),
        listeners,
        ready,
    });
    tokio::spawn(driver.run());
    // A wildcard address on a machine without any network has nothing to report; that is no error.
    let _ = timeout(LISTEN_DEADLINE, listening).await;
    tracing::debug!(node = %me.short(), cluster = %config.secret.cluster_id(), "network started");
    Ok((net, told, called))
}

impl Net {
    /// The node whose network this is.
    pub const fn node(&self) -> NodeId {
        self.me
    }

    /// Queues a frame for a peer. Never blocks and never fails loudly: what finds neither a link nor the
    /// prospect of one, or no room, is dropped and counted. Urgent frames overtake the others and are
    /// dropped last. If the peer's addresses are known and there is no link, this dials; the frame then
    /// waits for up to two seconds.
    pub fn send(&self, to: NodeId, urgent: bool, frame: Vec<u8>) {
        if self.router.send(to, urgent, frame) {
            self.command(Command::Wanted(to));
        }
    }

    /// Dials a peer at these addresses and remembers them; an empty list means those remembered. The
    /// outcome is `Up` or `DialFailed`. Does nothing but remember while the peer's link is up, and joins
    /// the dial that is under way if there is one.
    pub fn dial(&self, peer: NodeId, addrs: Vec<String>) {
        self.command(Command::Dial(peer, addrs));
    }

    /// Ends the link to a peer and calls off a dial to it. What is queued is written first, within half
    /// a second; then comes `Down`, if the link was up.
    pub fn hang_up(&self, peer: NodeId) {
        self.command(Command::HangUp(peer));
    }

    /// Asks a peer; the answer comes as a stream of chunks. Dials if need be. Fails within three seconds
    /// if no link can be had, and within three more if the peer does not take the request.
    pub async fn call(&self, to: NodeId, request: Vec<u8>) -> Result<CallStream, NetError> {
        let size = request.len();
        if size > MAX_REQUEST {
            return Err(NetError::TooLarge {
                what: "request",
                size,
                limit: MAX_REQUEST,
            });
        }
        let (opened, stream) = oneshot::channel();
        let open = async {
            let command = Command::Call(to, opened);
            self.commands
                .send(command)
                .await
                .map_err(|_| NetError::Closed)?;
            let unreachable = |reason| NetError::Unreachable { peer: to, reason };
            match stream.await {
                Ok(stream) => stream.map_err(unreachable),
                Err(_) => Err(unreachable("the link was lost".into())),
            }
        };
        let seconds = CALL_DEADLINE.as_secs();
        let deadline = NetError::Deadline {
            peer: to,
            doing: "being connected to",
            seconds,
        };
        let stream = timeout(CALL_DEADLINE, open).await.map_err(|_| deadline)??;
        CallStream::begin(stream, to, &request, self.stats.clone()).await
    }

    /// The counters since the start.
    pub fn stats(&self) -> NetStats {
        self.stats.snapshot()
    }

    /// The addresses that the node listens on now, without those that other machines cannot reach
    /// (unless the configuration wants them).
    pub fn listen_addrs(&self) -> Vec<String> {
        self.listening
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends the network for all its handles: writes what is queued, for at most half a second, and
    /// closes all connections.
    pub async fn shutdown(self) {
        let (done, finished) = oneshot::channel();
        if self.commands.send(Command::Shutdown(done)).await.is_ok() {
            let _ = finished.await;
        }
    }

    fn command(&self, command: Command) {
        if let Err(error) = self.commands.try_send(command) {
            tracing::warn!(%error, "the network task is overwhelmed or gone; a command is lost");
            self.stats.commands_dropped.add(1);
        }
    }
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Net({:?})", self.me)
    }
}

/// libp2p listens with `SO_REUSEPORT`, which lets two daemons of one user share a port without a word.
/// So the port is tried without it first. The IPv6 wildcard is left out: the standard library would
/// claim the IPv4 port with it.
fn probe(addr: &Multiaddr) -> io::Result<()> {
    match addr::socket(addr) {
        Some(socket)
            if addr::is_tcp(addr)
                && socket.port() != 0
                && !(socket.is_ipv6() && socket.ip().is_unspecified()) =>
        {
            TcpListener::bind(socket).map(drop)
        }
        _ => Ok(()),
    }
}

/// The socket's own error, out of the wrappings of the transport.
fn socket_error(error: io::Error) -> io::Error {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = next {
        match inner.downcast_ref::<io::Error>() {
            Some(io) if io.get_ref().is_none() => {
                return io
                    .raw_os_error()
                    .map_or_else(|| io.kind().into(), io::Error::from_raw_os_error);
            }
            Some(io) => next = io.get_ref().map(|inner| inner as _),
            None => next = inner.source(),
        }
    }
    error
}
