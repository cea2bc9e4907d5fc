//! The container engine of this machine, an image of our own in it, and a look at what is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::world::{SOON, World, skipped, until};

/// This machine's architecture, in the words of images.
pub(crate) const ARCH: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// Where Docker's engine answers.
const SOCKET: &str = "/var/run/docker.sock";
/// Set where a test that is skipped must fail.
const NEEDED: &str = "STARLING_NEED_DOCKER";

/// An engine with an image of this test's own. Dropping it removes the image, and what a failed test
/// has left.
pub(crate) struct Engine {
    pub(crate) image: String,
    /// The nodes whose containers these tests make.
    nodes: Vec<String>,
}

impl Engine {
    /// The engine, if there is one, with an image of a statically linked busybox.
    pub(crate) fn get() -> Option<Self> {
        Self::of_arch(ARCH)
    }

    /// As [`Engine::get`], with an image that says it is for this architecture.
    pub(crate) fn of_arch(arch: &str) -> Option<Self> {
        or_skipped(Self::make(arch))
    }

    fn make(arch: &str) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        docker(&["info"])?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let image = format!("starling-e2e-{}-{number}:1", std::process::id());
        let folder = image_folder(&image, arch)?;
        docker(&["load", "-i", &archive(folder.path())?])?;
        Ok(Self {
            image,
            nodes: Vec::new(),
        })
    }

    /// The names of the containers of a node.
    pub(crate) fn containers(node: &str) -> Vec<String> {
        let filter = format!("label=starling.node={node}");
        let format = ["--format", "{{.Names}}"];
        let args = [&["ps", "-a", "--filter", &filter], &format[..]].concat();
        let names = docker(&args).unwrap();
        names.lines().map(str::to_owned).collect()
    }

    /// The id of a member, whose containers are looked after from here on.
    pub(crate) async fn node(&mut self, world: &World, at: usize) -> String {
        let nodes = world.client(at).nodes().await.unwrap().items;
        let id = nodes.into_iter().find(|node| node.is_self).unwrap().id;
        if !self.nodes.contains(&id) {
            self.nodes.push(id.clone());
        }
        id
    }

    /// Ends the cluster, and makes sure that none of its containers is left.
    pub(crate) async fn end(mut self, world: World) {
        for at in 0..world.fleet.members.len() {
            if world.member(at).pid().is_some() {
                self.node(&world, at).await;
            }
        }
        world.end().await;
        for node in &self.nodes {
            none_left(node).await;
        }
        docker(&["rmi", &self.image]).unwrap();
    }
}

/// Waits until a node has no containers.
#[track_caller]
pub(crate) fn none_left(node: &str) -> impl Future<Output = ()> {
    until(
        "no container is left",
        SOON,
        async move || match Engine::containers(node) {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        },
    )
}

impl Drop for Engine {
    fn drop(&mut self) {
        let of_image = format!("ancestor={}", self.image);
        let left = docker(&["ps", "-aq", "--filter", &of_image]).unwrap_or_default();
        for id in left.lines() {
            let _ = docker(&["rm", "-f", "-v", id]);
        }
        let _ = docker(&["rmi", "-f", &self.image]);
    }
}

/// What was made; or, where it is not needed, a word about why it could not be.
pub(super) fn or_skipped<T>(made: Result<T, String>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(why) if std::env::var_os(NEEDED).is_some() => {
            panic!("{NEEDED} is set, but containers cannot be tested: {why}")
        }
        Err(why) => {
            skipped(&format!("containers cannot be tested: {why}"));
            None
        }
    }
}

/// The archive of an image, from a folder with what makes it.
pub(super) fn archive(folder: &Path) -> Result<String, String> {
    let folder = folder.to_str().ok_or("a path that is no text")?;
    let archive = format!("{folder}/image.tar");
    let parts = ["manifest.json", "config.json", "layer.tar"];
    run(
        "tar",
        &[&["-cf", &archive, "-C", folder], &parts[..]].concat(),
    )?;
    Ok(archive)
}

/// A folder with what makes an image: the root file system, and what is said about it.
pub(super) fn image_folder(image: &str, arch: &str) -> Result<tempfile::TempDir, String> {
    let busybox = run("sh", &["-c", "command -v busybox"])
        .map_err(|_| "there is no busybox (Debian's busybox-static)".to_owned())?;
    let problem = |error: std::io::Error| error.to_string();
    let folder = crate::world::folder();
    let tree = folder.path().join("root");
    let bin = tree.join("bin");
    for dir in [&bin, &tree.join("tmp"), &tree.join("shared")] {
        std::fs::create_dir_all(dir).map_err(problem)?;
    }
    std::fs::copy(busybox.trim(), bin.join("busybox")).map_err(problem)?;
    for applet in run("busybox", &["--list"])?.lines() {
        // Some names are there twice.
        let _ = std::os::unix::fs::symlink("busybox", bin.join(applet));
    }
    let layer = folder.path().join("layer.tar");
    let layer = layer.to_str().ok_or("a path that is no text")?;
    let tree = tree.to_str().ok_or("a path that is no text")?;
    run("tar", &["-cf", layer, "-C", tree, "."])?;
    let digest = run("sha256sum", &[layer])?;
    let digest = digest.split_whitespace().next().unwrap_or_default();
    let config = json!({
        "architecture": arch,
        "os": "linux",
        "config": { "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest = json!([{
        "Config": "config.json",
        "RepoTags": [image],
        "Layers": ["layer.tar"],
    }]);
    for (name, text) in [("config.json", config), ("manifest.json", manifest)] {
        std::fs::write(folder.path().join(name), text.to_string()).map_err(problem)?;
    }
    Ok(folder)
}

pub(crate) fn docker(args: &[&str]) -> Result<String, String> {
    run("docker", args)
}

fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(args)
        .env_remove("DOCKER_HOST")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program} {args:?}: {}", said.trim()))
    }
}

/// A socket that leads to the engine while it is open: an engine that can go and come back.
pub(crate) struct Door {
    path: PathBuf,
    open: Option<JoinHandle<()>>,
}

impl Door {
    pub(crate) fn new(folder: &Path) -> Self {
        let mut door = Self {
            path: folder.join("engine.sock"),
            open: None,
        };
        door.open();
        door
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub(crate) fn open(&mut self) {
        let listener = UnixListener::bind(&self.path).unwrap();
        self.open = Some(tokio::spawn(async move {
            let mut ways = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                ways.spawn(async move {
                    if let Ok(mut far) = UnixStream::connect(SOCKET).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        }));
    }

    /// Cuts every connection, and takes no new one.
    pub(crate) async fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.abort();
            let _ = open.await;
        }
        std::fs::remove_file(&self.path).unwrap();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            open.abort();
        }
    }
}

/// Something that holds a port of this machine.
pub(crate) fn taken_port() -> (Arc<std::net::TcpListener>, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (Arc::new(listener), port)
}
