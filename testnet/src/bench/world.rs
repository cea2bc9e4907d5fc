//! A cluster to measure, in a directory that goes when it goes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use starling::fleet::{Fleet, Member};
use starling_api::{
    Client, ClientError, Event, EventKind, EventQuery, JobRequest, JobSummary, Streamed,
};
use tempfile::TempDir;

use super::BenchError;

/// How long one thing that is waited for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The daemon's program: the one given, or the one beside this program. Run by cargo, that one is
/// built first, so that no missing or older program is measured.
pub(crate) fn find_exe(given: Option<PathBuf>) -> Result<PathBuf, BenchError> {
    let this = std::env::current_exe().map_err(BenchError::io("this program's own file"))?;
    let exe = match given {
        Some(exe) => exe,
        None => {
            if let Some(dir) = std::env::var_os("CARGO_MANIFEST_DIR") {
                build(Path::new(&dir))?;
            }
            this.with_file_name("starling")
        }
    };
    if exe.is_file() {
        Ok(exe)
    } else {
        Err(BenchError::NoExe(exe))
    }
}

fn build(dir: &Path) -> Result<(), BenchError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(dir)
        .args([
            "build",
            "--release",
            "--package",
            "starling",
            "--bin",
            "starling",
        ])
        .status()
        .map_err(BenchError::io("a build of the daemon"))?;
    if built.success() {
        Ok(())
    } else {
        Err(BenchError::NoExe("starling".into()))
    }
}

/// A running cluster. Dropping it kills what runs and removes what it wrote.
pub(crate) struct World {
    // Before the directory: what writes there must be gone first.
    pub(crate) fleet: Fleet,
    dir: TempDir,
}

impl World {
    /// Starts `nodes` daemons.
    pub(crate) async fn start(exe: &Path, nodes: usize) -> Result<Self, BenchError> {
        eprintln!("  {nodes} daemon(s)");
        let dir = tempfile::Builder::new()
            .prefix("starling-bench-")
            .tempdir()
            .map_err(BenchError::io("a temporary directory"))?;
        let fleet = Fleet::start(exe, dir.path(), nodes, &[]).await?;
        Ok(Self { fleet, dir })
    }

    /// Ends the cluster in order.
    pub(crate) async fn stop(self) {
        self.fleet.stop().await;
        // Only now: the daemons were writing there.
        drop(self.dir);
    }

    /// The cluster's directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A client of one daemon, which keeps its connection.
    pub(crate) fn client(&self, at: usize) -> &Client {
        &self.fleet.members[at].client
    }

    /// All daemons.
    pub(crate) fn members(&self) -> &[Member] {
        &self.fleet.members
    }
}

/// What happens from now on, as one daemon tells it.
pub(crate) struct News(Streamed<Event>);

impl News {
    /// Subscribes; nothing that happens afterwards is missing.
    pub(crate) async fn of(client: &Client, kinds: &[EventKind]) -> Result<Self, ClientError> {
        let query = EventQuery {
            follow: true,
            job: None,
            kinds: kinds.to_vec(),
            new_only: true,
        };
        Ok(Self(client.events(&query).await?))
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Result<Event, BenchError> {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
        let next = next.map_err(|_| BenchError::Wrong("nothing happens any more".to_owned()))?;
        let ended = || BenchError::Wrong("the events ended".to_owned());
        Ok(next.ok_or_else(ended)??)
    }

    /// Waits until a job is finished.
    pub(crate) async fn finished(&mut self, job: &str) -> Result<(), BenchError> {
        loop {
            let event = self.next().await?;
            if event.kind == EventKind::JobFinished && event.job.as_deref() == Some(job) {
                return Ok(());
            }
        }
    }
}

/// A job of `count` tasks that run `command`.
pub(crate) fn job(count: u32, command: impl IntoIterator<Item = impl Into<String>>) -> JobRequest {
    JobRequest {
        count,
        ..JobRequest::new(command)
    }
}

/// A finished job's summary, if every task ended well.
pub(crate) async fn all_well(client: &Client, job: &str) -> Result<JobSummary, BenchError> {
    let summary = client.job_summary(job).await?;
    if summary.succeeded == summary.count {
        return Ok(summary);
    }
    Err(BenchError::Wrong(format!(
        "not every task of job {job} ended well: {summary:?}"
    )))
}
