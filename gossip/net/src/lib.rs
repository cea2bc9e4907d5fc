//! The network of a Starling node, and the only crate that names libp2p. It gives the engine's
//! driver three things: *links* (one admitted, encrypted connection per peer, with an `Up` and a
//! `Down`), *frames* (small messages over a link, bounded and lossy under pressure) and *calls* (a
//! request and a stream of chunks, for bulk). It makes no policy: whom to dial, when to try again
//! and what a dead link means is the engine's business. It differs from the obvious libp2p
//! application in that nothing is reachable before admission: a peer that cannot prove the
//! cluster's secret gets neither a link nor a call (DESIGN.md, "Network", and invariant 6). It lives on the
//! side of clocks and sockets, outside the simulator; its clock is tokio's.
//!
//! ```no_run
//! # async fn demo() -> Result<(), starling_net::NetError> {
//! use starling_net::{ClusterSecret, NetConfig, NetEvent};
//!
//! let (net, mut events, _calls) = starling_net::start(NetConfig {
//!     key_seed: [7; 32],
//!     secret: ClusterSecret::generate(),
//!     listen: vec!["/ip4/0.0.0.0/tcp/4310".into()],
//!     mdns: false,
//!     advertise_loopback: false,
//!     agent: "starling/0.1.0".into(),
//! })
//! .await?;
//! while let Some(event) = events.recv().await {
//!     if let NetEvent::Up { peer } = event {
//!         net.send(peer, false, b"hello".to_vec());
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod addr;
mod behaviour;
mod call;
mod config;
mod dialing;
mod driver;
mod error;
mod frames;
mod link;
mod linking;
mod net;
mod outbox;
mod peer;
mod proof;
mod refusal;
mod router;
mod secret;
mod stats;
mod streams;
mod table;
mod upgrade;

pub use addr::check_addr;
pub use call::{CallReply, CallStream, IncomingCall, MAX_CHUNK, MAX_REQUEST};
pub use config::{NetConfig, NetEvent};
pub use error::NetError;
pub use link::MAX_FRAME;
pub use net::{Net, start};
pub use outbox::OUTBOX_CAP;
pub use secret::{ClusterId, ClusterSecret};
pub use stats::{ClassStats, NetStats};
