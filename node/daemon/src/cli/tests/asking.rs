//! What commands do to a daemon, here the real server before a fake cluster.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::parsing::parse;
use crate::http::fake::FakeBackend;
use crate::http::{HttpConfig, Listeners};

/// A fake daemon in a folder of its own.
async fn daemon(backend: FakeBackend) -> (tempfile::TempDir, Arc<FakeBackend>) {
    let folder = tempfile::tempdir().unwrap();
    let config = HttpConfig {
        data_dir: folder.path().to_owned(),
        tcp: None,
    };
    let listeners = Listeners::open(&config).await.unwrap();
    let backend = Arc::new(backend);
    tokio::spawn(listeners.serve(Arc::clone(&backend), CancellationToken::new()));
    (folder, backend)
}

/// Runs `line` against the daemon in `folder`: 0 or the error's exit code.
async fn run(folder: &tempfile::TempDir, line: &str) -> Result<ExitCode, u8> {
    let dir = folder.path().display();
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    let command = parse(&format!("starling {command} --data-dir {dir} {rest}")).unwrap();
    crate::cli::ask(command).await.map_err(|error| error.code())
}

#[tokio::test]
async fn commands_ask_the_daemon() {
    let (folder, backend) = daemon(FakeBackend::default()).await;
    for line in [
        "run --count 3 --cpu 0.5 -- true",
        "run --json -- true",
        "ps",
        "ps --json",
        "ps 28t5",
        "inspect 28t5",
        "inspect 28t5.2 --json",
        "logs 28t5.0 --tail 3",
        "logs 28t5",
        "stop 28t5",
        "events",
        "events --json --job 28t5",
        "nodes",
        "nodes --json",
        "classes",
        "classes process: --json",
        "interference",
        "interference process: --limit 1",
        "interference --json",
        "drain attic --deadline 2s",
        "undrain attic",
        "why 28t5.1",
        "token",
    ] {
        assert_eq!(run(&folder, line).await, Ok(ExitCode::SUCCESS), "{line}");
    }
    let submitted = backend.submitted.lock().unwrap().clone();
    assert_eq!((submitted[0].count, submitted[0].cpu_limit), (3, Some(500)));
    for (line, code) in [
        ("ps zzz", 1),
        ("inspect 28t5.9", 1),
        ("logs 28t5.9", 1),
        ("stop 28t5.0", 1),
        ("drain nobody", 1),
        ("run --memory 900TiB -- true", 1),
        ("apply -f /no/such/file", 2),
        ("why 28t5", 2),
    ] {
        assert_eq!(run(&folder, line).await, Err(code), "{line}");
    }
    let nowhere = tempfile::tempdir().unwrap();
    assert_eq!(run(&nowhere, "ps").await, Err(3));
}

#[tokio::test]
async fn apply_reads_a_job_file() {
    let (folder, backend) = daemon(FakeBackend::default()).await;
    let file = folder.path().join("job.toml");
    let line = format!("apply -f {}", file.display());
    std::fs::write(&file, "command = ['true']\ncount = 5\n").unwrap();
    assert_eq!(run(&folder, &line).await, Ok(ExitCode::SUCCESS));
    assert_eq!(backend.submitted.lock().unwrap()[0].count, 5);
    for text in [
        "command = ['true']\ncuont = 5\n",
        "command = ['x']\ncpu = 0\n",
        "",
    ] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(run(&folder, &line).await, Err(2), "{text}");
    }
    std::fs::write(&file, "command = ['true']\nmemory = '900TiB'\n").unwrap();
    assert_eq!(run(&folder, &line).await, Err(1));
    assert_eq!(backend.submitted.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn waiting_ends_with_the_task_and_its_code() {
    for code in [0, 7] {
        let delay = Duration::from_millis(100);
        let (folder, _) = daemon(FakeBackend::ending(delay, code)).await;
        let start = tokio::time::Instant::now();
        let expected = ExitCode::from(u8::try_from(code).unwrap());
        assert_eq!(run(&folder, "run --wait -- true").await, Ok(expected));
        let late = start.elapsed().checked_sub(delay).unwrap();
        // Far less than the second after which looking would find it.
        assert!(late < Duration::from_millis(500), "{late:?}");
        println!("noticed after {late:?}");
    }
}
