//! The real server and the real client, over real sockets, before a fake cluster.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use starling_api::{
    ApiError, Client, ClientError, EventKind, EventQuery, JobRequest, LogQuery, codes,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fake::FakeBackend;
use super::samples::{self, JOB};
use super::{HttpConfig, HttpError, Listeners, openapi};

struct Server {
    folder: tempfile::TempDir,
    backend: Arc<FakeBackend>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    client: Client,
    tcp: String,
}

async fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let config = HttpConfig {
        data_dir: folder.path().to_owned(),
        tcp: Some("127.0.0.1:0".parse().unwrap()),
    };
    let listeners = Listeners::open(&config).await.unwrap();
    let tcp = listeners.tcp_addr().unwrap().to_string();
    let client = Client::unix(listeners.socket());
    let backend = Arc::new(FakeBackend::default());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(listeners.serve(Arc::clone(&backend), stop.clone()));
    Server {
        folder,
        backend,
        stop,
        serving,
        client,
        tcp,
    }
}

/// What comes back for `head` (lines without the last empty one) and `body`, over TCP with the
/// token: status and body.
async fn raw(server: &Server, head: &str, body: &str) -> (u16, String) {
    let token = std::fs::read_to_string(server.folder.path().join("api.token")).unwrap();
    let mut stream = tokio::net::TcpStream::connect(&server.tcp).await.unwrap();
    let request = format!(
        "{head}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        token.trim(),
        body.len()
    );
    // The server may answer, and close, before it has read a body that is too large.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

async fn post(server: &Server, body: &str) -> (u16, ApiError) {
    let (status, body) = raw(server, "POST /v1/jobs HTTP/1.1\r\nHost: localhost", body).await;
    (status, serde_json::from_str(&body).unwrap())
}

fn refused<T>(result: Result<T, ClientError>) -> ApiError {
    match result {
        Err(ClientError::Refused(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[tokio::test]
async fn each_endpoint_answers() {
    let server = server().await;
    let client = &server.client;
    let id = JOB.to_string();
    let request = JobRequest {
        count: 3,
        ..JobRequest::new(["true"])
    };
    let submitted = client.submit(&request).await.unwrap();
    assert_eq!((submitted.job.as_str(), submitted.tasks), (&*id, 3));
    assert_eq!(server.backend.submitted.lock().unwrap()[0].count, 3);
    let jobs = client.jobs().await.unwrap();
    assert_eq!((jobs.items.len(), jobs.silent.len()), (1, 1));
    assert_eq!(client.job(&id[..3]).await.unwrap(), samples::detail());
    assert_eq!(client.job_summary(&id).await.unwrap(), samples::summary());
    assert_eq!(refused(client.job("zzz").await).code, codes::NOT_FOUND);
    assert_eq!(client.stop_job(&id).await.unwrap().tasks, 2);
    let twice = refused(client.stop_task(&format!("{id}.0")).await);
    assert_eq!(twice.code, codes::ALREADY_OVER);
    assert_eq!(
        client.why(&format!("{id}.1")).await.unwrap(),
        samples::why()
    );
    let bad = refused(client.why("nonsense").await);
    assert_eq!(
        (bad.code.as_str(), bad.field.as_deref()),
        (codes::INVALID, Some("id"))
    );
    assert_eq!(client.nodes().await.unwrap().items, [samples::node()]);
    assert_eq!(client.classes().await.unwrap().items, [samples::class()]);
    let pairs = client.interference().await.unwrap().items;
    assert_eq!(pairs, [samples::interference()]);
    let drain = client.drain("attic", Some(Duration::from_secs(2))).await;
    assert!(drain.unwrap().draining);
    assert!(!client.undrain("777").await.unwrap().draining);
    let drained = server.backend.drained.lock().unwrap().clone();
    assert_eq!(
        drained[0],
        ("attic".into(), true, Some(Duration::from_secs(2)))
    );
    assert_eq!(drained[1], ("777".into(), false, None));
    assert_eq!(
        refused(client.drain("nobody", None).await).code,
        codes::NOT_FOUND
    );
    assert_eq!(client.token().await.unwrap().token, "starling1-abc");
    assert_eq!(client.health().await.unwrap().status, "ok");
}

#[tokio::test]
async fn logs_are_streamed_byte_by_byte() {
    let server = server().await;
    let task = format!("{JOB}.0");
    let query = LogQuery {
        follow: true,
        tail: Some(7),
    };
    let mut logs = server.client.logs(&task, query).await.unwrap();
    let mut bytes = Vec::new();
    let end = loop {
        match logs.next().await {
            Some(Ok(chunk)) => bytes.extend(chunk.bytes().unwrap()),
            other => break other,
        }
    };
    assert_eq!(bytes, b"tail Some(7)\nbytes \xff\xfe\noh\n");
    // The stream broke off, and says why.
    assert_eq!(refused(end.unwrap()).code, codes::UNAVAILABLE);
    assert!(logs.next().await.is_none());
    let mut logs = server
        .client
        .logs(&task, LogQuery::default())
        .await
        .unwrap();
    let mut count = 0;
    while let Some(chunk) = logs.next().await {
        chunk.unwrap();
        count += 1;
    }
    assert_eq!(count, 3);
}

#[tokio::test]
async fn events_are_followed_and_narrowed() {
    let server = server().await;
    let query = EventQuery {
        follow: true,
        job: Some(JOB.to_string()),
        kinds: vec![EventKind::JobFinished],
        new_only: false,
    };
    let mut events = server.client.events(&query).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().seq, 3);
    let waiting = tokio::time::timeout(Duration::from_millis(50), events.next());
    assert!(waiting.await.is_err(), "nothing more comes");
    let other = EventQuery {
        job: Some("other".into()),
        ..EventQuery::default()
    };
    let mut events = server.client.events(&other).await.unwrap();
    assert!(events.next().await.is_none());
    let head = "GET /v1/events?kinds=job-finished,nonsense HTTP/1.1\r\nHost: localhost";
    let (status, body) = raw(&server, head, "").await;
    assert!(status == 422 && body.contains("nonsense"), "{body}");
}

#[tokio::test]
async fn bad_requests_name_the_field() {
    let server = server().await;
    for (body, status, code, field) in [
        ("{", 400, codes::BAD_REQUEST, None),
        ("", 400, codes::BAD_REQUEST, None),
        (
            r#"{"command":["x"],"count":-1}"#,
            400,
            codes::BAD_REQUEST,
            Some("count"),
        ),
        (
            r#"{"command":["x"],"cpus":1}"#,
            400,
            codes::BAD_REQUEST,
            Some("cpus"),
        ),
        (
            r#"{"command":"x"}"#,
            400,
            codes::BAD_REQUEST,
            Some("command"),
        ),
        (r#"{"command":["x"]} {}"#, 400, codes::BAD_REQUEST, None),
        (r#"{"command":[]}"#, 422, codes::INVALID, Some("command")),
        (
            r#"{"command":["x"],"cpu":"0"}"#,
            422,
            codes::INVALID,
            Some("cpu"),
        ),
        (
            r#"{"command":["x"],"memory":"900TiB"}"#,
            422,
            codes::IMPOSSIBLE,
            Some("memory"),
        ),
    ] {
        let (got, error) = post(&server, body).await;
        assert_eq!((got, error.code.as_str()), (status, code), "{body}");
        assert_eq!(error.field.as_deref(), field, "{body}: {error}");
    }
    assert!(server.backend.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_endpoint_gets_an_api_error_too() {
    let server = server().await;
    let large = format!(r#"{{"command":["{}"]}}"#, "x".repeat(300 * 1024));
    let (status, error) = post(&server, &large).await;
    assert_eq!((status, error.code.as_str()), (413, codes::TOO_LARGE));
    for (line, status, code) in [
        ("GET /v1/nothing", 404, codes::NOT_FOUND),
        ("DELETE /v1/jobs", 405, codes::METHOD_NOT_ALLOWED),
        ("GET /v1/jobs/x?taks=1", 400, codes::BAD_REQUEST),
        ("GET /v1/jobs/%FF", 400, codes::BAD_REQUEST),
        ("GET /v1/token", 403, codes::FORBIDDEN),
    ] {
        let (got, body) = raw(&server, &format!("{line} HTTP/1.1\r\nHost: localhost"), "").await;
        let error: ApiError = serde_json::from_str(&body).unwrap();
        assert_eq!((got, error.code.as_str()), (status, code), "{line}");
    }
}

#[tokio::test]
async fn tcp_asks_for_the_token_and_web_pages_are_refused() {
    let server = server().await;
    let without = Client::tcp(&server.tcp, None);
    assert_eq!(refused(without.jobs().await).code, codes::UNAUTHORIZED);
    let wrong = Client::tcp(&server.tcp, Some("wrong".into()));
    assert_eq!(refused(wrong.jobs().await).code, codes::UNAUTHORIZED);
    let token = std::fs::read_to_string(server.folder.path().join("api.token")).unwrap();
    let right = Client::tcp(&server.tcp, Some(token.trim().into()));
    assert_eq!(right.jobs().await.unwrap().items.len(), 1);
    for (header, status) in [
        ("Host: evil.example", 403),
        ("Host: localhost\r\nOrigin: http://evil.example", 403),
        ("Host: localhost\r\nOrigin: http://localhost", 200),
        ("Host: 127.0.0.1", 200),
    ] {
        let head = format!("GET /v1/nodes HTTP/1.1\r\n{header}");
        assert_eq!(raw(&server, &head, "").await.0, status, "{header}");
    }
}

#[tokio::test]
async fn the_document_describes_every_endpoint() {
    let server = server().await;
    let (status, body) = raw(&server, "GET /openapi.json HTTP/1.1\r\nHost: localhost", "").await;
    assert_eq!((status, body), (200, openapi()));
    let document: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    for (path, method) in [
        ("/v1/jobs", "post"),
        ("/v1/jobs", "get"),
        ("/v1/jobs/{id}", "get"),
        ("/v1/jobs/{id}/stop", "post"),
        ("/v1/tasks/{id}/stop", "post"),
        ("/v1/tasks/{id}/why", "get"),
        ("/v1/tasks/{id}/logs", "get"),
        ("/v1/nodes", "get"),
        ("/v1/classes", "get"),
        ("/v1/interference", "get"),
        ("/v1/nodes/{id}/drain", "post"),
        ("/v1/nodes/{id}/undrain", "post"),
        ("/v1/events", "get"),
        ("/v1/token", "get"),
        ("/healthz", "get"),
        ("/metrics", "get"),
    ] {
        assert!(paths[path][method].is_object(), "{method} {path}");
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in [
        "JobRequest",
        "JobDetail",
        "NodeView",
        "WhyView",
        "Event",
        "LogChunk",
        "ApiError",
    ] {
        assert!(schemas.contains_key(name), "{name}: {:?}", schemas.keys());
    }
}

#[tokio::test]
async fn the_socket_is_private_and_a_dead_ones_place_is_taken() {
    use std::os::unix::fs::PermissionsExt;
    let server = server().await;
    let socket = server.folder.path().join("api.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = HttpConfig {
        data_dir: server.folder.path().to_owned(),
        tcp: None,
    };
    let second = Listeners::open(&config).await.unwrap_err();
    assert!(matches!(second, HttpError::InUse(_)), "{second}");

    // A killed daemon leaves its socket's file behind.
    server.serving.abort();
    let _ = server.serving.await;
    assert!(socket.exists());
    assert!(server.client.health().await.unwrap_err().is_no_daemon());
    drop(Listeners::open(&config).await.unwrap());

    // What is no socket is not removed.
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "precious").unwrap();
    assert!(Listeners::open(&config).await.is_err());
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "precious");
}

#[tokio::test]
async fn a_port_in_use_is_a_clear_word() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let config = HttpConfig {
        data_dir: folder.path().to_owned(),
        tcp: Some(server.tcp.parse().unwrap()),
    };
    let error = Listeners::open(&config).await.unwrap_err().to_string();
    assert!(
        error.contains(&server.tcp) && error.contains("--api"),
        "{error}"
    );
}

#[tokio::test]
async fn stopping_ends_streams_and_removes_the_socket() {
    let server = server().await;
    let query = EventQuery {
        follow: true,
        ..EventQuery::default()
    };
    let mut events = server.client.events(&query).await.unwrap();
    for _ in 0..3 {
        events.next().await.unwrap().unwrap();
    }
    server.stop.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(2), server.serving);
    stopped.await.unwrap().unwrap();
    // What is not whole says so.
    let last = refused(events.next().await.unwrap());
    assert_eq!(last.code, codes::UNAVAILABLE);
    assert!(events.next().await.is_none());
    assert!(!server.folder.path().join("api.sock").exists());
}

#[tokio::test]
async fn a_long_data_directory_works() {
    let folder = tempfile::tempdir().unwrap();
    let mut data_dir: PathBuf = folder.path().to_owned();
    while data_dir.as_os_str().len() < 200 {
        data_dir.push(Path::new("a-rather-long-name"));
    }
    std::fs::create_dir_all(&data_dir).unwrap();
    let config = HttpConfig {
        data_dir,
        tcp: None,
    };
    let listeners = Listeners::open(&config).await.unwrap();
    let client = Client::unix(listeners.socket());
    let stop = CancellationToken::new();
    tokio::spawn(listeners.serve(Arc::new(FakeBackend::default()), stop.clone()));
    assert_eq!(client.health().await.unwrap().status, "ok");
    stop.cancel();
}
