//! The edges of the protocol between owners and hosts: what was lost, came late, was forgotten in a
//! crash, or was never true.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{all_succeeded, over, starts};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use starling_engine::{Command, CommandError, Event, EventKind, JobState, Target, TaskState};
use starling_placement::{NodeLoad, Resources};
use starling_testnet::sim::{Options, World};
use starling_wire::jobs::{JobMessage, Phase, Report};
use starling_wire::{JobId, JobSpec, Message, NodeId, Outcome, Restart, TaskId};

const SECOND: Duration = Duration::from_secs(1);

fn spec(count: u32, millis: u32, cpu: u32) -> JobSpec {
    JobSpec {
        name: "test".into(),
        count,
        command: vec!["sim".into(), millis.to_string(), "0".into()],
        need: Resources {
            cpu,
            memory: 1 << 20,
            disk: 0,
        },
        attempts: 3,
        ..JobSpec::default()
    }
}

/// A job that runs nowhere but on `node`.
fn spec_for(world: &World, node: NodeId, count: u32, millis: u32, cpu: u32) -> JobSpec {
    let name = &world.machines[&node].fixed.name;
    let mut spec = spec(count, millis, cpu);
    spec.constraints
        .push(format!("name={name}").parse().unwrap());
    spec
}

fn formed_with(seed: u64, options: Options) -> (World, Vec<NodeId>) {
    let mut world = World::new(seed, options);
    assert!(world.run_until(10 * SECOND, World::is_formed));
    let nodes = world.nodes();
    (world, nodes)
}

fn formed(seed: u64, nodes: usize) -> (World, Vec<NodeId>) {
    formed_with(seed, Options::new(nodes))
}

fn running(world: &World, owner: NodeId, job: JobId) -> u32 {
    world.job(owner, job).map_or(0, |job| job.counts.running)
}

fn jobs(message: JobMessage) -> Message {
    Message::Jobs(message)
}

#[test]
fn results_with_long_reasons_arrive_after_a_restart_of_their_host() {
    let (mut world, nodes) = formed(1, 2);
    let (owner, host) = (nodes[0], nodes[1]);
    let spec = spec_for(&world, host, 100, 60_000, 10);
    let job = world.submit(owner, spec).unwrap();
    assert!(world.run_until(SECOND, |w| running(w, owner, job) == 100));
    world.kill(host, false);
    for runs in world.machines.get_mut(&host).unwrap().tasks.values_mut() {
        runs.ended = Some(Outcome::NotStarted("x".repeat(2_000)));
    }
    world.boot(host);
    assert!(world.run_until(10 * SECOND, |w| over(w, owner, job)));
    assert_eq!(world.job(owner, job).unwrap().counts.failed, 100);
}

#[test]
fn a_stop_is_carried_out_though_the_owner_restarts() {
    for whole in [false, true] {
        let (mut world, nodes) = formed(2, 2);
        let (owner, host) = (nodes[0], nodes[1]);
        let spec = spec_for(&world, host, 3, 600_000, 100);
        let job = world.submit(owner, spec).unwrap();
        assert!(world.run_until(SECOND, |w| running(w, owner, job) == 3));
        world.loses = Some(Box::new(|_, _, message| {
            matches!(message, Message::Jobs(JobMessage::Halt(_)))
        }));
        let target = if whole {
            Target::Job(job)
        } else {
            Target::Task(TaskId { job, index: 1 })
        };
        let request = world.command(owner, Command::Stop(target));
        world.run_until(SECOND, |w| w.replies.contains_key(&request));
        assert!(world.replies[&request].is_ok());
        world.kill(owner, false);
        world.loses = None;
        world.boot(owner);
        world.run_for(10 * SECOND);
        let after = world.job(owner, job).unwrap();
        let stopped = if whole { 3 } else { 1 };
        assert_eq!(after.counts.stopped, stopped);
        assert_eq!(after.tasks[1].outcome, Some(Outcome::Stopped));
        assert_eq!(after.tasks[1].moves, 0);
        assert_eq!(world.machines[&host].tasks.len(), 3 - stopped as usize);
    }
}

