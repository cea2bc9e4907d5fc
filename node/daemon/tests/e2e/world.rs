//! A cluster in a folder of its own, and verbs to use it with.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use starling::fleet::{Fleet, Member};
use starling::wires::Wires;
use starling_api::{
    Client, JobDetail, JobRequest, JobState, NodeState, NodeView, TaskState, TaskView,
};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// The program under test.
pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_starling");
/// How long anything may take that is not said to be quick. Generous: the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// How often a state is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A cluster. Dropping it kills everything and, if the test failed, shows the daemons' logs.
pub(crate) struct World {
    // Dropped in this order.
    _logs: Logs,
    pub(crate) fleet: Fleet,
    root: tempfile::TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) bytes: Vec<u8>,
}

impl Said {
    /// The output of a command that must have gone well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.out
    }

    /// The complaint of a command that must have failed with this code.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(!self.err.contains("panicked"), "{self:#?}");
        self.err
    }

    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

impl World {
    /// `count` daemons that know each other.
    pub(crate) async fn of(count: usize) -> Self {
        Self::with(count, &[]).await
    }

    /// As [`World::of`], with flags for each `starling up`.
    pub(crate) async fn with(count: usize, flags: &[&str]) -> Self {
        Self::start(folder(), Path::new(EXE), count, flags).await
    }

    /// `count` daemons on machines that can be cut off.
    pub(crate) async fn on(wires: &Wires, count: usize) -> Self {
        let root = folder();
        let exe = wires.program(root.path(), Path::new(EXE)).unwrap();
        Self::start(root, &exe, count, &[]).await
    }

