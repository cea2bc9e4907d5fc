//! What the driver does about one peer: one dial at a time, its links, the frames and calls that wait
//! for one. [`Driver::settle`] is the heart: after anything has happened to a peer, it looks at where
//! things stand and owes nobody an answer afterwards.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, Stream};
use starling_wire::NodeId;
use tokio::sync::{Semaphore, oneshot};

use crate::NetEvent;
use crate::driver::Driver;
use crate::outbox::Outbox;
use crate::refusal::Failure;
use crate::streams::{Kind, Opened};
use crate::table::Table;

/// Peers that are remembered; the least recently used that has neither a link nor a dial goes first.
const MAX_PEERS: usize = 4096;

/// Calls to one peer that may wait for a link.
const WAITING_CALLS: usize = 256;

/// Calls from one peer that may be under way.
const INCOMING_CALLS: usize = 64;

/// What the driver knows about one peer.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) addrs: Vec<Multiaddr>,
    pub(crate) table: Table,
    pub(crate) links: HashMap<ConnectionId, Handle>,
    pub(crate) dial: Option<Dial>,
    /// A dial is to begin once the last connection is gone.
    pub(crate) dial_due: bool,
    /// The owner is owed `Up` or `DialFailed`.
    pub(crate) wanted: bool,
    pub(crate) failure: Option<Failure>,
    pub(crate) calls: Vec<Opened>,
    pub(crate) incoming: Arc<Semaphore>,
    pub(crate) live: Arc<AtomicUsize>,
    used: u64,
}

/// A dial that is under way.
pub(crate) struct Dial {
    pub(crate) id: ConnectionId,
    pub(crate) addrs: Vec<Multiaddr>,
    /// What went wrong at addresses that led elsewhere.
    pub(crate) wrong: Vec<String>,
}

/// The driver's end of a link.
pub(crate) struct Handle {
    pub(crate) ours: bool,
    pub(crate) addr: String,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) start: Option<oneshot::Sender<()>>,
    /// Where the peer's link stream goes, if the peer is to open it and has not.
    pub(crate) stream: Option<oneshot::Sender<Result<Stream, String>>>,
    pub(crate) early: Vec<Stream>,
}

impl Driver {
    pub(crate) fn on_call(&mut self, node: NodeId, opened: Opened) {
        let refuse = |opened: Opened, reason: &str| drop(opened.send(Err(reason.into())));
        if node == self.me {
            return refuse(opened, "it is this node itself");
        }
        let Some(peer) = self.peers.get_mut(&node) else {
            return refuse(opened, "no address of it is known");
        };
        peer.calls.retain(|waiting| !waiting.is_closed());
        if peer.calls.len() >= WAITING_CALLS {
            return refuse(opened, "too many calls wait for it");
        }
        peer.calls.push(opened);
        if peer.table.is_usable() {
            self.settle(node);
        } else {
            self.on_wanted(node);
        }
    }

    pub(crate) fn on_hang_up(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        peer.dial_due = false;
        peer.failure = Some(Failure::because("the link was hung up"));
        let acts = peer.table.hang_up();
        if peer.dial.is_some() {
            // Also closes what stands, at once; there is no other way to call off a dial.
            let _ = self.swarm.disconnect_peer_id(peer.id);
        }
        self.apply(node, acts);
        self.settle(node);
    }

    /// Brings everything that depends on the state of the peer's links in line with it.
    pub(crate) fn settle(&mut self, node: NodeId) {
        let closing = self.closing.is_some();
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if peer.dial_due && peer.dial.is_none() && peer.table.is_empty() && !closing {
            peer.dial_due = false;
            let addrs = peer.addrs.clone();
            self.begin_dial(node, addrs, Vec::new());
        }
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if let Some(active) = peer.table.active() {
            (peer.wanted, peer.dial_due, peer.failure) = (false, false, None);
            for opened in std::mem::take(&mut peer.calls) {
                self.swarm
                    .behaviour_mut()
                    .streams
                    .open(peer.id, active, Kind::Call, opened);
            }
        } else if peer.dial.is_some() || !peer.table.is_empty() {
            self.router.wait(node);
        } else {
            self.give_up(node);
        }
    }

    /// There is no link and none on its way: whoever waits for one is told.
    fn give_up(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let failure = peer
            .failure
            .take()
            .unwrap_or_else(|| Failure::because("the link was lost"));
        let wanted = std::mem::take(&mut peer.wanted);
        for opened in std::mem::take(&mut peer.calls) {
            let _ = opened.send(Err(failure.reason.clone()));
        }
        if peer.addrs.is_empty() {
            self.peers.remove(&node);
            self.router.forget(node);
        } else {
            self.router.idle(node, wanted);
        }
        if wanted {
            self.stats.dials_failed.add(1);
            let Failure {
                refused, reason, ..
            } = failure;
            self.tell(NetEvent::DialFailed {
                peer: node,
                refused,
                reason,
            });
        }
    }

    /// The peer's entry, made if need be; none if there is no room.
    pub(crate) fn peer(&mut self, node: NodeId, id: PeerId) -> Option<&mut Peer> {
        if !self.peers.contains_key(&node) && self.peers.len() >= MAX_PEERS {
            let idle = |peer: &Peer| peer.dial.is_none() && peer.table.is_empty();
            let idle = self.peers.iter().filter(|(_, peer)| idle(peer));
            let oldest = *idle.min_by_key(|(_, peer)| peer.used)?.0;
            self.peers.remove(&oldest);
            self.router.forget(oldest);
        }
        self.uses += 1;
        let lower = self.me < node;
        let peer = self.peers.entry(node).or_insert_with(|| Peer {
            id,
            addrs: Vec::new(),
            table: Table::new(lower),
            links: HashMap::new(),
            dial: None,
            dial_due: false,
            wanted: false,
            failure: None,
            calls: Vec::new(),
            incoming: Arc::new(Semaphore::new(INCOMING_CALLS)),
            live: Arc::default(),
            used: 0,
        });
        peer.used = self.uses;
        Some(peer)
    }
}