#[test]
fn nobody_but_its_owner_decides_about_a_task() {
    let (mut world, nodes) = formed(3, 5);
    let (owner, host) = (nodes[0], nodes[1]);
    let spec = spec_for(&world, host, 4, 5_000, 1_500);
    let job = world.submit(owner, spec.clone()).unwrap();
    let owners = world.job(owner, job).unwrap().owners.clone();
    let stranger = |node: &&NodeId| !owners.contains(node) && **node != host;
    let other = *nodes.iter().find(stranger).unwrap();
    assert!(world.run_until(SECOND, |w| running(w, owner, job) == 2));
    let all: Vec<_> = (0..4)
        .map(|index| (TaskId { job, index }, u64::MAX))
        .collect();
    let claim = JobMessage::Claim {
        request: 1,
        job,
        spec: spec.into(),
        tasks: (0..4).map(|index| (index, u64::MAX - 1)).collect(),
        owners: vec![],
    };
    for message in [JobMessage::Halt(all.clone()), JobMessage::Audit(all), claim] {
        world.inject(other, host, &jobs(message));
        world.run_for(SECOND / 10);
    }
    assert!(world.run_until(60 * SECOND, |w| over(w, owner, job)));
    assert!(all_succeeded(world.job(owner, job).unwrap()));
    assert_eq!(starts(&world, job), vec![1; 4]);
}

#[test]
fn a_placement_that_was_never_made_is_not_believed() {
    let (mut world, nodes) = formed(4, 3);
    let (owner, host, other) = (nodes[0], nodes[1], nodes[2]);
    let spec = spec_for(&world, host, 12, 1_000, 1_000);
    let job = world.submit(owner, spec).unwrap();
    assert!(world.run_until(SECOND, |w| running(w, owner, job) == 4));
    for epoch in [0, 1 << 24, u64::MAX - 1, u64::MAX] {
        for done in [false, true] {
            let phase = if done {
                Phase::Ended {
                    outcome: Outcome::Exited(1),
                    ran_us: u64::MAX,
                }
            } else {
                Phase::Running
            };
            let items = (0..12)
                .map(|index| Report {
                    task: TaskId { job, index },
                    epoch,
                    phase: phase.clone(),
                })
                .collect();
            let load = NodeLoad::default();
            world.inject(
                other,
                owner,
                &jobs(JobMessage::Reports {
                    items,
                    load,
                    heir: false,
                }),
            );
        }
    }
    world.run_for(SECOND / 10);
    assert_eq!(world.job(owner, job).unwrap().counts.failed, 0);
    // A new placement of each follows: its epoch is still to be had.
    world.kill(host, true);
    world.run_for(3 * SECOND);
    world.boot(host);
    assert!(world.run_until(90 * SECOND, |w| over(w, owner, job)));
    assert!(all_succeeded(world.job(owner, job).unwrap()));
}

