//! Links and frames over real sockets on the loopback interface.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{DEADLINE, Node, config, pair};
use starling_net::{MAX_FRAME, NetError, NetEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn two_nodes_link_and_exchange_frames_of_all_sizes() {
    let (mut a, mut b) = pair().await;
    for size in [0, 1, 100, MAX_FRAME] {
        a.net.send(b.id, size % 2 == 0, vec![7; size]);
        b.frame(a.id, &vec![7; size]).await;
        b.net.send(a.id, false, vec![8; size]);
        a.frame(b.id, &vec![8; size]).await;
    }
    a.net.send(b.id, true, vec![0; MAX_FRAME + 1]);
    b.quiet().await;
    let stats = a.net.stats();
    assert_eq!((stats.urgent.frames_sent, stats.gossip.frames_sent), (3, 1));
    assert_eq!((stats.urgent.frames_dropped, stats.links_up), (1, 1));
    assert_eq!(b.net.stats().urgent.frames_received, 3);
    // A dial to a connected peer is no news.
    a.dial(&b);
    b.dial(&a);
    a.quiet().await;
    b.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_up_writes_what_is_queued_and_tells_both_sides() {
    let (mut a, mut b) = pair().await;
    a.net.send(b.id, false, b"goodbye".to_vec());
    a.net.hang_up(b.id);
    b.frame(a.id, b"goodbye").await;
    b.down(a.id).await;
    a.down(b.id).await;
    a.dial(&b);
    a.up(b.id).await;
    b.up(a.id).await;
    // Hanging up and dialing in one breath is a new link, not a lost command.
    a.net.hang_up(b.id);
    a.dial(&b);
    a.down(b.id).await;
    a.up(b.id).await;
    b.down(a.id).await;
    b.up(a.id).await;
}

#[tokio::test]
async fn a_killed_peer_is_down_at_once() {
    let mut a = Node::start().await;
    let addrs = a.addrs();
    let id = a.id;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let b = runtime
        .spawn(async move {
            let mut b = Node::start().await;
            b.net.dial(id, addrs);
            b.up(id).await;
            b
        })
        .await
        .unwrap();
    a.up(b.id).await;
    let killed = Instant::now();
    runtime.shutdown_background();
    a.down(b.id).await;
    assert!(
        killed.elapsed() < Duration::from_secs(1),
        "{:?}",
        killed.elapsed()
    );
    // Nobody listens there any more, which is said at once and told apart.
    let dialed = Instant::now();
    a.net.dial(b.id, b.addrs());
    let (refused, reason) = a.dial_failed().await;
    assert!(refused && reason.contains("nobody listens"), "{reason}");
    assert!(
        dialed.elapsed() < Duration::from_millis(500),
        "{:?}",
        dialed.elapsed()
    );
}

#[tokio::test]
async fn shutting_down_flushes_and_ends_the_events() {
    let (mut a, mut b) = pair().await;
    a.net.send(b.id, false, b"last words".to_vec());
    let began = Instant::now();
    a.net.clone().shutdown().await;
    assert!(
        began.elapsed() < Duration::from_millis(800),
        "{:?}",
        began.elapsed()
    );
    b.frame(a.id, b"last words").await;
    b.down(a.id).await;
    while a.events.recv().await.is_some() {}
    assert!(matches!(
        a.net.call(b.id, Vec::new()).await,
        Err(NetError::Closed)
    ));
    // The port is free again.
    TcpListener::bind(("127.0.0.1", a.port())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_dials_make_one_up_on_each_side_and_lose_no_frame() {
    let (mut a, mut b) = (Node::start().await, Node::start().await);
    for round in 0..50u32 {
        // Every few rounds one side is a little late, so that the dials overlap in different ways.
        a.dial(&b);
        if round % 3 == 2 {
            tokio::time::sleep(Duration::from_micros(u64::from(round) * 60)).await;
        }
        b.dial(&a);
        let frames: Vec<_> = (0..20u32)
            .map(|n| [round, n].map(u32::to_be_bytes).concat())
            .collect();
        let talk = async |node: &mut Node, peer| {
            node.up(peer).await;
            for frame in &frames {
                node.net.send(peer, false, frame.clone());
                tokio::task::yield_now().await;
            }
            let mut received = Vec::new();
            while received.len() < frames.len() {
                match node.event().await {
                    NetEvent::Frame { from, bytes } if from == peer => received.push(bytes),
                    event => panic!("round {round}: unexpected {event:?}"),
                }
            }
            received.sort();
            assert_eq!(received, frames, "round {round}");
        };
        let (a_id, b_id) = (a.id, b.id);
        tokio::join!(talk(&mut a, b_id), talk(&mut b, a_id));
        a.quiet().await;
        b.quiet().await;
        // The connection that lost stays for a while, for calls that may be on it.
        assert!(a.net.stats().connections <= 2, "round {round}");
        let (near, far) = if round % 2 == 0 {
            (&mut a, &mut b)
        } else {
            (&mut b, &mut a)
        };
        near.net.hang_up(far.id);
        near.down(far.id).await;
        far.down(near.id).await;
    }
    assert_eq!(a.net.stats().gossip.frames_dropped, 0);
    assert_eq!(b.net.stats().gossip.frames_dropped, 0);
}

#[tokio::test]
async fn a_frame_to_a_known_peer_dials_and_waits_for_the_link() {
    let (mut a, mut b) = pair().await;
    a.net.hang_up(b.id);
    a.down(b.id).await;
    b.down(a.id).await;
    a.net.send(b.id, false, b"first".to_vec());
    a.net.send(b.id, false, b"second".to_vec());
    a.up(b.id).await;
    b.up(a.id).await;
    b.frame(a.id, b"first").await;
    b.frame(a.id, b"second").await;
    // To a stranger there is no way.
    let before = a.net.stats().gossip.frames_dropped;
    a.net
        .send(starling_wire::NodeId([3; 32]), false, b"lost".to_vec());
    assert_eq!(a.net.stats().gossip.frames_dropped, before + 1);
    // To a dead peer, one dial is made and then the frames are dropped for a while.
    let gone = b.id;
    b.net.shutdown().await;
    a.down(gone).await;
    let dials = a.net.stats().dials;
    a.net.send(gone, false, b"lost".to_vec());
    assert!(a.dial_failed().await.0);
    for _ in 0..100 {
        a.net.send(gone, false, b"lost".to_vec());
    }
    a.quiet().await;
    assert_eq!(a.net.stats().dials, dials + 1);
    assert_eq!(a.net.stats().gossip.frames_dropped, before + 102);
}

#[tokio::test]
async fn dials_that_cannot_work_say_why() {
    let (mut a, b, c) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    a.net.dial(b.id, c.addrs());
    let (refused, reason) = a.dial_failed().await;
    assert!(!refused && reason.contains("another node"), "{reason}");
    a.net.dial(b.id, a.addrs());
    let (_, reason) = a.dial_failed().await;
    assert!(reason.contains("lead back to this node"), "{reason}");
    a.net.dial(a.id, b.addrs());
    assert!(a.dial_failed().await.1.contains("itself"));
    a.net.dial(c.id, Vec::new());
    assert!(a.dial_failed().await.1.contains("no address"));
    a.net.dial(c.id, vec!["10.0.0.1:4310".into()]);
    assert!(a.dial_failed().await.1.contains("/ip4/0.0.0.0/tcp/4310"));
    // One address that leads elsewhere does not spoil the others.
    a.net.dial(b.id, [c.addrs(), a.addrs(), b.addrs()].concat());
    let b_id = b.id;
    loop {
        match a.event().await {
            NetEvent::Up { peer } => break assert_eq!(peer, b_id),
            NetEvent::Refused { .. } => {}
            event => panic!("{event:?}"),
        }
    }
}

#[tokio::test]
async fn an_address_that_never_answers_fails_within_the_deadline() {
    let mut a = Node::start().await;
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = hole.local_addr().unwrap().port();
    let began = Instant::now();
    a.net.dial(
        starling_wire::NodeId([3; 32]),
        vec![format!("/ip4/127.0.0.1/tcp/{port}")],
    );
    let (refused, reason) = a.dial_failed().await;
    assert!(
        !refused && reason.contains("did not answer within 2 s"),
        "{reason}"
    );
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_remedy() {
    let a = Node::start().await;
    let mut config = config();
    config.listen = a.addrs();
    let error = starling_net::start(config.clone()).await.unwrap_err();
    let words = error.to_string();
    assert!(matches!(error, NetError::AddressInUse { .. }), "{words}");
    assert!(
        words.contains(&a.addrs()[0]) && words.contains("another port"),
        "{words}"
    );
    config.listen = vec!["localhost:80".into()];
    assert!(matches!(
        starling_net::start(config).await,
        Err(NetError::BadAddress { .. })
    ));
}

#[tokio::test]
async fn loopback_is_not_advertised_unless_asked_for() {
    let mut config = config();
    config.advertise_loopback = false;
    assert!(Node::with(config.clone()).await.addrs().is_empty());
    config.listen = vec!["/ip4/0.0.0.0/tcp/0".into()];
    let addrs = Node::with(config).await.addrs();
    assert!(
        addrs
            .iter()
            .all(|addr| !addr.contains("127.0.0.1") && !addr.contains("0.0.0.0"))
    );
}

#[tokio::test]
async fn a_stalled_peer_fills_only_its_own_queue() {
    let (mut a, b) = pair().await;
    let mut c = Node::start().await;
    a.dial(&c);
    a.up(c.id).await;
    c.up(a.id).await;
    // Nobody reads b's events: its event channel, windows and a's queue fill, and then frames drop.
    let sent = 1000;
    for n in 0..sent {
        a.net.send(b.id, n % 2 == 0, vec![1; 16 * 1024]);
        if n % 50 == 0 {
            a.net.send(c.id, true, vec![2; 10]);
            c.frame(a.id, &[2; 10]).await;
        }
    }
    // b's link is drained until its channel of 4096 events is full, so push on with small frames.
    timeout(DEADLINE, async {
        while a.net.stats().gossip.frames_dropped < 100 {
            for _ in 0..100 {
                a.net.send(b.id, false, vec![3; 1024]);
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a bounded queue overflows");
    let stats = a.net.stats();
    assert!(stats.gossip.frames_dropped >= 100);
    a.net.send(c.id, false, b"still quick".to_vec());
    let began = Instant::now();
    c.frame(a.id, b"still quick").await;
    assert!(began.elapsed() < Duration::from_secs(1));
}

/// Forwards both ways until told to stop; then keeps the sockets open and silent, as a network that has
/// gone away without a word.
async fn proxy(port: u16) -> (u16, tokio::sync::watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap().port();
    let (freeze, frozen) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut stop = frozen.clone();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            _ = stop.wait_for(|frozen| *frozen) => {}
        }
        drop(far);
        std::future::pending::<()>().await;
        drop(near);
    });
    (here, freeze)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_vanished_and_came_back_elsewhere_replaces_its_dead_link() {
    // Both orders of ids, because the rule for simultaneous dials depends on it.
    for dialer_lower in [true, false] {
        let mut a = Node::start().await;
        let b_config = loop {
            let config = config();
            let b = Node::with(config.clone()).await;
            if (a.id < b.id) == dialer_lower {
                break config;
            }
        };
        let mut b = Node::with(b_config.clone()).await;
        let (port, freeze) = proxy(b.port()).await;
        a.net.dial(b.id, vec![format!("/ip4/127.0.0.1/tcp/{port}")]);
        a.up(b.id).await;
        b.up(a.id).await;
        freeze.send(true).unwrap();
        b.down(a.id).await;
        a.quiet().await;
        b.net.shutdown().await;
        let mut b = Node::with(b_config).await;
        b.dial(&a);
        b.up(a.id).await;
        a.down(b.id).await;
        a.up(b.id).await;
        a.net.send(b.id, false, b"welcome back".to_vec());
        b.frame(a.id, b"welcome back").await;
        b.net.send(a.id, false, b"thanks".to_vec());
        a.frame(b.id, b"thanks").await;
        b.quiet().await;
    }
}

#[tokio::test]
async fn garbage_on_the_port_does_no_harm() {
    let (mut a, b) = pair().await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xFF; 70_000],
        &[0; 70_000],
        b"\x13/multistream/1.0.0\n",
    ] {
        let mut socket = TcpStream::connect(("127.0.0.1", a.port())).await.unwrap();
        let _ = socket.write_all(garbage).await;
        let _ = timeout(DEADLINE, socket.read_to_end(&mut Vec::new()))
            .await
            .expect("it is closed");
    }
    assert!(!a.refused().await.is_empty());
    b.net.send(a.id, false, b"fine".to_vec());
    loop {
        match a.event().await {
            NetEvent::Refused { .. } => {}
            event => {
                break assert_eq!(
                    event,
                    NetEvent::Frame {
                        from: b.id,
                        bytes: b"fine".to_vec()
                    }
                );
            }
        }
    }
}

#[tokio::test]
async fn another_clusters_node_is_refused_on_both_sides_in_words() {
    let mut a = Node::start().await;
    let mut config = config();
    config.secret = starling_net::ClusterSecret::from_bytes([43; 32]);
    let mut b = Node::with(config).await;
    a.dial(&b);
    for node in [&mut a, &mut b] {
        let words = node.refused().await;
        assert!(words.contains("belongs to another cluster"), "{words}");
        assert_eq!(node.net.stats().links_up, 0);
        assert!(node.net.stats().peers_refused >= 1);
    }
    let (refused, reason) = a.dial_failed().await;
    assert!(
        !refused && reason.contains("belongs to another cluster"),
        "{reason}"
    );
    assert!(b.net.call(a.id, Vec::new()).await.is_err());
}
