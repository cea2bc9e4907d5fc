//! Measures how long a frame takes there and back between two nodes of one process over the loopback
//! interface: `cargo run --release -p starling-net --example latency`.

use std::time::Duration;

use starling_net::{ClusterSecret, Net, NetConfig, NetError, NetEvent};
use tokio::sync::mpsc;
use tokio::time::Instant;

const ROUNDS: usize = 20_000;

async fn node(seed: u8) -> Result<(Net, mpsc::Receiver<NetEvent>), NetError> {
    let (net, events, _) = starling_net::start(NetConfig {
        key_seed: [seed; 32],
        secret: ClusterSecret::from_bytes([1; 32]),
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        mdns: false,
        advertise_loopback: true,
        agent: "latency".into(),
    })
    .await?;
    Ok((net, events))
}

#[tokio::main]
async fn main() -> Result<(), NetError> {
    let (a, mut a_events) = node(1).await?;
    let (b, mut b_events) = node(2).await?;
    let began = Instant::now();
    a.dial(b.node(), b.listen_addrs());
    while !matches!(a_events.recv().await, Some(NetEvent::Up { .. }) | None) {}
    println!("dial to up: {:?}", began.elapsed());
    let peer = b.node();
    let echo = tokio::spawn(async move {
        while let Some(event) = b_events.recv().await {
            if let NetEvent::Frame { from, bytes } = event {
                b.send(from, true, bytes);
            }
        }
    });
    for (name, pause) in [
        ("busy", Duration::ZERO),
        ("idle for 1 ms", Duration::from_millis(1)),
    ] {
        let rounds = if pause.is_zero() { ROUNDS } else { ROUNDS / 10 };
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let began = Instant::now();
            a.send(peer, true, vec![0; 200]);
            while !matches!(a_events.recv().await, Some(NetEvent::Frame { .. }) | None) {}
            times.push(began.elapsed());
        }
        times.sort();
        let at = |q: usize| times[(times.len() * q / 1000).min(times.len() - 1)];
        println!(
            "round trip of 200 bytes, {name}: p50 {:?}, p90 {:?}, p99 {:?}, p99.9 {:?}",
            at(500),
            at(900),
            at(990),
            at(999)
        );
    }
    let began = Instant::now();
    let mut received = 0;
    let (burst, bursts) = (500, 200);
    for _ in 0..bursts {
        for _ in 0..burst {
            a.send(peer, false, vec![0; 200]);
        }
        for _ in 0..burst {
            received += usize::from(a_events.recv().await.is_some());
        }
    }
    println!(
        "{received} frames echoed in bursts of {burst}: {:?}",
        began.elapsed()
    );
    println!("{:#?}", a.stats());
    a.shutdown().await;
    echo.abort();
    Ok(())
}
