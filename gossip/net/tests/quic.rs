//! The same over QUIC, where admission rests on the proof of the link alone.
#![cfg(feature = "quic")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{Node, config};
use starling_net::{ClusterSecret, NetConfig};

fn quic() -> NetConfig {
    NetConfig {
        listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".into()],
        ..config()
    }
}

#[tokio::test]
async fn members_link_and_call_over_quic() {
    let (mut a, mut b) = (Node::with(quic()).await, Node::with(quic()).await);
    a.dial(&b);
    a.up(b.id).await;
    b.up(a.id).await;
    a.net.send(b.id, true, b"over udp".to_vec());
    b.frame(a.id, b"over udp").await;
    let mut answer = b.net.call(a.id, b"x".to_vec()).await.unwrap();
    let mut reply = a.calls.recv().await.unwrap().reply;
    reply.send(b"y".to_vec()).await.unwrap();
    reply.finish().await.unwrap();
    assert_eq!(answer.next().await.unwrap().unwrap(), b"y");
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn strangers_are_refused_on_both_sides_over_quic() {
    let mut a = Node::with(quic()).await;
    let secret = ClusterSecret::from_bytes([43; 32]);
    let mut b = Node::with(NetConfig { secret, ..quic() }).await;
    a.dial(&b);
    assert!(b.refused().await.contains("refused"));
    let words = a.refused().await;
    assert!(
        words.contains("does not know this cluster's secret"),
        "{words}"
    );
    assert!(a.dial_failed().await.1.contains("secret"));
    assert_eq!((a.net.stats().links_up, b.net.stats().links_up), (0, 0));
    assert!(b.net.call(a.id, Vec::new()).await.is_err());
}
