//! What came of a case under a policy: one row per task, the messages it took, and the course of
//! the run over time.

use std::time::Duration;

/// A task's fate. Times count from the start of the workload.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskFate {
    /// Index into [`crate::case::Case::jobs`].
    pub job: u32,
    /// Which of the job's tasks.
    pub index: u32,
    /// When it was submitted.
    pub submitted: Duration,
    /// When its last placement began to run.
    pub started: Option<Duration>,
    /// When it ended for good.
    pub ended: Option<Duration>,
    /// Where it ran last.
    pub machine: Option<u32>,
    /// How often it was started; more than once after a loss, or where two copies ran.
    pub starts: u32,
    /// How long it would run alone on the best platform of the fleet.
    pub ideal: Duration,
}

/// The messages of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// Questions about live state on the way of a placement: probes, reservations, waits, pulls,
    /// bounces; each with its answer counts once.
    pub live: u64,
    /// All messages of placement: the live ones with their answers, claims, reports, cancels.
    pub placement: u64,
    /// Bytes of those, where the policy has a wire format; estimated with 64 per message elsewhere.
    pub placement_bytes: u64,
    /// Messages that spread load: gossip, heartbeats, pushes of a store.
    pub spread: u64,
    /// Bytes of those.
    pub spread_bytes: u64,
    /// Tasks that a machine passed on to another.
    pub bounces: u64,
    /// Tasks that an idle machine took from another's queue.
    pub steals: u64,
}

/// The run at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// When.
    pub at: Duration,
    /// Machines that are up.
    pub up: u32,
    /// Tasks that run.
    pub running: u32,
    /// Tasks that were submitted and do not run.
    pub waiting: u32,
    /// The mean age of what machines know of one another, in seconds; not a number without gossip.
    pub view_age: f64,
    /// Tasks that ended since the last moment.
    pub ended: u32,
    /// The mean response of those, in seconds; not a number if there were none.
    pub response: f64,
    /// Messages sent since the last moment.
    pub messages: u64,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The policy.
    pub policy: String,
    /// The case's seed.
    pub seed: u64,
    /// One per task, ordered by job and index.
    pub tasks: Vec<TaskFate>,
    /// What it cost.
    pub messages: Messages,
    /// The run over time.
    pub course: Vec<Moment>,
    /// When the run ended.
    pub end: Duration,
    /// Whether all views agreed with the truth at the end; none where nobody holds views.
    pub converged: Option<bool>,
    /// For how many seconds two copies of a task ran, summed over tasks.
    pub duplicate_seconds: f64,
    /// Events handled.
    pub events: u64,
    /// A digest of all events: equal runs have equal ones.
    pub digest: String,
    /// What did not hold and should have; empty in a good run.
    pub violations: Vec<String>,
}