#[test]
fn of_two_copies_found_after_a_restart_one_ends() {
    let mut both = 0;
    for seed in 0..40 {
        let mut options = Options::new(4);
        // A slow disk: what is written behind is not on it yet.
        options.set_sync(SECOND, SECOND);
        options.config.recovery = 5 * SECOND;
        let (mut world, nodes) = formed_with(seed, options);
        let (owner, first) = (nodes[0], nodes[1 + seed as usize % 3]);
        let name = world.machines[&owner].fixed.name.clone();
        let mut spec = spec(1, 600_000, 500);
        spec.constraints
            .push(format!("name!={name}").parse().unwrap());
        let request = world.command(owner, Command::Submit(Box::new(spec)));
        assert!(world.run_until(8 * SECOND, |w| w.replies.contains_key(&request)));
        let job = world.engine(owner).unwrap().jobs().next().unwrap().id;
        let placed = |w: &World| w.job(owner, job).unwrap().counts.running == 1;
        assert!(world.run_until(3 * SECOND, placed));
        if world.job(owner, job).unwrap().tasks[0].node != Some(first) {
            continue;
        }
        world.run_for(3 * SECOND);
        world.cut(&[first], &nodes);
        let moved = |w: &World| {
            let task = &w.job(owner, job).unwrap().tasks[0];
            task.state == TaskState::Running && task.node != Some(first)
        };
        assert!(world.run_until(5 * SECOND, moved));
        world.kill(owner, false);
        world.network.heal();
        world.boot(owner);
        // The copy that the owner's disk remembers is heard of before the one that it forgot.
        world.loses = Some(Box::new(move |from, _, message| {
            from != first && matches!(message, Message::Jobs(JobMessage::Reports { .. }))
        }));
        world.run_for(4 * SECOND);
        world.loses = None;
        let copies = |w: &World| -> usize { w.machines.iter().map(|m| m.tasks.len()).sum() };
        both += usize::from(copies(&world) == 2);
        assert!(
            world.run_until(40 * SECOND, |w| copies(w) == 1),
            "seed {seed}: both copies go on"
        );
        world.run_for(20 * SECOND);
        assert_eq!(copies(&world), 1, "seed {seed}");
        assert_eq!(running(&world, owner, job), 1, "seed {seed}");
    }
    assert!(both > 3, "{both} runs had two copies");
}

#[test]
fn what_runs_goes_on_though_the_answer_to_its_claim_is_lost() {
    let (mut world, nodes) = formed(6, 2);
    let (owner, host) = (nodes[0], nodes[1]);
    world.loses = Some(Box::new(|_, _, message| {
        matches!(message, Message::Jobs(JobMessage::Claimed { .. }))
    }));
    let spec = spec_for(&world, host, 4, 8_000, 1_000);
    let job = world.submit(owner, spec).unwrap();
    assert!(world.run_until(20 * SECOND, |w| over(w, owner, job)));
    assert!(all_succeeded(world.job(owner, job).unwrap()));
    assert_eq!(starts(&world, job), vec![1; 4]);
}

#[test]
fn a_task_found_on_a_node_held_dead_is_moved_when_it_does_not_come_back() {
    let (mut world, nodes) = formed(7, 3);
    let (owner, host) = (nodes[0], nodes[1]);
    let spec = spec_for(&world, host, 1, 600_000, 1_000);
    let job = world.submit(owner, spec).unwrap();
    assert!(world.run_until(SECOND, |w| running(w, owner, job) == 1));
    let epoch = world.job(owner, job).unwrap().tasks[0].epoch;
    world.cut(&[host], &nodes);
    let displaced = |w: &World| w.job(owner, job).unwrap().counts.pending == 1;
    assert!(world.run_until(10 * SECOND, displaced));
    // A last word gets through, then nothing ever again.
    let items = vec![Report {
        task: TaskId { job, index: 0 },
        epoch,
        phase: Phase::Running,
    }];
    let load = NodeLoad::default();
    world.inject(
        host,
        owner,
        &jobs(JobMessage::Reports {
            items,
            load,
            heir: false,
        }),
    );
    world.run_for(SECOND / 10);
    assert_eq!(running(&world, owner, job), 1);
    world.kill(host, true);
    assert!(world.run_until(20 * SECOND, displaced), "it waits for ever");
}

#[test]
fn a_task_that_found_no_other_place_goes_on_where_it_was() {
    let (mut world, nodes) = formed(14, 3);
    let (owner, host, full) = (nodes[0], nodes[1], nodes[2]);
    let filling = spec_for(&world, full, 4, 600_000, 1_000);
    let filling = world.submit(owner, filling).unwrap();
    assert!(world.run_until(SECOND, |w| running(w, owner, filling) == 4));
    let name = world.machines[&owner].fixed.name.clone();
    let mut spec = spec(2, 40_000, 1_000);
    spec.constraints
        .push(format!("name!={name}").parse().unwrap());
    let job = world.submit(owner, spec).unwrap();
    assert!(world.run_until(SECOND, |w| running(w, owner, job) == 2));
    world.cut(&[host], &nodes);
    let displaced = |w: &World| w.job(owner, job).unwrap().counts.pending == 2;
    assert!(world.run_until(10 * SECOND, displaced));
    world.network.heal();
    assert!(world.run_until(10 * SECOND, |w| running(w, owner, job) == 2));
    world.command(owner, Command::Stop(Target::Job(filling)));
    assert!(world.run_until(40 * SECOND, |w| over(w, owner, job)));
    assert_eq!(starts(&world, job), vec![1; 2]);
}

