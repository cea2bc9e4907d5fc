//! The API over TCP: whoever has the token, and no web page.

use std::path::Path;
use std::time::Duration;

use starling_api::{Client, ClientError, JobRequest, codes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::world::{SOON, World, finish, starling, start, until};

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> String {
    // The other side may hang up before it has read all.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the daemon neither answers nor hangs up");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends raw bytes to a daemon's socket and returns what comes back.
pub(crate) async fn unix(socket: &Path, request: &[u8]) -> String {
    exchange(UnixStream::connect(socket).await.unwrap(), request).await
}

async fn tcp(addr: &str, head: &str) -> String {
    let request = format!("GET {head}\r\nConnection: close\r\n\r\n");
    exchange(TcpStream::connect(addr).await.unwrap(), request.as_bytes()).await
}

/// The address at which a daemon says that its API is.
async fn api_address(world: &World) -> String {
    until("the log tells the API's address", SOON, async || {
        let log = world.member(0).log();
        let plain: String = strip(&log);
        let line = plain
            .lines()
            .find(|line| line.contains("the API also answers here"));
        let line = line.ok_or_else(|| plain.clone())?;
        let (_, after) = line.split_once("addr=").ok_or(line)?;
        Ok(after
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned())
    })
    .await
}

/// A log without its colours.
fn strip(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[tokio::test]
async fn over_tcp_only_who_has_the_token_is_answered() {
    let world = World::with(1, &["--api", "127.0.0.1:0"]).await;
    let addr = api_address(&world).await;
    let token = std::fs::read_to_string(world.member(0).dir.join("api.token")).unwrap();
    let token = token.trim();
    for given in [None, Some("wrong".to_owned()), Some(String::new())] {
        match Client::tcp(&addr, given).jobs().await {
            Err(ClientError::Refused(error)) => assert_eq!(error.code, codes::UNAUTHORIZED),
            other => panic!("{other:?}"),
        }
    }
    let answer = tcp(&addr, &format!("/v1/jobs HTTP/1.1\r\nHost: {addr}")).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let client = Client::tcp(&addr, Some(token.to_owned()));
    let job = client.submit(&JobRequest::new(["true"])).await.unwrap().job;
    world.over(0, &job).await;
    // The command line finds the token in the data directory, or in the environment.
    let words = ["ps", "--api", &addr];
    let dir = &world.member(0).dir;
    let said = finish(start(starling(&words).arg("--data-dir").arg(dir)))
        .await
        .ok();
    assert!(said.contains(&job), "{said}");
    let said = finish(start(starling(&words).env("STARLING_API_TOKEN", token)))
        .await
        .ok();
    assert!(said.contains(&job), "{said}");
    let said = finish(start(
        starling(&["ps"])
            .env("STARLING_API", &addr)
            .env("STARLING_DATA_DIR", dir),
    ));
    assert!(said.await.ok().contains(&job));
    let nowhere = world.root().join("nowhere");
    let said = finish(start(starling(&words).env("STARLING_DATA_DIR", nowhere)))
        .await
        .fails(1);
    assert!(said.contains("token"), "{said}");
    world.end().await;
}

#[tokio::test]
async fn web_pages_cannot_drive_the_daemon() {
    let world = World::with(1, &["--api", "127.0.0.1:0"]).await;
    let addr = api_address(&world).await;
    let token = std::fs::read_to_string(world.member(0).dir.join("api.token")).unwrap();
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let get = async |headers: &str| {
        tcp(
            &addr,
            &format!("/v1/nodes HTTP/1.1\r\n{headers}\r\n{bearer}"),
        )
        .await
    };
    let own = format!("Host: {addr}");
    assert!(get(&own).await.starts_with("HTTP/1.1 200"));
    assert!(
        get(&format!("{own}\r\nOrigin: http://{addr}"))
            .await
            .starts_with("HTTP/1.1 200")
    );
    for headers in [
        "Host: evil.example".to_owned(),
        format!("{own}\r\nOrigin: http://evil.example"),
        format!("{own}\r\nOrigin: null"),
    ] {
        let answer = get(&headers).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{headers}: {answer}");
    }
    // Over the socket as well: a proxy might be in front of it.
    let socket = world.member(0).dir.join("api.sock");
    let request = b"GET /v1/nodes HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\
        Connection: close\r\n\r\n";
    assert!(unix(&socket, request).await.starts_with("HTTP/1.1 403"));
    world.end().await;
}

#[tokio::test]
async fn the_api_describes_itself() {
    let world = World::of(1).await;
    let socket = world.member(0).dir.join("api.sock");
    let get = async |path: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        unix(&socket, request.as_bytes()).await
    };
    let answer = get("/openapi.json").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("application/json"),
        "{head}"
    );
    let document: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    for path in [
        "/v1/jobs",
        "/v1/nodes",
        "/v1/events",
        "/v1/tasks/{id}/logs",
        "/healthz",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    assert!(get("/healthz").await.contains("\"status\":\"ok\""));
    let answer = get("/v1/nonsense").await;
    assert!(
        answer.starts_with("HTTP/1.1 404") && answer.contains("openapi.json"),
        "{answer}"
    );
    world.end().await;
}
