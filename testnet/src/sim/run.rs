//! A case under the production engine: from its description to what came of it.

use std::sync::Arc;
use std::time::Duration;

use starling_engine::Config;
use starling_gossip::GossipConfig;
use starling_placement::Policy;
use starling_wire::Time;

use super::agenda::Todo;
use super::believe::believed;
use super::effects::Tally;
use super::fate::Fates;
use super::trace::Sink;
use super::world::{Options, World};
use crate::case::Case;
use crate::outcome::{Messages, Outcome};

/// How many moments of a run are noted.
const MOMENTS: u32 = 200;

/// How long views may take to agree with the truth once a run is over.
const CONVERGES_WITHIN: Duration = Duration::from_secs(60);

/// What else a run is told.
#[derive(Default)]
pub struct Watch<'a> {
    /// Called now and then with the share of the run that is done; false stops it.
    pub progress: Option<&'a dyn Fn(f64) -> bool>,
    /// Where every event goes, in words.
    pub trace: Option<Sink>,
}

/// Runs `case` under the production engine with `policy` in force, named `name` in the outcome.
pub fn run(case: &Case, name: &str, policy: Policy, mut watch: Watch<'_>) -> Outcome {
    let mut world = world(case, policy);
    world.trace.sink = watch.trace.take();
    let origin = Time::ZERO + case.sim.form;
    let end = origin + case.end;
    let last = case.jobs.last().map_or(Duration::ZERO, |job| job.at);
    let last = case.faults.last().map_or(last, |fault| last.max(fault.at));
    let slice = (case.sim.form + case.end) / 500;
    let slice = slice.max(Duration::from_millis(1));
    let mut forming = true;
    while world.now < end {
        if forming && world.now >= origin {
            // What it takes to form a cluster is not what it takes to run one.
            world.tally = Tally::default();
            forming = false;
        }
        let until = (world.now + slice).min(if forming { origin } else { end });
        while world.violations.is_empty() && world.step(until) {}
        if !world.violations.is_empty() {
            break;
        }
        world.now = until;
        // Once all is done there is nothing to wait for but the rest of the faults.
        if world.fates.is_done() && world.now > origin + last + Duration::from_secs(2) {
            break;
        }
        if let Some(progress) = watch.progress {
            let share = world.now.since(Time::ZERO).as_secs_f64()
                / end.since(Time::ZERO).as_secs_f64().max(1e-9);
            if !progress(share) {
                break;
            }
        }
    }
    if world.violations.is_empty() {
        world.note_moment();
    }
    let ended = world.now;
    // The last fault or boot may be just over: views have this long to agree.
    while world.violations.is_empty()
        && !world.has_converged()
        && world.now < ended + CONVERGES_WITHIN
    {
        let until = world.now + Duration::from_secs(1);
        while world.violations.is_empty() && world.step(until) {}
        world.now = until;
    }
    Outcome {
        policy: name.to_owned(),
        seed: case.seed,
        messages: messages(&world),
        end: ended.since(origin),
        events: world.handled(),
        digest: world.digest(),
        converged: Some(world.has_converged()),
        duplicate_seconds: world.fates.duplicate_seconds(world.now),
        tasks: std::mem::take(&mut world.fates.tasks),
        course: std::mem::take(&mut world.fates.course),
        violations: world.violations,
    }
}

/// The world of a case, with its workload and its faults on the agenda.
fn world(case: &Case, policy: Policy) -> World {
    let config = Config {
        gossip: GossipConfig {
            period: case.gossip_period,
            view_limit: case.sim.view_limit,
            book_limit: case.sim.view_limit,
            byte_budget: case.sim.byte_budget,
            ..GossipConfig::default()
        },
        // A user of a case asks for as much as it says.
        max_jobs: usize::MAX,
        max_tasks: usize::MAX,
        retention: Duration::from_secs(60),
        policy,
        classes: believed(case),
        ..Config::default()
    };
    let options = Options {
        machines: case.machines.clone(),
        truth: Arc::clone(&case.truth),
        config,
        acquaintances: case.sim.acquaintances,
    };
    let mut world = World::new(case.seed, options);
    world.keeps_history = false;
    world.network.shape(&case.network);
    world.jobs = Arc::new(case.jobs.clone());
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    world.spawn = (micros(case.sim.spawn.0), micros(case.sim.spawn.1));
    let origin = Time::ZERO + case.sim.form;
    world.fates = Fates::of(case, origin, &world.order);
    for (job, spec) in (0..).zip(&case.jobs) {
        let todo = Todo::Submit {
            job,
            machine: spec.home,
            tries: 0,
        };
        world.plan(origin + spec.at, todo);
    }
    for fault in &case.faults {
        world.plan(origin + fault.at, Todo::Fault(fault.what.clone()));
    }
    let every = case.sim.sample.unwrap_or(case.end / MOMENTS);
    let every = every.max(Duration::from_millis(1));
    world.agenda.every = Some(every);
    world.plan(origin + every, Todo::Moment);
    world
}

/// What the network carried, and what engines that are up say they did.
fn messages(world: &World) -> Messages {
    let mut messages = world.tally.messages;
    for engine in world.machines.iter().filter_map(|m| m.engine.as_ref()) {
        let counters = engine.counters();
        messages.bounces += counters.bounced;
        messages.steals += counters.pulled;
    }
    messages
}
