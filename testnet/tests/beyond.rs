//! Clusters larger than any node's view: owners and hosts of a job need not have met before, and
//! whoever is not in the view is not therefore gone.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "common/seeds.rs"]
mod seeds;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use seeds::seeds;
use starling_engine::{Command, EventKind, Reply, RequestId};
use starling_placement::Resources;
use starling_testnet::sim::{Options, World};
use starling_wire::{JobId, JobSpec, NodeId, TaskId};

const SECOND: Duration = Duration::from_secs(1);
const NODES: usize = 60;

fn spec(rng: &mut ChaCha12Rng) -> JobSpec {
    JobSpec {
        name: "test".into(),
        count: rng.random_range(1..6),
        command: vec![
            "sim".into(),
            rng.random_range(500..8_000).to_string(),
            "0".into(),
        ],
        need: Resources {
            cpu: 500,
            memory: 1 << 20,
            disk: 0,
        },
        attempts: 1,
        ..JobSpec::default()
    }
}

/// Sixty machines, each of which knows at most 24 and is linked to about 12.
fn large(seed: u64) -> (World, Vec<NodeId>) {
    let mut options = Options::new(NODES);
    options.config.gossip.view_limit = 24;
    options.config.gossip.link_limit = 12;
    options.config.gossip.ring_links = 4;
    options.acquaintances = 4;
    let mut world = World::new(seed, options);
    world.run_for(30 * SECOND);
    let nodes = world.nodes();
    (world, nodes)
}

fn acknowledged(world: &World, requests: &[RequestId]) -> Vec<JobId> {
    let ids = requests.iter().filter_map(|request| {
        let Some(Ok(Reply::Submitted { job, .. })) = world.replies.get(request) else {
            return None;
        };
        Some(*job)
    });
    ids.collect()
}

/// How often each end was told, by anybody.
fn ends(world: &World, job: JobId) -> BTreeMap<Option<TaskId>, Vec<(String, NodeId)>> {
    let mut told: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (at, by, event) in &world.events {
        let ends = matches!(event.kind, EventKind::JobFinished | EventKind::TaskEnded);
        if ends && event.job == Some(job) {
            let by = (at.to_string(), *by);
            told.entry(event.task).or_default().push(by);
        }
    }
    told
}

/// How often each task of a job was started.
fn starts(world: &World, job: JobId) -> Vec<usize> {
    let starts = world.starts.iter().filter(|(task, _)| task.job == job);
    starts.map(|(_, starts)| starts.len()).collect()
}

fn is_over(world: &World, job: JobId) -> bool {
    let nodes = world.nodes();
    let mut held = nodes
        .iter()
        .filter_map(|node| world.job(*node, job))
        .peekable();
    held.peek().is_some() && held.all(|job| job.state.is_over())
}

fn all_end_once(seed: u64, world: &mut World, jobs: &[JobId]) {
    for job in jobs {
        let over = world.run_until(120 * SECOND, |w| is_over(w, *job));
        assert!(over, "seed {seed}: {job} never ends");
        let told = ends(world, *job);
        for (task, told) in told {
            assert_eq!(told.len(), 1, "seed {seed}: {job} {task:?}: {told:?}");
        }
    }
}

/// Nobody is ever wrongly taken for gone, so each job has one actor and each task one run.
fn calm(seed: u64) {
    let (mut world, nodes) = large(seed);
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut requests = Vec::new();
    for _ in 0..40 {
        let node = *nodes.choose(&mut rng).unwrap();
        let spec = spec(&mut rng);
        requests.push(world.command(node, Command::Submit(Box::new(spec))));
        world.run_for(Duration::from_millis(rng.random_range(0..1_000)));
    }
    world.run_for(2 * SECOND);
    let jobs = acknowledged(&world, &requests);
    assert_eq!(jobs.len(), requests.len(), "seed {seed}");
    all_end_once(seed, &mut world, &jobs);
    for job in jobs {
        let runs = starts(&world, job);
        assert!(runs.iter().all(|n| *n == 1), "seed {seed}: {job} {runs:?}");
    }
}

/// Whoever took a job burns down; another owner acts, learns from the hosts what runs, and one alone
/// tells the end.
fn lethal(seed: u64) {
    let (mut world, nodes) = large(seed);
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let taker = *nodes.choose(&mut rng).unwrap();
    let mut requests = Vec::new();
    for _ in 0..6 {
        let spec = spec(&mut rng);
        requests.push(world.command(taker, Command::Submit(Box::new(spec))));
    }
    world.run_for(2 * SECOND);
    let jobs = acknowledged(&world, &requests);
    assert_eq!(jobs.len(), requests.len(), "seed {seed}");
    world.run_for(Duration::from_millis(rng.random_range(0..4_000)));
    let done: Vec<JobId> = jobs
        .iter()
        .copied()
        .filter(|j| is_over(&world, *j))
        .collect();
    world.lose(taker);
    all_end_once(seed, &mut world, &jobs);
    for job in jobs.iter().filter(|job| !done.contains(job)) {
        let runs = starts(&world, *job);
        assert!(runs.iter().all(|n| *n <= 2), "seed {seed}: {job} {runs:?}");
    }
}

#[test]
fn a_job_has_one_actor_though_its_owners_never_met() {
    seeds(12).for_each(calm);
}

#[test]
fn owners_that_never_met_take_over_in_order() {
    seeds(12).for_each(lethal);
}
