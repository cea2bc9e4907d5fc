//! The driver's connections and links: what happens when one comes, is proven, moves or goes, and when a
//! peer opens a stream. Which link counts is decided in `table.rs`; this carries it out.

use libp2p::core::ConnectedPoint;
use libp2p::swarm::ConnectionId;
use libp2p::{PeerId, Stream};
use starling_wire::NodeId;
use tokio::sync::oneshot;

use crate::driver::{Driver, Outgoing};
use crate::link::{End, Link, Report, WRITE_DEADLINE};
use crate::outbox::{Outbox, Stop};
use crate::peer::Handle;
use crate::proof::Ends;
use crate::refusal::Failure;
use crate::streams::{Inbound, Kind};
use crate::table::Act;
use crate::{NetEvent, addr, call};

/// Calls from one peer that may come before its proof has been dealt with.
const EARLY_CALLS: usize = 16;

impl Driver {
    pub(crate) fn on_established(
        &mut self,
        id: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        let ours = endpoint.is_dialer();
        let addr = addr::split_peer(endpoint.get_remote_address().clone())
            .0
            .to_string();
        if self.closing.is_some() {
            self.swarm.close_connection(connection);
            return;
        }
        let node = addr::node_of(&id).filter(|&node| self.peer(node, id).is_some());
        let Some(node) = node else {
            self.swarm.close_connection(connection);
            let reason =
                format!("the node at {addr} has no proper key, or there is no room for it");
            return self.refuse(addr, reason);
        };
        self.connections.insert(connection, node);
        let (opened, stream) = oneshot::channel();
        let (start, started) = oneshot::channel();
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let mut handle = Handle {
            ours,
            addr,
            outbox: Outbox::new(self.stats.clone()),
            start: Some(start),
            stream: None,
            early: Vec::new(),
        };
        if ours {
            peer.dial.take_if(|dial| dial.id == connection);
            self.swarm
                .behaviour_mut()
                .streams
                .open(id, connection, Kind::Link, opened);
        } else {
            handle.stream = Some(opened);
        }
        let (dialer, listener) = if ours {
            (self.me, node)
        } else {
            (node, self.me)
        };
        let link = Link {
            id: connection,
            peer: node,
            ours,
            ends: Ends {
                key: self.link_key,
                dialer,
                listener,
            },
            outbox: handle.outbox.clone(),
            patience: WRITE_DEADLINE,
            live: peer.live.clone(),
            clock: self.clock.clone(),
            events: self.events.clone(),
            reports: self.reporter.clone(),
            stats: self.stats.clone(),
        };
        link.spawn(stream, started);
        peer.table.add(connection, ours);
        peer.links.insert(connection, handle);
        self.settle(node);
    }

    pub(crate) fn on_closed(&mut self, connection: ConnectionId) {
        let Some(node) = self.connections.remove(&connection) else {
            return;
        };
        // A link notices by its stream; only one that still waits for its stream must be told.
        let peer = self.peers.get_mut(&node);
        if let Some(link) = peer.and_then(|peer| peer.links.get_mut(&connection)) {
            link.stream = None;
        }
    }

    /// The connection carries nothing any more, although nobody has closed it.
    pub(crate) fn on_dead(&mut self, connection: ConnectionId, why: &str) {
        tracing::debug!(%connection, why, "connection is dead");
        let node = self.connections.get(&connection);
        let peer = node.and_then(|node| self.peers.get(node));
        if let Some(link) = peer.and_then(|peer| peer.links.get(&connection)) {
            link.outbox.stop(Stop::Abort);
        }
        self.swarm.close_connection(connection);
    }

    pub(crate) fn on_inbound(&mut self, inbound: Inbound) {
        let Inbound {
            connection,
            kind,
            stream,
        } = inbound;
        let Some(&node) = self.connections.get(&connection) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let link = peer.links.get_mut(&connection);
        match (kind, link) {
            (Kind::Call, Some(link)) if peer.table.is_proving(connection) => {
                if link.early.len() < EARLY_CALLS {
                    link.early.push(stream);
                }
            }
            (Kind::Call, _) if peer.table.is_up() => self.serve(node, stream),
            (Kind::Call, _) => self.stats.calls_refused.add(1),
            (Kind::Link, Some(link)) => match link.stream.take() {
                Some(opened) => drop(opened.send(Ok(stream))),
                None => {
                    let addr = link.addr.clone();
                    self.on_dead(connection, "a second link on one connection");
                    let reason = format!("node {} opened a second link at once", node.short());
                    self.refuse(addr, reason);
                }
            },
            (Kind::Link, None) => {}
        }
    }

