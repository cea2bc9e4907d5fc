//! The one task that owns the swarm. It turns commands, libp2p's events and the links' reports into each
//! other and never waits for anybody: what the owner is to hear goes into a queue first, and when that
//! is long, the swarm is not asked for more. What concerns one peer is in `peer.rs`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture};
use futures::{FutureExt, StreamExt};
use libp2p::core::transport::ListenerId;
use libp2p::swarm::{ConnectionId, Swarm, SwarmEvent};
use libp2p::{Multiaddr, mdns, ping};
use starling_wire::NodeId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::behaviour::{Behaviour, BehaviourEvent};
use crate::call::IncomingCall;
use crate::config::REFUSALS_PER_SECOND;
use crate::link::Report;
use crate::peer::Peer;
use crate::router::Router;
use crate::stats::Counters;
use crate::streams::Opened;
use crate::{NetEvent, addr, refusal};

/// Reports of links that may wait; a link waits when there are more.
const REPORTS: usize = 256;

/// Events that may wait to be sent to the owner before the swarm is left alone.
const OUTGOING_CAP: usize = 1024;

/// Beyond this many waiting events, those that only inform are dropped.
const OUTGOING_MINOR: usize = 256;

/// How long a shutdown may take.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Dial(NodeId, Vec<String>),
    HangUp(NodeId),
    /// Frames wait for a peer that has no link.
    Wanted(NodeId),
    Call(NodeId, Opened),
    Shutdown(oneshot::Sender<()>),
}

/// What waits to be sent to the owner, in order.
pub(crate) enum Outgoing {
    Event(NetEvent),
    /// Lets a link read, now that everything before this has been sent.
    Gate(oneshot::Sender<()>),
}

/// What a driver is made of.
pub(crate) struct Setup {
    pub(crate) me: NodeId,
    pub(crate) link_key: [u8; 32],
    pub(crate) advertise_all: bool,
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Sender<NetEvent>,
    pub(crate) calls: mpsc::Sender<IncomingCall>,
    pub(crate) router: Arc<Router>,
    pub(crate) stats: Arc<Counters>,
    pub(crate) listening: Arc<RwLock<Vec<String>>>,
    pub(crate) listeners: HashSet<ListenerId>,
    pub(crate) ready: oneshot::Sender<()>,
}

/// The driver's state.
pub(crate) struct Driver {
    pub(crate) me: NodeId,
    pub(crate) link_key: [u8; 32],
    advertise_all: bool,
    pub(crate) swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Sender<NetEvent>,
    pub(crate) calls: mpsc::Sender<IncomingCall>,
    pub(crate) router: Arc<Router>,
    pub(crate) stats: Arc<Counters>,
    listening: Arc<RwLock<Vec<String>>>,
    /// All addresses that we listen on.
    listen_addrs: Vec<Multiaddr>,
    /// Listeners that have not named an address yet, and whom to tell when all have.
    silent: HashSet<ListenerId>,
    ready: Option<oneshot::Sender<()>>,
    reports: mpsc::Receiver<(ConnectionId, Report)>,
    pub(crate) reporter: mpsc::Sender<(ConnectionId, Report)>,
    pub(crate) outgoing: VecDeque<Outgoing>,
    pub(crate) peers: HashMap<NodeId, Peer>,
    /// Every connection that stands, and whose it is.
    pub(crate) connections: HashMap<ConnectionId, NodeId>,
    pub(crate) clock: Arc<AtomicU64>,
    /// Counts uses of peers, to find the least recently used.
    pub(crate) uses: u64,
    /// The second in which refusals are counted, and how many there were.
    refusals: (Instant, u32),
    /// When the shutdown must be over, and whom to tell.
    pub(crate) closing: Option<(Instant, Vec<oneshot::Sender<()>>)>,
}

