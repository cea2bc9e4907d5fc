//! The libp2p behaviours of a node, composed, and the swarm around them. Few on purpose: each one costs
//! build time and every connection.

use std::num::NonZeroU8;
use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{self, NetworkBehaviour, Swarm};
use libp2p::{identify, mdns, ping};

use crate::{NetConfig, NetError, streams, upgrade};

/// Connections to and from one peer; two happen when both dial at once, more while dead ones linger.
const PER_PEER: u32 = 8;

/// Connections in all. More than the links that a view wants; the engine hangs up on whom it does not
/// need.
const CONNECTIONS: u32 = 2048;

/// Connections whose handshake is under way, in each direction.
const PENDING: u32 = 256;

/// Addresses of one peer that are dialed at the same time, and at most at all.
pub(crate) const DIAL_ADDRS: u8 = 8;

const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection stands without any stream. Links hold theirs by their stream, whatever this
/// says; it ends the one of two simultaneous connections that lost, once no call uses it any more.
const IDLE: Duration = Duration::from_secs(10);

/// Streams whose protocol a peer may be negotiating at once on one connection.
const NEGOTIATING: usize = 64;

/// What a node speaks. The limits come first: a sibling must not begin what they deny.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) streams: streams::Behaviour,
    ping: ping::Behaviour,
    identify: identify::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

/// The swarm of a node.
pub(crate) fn swarm(key: &Keypair, config: &NetConfig) -> Result<Swarm<Behaviour>, NetError> {
    let me = key.public().to_peer_id();
    let limits = ConnectionLimits::default()
        .with_max_established_per_peer(Some(PER_PEER))
        .with_max_established(Some(CONNECTIONS))
        .with_max_pending_incoming(Some(PENDING))
        .with_max_pending_outgoing(Some(PENDING));
    let ping = ping::Config::new()
        .with_interval(PING_INTERVAL)
        .with_timeout(PING_TIMEOUT);
    // Addresses travel in signed records, not here: on QUIC this is spoken before admission.
    let identify = identify::Config::new("/starling/1".into(), key.public())
        .with_agent_version(config.agent.clone())
        .with_hide_listen_addrs(true)
        .with_push_listen_addr_updates(false)
        .with_cache_size(0);
    let mdns = config
        .mdns
        .then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), me));
    let mdns = mdns.and_then(|mdns| {
        mdns.inspect_err(|error| tracing::warn!(%error, "no discovery on the local network"))
            .ok()
    });
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        streams: streams::Behaviour::default(),
        ping: ping::Behaviour::new(ping),
        identify: identify::Behaviour::new(identify),
        mdns: mdns.into(),
    };
    let swarm = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE)
        .with_max_negotiating_inbound_streams(NEGOTIATING)
        .with_dial_concurrency_factor(NonZeroU8::new(DIAL_ADDRS).unwrap_or(NonZeroU8::MIN));
    Ok(Swarm::new(
        upgrade::transport(key, &config.secret)?,
        behaviour,
        me,
        swarm,
    ))
}
