//! What the engine's tests ask of a world.

use starling_engine::{Job, JobState};
use starling_testnet::sim::World;
use starling_wire::{JobId, NodeId};

/// Whether every task of a job has ended.
pub(crate) fn over(world: &World, owner: NodeId, job: JobId) -> bool {
    world.job(owner, job).is_some_and(|job| job.state.is_over())
}

/// Whether a job came to a good end.
pub(crate) fn all_succeeded(job: &Job) -> bool {
    job.state == JobState::Finished && job.counts.succeeded == job.spec.count
}

/// How often each of a job's tasks that was ever started was.
pub(crate) fn starts(world: &World, job: JobId) -> Vec<usize> {
    world
        .starts
        .iter()
        .filter(|(id, _)| id.job == job)
        .map(|(_, starts)| starts.len())
        .collect()
}
