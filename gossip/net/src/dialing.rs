//! The driver's dials: one per peer at a time, to all its addresses at once, with one outcome.

use libp2p::Multiaddr;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use starling_wire::NodeId;

use crate::behaviour::DIAL_ADDRS;
use crate::driver::Driver;
use crate::peer::{Dial, Peer};
use crate::refusal::{self, Failure};
use crate::{NetEvent, addr};

impl Driver {
    pub(crate) fn on_dial(&mut self, node: NodeId, texts: &[String]) {
        let id = match addr::peer_of(&node) {
            _ if node == self.me => return self.no_dial(node, "it is this node itself"),
            None => return self.no_dial(node, "its id is not a key"),
            Some(id) => id,
        };
        let parsed = texts.iter().map(|text| addr::parse_dial(text, id));
        let (good, bad): (Vec<_>, Vec<_>) = parsed.partition(Result::is_ok);
        let mut addrs: Vec<Multiaddr> = Vec::new();
        for addr in good.into_iter().flatten() {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        addrs.truncate(usize::from(DIAL_ADDRS));
        let Some(peer) = self.peer(node, id) else {
            return self.no_dial(node, "too many peers are being talked to");
        };
        if !addrs.is_empty() {
            peer.addrs = addrs;
        }
        if peer.table.is_usable() {
            return;
        }
        peer.wanted = true;
        peer.dial_due = peer.dial.is_none() && !peer.addrs.is_empty();
        if peer.addrs.is_empty() {
            let problem = bad.into_iter().find_map(Result::err);
            let none = || "no address of it is known".into();
            peer.failure = Some(Failure::because(
                problem.map_or_else(none, |e| e.to_string()),
            ));
        }
        self.settle(node);
    }

    fn no_dial(&mut self, peer: NodeId, reason: &str) {
        self.stats.dials_failed.add(1);
        self.tell(NetEvent::DialFailed {
            peer,
            refused: false,
            reason: reason.into(),
        });
    }

    /// Frames wait for the peer.
    pub(crate) fn on_wanted(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node)
            && !peer.table.is_usable()
        {
            peer.wanted = true;
            peer.dial_due = peer.dial.is_none() && !peer.addrs.is_empty();
            self.settle(node);
        }
    }

    pub(crate) fn on_dial_error(&mut self, id: ConnectionId, error: &DialError) {
        let mut all = self.peers.iter_mut();
        let ours = |peer: &Peer| peer.dial.as_ref().is_some_and(|dial| dial.id == id);
        let Some((&node, peer)) = all.find(|(_, peer)| ours(peer)) else {
            return;
        };
        let Some(dial) = peer.dial.take() else { return };
        self.dial_failed(node, dial, error);
        self.settle(node);
    }

    fn dial_failed(&mut self, node: NodeId, mut dial: Dial, error: &DialError) {
        let mut failure = refusal::of_dial(error);
        tracing::debug!(peer = %node.short(), reason = %failure.reason, "dial failed");
        for (addr, reason) in std::mem::take(&mut failure.strangers) {
            self.refuse(addr, reason);
        }
        let left = dial.addrs.len();
        dial.addrs
            .retain(|addr| failure.wrong.as_ref() != Some(addr));
        dial.wrong.push(failure.reason);
        let usable = self
            .peers
            .get(&node)
            .is_some_and(|peer| peer.table.is_usable());
        if (1..left).contains(&dial.addrs.len()) && !usable && self.closing.is_none() {
            return self.begin_dial(node, dial.addrs, dial.wrong);
        }
        failure.reason = dial.wrong.join("; ");
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.failure = Some(failure);
        }
    }

    pub(crate) fn begin_dial(&mut self, node: NodeId, addrs: Vec<Multiaddr>, wrong: Vec<String>) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        // From a port of its own: from the listening port, two simultaneous dials would collide.
        let dial = DialOpts::peer_id(peer.id)
            .condition(PeerCondition::Always)
            .allocate_new_port()
            .addresses(addrs.clone())
            .build();
        let dialing = Dial {
            id: dial.connection_id(),
            addrs,
            wrong,
        };
        self.stats.dials.add(1);
        match self.swarm.dial(dial) {
            Ok(()) => peer.dial = Some(dialing),
            Err(error) => self.dial_failed(node, dialing, &error),
        }
    }
}
