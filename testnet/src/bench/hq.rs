//! HyperQueue beside Starling, where its `hq` is on the machine: a server and workers of one core
//! each in a directory of their own, one array of no-op tasks.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use super::BenchError;
use super::rate::NO_OP;

/// How long the server and the workers may take to find together.
const START: Duration = Duration::from_secs(20);
/// How long the array may take.
const LIMIT: Duration = Duration::from_secs(300);

/// The program.
pub(crate) struct Hq(PathBuf);

impl Hq {
    /// Looks for it in `PATH`.
    pub(crate) fn find() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let there = |dir: PathBuf| Some(dir.join("hq")).filter(|file| file.is_file());
        std::env::split_paths(&path).find_map(there).map(Self)
    }

    /// Tasks per second with so many workers.
    pub(crate) async fn rate(&self, workers: usize, tasks: u32) -> Result<f64, BenchError> {
        let dir = tempfile::tempdir().map_err(BenchError::io("a temporary directory"))?;
        let mut running = vec![self.start(dir.path(), &["server", "start"])?];
        self.until(dir.path(), &["server", "info"], |_| true)
            .await?;
        for _ in 0..workers {
            running.push(self.start(dir.path(), &["worker", "start", "--cpus", "1"])?);
        }
        let listed = |text: &str| text.matches("RUNNING").count() >= workers;
        self.until(dir.path(), &["worker", "list"], listed).await?;
        let array = format!("1-{tasks}");
        let submit = [
            "submit", "--array", &array, "--stdout", "none", "--stderr", "none",
        ];
        let mut command = self.command(dir.path());
        command.args(submit).args(["--wait", "--", NO_OP]);
        let began = Instant::now();
        let ended = tokio::time::timeout(LIMIT, command.status()).await;
        let took = began.elapsed();
        for child in &mut running {
            // They hold nothing worth an orderly end.
            let _ = child.kill().await;
        }
        match ended {
            Ok(Ok(status)) if status.success() => Ok(f64::from(tasks) / took.as_secs_f64()),
            Ok(Err(source)) => Err(BenchError::Io {
                doing: "hq submit",
                source,
            }),
            Ok(Ok(status)) => Err(BenchError::Wrong(format!("hq submit: {status}"))),
            Err(_) => Err(BenchError::Wrong("hq submit does not end".to_owned())),
        }
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.0);
        command
            .arg("--server-dir")
            .arg(dir)
            .kill_on_drop(true)
            .current_dir(dir);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn start(&self, dir: &Path, args: &[&str]) -> Result<Child, BenchError> {
        self.command(dir)
            .args(args)
            .spawn()
            .map_err(BenchError::io("hq cannot be started"))
    }

    async fn until(
        &self,
        dir: &Path,
        args: &[&str],
        enough: impl Fn(&str) -> bool,
    ) -> Result<(), BenchError> {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            let output = self
                .command(dir)
                .args(args)
                .stdout(Stdio::piped())
                .output()
                .await;
            let output = output.map_err(BenchError::io("hq cannot be started"))?;
            if output.status.success() && enough(&String::from_utf8_lossy(&output.stdout)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(BenchError::Wrong(format!(
            "hq {} does not succeed",
            args.join(" ")
        )))
    }
}
