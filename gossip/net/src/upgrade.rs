//! The first layer of admission, on TCP: Noise under the cluster's name and over the cluster's
//! secret. The negotiated protocol is `/starling/CLUSTER/noise`, so a stranger fails while the
//! protocol is still being named, which both sides can report in words; and the handshake's prologue
//! is derived from the secret, so whoever only knows the name cannot finish it. Everything else is
//! spoken above this. QUIC has no such hook; there the proof on the link (`proof.rs`) stands alone.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite, FutureExt, TryFutureExt};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::{
    InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version,
};
use libp2p::identity::Keypair;
use libp2p::{PeerId, Transport, noise, tcp, yamux};

use crate::{ClusterSecret, NetError};

/// How long connecting and the handshake may take, in either direction.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

/// Yamux tunes a stream's window up to whatever is left of a gigabyte after every permitted stream
/// has had its 256 KiB. Permitting this many leaves nothing, so a window stays at 256 KiB and a
/// stalled reader costs no more than that. How many streams there really are is bounded elsewhere.
const YAMUX_STREAMS: usize = 4096;

/// Why a peer did not get through the handshake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdmissionError {
    /// Its messages do not decrypt or verify under our secret.
    #[error("the handshake does not verify under the cluster's secret")]
    WrongSecret(#[source] noise::Error),
    /// It closed or broke the connection in the middle of the handshake.
    #[error("the handshake was broken off")]
    BrokenOff(#[source] noise::Error),
}

impl From<noise::Error> for AdmissionError {
    fn from(error: noise::Error) -> Self {
        match &error {
            // What does not decrypt comes as an input error of this kind.
            noise::Error::Io(io) if io.kind() != io::ErrorKind::InvalidData => {
                Self::BrokenOff(error)
            }
            _ => Self::WrongSecret(error),
        }
    }
}

/// A socket's error, as a type of its own so that it stays visible in the chain of sources (the
/// combinators of libp2p would hide a bare `io::Error`).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SocketError(#[source] pub(crate) io::Error);

/// Noise, named after the cluster and bound to its secret.
#[derive(Clone)]
pub(crate) struct ClusterNoise {
    name: String,
    noise: noise::Config,
}

impl ClusterNoise {
    pub(crate) fn new(key: &Keypair, secret: &ClusterSecret) -> Result<Self, NetError> {
        let name = format!("/starling/{}/noise", secret.cluster_id());
        Self::named(name, key, secret.prologue().to_vec())
    }

    fn named(name: String, key: &Keypair, prologue: Vec<u8>) -> Result<Self, NetError> {
        let noise = noise::Config::new(key).map_err(|error| NetError::Key(error.to_string()))?;
        Ok(Self {
            name,
            noise: noise.with_prologue(prologue),
        })
    }
}

impl UpgradeInfo for ClusterNoise {
    type Info = String;
    type InfoIter = std::iter::Once<String>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(self.name.clone())
    }
}

type Handshake<T> =
    Pin<Box<dyn Future<Output = Result<(PeerId, noise::Output<T>), AdmissionError>> + Send>>;

impl<T> InboundConnectionUpgrade<T> for ClusterNoise
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = (PeerId, noise::Output<T>);
    type Error = AdmissionError;
    type Future = Handshake<T>;

    fn upgrade_inbound(self, socket: T, _: String) -> Handshake<T> {
        self.noise
            .upgrade_inbound(socket, "")
            .map_err(AdmissionError::from)
            .boxed()
    }
}

impl<T> OutboundConnectionUpgrade<T> for ClusterNoise
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = (PeerId, noise::Output<T>);
    type Error = AdmissionError;
    type Future = Handshake<T>;

    fn upgrade_outbound(self, socket: T, _: String) -> Handshake<T> {
        self.noise
            .upgrade_outbound(socket, "")
            .map_err(AdmissionError::from)
            .boxed()
    }
}

/// The transport of a node: TCP with the above and Yamux, and QUIC where it is built in.
pub(crate) fn transport(
    key: &Keypair,
    secret: &ClusterSecret,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetError> {
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(YAMUX_STREAMS);
    // `V1`, not `V1Lazy`: the lazy dialer talks on before the protocol is agreed upon, and then a
    // stranger looks like garbage instead of like a stranger. One round trip per connection.
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .map_err(SocketError)
        .upgrade(Version::V1)
        .authenticate(ClusterNoise::new(key, secret)?)
        .multiplex(yamux)
        .timeout(CONNECT_DEADLINE);
    #[cfg(feature = "quic")]
    {
        let mut config = libp2p::quic::Config::new(key);
        config.handshake_timeout = CONNECT_DEADLINE;
        let quic = libp2p::quic::tokio::Transport::new(config)
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
        Ok(Transport::boxed(
            Transport::boxed(tcp.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))))
                .or_transport(quic)
                .map(|either, _| either.into_inner()),
        ))
    }
    #[cfg(not(feature = "quic"))]
    Ok(tcp.boxed())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio_util::compat::TokioAsyncReadCompatExt;

    async fn shake(
        theirs: [u8; 32],
    ) -> (
        Result<PeerId, AdmissionError>,
        Result<PeerId, AdmissionError>,
    ) {
        let (near, far) = tokio::io::duplex(4096);
        let end = |prologue: [u8; 32]| {
            let key = Keypair::generate_ed25519();
            ClusterNoise::named("/starling/same/noise".into(), &key, prologue.into()).unwrap()
        };
        let dialer = end([1; 32]).upgrade_outbound(near.compat(), String::new());
        let listener = end(theirs).upgrade_inbound(far.compat(), String::new());
        let (near, far) = tokio::join!(dialer, listener);
        (near.map(|(peer, _)| peer), far.map(|(peer, _)| peer))
    }

    #[tokio::test]
    async fn the_same_secret_shakes_hands() {
        let (near, far) = shake([1; 32]).await;
        assert!(near.is_ok() && far.is_ok());
    }

    #[tokio::test]
    async fn the_clusters_name_without_its_secret_is_not_enough() {
        let (near, far) = shake([2; 32]).await;
        assert!(
            matches!(near, Err(AdmissionError::WrongSecret(_))),
            "{near:?}"
        );
        assert!(matches!(far, Err(AdmissionError::BrokenOff(_))), "{far:?}");
    }
}
