//! libp2p's errors in plain words. What matters to the owner is hidden deep in chains of sources: did
//! nobody listen, did nobody answer, is it another cluster, is it another node?

use std::error::Error;
use std::io;

use libp2p::core::transport::TransportError;
use libp2p::core::upgrade::NegotiationError;
use libp2p::swarm::{DialError, ListenError};
use libp2p::{Multiaddr, connection_limits};

use crate::addr::{node_of, split_peer};
use crate::upgrade::{AdmissionError, CONNECT_DEADLINE};

/// What became of a dial.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Every address answered "connection refused".
    pub(crate) refused: bool,
    /// Why, for people.
    pub(crate) reason: String,
    /// The addresses whose nodes turned us away or that we turned away, each with a sentence.
    pub(crate) strangers: Vec<(String, String)>,
    /// This address leads to another node; the others have not been tried to the end.
    pub(crate) wrong: Option<Multiaddr>,
}

impl Failure {
    /// A failure that has only a reason.
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self {
            refused: false,
            reason: reason.into(),
            strangers: Vec::new(),
            wrong: None,
        }
    }
}

/// Why one connection did not come about.
#[derive(Debug, PartialEq, Eq)]
enum Cause {
    Refused,
    Silent,
    Stranger,
    NoSecret,
    BrokenOff,
    NotStarling,
    Other(String),
}

/// Puts the failure of a dial into words.
pub(crate) fn of_dial(error: &DialError) -> Failure {
    match error {
        DialError::Transport(errors) => of_addresses(errors),
        DialError::WrongPeerId { obtained, address } => {
            let other = node_of(obtained).map_or_else(|| obtained.to_string(), |node| node.short());
            let address = split_peer(address.clone()).0;
            let reason = format!("{address} leads to another node, {other}");
            Failure {
                wrong: Some(address),
                ..Failure::because(reason)
            }
        }
        DialError::LocalPeerId { address } => {
            let address = split_peer(address.clone()).0;
            let reason = format!("{address} leads back to this node");
            Failure {
                wrong: Some(address),
                ..Failure::because(reason)
            }
        }
        // Some address was given; libp2p leaves out those that we listen on ourselves.
        DialError::NoAddresses => Failure::because("its addresses lead back to this node"),
        DialError::Aborted => Failure::because("the dial was called off"),
        DialError::Denied { cause } => match cause.downcast_ref::<connection_limits::Exceeded>() {
            Some(limit) => Failure::because(limit.to_string()),
            None => Failure::because(cause.to_string()),
        },
        DialError::DialPeerConditionFalse(_) => Failure::because(error.to_string()),
    }
}

fn of_addresses(errors: &[(Multiaddr, TransportError<io::Error>)]) -> Failure {
    let mut failure = Failure::because("");
    let mut all_refused = !errors.is_empty();
    for (addr, error) in errors {
        let addr = split_peer(addr.clone()).0;
        let cause = match error {
            TransportError::MultiaddrNotSupported(_) => {
                Cause::Other("this build cannot dial such an address".into())
            }
            TransportError::Other(error) => cause_of(error),
        };
        all_refused &= cause == Cause::Refused;
        let words = match &cause {
            Cause::Refused => format!("nobody listens on {addr}"),
            Cause::Silent => {
                format!(
                    "{addr} did not answer within {} s",
                    CONNECT_DEADLINE.as_secs()
                )
            }
            Cause::Stranger => stranger(&addr),
            Cause::NoSecret => {
                format!("the node at {addr} does not share this cluster's secret")
            }
            // The listener proves itself first, so it was not the secret.
            Cause::BrokenOff => format!("{addr} broke off the handshake"),
            Cause::NotStarling => format!("what answers at {addr} is not a Starling node"),
            Cause::Other(words) => format!("{addr}: {words}"),
        };
        if matches!(
            cause,
            Cause::Stranger | Cause::NoSecret | Cause::NotStarling
        ) {
            failure.strangers.push((addr.to_string(), words.clone()));
        }
        if !failure.reason.is_empty() {
            failure.reason.push_str("; ");
        }
        failure.reason.push_str(&words);
    }
    failure.refused = all_refused;
    failure
}

