//! What the machine hands to its driver.

use starling_wire::NodeId;
use starling_wire::gossip::GossipMessage;

use crate::MemberState;

/// A node to be found, and where it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Who it is.
    pub node: NodeId,
    /// Its addresses, as multiaddresses, the likeliest first.
    pub addrs: Vec<String>,
}

/// What the driver is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a message. Normally to a linked peer; to another only after a [`Output::Dial`] of it,
    /// and then the message may be kept until the link is up, or dropped.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: GossipMessage,
        /// The same as a frame.
        frame: Vec<u8>,
        /// Whether it goes before other gossip.
        urgent: bool,
    },
    /// Connect to a peer. The outcome is [`crate::Gossip::link_up`] or [`crate::Gossip::dial_failed`]; none within
    /// five seconds counts as failed. Never more than one is outstanding per peer.
    Dial {
        /// To whom.
        peer: NodeId,
        /// Where it may be, the likeliest first; never empty.
        addrs: Vec<String>,
    },
    /// Close the link to a peer. It counts as down from here on, [`crate::Gossip::link_down`] is optional.
    HangUp {
        /// To whom.
        peer: NodeId,
    },
    /// The membership changed: a member is new, changed its state, or began a new incarnation. Also
    /// given for this node itself when it had to raise its incarnation, which is then to be
    /// remembered so that the next life begins with a greater one.
    Changed {
        /// Who.
        node: NodeId,
        /// What it was, if it was known.
        from: Option<MemberState>,
        /// What it is.
        to: MemberState,
        /// Its incarnation.
        incarnation: u32,
    },
    /// The address book changed and is to be saved, to be handed to the next life as seeds.
    AddressBook(Vec<Seed>),
    /// Observations changed and are to be saved: by tag, the signed bytes, or none to remove it. To
    /// be handed to the next life by [`crate::Gossip::restore_observations`].
    Observations(Vec<(u64, Option<Vec<u8>>)>),
}
