//! A node for tests: one network, its events and its calls, and verbs that wait with a deadline.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use starling_net::{ClusterSecret, IncomingCall, Net, NetConfig, NetEvent};
use starling_wire::NodeId;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Every wait ends, in failure, after this.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// The secret that nodes share unless a test says otherwise.
pub const SECRET: [u8; 32] = [42; 32];

static SEEDS: AtomicU64 = AtomicU64::new(1);

pub struct Node {
    pub net: Net,
    pub id: NodeId,
    pub events: mpsc::Receiver<NetEvent>,
    pub calls: mpsc::Receiver<IncomingCall>,
}

pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&SEEDS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    seed
}

pub fn config() -> NetConfig {
    NetConfig {
        key_seed: seed(),
        secret: ClusterSecret::from_bytes(SECRET),
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        mdns: false,
        advertise_loopback: true,
        agent: "test".into(),
    }
}

impl Node {
    pub async fn start() -> Self {
        Self::with(config()).await
    }

    pub async fn with(config: NetConfig) -> Self {
        let (net, events, calls) = starling_net::start(config).await.unwrap();
        Self {
            id: net.node(),
            net,
            events,
            calls,
        }
    }

    pub fn addrs(&self) -> Vec<String> {
        self.net.listen_addrs()
    }

    pub fn port(&self) -> u16 {
        self.addrs()[0].rsplit('/').next().unwrap().parse().unwrap()
    }

    pub fn dial(&self, other: &Self) {
        self.net.dial(other.id, other.addrs());
    }

    /// The next event that is not `Listening`.
    pub async fn event(&mut self) -> NetEvent {
        loop {
            let event = timeout(DEADLINE, self.events.recv()).await;
            match event
                .expect("an event within the deadline")
                .expect("the network runs")
            {
                NetEvent::Listening { .. } => {}
                event => return event,
            }
        }
    }

    /// The next event must be this one.
    #[track_caller]
    pub fn expect(&mut self, wanted: NetEvent) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let event = self.event().await;
            assert_eq!(event, wanted, "expected at {place}");
        }
    }

    pub async fn up(&mut self, peer: NodeId) {
        self.expect(NetEvent::Up { peer }).await;
    }

    pub async fn down(&mut self, peer: NodeId) {
        self.expect(NetEvent::Down { peer }).await;
    }

    pub async fn frame(&mut self, from: NodeId, bytes: &[u8]) {
        self.expect(NetEvent::Frame {
            from,
            bytes: bytes.to_vec(),
        })
        .await;
    }

    /// The words of the next `Refused`, skipping other events.
    pub async fn refused(&mut self) -> String {
        loop {
            if let NetEvent::Refused { reason, .. } = self.event().await {
                return reason;
            }
        }
    }

    /// The next `DialFailed`, skipping other events.
    pub async fn dial_failed(&mut self) -> (bool, String) {
        loop {
            if let NetEvent::DialFailed {
                refused, reason, ..
            } = self.event().await
            {
                return (refused, reason);
            }
        }
    }

    /// Asserts that nothing happens for a short while.
    pub async fn quiet(&mut self) {
        if let Ok(event) = timeout(Duration::from_millis(30), self.event()).await {
            panic!("unexpected {event:?}");
        }
    }
}

/// Two nodes with a link.
pub async fn pair() -> (Node, Node) {
    let (mut a, mut b) = (Node::start().await, Node::start().await);
    a.dial(&b);
    a.up(b.id).await;
    b.up(a.id).await;
    (a, b)
}