/// Puts into words why somebody who connected to us was turned away; `None` if it merely went away.
pub(crate) fn of_listen(error: &ListenError, from: &Multiaddr) -> Option<String> {
    let cause = match error {
        ListenError::Transport(TransportError::Other(error)) => cause_of(error),
        ListenError::LocalPeerId { .. } => {
            return Some(format!(
                "the node at {from} uses this node's own key: it is this node itself or a copy of it"
            ));
        }
        ListenError::Denied { cause } => {
            let limit = cause.downcast_ref::<connection_limits::Exceeded>();
            let why = limit.map_or_else(|| cause.to_string(), ToString::to_string);
            return Some(format!("the node at {from} was turned away: {why}"));
        }
        _ => return None,
    };
    match cause {
        Cause::Stranger => Some(stranger(from)),
        // Who lacks the secret cannot read our proof and breaks off.
        Cause::NoSecret | Cause::BrokenOff => Some(format!(
            "the node at {from} knows this cluster's id but did not prove that it knows its secret"
        )),
        Cause::NotStarling => Some(format!("what connected from {from} is not a Starling node")),
        Cause::Silent => Some(format!(
            "what connected from {from} did not introduce itself within {} s",
            CONNECT_DEADLINE.as_secs()
        )),
        Cause::Refused | Cause::Other(_) => None,
    }
}

fn stranger(addr: &Multiaddr) -> String {
    format!("the node at {addr} belongs to another cluster, or is not a Starling node")
}

fn cause_of(error: &io::Error) -> Cause {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let mut innermost = error.to_string();
    while let Some(error) = next {
        innermost = error.to_string();
        if let Some(error) = error.downcast_ref::<AdmissionError>() {
            return match error {
                AdmissionError::WrongSecret(_) => Cause::NoSecret,
                AdmissionError::BrokenOff(_) => Cause::BrokenOff,
            };
        }
        if let Some(error) = error.downcast_ref::<NegotiationError>() {
            return match error {
                NegotiationError::Failed => Cause::Stranger,
                NegotiationError::ProtocolError(error) => match error.source() {
                    Some(io) if is_kind(io, io::ErrorKind::InvalidData) => Cause::NotStarling,
                    Some(_) => Cause::Other("the connection broke during the greeting".into()),
                    None => Cause::NotStarling,
                },
            };
        }
        if is_kind(error, io::ErrorKind::ConnectionRefused) {
            return Cause::Refused;
        }
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            // An `io::Error` around another error shows that error's source as its own; go through
            // the other error itself.
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    // The time-out is an enum variant behind types that cannot be named; its words are all there is.
    match innermost.to_lowercase() {
        words if words.contains("timeout") || words.contains("timed out") => Cause::Silent,
        _ => Cause::Other(innermost),
    }
}

fn is_kind(error: &(dyn Error + 'static), kind: io::ErrorKind) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == kind)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::upgrade::SocketError;

    fn socket(kind: io::ErrorKind) -> TransportError<io::Error> {
        TransportError::Other(io::Error::other(SocketError(kind.into())))
    }

    #[test]
    fn a_dial_counts_as_refused_only_if_every_address_refused() {
        let addr: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let refused = || (addr.clone(), socket(io::ErrorKind::ConnectionRefused));
        let failure = of_dial(&DialError::Transport(vec![refused(), refused()]));
        assert!(
            failure.refused && failure.reason.contains("nobody listens"),
            "{failure:?}"
        );
        let unreachable = (addr.clone(), socket(io::ErrorKind::HostUnreachable));
        assert!(!of_dial(&DialError::Transport(vec![refused(), unreachable])).refused);
        assert!(!of_dial(&DialError::Transport(Vec::new())).refused);
    }
}