#[test]
fn a_late_word_of_a_copy_that_has_ended_does_not_revive_it() {
    let (mut world, nodes) = formed(15, 2);
    let (owner, host) = (nodes[0], nodes[1]);
    let mut spec = spec_for(&world, host, 1, 100, 1_000);
    spec.command[2] = "1".into();
    spec.restart = Restart::OnFailure;
    let job = world.submit(owner, spec).unwrap();
    let failed = |w: &World| {
        let task = &w.job(owner, job).unwrap().tasks[0];
        task.state == TaskState::Pending && task.attempts == 1
    };
    assert!(world.run_until(SECOND, |w| running(w, owner, job) == 1));
    let epoch = world.job(owner, job).unwrap().tasks[0].epoch;
    assert!(world.run_until(5 * SECOND, failed));
    let items = vec![Report {
        task: TaskId { job, index: 0 },
        epoch,
        phase: Phase::Running,
    }];
    let load = NodeLoad::default();
    world.inject(
        host,
        owner,
        &jobs(JobMessage::Reports {
            items,
            load,
            heir: false,
        }),
    );
    assert!(world.run_until(6 * SECOND, |w| over(w, owner, job)));
    assert_eq!(starts(&world, job), vec![3]);
}

#[test]
fn room_that_its_first_waiter_no_longer_needs_goes_to_the_next() {
    let (mut world, nodes) = formed(8, 3);
    let (first, second, host) = (nodes[0], nodes[1], nodes[2]);
    let filling = spec_for(&world, host, 4, 600_000, 1_000);
    let filling = world.submit(first, filling).unwrap();
    assert!(world.run_until(SECOND, |w| running(w, first, filling) == 4));
    let waiting = spec_for(&world, host, 1, 600_000, 1_000);
    let gone = world.submit(first, waiting.clone()).unwrap();
    world.run_for(SECOND);
    let next = world.submit(second, waiting).unwrap();
    world.run_for(20 * SECOND);
    world.command(first, Command::Stop(Target::Job(gone)));
    world.run_for(SECOND / 10);
    let task = TaskId {
        job: filling,
        index: 0,
    };
    world.command(first, Command::Stop(Target::Task(task)));
    assert!(
        world.run_until(SECOND, |w| running(w, second, next) == 1),
        "the room stays empty"
    );
}

#[test]
fn a_node_with_room_tells_whoever_begins_to_wait() {
    let (mut world, nodes) = formed(9, 2);
    let (owner, host) = (nodes[0], nodes[1]);
    world.loses = Some(Box::new(
        |_, _, message| matches!(message, Message::Jobs(JobMessage::Room { request, .. }) if *request != 0),
    ));
    let spec = spec_for(&world, host, 2, 500, 1_000);
    let job = world.submit(owner, spec).unwrap();
    assert!(world.run_until(2 * SECOND, |w| over(w, owner, job)));
}

