//! Calls over real sockets on the loopback interface.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{DEADLINE, Node, config, pair};
use starling_net::{IncomingCall, MAX_CHUNK, MAX_REQUEST, NetError};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

async fn taken(node: &mut Node) -> IncomingCall {
    timeout(DEADLINE, node.calls.recv())
        .await
        .expect("a call within the deadline")
        .unwrap()
}

#[tokio::test]
async fn a_call_streams_chunks_to_an_explicit_end() {
    let (a, mut b) = pair().await;
    let to = b.id;
    let caller = async {
        let mut answer = a.net.call(to, b"logs?".to_vec()).await.unwrap();
        let mut chunks = Vec::new();
        while let Some(chunk) = answer.next().await {
            chunks.push(chunk.unwrap());
        }
        assert!(answer.next().await.is_none());
        chunks
    };
    let callee = async {
        let IncomingCall {
            from,
            request,
            mut reply,
        } = taken(&mut b).await;
        assert_eq!((from, &request[..]), (a.id, &b"logs?"[..]));
        for chunk in [&b"one"[..], b"", b"two"] {
            reply.send(chunk.to_vec()).await.unwrap();
        }
        let big = reply.send(vec![0; MAX_CHUNK + 1]).await;
        assert!(matches!(big, Err(NetError::TooLarge { .. })));
        reply.finish().await.unwrap();
    };
    let (chunks, ()) = tokio::join!(caller, callee);
    assert_eq!(chunks, [&b"one"[..], b"", b"two"]);
    let big = a.net.call(b.id, vec![0; MAX_REQUEST + 1]).await;
    assert!(matches!(big, Err(NetError::TooLarge { .. })));
}

#[tokio::test]
async fn a_large_answer_waits_for_a_slow_reader() {
    let (a, mut b) = pair().await;
    let mut answer = a.net.call(b.id, Vec::new()).await.unwrap();
    let mut reply = taken(&mut b).await.reply;
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = sent.clone();
    let sender = tokio::spawn(async move {
        for n in 0..160u8 {
            reply.send(vec![n; 64 * 1024]).await.unwrap();
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        reply.finish().await.unwrap();
    });
    // Nobody reads: the sender must come to a halt long before the end.
    let mut before = usize::MAX;
    timeout(DEADLINE, async {
        while before != sent.load(std::sync::atomic::Ordering::SeqCst) || before == 0 {
            before = sent.load(std::sync::atomic::Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .unwrap();
    assert!(before < 40, "{before} chunks were sent to nobody");
    let mut total = 0;
    while let Some(chunk) = timeout(DEADLINE, answer.next()).await.unwrap() {
        let chunk = chunk.unwrap();
        assert!(
            chunk
                .iter()
                .all(|&byte| usize::from(byte) == total / (64 * 1024))
        );
        total += chunk.len();
    }
    assert_eq!(total, 10 * 1024 * 1024);
    sender.await.unwrap();
}

#[tokio::test]
async fn dropping_either_end_tells_the_other() {
    let (a, mut b) = pair().await;
    let answer = a.net.call(b.id, Vec::new()).await.unwrap();
    let mut reply = taken(&mut b).await.reply;
    drop(answer);
    let error = timeout(DEADLINE, async {
        loop {
            if let Err(error) = reply.send(vec![0; 1000]).await {
                break error;
            }
            tokio::task::yield_now().await;
        }
    });
    assert!(matches!(error.await.unwrap(), NetError::Interrupted { .. }));

    let answer = a.net.call(b.id, Vec::new()).await.unwrap();
    let mut reply = taken(&mut b).await.reply;
    drop(answer);
    timeout(DEADLINE, reply.caller_gone()).await.unwrap();

    let mut answer = a.net.call(b.id, Vec::new()).await.unwrap();
    let mut reply = taken(&mut b).await.reply;
    reply.send(b"half".to_vec()).await.unwrap();
    drop(reply);
    assert_eq!(
        timeout(DEADLINE, answer.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap(),
        b"half"
    );
    let end = timeout(DEADLINE, answer.next()).await.unwrap().unwrap();
    assert!(matches!(end, Err(NetError::Interrupted { .. })), "{end:?}");
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn cancelling_a_wait_for_a_chunk_loses_nothing() {
    let (a, mut b) = pair().await;
    let mut answer = a.net.call(b.id, Vec::new()).await.unwrap();
    let mut reply = taken(&mut b).await.reply;
    tokio::spawn(async move {
        for n in 0..50u8 {
            reply.send(vec![n; 100_000]).await.unwrap();
        }
        reply.finish().await.unwrap();
    });
    let mut n = 0;
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        match timeout(Duration::from_micros(50), answer.next()).await {
            Err(_) => {}
            Ok(Some(chunk)) => {
                assert_eq!(chunk.unwrap(), vec![n; 100_000]);
                n += 1;
            }
            Ok(None) => break,
        }
    }
    assert_eq!(n, 50);
}

#[tokio::test]
async fn a_call_dials_on_demand() {
    let (mut a, mut b) = pair().await;
    a.net.hang_up(b.id);
    a.down(b.id).await;
    b.down(a.id).await;
    let id = b.id;
    let (answer, call) = tokio::join!(a.net.call(id, b"x".to_vec()), taken(&mut b));
    assert_eq!(call.request, b"x");
    let mut answer = answer.unwrap();
    call.reply.finish().await.unwrap();
    assert!(answer.next().await.is_none());
    a.up(b.id).await;
}

#[tokio::test]
async fn a_call_that_cannot_be_made_fails_within_its_deadline() {
    let (mut a, mut b) = pair().await;
    let nobody = a
        .net
        .call(starling_wire::NodeId([3; 32]), Vec::new())
        .await
        .unwrap_err();
    assert!(matches!(nobody, NetError::Unreachable { .. }), "{nobody}");
    assert!(matches!(
        a.net.call(a.id, Vec::new()).await,
        Err(NetError::Unreachable { .. })
    ));

    a.net.hang_up(b.id);
    a.down(b.id).await;
    b.down(a.id).await;
    let id = b.id;
    b.net.shutdown().await;
    let gone = a.net.call(id, Vec::new()).await.unwrap_err();
    assert!(gone.to_string().contains("nobody listens"), "{gone}");

    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = hole.local_addr().unwrap().port();
    let silent = starling_wire::NodeId([3; 32]);
    a.net
        .dial(silent, vec![format!("/ip4/127.0.0.1/tcp/{port}")]);
    let began = Instant::now();
    let error = a.net.call(silent, Vec::new()).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_millis(3500), "{error}");
    assert!(error.to_string().contains("did not answer"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_survive_the_merging_of_simultaneous_dials() {
    for _ in 0..10 {
        let (mut a, mut b) = (Node::start().await, Node::with(config()).await);
        a.dial(&b);
        b.dial(&a);
        a.up(b.id).await;
        let id = b.id;
        let (answer, call) = tokio::join!(a.net.call(id, Vec::new()), taken(&mut b));
        let (mut answer, mut reply) = (answer.unwrap(), call.reply);
        for n in 0..20u8 {
            reply.send(vec![n]).await.unwrap();
            assert_eq!(answer.next().await.unwrap().unwrap(), [n]);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        reply.finish().await.unwrap();
        assert!(answer.next().await.is_none());
    }
}
