//! Nodes as the API shows them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A node by id and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeRef {
    /// The node's id: its public key in base 32, 52 characters.
    pub id: String,
    /// Its name, for people; empty while it is unknown.
    pub name: String,
}

impl NodeRef {
    /// What people call it: its name, or the first eight characters of its id.
    pub fn label(&self) -> &str {
        if self.name.is_empty() {
            self.id.get(..8).unwrap_or(&self.id)
        } else {
            &self.name
        }
    }
}

/// Whether a node lives, as the answering node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// It was heard of lately.
    Alive,
    /// It did not answer; it has a moment to prove that it lives.
    Suspect,
    /// It did not; its tasks are placed elsewhere.
    Dead,
    /// It left in order.
    Left,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        })
    }
}

/// An amount of each resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Amount {
    /// CPU in millicores: 1000 is one core.
    pub cpu_millis: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Disk in bytes.
    pub disk: u64,
}

/// How hard each shared resource is pressed, 0 (idle) to 1 (saturated).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PressureView {
    /// CPU.
    pub cpu: f64,
    /// Memory.
    pub memory: f64,
    /// Disk and block I/O.
    pub io: f64,
    /// Network.
    pub network: f64,
}

impl PressureView {
    /// The greatest of the four, with its name.
    pub fn worst(&self) -> (&'static str, f64) {
        [
            ("cpu", self.cpu),
            ("memory", self.memory),
            ("io", self.io),
            ("network", self.network),
        ]
        .into_iter()
        .fold(("cpu", f64::MIN), |a, b| if b.1 > a.1 { b } else { a })
    }
}

/// A member of the cluster, as the answering node knows it from gossip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Its id: its public key in base 32, 52 characters.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// Whether it lives.
    pub state: NodeState,
    /// Whether it is the node that answers.
    #[serde(rename = "self")]
    pub is_self: bool,
    /// Whether it takes no new tasks.
    pub draining: bool,
    /// Its hardware class, for example the processor's model.
    pub platform: String,
    /// Its processor architecture.
    pub arch: String,
    /// Its operating system.
    pub os: String,
    /// Its labels, `arch`, `os` and `name` among them.
    pub labels: BTreeMap<String, String>,
    /// What it can give to tasks in all.
    pub capacity: Amount,
    /// What no task has reserved and nobody else uses.
    pub free: Amount,
    /// CPU that was idle lately, in millicores, whoever used the rest.
    pub idle_cpu_millis: u32,
    /// Tasks that run on it.
    pub running: u32,
    /// How hard its shared resources are pressed.
    pub pressure: PressureView,
    /// How old the record is that this was read from, in milliseconds.
    pub record_age_ms: u64,
    /// Addresses it can be dialled at, as multiaddresses.
    pub addresses: Vec<String>,
    /// The version of its program.
    pub version: String,
    /// How often it has started or refuted a suspicion.
    pub incarnation: u32,
    /// What runs containers there; left out if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<ContainersView>,
}

/// A node's container engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContainersView {
    /// `docker` or `podman`.
    pub engine: String,
    /// Its version.
    pub version: String,
    /// The architecture of the images it runs, in the words of images: `amd64`, `arm64`, ...
    pub arch: String,
}

impl NodeView {
    /// The node by id and name.
    pub fn reference(&self) -> NodeRef {
        NodeRef {
            id: self.id.clone(),
            name: self.name.clone(),
        }
    }
}

/// An answer gathered from the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Answer<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Members that did not answer in time; what only they know is missing.
    #[serde(default)]
    pub silent: Vec<NodeRef>,
}

impl<T> Answer<T> {
    /// An answer to which every member contributed.
    pub const fn complete(items: Vec<T>) -> Self {
        Self {
            items,
            silent: Vec::new(),
        }
    }
}

/// What a drain or its end did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drain {
    /// The node.
    pub node: NodeRef,
    /// Whether it takes no new tasks now.
    pub draining: bool,
    /// Tasks that still run on it.
    pub running: u32,
}

/// The line that admits another machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// The token; whoever has it can join.
    pub token: String,
}

/// Whether the daemon is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, or what is wrong in a word.
    pub status: String,
    /// The node that answers.
    pub node: NodeRef,
    /// The version of its program.
    pub version: String,
    /// The cluster it belongs to.
    pub cluster: String,
}