#[test]
fn stopping_tasks_one_by_one_does_not_multiply_the_halts() {
    let (mut world, nodes) = formed(10, 2);
    let (owner, host) = (nodes[0], nodes[1]);
    let spec = spec_for(&world, host, 40, 600_000, 100);
    let job = world.submit(owner, spec).unwrap();
    assert!(world.run_until(SECOND, |w| running(w, owner, job) == 40));
    let halts = Rc::new(Cell::new(0));
    let seen = Rc::clone(&halts);
    world.loses = Some(Box::new(move |_, _, message| {
        let halt = matches!(message, Message::Jobs(JobMessage::Halt(_)));
        seen.set(seen.get() + u32::from(halt));
        halt
    }));
    for index in 0..40 {
        world.command(owner, Command::Stop(Target::Task(TaskId { job, index })));
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(10 * SECOND);
    assert!(halts.get() <= 60, "{} halts", halts.get());
    world.loses = None;
    assert!(world.run_until(3 * SECOND, |w| over(w, owner, job)));
}

#[test]
fn results_for_an_owner_that_never_returns_are_given_up_in_the_end() {
    let mut options = Options::new(2);
    options.config.retention = 20 * SECOND;
    options.config.owners = 1;
    let (mut world, nodes) = formed_with(11, options);
    let (owner, host) = (nodes[0], nodes[1]);
    let spec = spec_for(&world, host, 20, 2_000, 100);
    let job = world.submit(owner, spec).unwrap();
    assert!(world.run_until(SECOND, |w| running(w, owner, job) == 20));
    world.kill(owner, true);
    let held = |w: &World| w.engine(host).unwrap().held().count();
    world.run_for(15 * SECOND);
    assert_eq!(held(&world), 20);
    world.run_for(15 * SECOND);
    assert_eq!(held(&world), 0);
    assert!(world.machines[&host].tasks.is_empty());
}

#[test]
fn a_leaving_node_cannot_be_made_to_take_tasks_again() {
    let (mut world, nodes) = formed(12, 2);
    let leaver = nodes[1];
    let spec = spec_for(&world, leaver, 1, 600_000, 1_000);
    world.submit(nodes[0], spec).unwrap();
    world.run_for(SECOND);
    world.command(leaver, Command::Leave);
    let (on, deadline) = (false, None);
    let request = world.command(leaver, Command::Drain { on, deadline });
    assert!(world.run_until(2 * SECOND, |w| w.engine(leaver).is_none()));
    assert_eq!(world.replies[&request], Err(CommandError::Leaving));
    assert!(world.machines[&leaver].tasks.is_empty());
}

#[test]
fn a_drain_keeps_its_deadline_over_a_restart() {
    let (mut world, nodes) = formed(13, 2);
    let drained = nodes[1];
    let spec = spec_for(&world, drained, 2, 600_000, 1_000);
    let job = world.submit(nodes[0], spec).unwrap();
    assert!(world.run_until(SECOND, |w| running(w, nodes[0], job) == 2));
    let (on, deadline) = (true, Some(5 * SECOND));
    world.command(drained, Command::Drain { on, deadline });
    world.run_for(SECOND);
    world.kill(drained, false);
    world.boot(drained);
    world.run_for(2 * SECOND);
    assert_eq!(running(&world, nodes[0], job), 2);
    world.run_for(5 * SECOND);
    assert_eq!(running(&world, nodes[0], job), 0);
    assert!(world.machines[&drained].tasks.is_empty());
}

/// Jobs that fail and are stopped, nodes that drain, slow disks, and daemons that die.
fn stormy(seed: u64) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut options = Options::new(rng.random_range(2..6));
    let most = Duration::from_millis(rng.random_range(4..20));
    options.set_sync(Duration::from_micros(300), most);
    let (mut world, nodes) = formed_with(seed, options);
    world.network.duplication = rng.random_range(0.0..0.05);
    let mut taken: Vec<(NodeId, JobId)> = Vec::new();
    let mut stops: Vec<(u64, JobId)> = Vec::new();
    for _ in 0..rng.random_range(4..16) {
        let node = nodes[rng.random_range(0..nodes.len())];
        if world.engine(node).is_none() {
            world.boot(node);
        }
        let mut wanted = spec(
            rng.random_range(1..30),
            rng.random_range(1..3_000),
            rng.random_range(100..2_000),
        );
        if rng.random_bool(0.3) {
            wanted.command[2] = "1".into();
            wanted.restart = Restart::OnFailure;
        }
        if let Ok(job) = world.submit(node, wanted) {
            taken.push((node, job));
        }
        world.run_for(Duration::from_millis(rng.random_range(0..1_500)));
        let (owner, job) = taken[rng.random_range(0..taken.len())];
        if world.engine(owner).is_some() {
            match rng.random_range(0..3) {
                0 => stops.push((world.command(owner, Command::Stop(Target::Job(job))), job)),
                1 => {
                    let task = TaskId { job, index: 0 };
                    world.command(owner, Command::Stop(Target::Task(task)));
                }
                _ => {}
            }
        }
        world.network.loss = rng.random_range(0.0..0.3);
        let node = nodes[rng.random_range(0..nodes.len())];
        match rng.random_range(0..5) {
            0 => world.kill(node, rng.random()),
            1 => world.cut(&[node], &nodes),
            2 => world.network.heal(),
            3 if world.engine(node).is_some() => {
                let deadline = rng.random_bool(0.5).then_some(SECOND);
                world.command(node, Command::Drain { on: true, deadline });
            }
            _ => {}
        }
        world.run_for(Duration::from_millis(rng.random_range(0..2_000)));
    }
    world.network.heal();
    world.network.loss = 0.0;
    for node in &nodes {
        if world.engine(*node).is_none() {
            world.boot(*node);
        }
        let (on, deadline) = (false, None);
        world.command(*node, Command::Drain { on, deadline });
    }
    for (owner, id) in taken {
        let ends = world.run_until(180 * SECOND, |w| over(w, owner, id));
        assert!(ends, "seed {seed}: job {id} never ends");
        let job = world.job(owner, id).unwrap();
        let stopped = stops
            .iter()
            .any(|(request, job)| *job == id && matches!(world.replies.get(request), Some(Ok(_))));
        if stopped {
            assert_eq!(job.state, JobState::Stopped, "seed {seed}: {id}");
        }
        for index in 0..job.spec.count {
            let task = TaskId { job: id, index };
            // Each side of a cut may come to an end of its own; nobody tells two.
            for node in &nodes {
                let told = |(_, by, e): &&(_, NodeId, Event)| {
                    by == node && e.kind == EventKind::TaskEnded && e.task == Some(task)
                };
                let ends = world.events.iter().filter(told).count();
                assert!(
                    ends <= 1,
                    "seed {seed}: {node:?} told {ends} ends of {task}"
                );
            }
        }
    }
    world.run_for(40 * SECOND);
    for machine in &world.machines {
        let node = machine.node;
        assert!(machine.tasks.is_empty(), "seed {seed}: {node:?} still runs");
        let held = world.engine(node).unwrap().held().count();
        assert_eq!(held, 0, "seed {seed}: {node:?} still keeps reports");
    }
}

