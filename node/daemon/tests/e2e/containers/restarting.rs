//! An engine of the test's own, which is stopped and started again, and takes its containers with it.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use starling_api::{JobRequest, PullPolicy};

use super::engine::{ARCH, archive, docker, image_folder, or_skipped};
use crate::world::{SOON, World, folder, is_root, until};

/// The image of this test.
const IMAGE: &str = "starling-e2e-own:1";

/// An engine in a folder of its own.
struct OwnEngine {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl OwnEngine {
    fn new() -> Option<Self> {
        or_skipped(Self::make())
    }

    fn make() -> Result<Self, String> {
        if !is_root() {
            return Err("an engine of its own needs root".to_owned());
        }
        let mut engine = Self {
            folder: folder(),
            child: None,
        };
        engine.start()?;
        Ok(engine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn socket(&self) -> String {
        format!("unix://{}", self.path("e.sock").display())
    }

    fn start(&mut self) -> Result<(), String> {
        let problem = |error: std::io::Error| format!("dockerd: {error}");
        // That of the machine's own engine would be read otherwise.
        std::fs::write(self.path("c.json"), "{}").map_err(problem)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .map_err(problem)?;
        // In a network of its own: without a bridge it would remove that of the machine's engine.
        let child = Command::new("unshare")
            .args(["--net", "dockerd", "--config-file"])
            .arg(self.path("c.json"))
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("pid"))
            .args(["-H", &self.socket(), "--storage-driver", "vfs"])
            .args(["--bridge", "none", "--iptables=false", "--ip-masq=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(problem)?)
            .stderr(log)
            .spawn()
            .map_err(problem)?;
        self.child = Some(child);
        Ok(())
    }

    fn docker(&self, args: &[&str]) -> Result<String, String> {
        docker(&[&["-H", &self.socket()], args].concat())
    }

    async fn answers(&self) {
        until("the engine answers", SOON, async || {
            self.docker(&["info"]).map(drop)
        })
        .await;
    }

    /// Stops the engine in order, with all that it runs.
    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let _ = child.wait();
        }
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.stop();
    }
}

#[tokio::test]
async fn what_an_engine_takes_with_it_is_lost_and_runs_again() {
    let Some(mut own) = OwnEngine::new() else {
        return;
    };
    own.answers().await;
    let image = image_folder(IMAGE, ARCH).unwrap();
    own.docker(&["load", "-i", &archive(image.path()).unwrap()])
        .unwrap();
    let world = World::with(1, &["--docker-host", &own.socket()]).await;
    let shared = world.root().join("shared");
    std::fs::create_dir(&shared).unwrap();
    // It would not be tried again if it had failed.
    let script = "trap 'exit 9' TERM; echo x >> /shared/started; \
                  until [ -e /shared/go ]; do sleep 0.05; done";
    let job = JobRequest {
        image: Some(IMAGE.into()),
        pull: Some(PullPolicy::Never),
        volumes: vec![format!("{}:/shared", shared.display())],
        ..JobRequest::new(["sh", "-c", script])
    };
    let job = world.client(0).submit(&job).await.unwrap().job;
    let starts = async |count: usize| {
        until("it notes its start", SOON, async || {
            let text = std::fs::read_to_string(shared.join("started"));
            let text = text.unwrap_or_default();
            if text.lines().count() == count {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await;
    };
    starts(1).await;
    world
        .job_when(0, &job, |job| job.summary.running == 1)
        .await;
    own.stop();
    own.start().unwrap();
    own.answers().await;
    starts(2).await;
    std::fs::write(shared.join("go"), "").unwrap();
    let over = world.over(0, &job).await;
    let task = &over.tasks[0];
    assert_eq!((task.exit_code, task.attempts), (Some(0), 1), "{task:?}");
    assert_eq!(task.moves, 1, "{task:?}");
    until("no container is left", SOON, async || {
        match own.docker(&["ps", "-aq"]).unwrap() {
            none if none.trim().is_empty() => Ok(()),
            some => Err(some),
        }
    })
    .await;
    world.end().await;
    own.stop();
}
