//! The libp2p behaviour under our two protocols, links and calls: it opens streams on a given
//! connection and hands over those that a peer opens. `libp2p-stream` does nearly the same, but picks
//! one of several connections at random, drops streams when its consumer is late, dials by itself and
//! keeps a record of every connection there ever was; links need to know which connection they are
//! on, so this is ours.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use tokio::sync::oneshot;

/// How long the other side may take to agree to a stream.
const OPEN_DEADLINE: Duration = Duration::from_secs(3);

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Frames.
    Link,
    /// One call.
    Call,
}

impl Kind {
    const fn protocol(self) -> StreamProtocol {
        match self {
            Self::Link => StreamProtocol::new("/starling/link/1"),
            Self::Call => StreamProtocol::new("/starling/call/1"),
        }
    }
}

/// Where an opened stream goes, or the reason that there is none.
pub(crate) type Opened = oneshot::Sender<Result<Stream, String>>;

/// The order to open a stream.
#[derive(Debug)]
pub(crate) struct Open {
    kind: Kind,
    opened: Opened,
}

/// A stream that a peer has opened.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) connection: ConnectionId,
    pub(crate) kind: Kind,
    pub(crate) stream: Stream,
}

/// The behaviour: a queue in each direction.
#[derive(Default)]
pub(crate) struct Behaviour {
    queue: VecDeque<ToSwarm<Inbound, Open>>,
    waker: Option<Waker>,
}

impl Behaviour {
    /// Opens a stream on the connection. If the connection ends first, `opened` is dropped.
    pub(crate) fn open(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        kind: Kind,
        opened: Opened,
    ) {
        self.queue.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Open { kind, opened },
        });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Inbound;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        connection: ConnectionId,
        (kind, stream): THandlerOutEvent<Self>,
    ) {
        self.queue.push_back(ToSwarm::GenerateEvent(Inbound {
            connection,
            kind,
            stream,
        }));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Inbound, THandlerInEvent<Self>>> {
        if let Some(event) = self.queue.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

type HandlerEvent = ConnectionHandlerEvent<Offer, Opened, (Kind, Stream)>;

/// The part of the behaviour that lives with one connection.
#[derive(Default)]
pub(crate) struct Handler {
    queue: VecDeque<HandlerEvent>,
    waker: Option<Waker>,
}

impl Handler {
    fn push(&mut self, event: HandlerEvent) {
        self.queue.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = (Kind, Stream);
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opened;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer(&[Kind::Link, Kind::Call]), ()).with_timeout(OPEN_DEADLINE)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<HandlerEvent> {
        if let Some(event) = self.queue.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, Open { kind, opened }: Open) {
        let offer = match kind {
            Kind::Link => Offer(&[Kind::Link]),
            Kind::Call => Offer(&[Kind::Call]),
        };
        self.push(ConnectionHandlerEvent::OutboundSubstreamRequest {
            protocol: SubstreamProtocol::new(offer, opened).with_timeout(OPEN_DEADLINE),
        });
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), Opened>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) => self.push(ConnectionHandlerEvent::NotifyBehaviour(protocol)),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (_, stream),
                info,
            }) => {
                let _ = info.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let _ = info.send(Err(match error {
                    StreamUpgradeError::Timeout => "it did not agree to a stream in time".into(),
                    StreamUpgradeError::NegotiationFailed => {
                        "it speaks another version of Starling's protocol".into()
                    }
                    StreamUpgradeError::Io(error) => format!("the connection broke: {error}"),
                    StreamUpgradeError::Apply(never) => match never {},
                }));
            }
            _ => {}
        }
    }
}

/// The kinds of stream that are offered or asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer(&'static [Kind]);

impl Offer {
    /// The stream together with its kind. Only what was offered can have been agreed upon.
    fn agreed(self, stream: Stream, name: &StreamProtocol) -> (Kind, Stream) {
        let call = self.0.contains(&Kind::Call) && *name == Kind::Call.protocol();
        (if call { Kind::Call } else { Kind::Link }, stream)
    }
}

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = std::iter::Map<std::slice::Iter<'static, Kind>, fn(&Kind) -> StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.iter().map(|kind| kind.protocol())
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Kind, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok(self.agreed(stream, &name)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Kind, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok(self.agreed(stream, &name)))
    }
}