#[test]
fn stops_and_drains_end_whatever_the_weather_was() {
    let seeds = std::env::var("STARLING_SEEDS").unwrap_or_else(|_| "0..60".into());
    let (from, to) = seeds.split_once("..").unwrap();
    for seed in from.parse().unwrap()..to.parse().unwrap() {
        stormy(seed);
    }
}

#[test]
fn a_node_that_stood_still_and_was_replaced_ends_what_it_ran() {
    for seed in 0..20 {
        let (mut world, nodes) = formed(seed, 3);
        let mut long = spec(1, 600_000, 100);
        long.constraints = vec!["name!=n0".parse().unwrap()];
        let owner = *nodes
            .iter()
            .find(|n| world.machines[n].fixed.name == "n0")
            .unwrap();
        let id = world.submit(owner, long).unwrap();
        world.run_for(2 * SECOND);
        let host = world.job(owner, id).unwrap().tasks[0].node.unwrap();
        // Its daemon stands still for long enough to be held dead, and never notices.
        world.pause(host, 6 * SECOND);
        world.run_for(20 * SECOND);
        let copies = world.machines.iter().flat_map(|m| m.tasks.values());
        let copies = copies.filter(|runs| runs.ended.is_none()).count();
        assert_eq!(copies, 1, "seed {seed}");
    }
}
