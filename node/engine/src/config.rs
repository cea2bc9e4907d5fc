//! The engine's limits and time-outs.

use std::sync::Arc;
use std::time::Duration;

use starling_gossip::{GossipConfig, Seed};
use starling_placement::{Classes, Policy};
use starling_wire::NodeStatic;

/// What an engine is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gossip part's settings.
    pub gossip: GossipConfig,
    /// This node's static part; its capacity is what tasks may reserve.
    pub fixed: NodeStatic,
    /// Nodes to join by, besides the saved address book.
    pub seeds: Vec<Seed>,
    /// The most jobs this node owns at a time, finished ones included.
    pub max_jobs: usize,
    /// The most tasks of unfinished jobs this node owns at a time.
    pub max_tasks: usize,
    /// How long a finished job's result is kept.
    pub retention: Duration,
    /// How long a round of probes waits for the slower answers.
    pub probe_timeout: Duration,
    /// How long a claim, a halt or a report waits before it is repeated.
    pub resend: Duration,
    /// How often a claim is repeated before its tasks are placed elsewhere.
    pub claim_tries: u32,
    /// How often an owner compares notes with the hosts of its tasks.
    pub audit: Duration,
    /// After a restart, how long an owner waits for hosts to report before it places what nobody
    /// reported.
    pub recovery: Duration,
    /// In a cluster larger than the view, how long a node that the view lacks is looked for before it
    /// counts as gone.
    pub seek: Duration,
    /// How many nodes hold a job's record, 1 to [`MAX_OWNERS`](starling_wire::copies::MAX_OWNERS).
    pub owners: usize,
    /// How long an owner leases a task to its node that must not run twice; it is renewed four times
    /// in that.
    pub lease: Duration,
    /// How long a submit waits for another owner to have the job on disk before it asks the next
    /// best; after three such waits it is acknowledged with the copies there are.
    pub copy_wait: Duration,
    /// How long an owner that takes over lets hosts and other owners report before it places what
    /// nobody reported.
    pub takeover: Duration,
    /// How long an owner must have been dead before another node takes its place.
    pub replace_owner: Duration,
    /// How long after its start a host waits for an owner before it starts again by itself what a
    /// power cut had ended.
    pub cold_start: Duration,
    /// The first pause before a failed task is tried again; it doubles up to `retry_max`.
    pub retry_first: Duration,
    /// The longest such pause.
    pub retry_max: Duration,
    /// A task that ran for so long begins with the first pause again.
    pub retry_reset: Duration,
    /// How long a leaving node waits for its tasks to end and be noted.
    pub leave_deadline: Duration,
    /// Which parts of the placement rule are in force.
    pub policy: Policy,
    /// What is known of classes; without it a node learns from its own jobs.
    pub classes: Option<Arc<dyn Classes>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gossip: GossipConfig::default(),
            fixed: NodeStatic::default(),
            seeds: Vec::new(),
            max_jobs: 10_000,
            max_tasks: 1_000_000,
            retention: Duration::from_secs(24 * 3600),
            probe_timeout: Duration::from_millis(100),
            resend: Duration::from_secs(1),
            claim_tries: 3,
            audit: Duration::from_secs(10),
            recovery: Duration::from_secs(2),
            seek: Duration::from_secs(30),
            owners: starling_wire::copies::MAX_OWNERS,
            lease: Duration::from_secs(6),
            copy_wait: Duration::from_millis(250),
            takeover: Duration::from_millis(500),
            replace_owner: Duration::from_secs(20),
            cold_start: Duration::from_secs(3),
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(300),
            retry_reset: Duration::from_secs(60),
            leave_deadline: Duration::from_secs(8),
            policy: Policy::default(),
            classes: None,
        }
    }
}
