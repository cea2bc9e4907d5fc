//! Peers and clients that send nonsense do no harm.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::world::World;

fn noise(length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect()
}

/// What a bad peer says.
fn nonsense() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        vec![0],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        // The beginning of a proper libp2p conversation, and then garbage.
        [
            b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec(),
            noise(5_000),
        ]
        .concat(),
        [b"\x13/multistream/1.0.0\n".to_vec(), vec![0xff; 100_000]].concat(),
        vec![0xff; 1 << 20],
        noise(4 << 20),
    ]
}

/// Says it and reads what comes until the other side hangs up, for a moment.
async fn say(stream: impl tokio::io::AsyncRead + AsyncWriteExt + Unpin, bytes: &[u8]) {
    let mut stream = stream;
    let talk = async {
        // It may hang up at any time.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    };
    let _ = tokio::time::timeout(Duration::from_millis(300), talk).await;
}

/// The memory that a process holds, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn garbage_at_the_nodes_port_and_at_the_api_does_no_harm() {
    let world = World::of(2).await;
    let nodes = world.client(0).nodes().await.unwrap().items;
    let node = nodes.iter().find(|node| node.is_self).unwrap();
    let port: u16 = node.addresses[0]
        .split('/')
        .nth(4)
        .unwrap()
        .parse()
        .unwrap();
    let socket = world.member(0).dir.join("api.sock");
    let pid = world.member(0).pid().unwrap();
    let before = resident(pid);
    for round in 0..3 {
        for bytes in nonsense() {
            say(
                TcpStream::connect(("127.0.0.1", port)).await.unwrap(),
                &bytes,
            )
            .await;
            say(UnixStream::connect(&socket).await.unwrap(), &bytes).await;
        }
        // Many that connect and say nothing.
        let (mut peers, mut clients) = (Vec::new(), Vec::new());
        for _ in 0..100 {
            peers.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
            clients.push(UnixStream::connect(&socket).await.unwrap());
        }
        world
            .cli(0, &["run", "--wait", "--count", "10", "--", "true"])
            .await
            .ok();
        assert_eq!(world.member(0).pid(), Some(pid), "round {round}");
    }
    assert_eq!(world.member(0).alive().await.unwrap(), 2);
    assert_eq!(world.member(1).alive().await.unwrap(), 2);
    let after = resident(pid);
    assert!(
        after < before + 64 * 1024,
        "{before} KiB grew to {after} KiB"
    );
    let log = world.member(0).log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(
        log.lines().count() < 1_000,
        "garbage floods the log: {} lines",
        log.lines().count()
    );
    world.end().await;
}

#[tokio::test]
async fn oversized_requests_are_refused_with_a_word() {
    let world = World::of(1).await;
    let socket = world.member(0).dir.join("api.sock");
    let body = vec![b' '; 8 << 20];
    let mut request = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(body);
    let answer = crate::api::unix(&socket, &request).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413"),
        "{answer}"
    );
    // By the command line: a job larger than any may be.
    let file = world.root().join("huge.toml");
    let argument = "x".repeat(200);
    let arguments = vec![format!("'{argument}'"); 1_300].join(",");
    std::fs::write(&file, format!("command = [{arguments}]\n")).unwrap();
    let error = world.cli(0, &["apply", "-f", file.to_str().unwrap()]).await;
    assert!(error.code == 1 || error.code == 2, "{error:?}");
    assert!(
        error.err.contains("KiB") || error.err.contains("command"),
        "{error:?}"
    );
    let head = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let answer = crate::api::unix(&socket, head.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    world.cli(0, &["run", "--wait", "--", "true"]).await.ok();
    world.end().await;
}