impl Driver {
    pub(crate) fn new(setup: Setup) -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS);
        Self {
            me: setup.me,
            link_key: setup.link_key,
            advertise_all: setup.advertise_all,
            swarm: setup.swarm,
            commands: setup.commands,
            events: setup.events,
            calls: setup.calls,
            router: setup.router,
            stats: setup.stats,
            listening: setup.listening,
            listen_addrs: Vec::new(),
            silent: setup.listeners,
            ready: Some(setup.ready),
            reports,
            reporter,
            outgoing: VecDeque::new(),
            peers: HashMap::new(),
            connections: HashMap::new(),
            clock: Arc::default(),
            uses: 0,
            refusals: (Instant::now(), 0),
            closing: None,
        }
    }

    /// Runs until the network is shut down or all its handles are gone.
    pub(crate) async fn run(mut self) {
        self.tell_ready();
        // Lives across rounds: waiting anew each round would lose the place in the queue for a slot to
        // the links, which wait in the same queue with their frames.
        let mut slot: Option<BoxFuture<'static, Result<_, _>>> = None;
        while !self.is_finished() {
            self.open_gates();
            if !self.outgoing.is_empty() && slot.is_none() {
                slot = Some(self.events.clone().reserve_owned().boxed());
            }
            let deadline = self.closing.as_ref().map(|(deadline, _)| *deadline);
            tokio::select! {
                Some(permit) = OptionFuture::from(slot.as_mut()), if slot.is_some() => {
                    slot = None;
                    match (permit, self.outgoing.pop_front()) {
                        (Ok(permit), Some(Outgoing::Event(event))) => drop(permit.send(event)),
                        (Ok(_), _) => {}
                        (Err(_), _) => {
                            self.outgoing.clear();
                            self.shut_down(None);
                        }
                    }
                }
                // The driver holds a sender, so this never ends.
                Some((id, report)) = self.reports.recv() => self.on_report(id, report),
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                event = self.swarm.select_next_some(), if self.outgoing.len() < OUTGOING_CAP => {
                    self.on_swarm(event);
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
            }
        }
        let waiting = self
            .closing
            .take()
            .map(|(_, waiting)| waiting)
            .unwrap_or_default();
        // Dropping the swarm closes whatever is still open; only then has the network ended.
        drop(self);
        for done in waiting {
            let _ = done.send(());
        }
    }

    /// Queues an event that must not be lost.
    pub(crate) fn tell(&mut self, event: NetEvent) {
        self.outgoing.push_back(Outgoing::Event(event));
    }

    /// Counts somebody being turned away, and reports it unless there are too many.
    pub(crate) fn refuse(&mut self, addr: String, reason: String) {
        self.stats.peers_refused.add(1);
        if self.refusals.0.elapsed() >= Duration::from_secs(1) {
            self.refusals = (Instant::now(), 0);
        }
        self.refusals.1 += 1;
        if self.refusals.1 > REFUSALS_PER_SECOND {
            self.stats.events_dropped.add(1);
            return;
        }
        tracing::warn!(%addr, %reason, "refused");
        self.tell_minor(NetEvent::Refused { addr, reason });
    }

    fn tell_minor(&mut self, event: NetEvent) {
        if self.outgoing.len() < OUTGOING_MINOR {
            self.tell(event);
        } else {
            self.stats.events_dropped.add(1);
        }
    }

    fn open_gates(&mut self) {
        while let Some(Outgoing::Gate(_)) = self.outgoing.front() {
            if let Some(Outgoing::Gate(gate)) = self.outgoing.pop_front() {
                let _ = gate.send(());
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Shutdown(done) => self.shut_down(Some(done)),
            Command::Call(_, opened) if self.closing.is_some() => {
                let _ = opened.send(Err("the network is shutting down".into()));
            }
            _ if self.closing.is_some() => {}
            Command::Dial(node, addrs) => self.on_dial(node, &addrs),
            Command::HangUp(node) => self.on_hang_up(node),
            Command::Wanted(node) => self.on_wanted(node),
            Command::Call(node, opened) => self.on_call(node, opened),
        }
    }

    fn shut_down(&mut self, done: Option<oneshot::Sender<()>>) {
        let first = self.closing.is_none();
        let closing = self
            .closing
            .get_or_insert_with(|| (Instant::now() + SHUTDOWN, Vec::new()));
        closing.1.extend(done);
        if first {
            let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
            for node in nodes {
                self.on_hang_up(node);
            }
        }
    }

    fn is_finished(&self) -> bool {
        self.closing.is_some()
            && self.connections.is_empty()
            && self.peers.values().all(|peer| peer.table.is_empty())
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.on_established(peer_id, connection_id, &endpoint);
                self.stats.connections.set(self.connections.len());
            }
            SwarmEvent::ConnectionClosed {
                connection_id,
                cause,
                ..
            } => {
                tracing::debug!(%connection_id, ?cause, "connection closed");
                self.on_closed(connection_id);
                self.stats.connections.set(self.connections.len());
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => {
                self.on_dial_error(connection_id, &error);
            }
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                ..
            } => match refusal::of_listen(&error, &send_back_addr) {
                Some(reason) => self.refuse(send_back_addr.to_string(), reason),
                None => tracing::debug!(addr = %send_back_addr, %error, "nobody came in"),
            },
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => {
                if !self.listen_addrs.contains(&address) {
                    self.listen_addrs.push(address.clone());
                }
                self.list_addrs();
                self.silent.remove(&listener_id);
                self.tell_ready();
                self.tell(NetEvent::Listening {
                    addr: address.to_string(),
                });
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listen_addrs.retain(|addr| *addr != address);
                self.list_addrs();
            }
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                tracing::warn!(?addresses, ?reason, "no longer listening");
                self.listen_addrs.retain(|addr| !addresses.contains(addr));
                self.list_addrs();
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener"),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Streams(inbound) => self.on_inbound(inbound),
            BehaviourEvent::Ping(ping::Event {
                connection,
                result: Err(error),
                ..
            }) => match error {
                ping::Failure::Unsupported => {}
                // A connection that cannot carry a ping carries nothing.
                error => self.on_dead(connection, &error.to_string()),
            },
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                // An address on one of our own bridges names a machine inside this one at best.
                let bridges = addr::bridge_addrs();
                for (peer, addr) in found {
                    let addr = addr::split_peer(addr).0;
                    let usable = addr::check_addr(&addr.to_string()).is_ok()
                        && (self.advertise_all || addr::reachable(&addr, &bridges));
                    if let Some(peer) =
                        addr::node_of(&peer).filter(|&peer| peer != self.me && usable)
                    {
                        let addr = addr.to_string();
                        self.tell_minor(NetEvent::Discovered { peer, addr });
                    }
                }
            }
            _ => {}
        }
    }

    fn tell_ready(&mut self) {
        if self.silent.is_empty()
            && let Some(ready) = self.ready.take()
        {
            let _ = ready.send(());
        }
    }

    fn list_addrs(&self) {
        let bridges = addr::bridge_addrs();
        let wanted = |addr: &&Multiaddr| self.advertise_all || addr::reachable(addr, &bridges);
        let addrs = self
            .listen_addrs
            .iter()
            .filter(wanted)
            .map(ToString::to_string)
            .collect();
        *self
            .listening
            .write()
            .unwrap_or_else(PoisonError::into_inner) = addrs;
    }
}
