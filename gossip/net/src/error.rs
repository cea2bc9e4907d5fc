//! What can go wrong in a way that the caller sees. Frames never fail loudly (they are dropped and
//! counted), so these are the errors of starting and of calls.

use std::io;

use starling_wire::NodeId;

/// An error of starting the network or of a call. No variant leaves anything half done: a network
/// that did not start listens nowhere, a call that failed is closed on both sides.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The text is not an address that this build can use; the user's mistake.
    #[error("`{addr}` is not a usable address: {problem}; write for example /ip4/0.0.0.0/tcp/4310")]
    BadAddress {
        /// The text as it was given.
        addr: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Another program listens on the address.
    #[error(
        "{addr} is already in use: another program (or another Starling node) listens there; \
         stop it, or choose another port"
    )]
    AddressInUse {
        /// The address as it was given.
        addr: String,
    },
    /// The operating system refused the address for another reason.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address as it was given.
        addr: String,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// The node's key or the encryption could not be set up.
    #[error("cannot set up the node's encryption: {0}")]
    Key(String),
    /// The network has been shut down.
    #[error("the network has been shut down")]
    Closed,
    /// There is no link to the node and none could be made.
    #[error("node {} cannot be reached: {reason}", .peer.short())]
    Unreachable {
        /// The node that was called.
        peer: NodeId,
        /// Why no link came about.
        reason: String,
    },
    /// The node did not answer within the deadline; whether it acted on the call is unknown.
    #[error("node {} did not answer within {seconds} s while {doing}", .peer.short())]
    Deadline {
        /// The node that was called.
        peer: NodeId,
        /// What we were waiting for.
        doing: &'static str,
        /// The deadline.
        seconds: u64,
    },
    /// The other side went away before the call was complete; what arrived so far is valid, and
    /// whether the other side acted on the call is unknown.
    #[error("node {} ended the call early: {reason}", .peer.short())]
    Interrupted {
        /// The node on the other side.
        peer: NodeId,
        /// How it ended.
        reason: String,
    },
    /// A request or chunk exceeds its limit; the caller's mistake if we sent it, the peer's if it
    /// did.
    #[error("a {what} of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// `request` or `chunk`.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
}
