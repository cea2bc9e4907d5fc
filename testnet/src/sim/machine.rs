//! A simulated machine: an engine, a disk that forgets what was not synced, and an executor whose
//! tasks take the time that their command says.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};
use starling_engine::{Engine, HeldTask};
use starling_wire::sign::Signature;
use starling_wire::{Epoch, JobSpec, NodeId, NodeStatic, Outcome, Signer, TaskId, Time};

/// Signs with a keyed digest: as bound to node and bytes as the real thing, at a fraction of its
/// cost, for worlds in which nobody forges.
#[derive(Clone, Copy, Debug)]
pub struct SimSigner(pub NodeId);

impl SimSigner {
    fn digest(node: &NodeId, bytes: &[u8]) -> Signature {
        let digest = Sha256::new()
            .chain_update(node.0)
            .chain_update(bytes)
            .finalize();
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&digest);
        Signature(signature)
    }
}

impl Signer for SimSigner {
    fn node(&self) -> NodeId {
        self.0
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        Self::digest(&self.0, bytes)
    }

    fn verify(&self, node: &NodeId, bytes: &[u8], signature: &Signature) -> bool {
        Self::digest(node, bytes) == *signature
    }
}

/// A task that a machine runs.
#[derive(Clone, Debug)]
pub struct Runs {
    /// Which placement.
    pub epoch: Epoch,
    /// When it ends by itself.
    pub ends: Time,
    /// How.
    pub outcome: Outcome,
    /// What its engine wants to be told of it after a restart.
    pub note: Vec<u8>,
    /// How it ended, once it did and until its owner noted it.
    pub ended: Option<Outcome>,
}

/// A machine of the simulated world.
pub struct Machine {
    /// What its daemon advertises.
    pub fixed: NodeStatic,
    /// The engine, while the daemon runs.
    pub engine: Option<Engine>,
    /// Counts the daemon's lives, so that what was meant for an earlier one does not reach a later.
    pub life: u64,
    /// What is on disk, synced.
    pub disk: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What its executor holds; it outlives the daemon, not the machine.
    pub tasks: BTreeMap<TaskId, Runs>,
    /// CPU in millicores that programs use which Starling did not start.
    pub foreign_cpu: u32,
    /// Until when the daemon is stopped (SIGSTOP): what arrives meanwhile waits.
    pub paused: Time,
    /// When the next tick is queued for.
    pub(crate) wake: Option<Time>,
    /// Until when the disk is busy with earlier commits.
    pub(crate) disk_free: Time,
}

impl Machine {
    pub(crate) fn new(fixed: NodeStatic) -> Self {
        Self {
            fixed,
            engine: None,
            life: 0,
            disk: BTreeMap::new(),
            tasks: BTreeMap::new(),
            foreign_cpu: 0,
            paused: Time::ZERO,
            wake: None,
            disk_free: Time::ZERO,
        }
    }

    /// What the executor tells a daemon that comes up.
    pub(crate) fn held(&self) -> Vec<HeldTask> {
        self.tasks
            .iter()
            .map(|(task, runs)| HeldTask {
                task: *task,
                epoch: runs.epoch,
                ended: runs.ended.clone(),
                note: runs.note.clone(),
            })
            .collect()
    }
}

/// How long a simulated task runs and how it ends: `["sim", MILLISECONDS, EXIT_CODE]`.
pub(crate) fn script(spec: &JobSpec) -> (Duration, Outcome) {
    let number = |at: usize| {
        spec.command
            .get(at)
            .and_then(|text| text.parse::<u32>().ok())
    };
    let millis = number(1).unwrap_or(1);
    let code = number(2)
        .and_then(|code| i32::try_from(code).ok())
        .unwrap_or(0);
    (Duration::from_millis(millis.into()), Outcome::Exited(code))
}