    async fn start(root: tempfile::TempDir, exe: &Path, count: usize, flags: &[&str]) -> Self {
        let logs = Logs(root.path().to_owned());
        let fleet = Fleet::start(exe, root.path(), count, flags).await;
        let fleet = fleet.unwrap_or_else(|error| panic!("{}", chain(&error)));
        Self {
            _logs: logs,
            fleet,
            root,
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn member(&self, at: usize) -> &Member {
        &self.fleet.members[at]
    }

    pub(crate) fn client(&self, at: usize) -> Client {
        self.member(at).client.clone()
    }

    /// Starts a member's daemon again.
    pub(crate) async fn boot(&mut self, at: usize) {
        self.fleet
            .boot(at)
            .await
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
    }

    /// Lets a member listen where it does now when it is started again, as a machine would. Without
    /// that its port is another one each time.
    pub(crate) async fn keep_address(&mut self, at: usize) {
        let nodes = self.client(at).nodes().await.unwrap().items;
        let here = nodes.iter().find(|node| node.is_self).unwrap();
        let flags = here
            .addresses
            .iter()
            .flat_map(|addr| ["--listen".to_owned(), addr.clone()]);
        self.fleet.members[at].flags = flags.collect();
    }

    /// Waits until a member that has only just joined has saved its address book, a quarter of a
    /// second later: a piece of work on it takes longer than that.
    pub(crate) async fn has_address_book(&self, at: usize) {
        let on = format!("name=node-{at}");
        let work = ["run", "--wait", "--constraint", &on, "--", "sleep", "1"];
        self.cli(at, &work).await.ok();
    }

    /// Waits until what a member has noted about placements is on its disk: such notes go there a
    /// little later, or with the next job that is acknowledged.
    pub(crate) async fn noted(&self, at: usize) {
        self.client(at)
            .submit(&JobRequest::new(["true"]))
            .await
            .unwrap();
    }

    pub(crate) async fn formed(&self, count: usize) {
        self.fleet
            .formed(count)
            .await
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
    }

    /// Runs a command at a member and waits for its end.
    pub(crate) async fn cli(&self, at: usize, args: &[&str]) -> Said {
        finish(self.spawn(at, args)).await
    }

    /// Starts a command at a member.
    pub(crate) fn spawn(&self, at: usize, args: &[&str]) -> Child {
        start(starling(args).env("STARLING_DATA_DIR", &self.member(at).dir))
    }

    /// Submits at a member by the command line; returns the job's id.
    pub(crate) async fn submit(&self, at: usize, args: &[&str]) -> String {
        let args: Vec<&str> = ["run"].iter().chain(args).copied().collect();
        self.cli(at, &args).await.ok().trim().to_owned()
    }

    /// Waits until a job is over, seen from a member.
    pub(crate) async fn over(&self, at: usize, job: &str) -> JobDetail {
        self.job_when(at, job, |job| job.summary.state.is_over())
            .await
    }

    /// Waits until something holds of a job, seen from a member.
    pub(crate) async fn job_when(
        &self,
        at: usize,
        job: &str,
        holds: impl Fn(&JobDetail) -> bool,
    ) -> JobDetail {
        let client = self.client(at);
        until("the job is as wanted", SOON, async || {
            let detail = client.job(job).await.map_err(|error| error.to_string())?;
            if holds(&detail) {
                Ok(detail)
            } else {
                Err(format!("{detail:?}"))
            }
        })
        .await
    }

    /// Waits until something holds of a node, seen from a member.
    pub(crate) async fn node_when(
        &self,
        at: usize,
        name: &str,
        limit: Duration,
        holds: impl Fn(&NodeView) -> bool,
    ) -> NodeView {
        let client = self.client(at);
        until(&format!("{name} is as wanted"), limit, async || {
            let nodes = client
                .nodes()
                .await
                .map_err(|error| error.to_string())?
                .items;
            let node = nodes.into_iter().find(|node| node.name == name);
            let node = node.ok_or("it is not known")?;
            if holds(&node) {
                Ok(node)
            } else {
                Err(format!("{node:?}"))
            }
        })
        .await
    }

    pub(crate) async fn state_of(&self, at: usize, name: &str) -> Option<NodeState> {
        let nodes = self.client(at).nodes().await.unwrap().items;
        nodes
            .into_iter()
            .find(|node| node.name == name)
            .map(|node| node.state)
    }

    /// Ends the cluster in order, and makes sure that nothing is left.
    pub(crate) async fn end(self) {
        let Self { _logs, fleet, root } = self;
        fleet.stop().await;
        nothing_runs_in(root.path()).await;
        let path = root.path().to_owned();
        root.close().unwrap();
        assert!(!path.exists());
    }
}

/// Shows the ends of the daemons' logs when the test has failed.
struct Logs(PathBuf);

impl Drop for Logs {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let log = fs::read_to_string(entry.path().join("daemon.log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let mut text = format!("--- the end of the log of {}\n", entry.path().display());
            for line in &lines[lines.len().saturating_sub(40)..] {
                let _ = writeln!(text, "{line}");
            }
            eprintln!("{text}");
        }
    }
}

/// A folder for a test. On a disk: what a test does to it must not look like a full memory.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("starling-e2e-")
        .tempdir()
        .unwrap()
}

/// The program with arguments, and without what the environment may say.
pub(crate) fn starling<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(EXE);
    command.args(args);
    for name in [
        "STARLING_DATA_DIR",
        "STARLING_API",
        "STARLING_API_TOKEN",
        "STARLING_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

/// Starts a command with its output caught; it dies with the test.
pub(crate) fn start(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits for a command's end.
pub(crate) async fn finish(child: Child) -> Said {
    finish_within(child, Duration::from_secs(120)).await
}

/// Waits for a command's end, which must come in time.
pub(crate) async fn finish_within(mut child: Child, limit: Duration) -> Said {
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (mut bytes, mut complaint) = (Vec::new(), Vec::new());
    let all = async {
        tokio::join!(
            async { out.read_to_end(&mut bytes).await.unwrap() },
            async { err.read_to_end(&mut complaint).await.unwrap() },
        );
        child.wait().await.unwrap()
    };
    let ended = tokio::time::timeout(limit, all).await;
    let err = String::from_utf8_lossy(&complaint).into_owned();
    let out = String::from_utf8_lossy(&bytes).into_owned();
    let Ok(status) = ended else {
        panic!("no end within {limit:?}; out: {out}\nerr: {err}")
    };
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let code = status.code().unwrap_or_else(|| -signal.unwrap_or(0));
    Said {
        code,
        out,
        err,
        bytes,
    }
}

/// Runs a program to its end that is not Starling's.
pub(crate) async fn program(name: &str, args: &[&str]) -> Said {
    finish(start(Command::new(name).args(args))).await
}

/// Looks until there is an answer; the last reason why there was none is told when time is up.
#[track_caller]
pub(crate) fn until<T, L: AsyncFnMut() -> Result<T, String>>(
    what: &str,
    limit: Duration,
    mut look: L,
) -> impl Future<Output = T> {
    let at = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + limit;
        loop {
            let late = Instant::now() > deadline;
            match look().await {
                Ok(answer) => return answer,
                Err(reason) if late => {
                    panic!("{at}: not within {limit:?}: {what}; last seen: {reason}")
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

/// Looks until something holds.
#[track_caller]
pub(crate) fn until_true(
    what: &str,
    limit: Duration,
    mut holds: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    until(what, limit, async move || {
        if holds() {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
}

/// Makes sure that no process uses this folder, or will in a moment.
#[track_caller]
pub(crate) fn nothing_runs_in(folder: &Path) -> impl Future<Output = ()> {
    until(
        "no process is left",
        Duration::from_secs(20),
        async move || {
            let left = processes_in(folder);
            if left.is_empty() {
                Ok(())
            } else {
                Err(left.join("\n"))
            }
        },
    )
}

/// The processes that name this folder in their command line or work in it.
pub(crate) fn processes_in(folder: &Path) -> Vec<String> {
    let wanted = folder.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let dir = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let uses = line.contains(wanted) || dir.starts_with(folder);
            // A zombie has neither, but is no process any more.
            uses.then(|| format!("{} {line}", entry.file_name().display()))
        })
        .collect()
}

/// Whether a process lives.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, after)| !after.starts_with(['Z', 'X']))
}

/// Whether this test may mount file systems and the like.
pub(crate) fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// Tells why a test does not say anything on this machine.
pub(crate) fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// A job of `count` shell commands.
pub(crate) fn shell(count: u32, script: &str) -> JobRequest {
    JobRequest {
        count,
        ..JobRequest::new(["sh", "-c", script])
    }
}

/// Whether each of a job's tasks is there once and succeeded.
#[track_caller]
pub(crate) fn all_succeeded_once(job: &JobDetail, count: u32) {
    let summary = &job.summary;
    assert_eq!(summary.state, JobState::Finished, "{summary:?}");
    assert_eq!(
        (summary.count, summary.succeeded),
        (count, count),
        "{summary:?}"
    );
    let indices: Vec<u32> = job.tasks.iter().map(|task| task.index).collect();
    assert_eq!(indices, (0..count).collect::<Vec<_>>());
    let good = |task: &&TaskView| {
        task.state == TaskState::Succeeded
            && task.exit_code == Some(0)
            && task.id == format!("{}.{}", summary.id, task.index)
    };
    assert_eq!(job.tasks.iter().find(|task| !good(task)), None);
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
