//! What nodes gossip: probes of one another, digests, records and rumours about who is gone.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::ids::NodeId;
use crate::observation::SignedObservation;
use crate::record::{Aged, StaticHash};

/// The most rumours in one message.
pub const MAX_RUMOURS: usize = 16;
/// The most digest entries in one message.
pub const MAX_HEADS: usize = 64;
/// The most records in one message.
pub const MAX_RECORDS: usize = 64;
/// The most static parts asked for or sent in one message.
pub const MAX_STATICS: usize = 4;

/// The most sums of a table's parts in one message.
pub const MAX_SUMS: usize = 64;
/// The most marks of observations in one message.
pub const MAX_MARKS: usize = 48;
/// The most observations in one message, and the most asked for.
pub const MAX_SEEN: usize = 16;

/// What is said about a node that may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claim {
    /// It did not answer in time.
    #[serde(rename = "s")]
    Silent,
    /// Its port refuses connections: nobody listens there any more.
    #[serde(rename = "r")]
    Refused,
    /// It is held to be dead.
    #[serde(rename = "d")]
    Dead,
    /// It said itself that it leaves.
    #[serde(rename = "l")]
    Left,
}

/// One claim about one incarnation of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rumour {
    /// Whom it is about.
    #[serde(rename = "n")]
    pub node: NodeId,
    /// Which incarnation of it; a greater one refutes the rumour.
    #[serde(rename = "i")]
    pub incarnation: u32,
    /// What is claimed.
    #[serde(rename = "c")]
    pub claim: Claim,
    /// Who found it.
    #[serde(rename = "b")]
    pub by: NodeId,
}

/// A digest entry: a node's tag and the stamp of the record held of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head(pub u32, pub u32, pub u32);

/// Stands for an observation held: its tag, when it was measured in seconds, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark(pub u64, pub u32, pub u32);

/// A message between the gossip parts of two nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GossipMessage {
    /// Are you there?
    #[serde(rename = "p")]
    Ping {
        /// Comes back in the [`GossipMessage::Ack`].
        #[serde(rename = "s")]
        seq: u32,
        /// News about others.
        #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
        rumours: Vec<Rumour>,
    },
    /// I am.
    #[serde(rename = "a")]
    Ack {
        /// The ping's.
        #[serde(rename = "s")]
        seq: u32,
        /// News about others.
        #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
        rumours: Vec<Rumour>,
    },
    /// Ask `target` whether it is there, for me.
    #[serde(rename = "q")]
    PingFor {
        /// Whom to ask.
        #[serde(rename = "t")]
        target: NodeId,
    },
    /// `target` answered when I asked it for you.
    #[serde(rename = "b")]
    AckFor {
        /// Who answered.
        #[serde(rename = "t")]
        target: NodeId,
        /// Its incarnation as far as is known.
        #[serde(rename = "i")]
        incarnation: u32,
    },
    /// Opens an exchange: what I hold, as a checksum and, unless that is known to agree, the
    /// newest stamps.
    #[serde(rename = "y")]
    Sync {
        /// A checksum over all stamps held.
        #[serde(rename = "s")]
        sum: u64,
        /// The newest stamps held.
        #[serde(rename = "h", default, skip_serializing_if = "Vec::is_empty")]
        heads: Vec<Head>,
        /// Below which age in milliseconds no stamp was left out; the receiver can tell from it
        /// what the sender lacks.
        #[serde(rename = "m", default, skip_serializing_if = "is_zero")]
        within_ms: u32,
        /// Whether this answers a [`GossipMessage::Sync`] whose checksum disagreed.
        #[serde(rename = "a", default, skip_serializing_if = "std::ops::Not::not")]
        answer: bool,
        /// A checksum over all observations held; 0 if there are none.
        #[serde(rename = "o", default, skip_serializing_if = "is_zero")]
        seen: u32,
    },
    /// Records the other seems to lack, and the tags of those I lack.
    #[serde(rename = "d")]
    Delta {
        /// Newest first.
        #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
        records: Vec<Aged>,
        /// Tags of nodes whose newer records the sender would like.
        #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
        wants: Vec<u32>,
        /// News about who is gone.
        #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
        rumours: Vec<Rumour>,
    },
    /// Asks for static parts by hash.
    #[serde(rename = "f")]
    Fetch(Vec<StaticHash>),
    /// Static parts, encoded; their hash authenticates them.
    #[serde(rename = "s")]
    Statics(Vec<ByteBuf>),
    /// Urgent news.
    #[serde(rename = "r")]
    Rumours(Vec<Rumour>),
    /// What I hold of the table of observations, as checksums of the parts of a span.
    #[serde(rename = "t")]
    Sums {
        /// The span.
        #[serde(rename = "s")]
        of: u16,
        /// Its parts and their checksums; those not listed are empty.
        #[serde(rename = "p")]
        sums: Vec<(u16, u32)>,
    },
    /// What I hold of the table of observations, one by one.
    #[serde(rename = "m")]
    Marks {
        /// The spans that are listed in full.
        #[serde(rename = "s")]
        of: Vec<u16>,
        /// What is in them.
        #[serde(rename = "m")]
        marks: Vec<Mark>,
    },
    /// Observations the other seems to lack, and the tags of those I lack.
    #[serde(rename = "o")]
    Seen {
        /// The freshest first.
        #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
        cells: Vec<Arc<SignedObservation>>,
        /// Tags of what the sender would like.
        #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
        wants: Vec<u64>,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands it over by reference.
const fn is_zero(value: &u32) -> bool {
    *value == 0
}
