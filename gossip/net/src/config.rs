//! What goes in at the start and what comes out ever after: the configuration and the events.

use starling_wire::NodeId;

use crate::ClusterSecret;

/// How to start the network of one node.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// The 32-byte secret seed of the node's Ed25519 key.
    pub key_seed: [u8; 32],
    /// The secret of the cluster that the node belongs to.
    pub secret: ClusterSecret,
    /// The multiaddresses to listen on, for example `/ip4/0.0.0.0/tcp/4310`. May be empty: such a
    /// node only dials.
    pub listen: Vec<String>,
    /// Whether to announce the node on the local network and listen for others.
    pub mdns: bool,
    /// Whether [`crate::Net::listen_addrs`] includes addresses that other machines cannot reach
    /// (loopback, container bridges).
    pub advertise_loopback: bool,
    /// What the node calls itself to its peers, for example `starling/0.1.0`.
    pub agent: String,
}

/// What the network tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetEvent {
    /// A link to the peer is admitted and usable; comes exactly once until `Down`.
    Up {
        /// The node at the other end.
        peer: NodeId,
    },
    /// The last link to the peer is gone. No frame of the peer comes before the next `Up`.
    Down {
        /// The node at the other end.
        peer: NodeId,
    },
    /// A frame from a peer whose link is up.
    Frame {
        /// The node that sent it.
        from: NodeId,
        /// What it sent.
        bytes: Vec<u8>,
    },
    /// A dial, asked for by [`crate::Net::dial`] or caused by a frame or a call, has failed.
    DialFailed {
        /// The node that was dialed.
        peer: NodeId,
        /// Every address answered "connection refused": the machine lives and nobody listens.
        refused: bool,
        /// Why, as a sentence for people.
        reason: String,
    },
    /// A node announced itself on the local network. It may belong to another cluster.
    Discovered {
        /// The node.
        peer: NodeId,
        /// Where it listens.
        addr: String,
    },
    /// Somebody was turned away, or we were. At most twenty of them are reported
    /// per second; all of them are counted.
    Refused {
        /// Where the other side is.
        addr: String,
        /// Why, as a sentence for people.
        reason: String,
    },
    /// The node listens on the address now.
    Listening {
        /// The address.
        addr: String,
    },
}

/// At most so many `Refused` events per second: a port scanner must not crowd out the cluster.
pub(crate) const REFUSALS_PER_SECOND: u32 = 20;