    fn serve(&mut self, node: NodeId, stream: Stream) {
        let Some(peer) = self.peers.get(&node) else {
            return;
        };
        match peer.incoming.clone().try_acquire_owned() {
            Ok(permit) => {
                let (calls, stats) = (self.calls.clone(), self.stats.clone());
                tokio::spawn(call::serve(stream, node, permit, calls, stats));
            }
            Err(_) => self.stats.calls_refused.add(1),
        }
    }

    pub(crate) fn on_report(&mut self, id: ConnectionId, report: Report) {
        let mut all = self.peers.iter_mut();
        let owner = match self.connections.get(&id) {
            Some(&node) => self.peers.get_mut(&node).map(|peer| (node, peer)),
            None => all
                .find(|(_, peer)| peer.links.contains_key(&id))
                .map(|(&node, peer)| (node, peer)),
        };
        let Some((node, peer)) = owner else { return };
        match report {
            Report::Proven { at, supersedes } => {
                let acts = peer.table.proven(id, at, supersedes);
                let early = peer
                    .links
                    .get_mut(&id)
                    .map(|link| std::mem::take(&mut link.early));
                self.apply(node, acts);
                for stream in early.into_iter().flatten() {
                    self.serve(node, stream);
                }
            }
            Report::Moved(moved) => {
                let acts = peer.table.moved(id, moved);
                self.apply(node, acts);
            }
            Report::Ended(end) => self.on_ended(node, id, end),
        }
        self.settle(node);
    }

    fn on_ended(&mut self, node: NodeId, id: ConnectionId, end: End) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let Some(link) = peer.links.remove(&id) else {
            return;
        };
        let retired = peer.table.is_retired(id);
        let acts = peer.table.ended(id);
        tracing::debug!(peer = %node.short(), %id, addr = %link.addr, ?end, "link ended");
        if let End::Unproven(why) | End::Misbehaved(why) = &end {
            let reason = format!("node {} at {} was refused: {why}", node.short(), link.addr);
            peer.failure = Some(Failure::because(reason.clone()));
            self.refuse(link.addr.clone(), reason);
        }
        // A retired link's connection may still carry calls, or one that the peer is just opening; it
        // goes when it is idle.
        if !retired {
            self.swarm.close_connection(id);
        }
        self.apply(node, acts);
    }

    pub(crate) fn apply(&mut self, node: NodeId, acts: Vec<Act>) {
        for act in acts {
            let Some(peer) = self.peers.get_mut(&node) else {
                return;
            };
            match act {
                Act::Up => {
                    tracing::debug!(peer = %node.short(), "link up");
                    self.tell(NetEvent::Up { peer: node });
                }
                Act::Down => {
                    tracing::debug!(peer = %node.short(), "link down");
                    self.tell(NetEvent::Down { peer: node });
                    self.close_leftovers(node);
                }
                Act::Park => self.router.wait(node),
                Act::Open(id) => {
                    let link = peer.links.get_mut(&id);
                    let start = link.and_then(|link| link.start.take());
                    self.outgoing.extend(start.map(Outgoing::Gate));
                }
                Act::Activate(id) => {
                    if let Some(link) = peer.links.get(&id) {
                        link.outbox.come_back();
                        self.router.link(node, &link.outbox);
                    }
                }
                Act::Move(id) => {
                    peer.links.get(&id).inspect(|link| link.outbox.move_on());
                }
                Act::Retire(id) => {
                    let link = peer.links.get(&id).filter(|link| !link.ours);
                    link.inspect(|link| link.outbox.stop(Stop::Drain));
                }
                Act::Drain(id) => {
                    peer.links
                        .get(&id)
                        .inspect(|link| link.outbox.stop(Stop::Drain));
                }
                Act::Abort(id) => {
                    peer.links
                        .get(&id)
                        .inspect(|link| link.outbox.stop(Stop::Abort));
                    self.swarm.close_connection(id);
                }
            }
        }
        let up = self
            .peers
            .values()
            .filter(|peer| peer.table.is_up())
            .count();
        self.stats.links_up.set(up);
    }

    /// Closes the peer's connections that no link is on.
    fn close_leftovers(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get(&node) else {
            return;
        };
        for (&id, owner) in &self.connections {
            if *owner == node && !peer.links.contains_key(&id) {
                self.swarm.close_connection(id);
            }
        }
    }
}
