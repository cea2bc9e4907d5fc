//! Owners: who holds a job's record, who acts when one is gone, and what a machine does alone.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::time::Duration;

use common::{all_succeeded, over, starts};
use starling_engine::{Command, EventKind, Job, JobState, Reply, Target};
use starling_placement::Resources;
use starling_testnet::sim::{Options, World};
use starling_wire::jobs::JobMessage;
use starling_wire::{JobId, JobSpec, Message, NodeId};

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

fn formed_with(seed: u64, options: Options) -> (World, Vec<NodeId>) {
    let mut world = World::new(seed, options);
    assert!(world.run_until(10 * SECOND, World::is_formed));
    let nodes = world.nodes();
    (world, nodes)
}

fn formed(seed: u64, nodes: usize) -> (World, Vec<NodeId>) {
    formed_with(seed, Options::new(nodes))
}

/// The job as whoever acts for it sees it.
fn acted(world: &World, id: JobId) -> Option<&Job> {
    let nodes = world.nodes();
    let mut jobs = nodes.iter().filter_map(|node| {
        let job = world.job(*node, id)?;
        (job.actor == *node).then_some(job)
    });
    jobs.next()
}

fn running(world: &World, id: JobId) -> u32 {
    acted(world, id).map_or(0, |job| job.counts.running)
}

#[test]
fn an_acknowledgement_says_how_many_copies_there_are() {
    for (nodes, owners, enough) in [(1, 1, 1), (2, 2, 2), (3, 3, 2), (6, 3, 2)] {
        let (mut world, all) = formed(nodes as u64, nodes);
        let request = world.command(all[0], Command::Submit(Box::new(spec(3, 100, 100))));
        assert!(world.run_until(SECOND, |w| w.replies.contains_key(&request)));
        let Some(Ok(Reply::Submitted { job, copies })) = world.replies.get(&request).cloned()
        else {
            panic!("{:?}", world.replies);
        };
        assert!(copies >= enough, "{copies} copies in a cluster of {nodes}");
        // So many disks have it, and not only in their writers' words.
        let on_disk = |w: &World| {
            let key = [b"j/".as_slice(), &job.0.to_be_bytes()].concat();
            w.machines
                .iter()
                .filter(|m| m.disk.contains_key(&key))
                .count()
        };
        assert!(on_disk(&world) >= copies as usize);
        world.run_for(SECOND);
        let seen = world.job(all[0], job).unwrap();
        assert_eq!(seen.owners.len(), owners);
        assert_eq!(on_disk(&world), owners);
        assert_eq!(world.engine(all[0]).unwrap().copies(seen) as usize, owners);
    }
}

#[test]
fn a_submit_does_not_wait_for_owners_that_are_dead_and_not_known_to_be() {
    let (mut world, nodes) = formed(3, 6);
    let first = world.submit(nodes[0], spec(1, 100, 100)).unwrap();
    let owners = world.job(nodes[0], first).unwrap().owners.clone();
    for owner in &owners[1..] {
        world.pause(*owner, 60 * SECOND);
    }
    let request = world.command(nodes[0], Command::Submit(Box::new(spec(1, 100, 100))));
    assert!(world.run_until(SECOND, |w| w.replies.contains_key(&request)));
    let reply = world.replies[&request].clone();
    assert!(
        matches!(reply, Ok(Reply::Submitted { copies, .. }) if copies >= 2),
        "{reply:?}"
    );
}

#[test]
fn whoever_took_a_job_may_burn_down_and_no_task_starts_twice_that_runs_elsewhere() {
    let mut worst = Duration::ZERO;
    let mut all = Vec::new();
    for seed in 0..40 {
        let (mut world, nodes) = formed(seed, 5);
        let taker = nodes[seed as usize % 5];
        let job = world.submit(taker, spec(30, 20_000, 400)).unwrap();
        world.run_for(2 * SECOND);
        let there = |w: &World, node| {
            w.machines[&node]
                .tasks
                .keys()
                .filter(|t| t.job == job)
                .count()
        };
        let displaced = there(&world, taker);
        assert!(displaced > 0, "seed {seed}: it was to be owner and host");
        let died = world.now();
        world.lose(taker);
        let again = world.run_until(10 * SECOND, |w| running(w, job) == 30);
        assert!(again, "seed {seed}: {:?}", acted(&world, job));
        let took = world.now().since(died);
        worst = worst.max(took);
        all.push(took);
        assert!(world.run_until(60 * SECOND, |w| {
            nodes
                .iter()
                .filter_map(|node| w.job(*node, job))
                .all(|job| job.state.is_over())
        }));
        assert!(
            nodes
                .iter()
                .filter_map(|n| world.job(*n, job))
                .all(all_succeeded)
        );
        let twice = starts(&world, job)
            .iter()
            .filter(|starts| **starts > 1)
            .count();
        assert_eq!(
            twice, displaced,
            "seed {seed}: what ran elsewhere went on there"
        );
    }
    all.sort_unstable();
    let median = all[all.len() / 2];
    println!(
        "owner and host burned down: running again after {median:?} (median), {worst:?} (worst)"
    );
    assert!(median <= Duration::from_millis(1_500), "median {median:?}");
    assert!(worst <= 5 * SECOND, "worst {worst:?}");
}

#[test]
fn of_two_nodes_either_may_burn_down() {
    for seed in 0..20 {
        let (mut world, nodes) = formed(seed, 2);
        let job = world.submit(nodes[0], spec(12, 3_000, 500)).unwrap();
        world.run_for(SECOND);
        let (gone, left) = (nodes[seed as usize % 2], nodes[1 - seed as usize % 2]);
        world.lose(gone);
        assert!(
            world.run_until(40 * SECOND, |w| over(w, left, job)),
            "seed {seed}"
        );
        assert!(all_succeeded(world.job(left, job).unwrap()));
    }
}

#[test]
fn the_owner_that_was_away_acts_again_and_knows_all_results() {
    for seed in 0..20 {
        let (mut world, nodes) = formed(seed, 4);
        let taker = nodes[0];
        let job = world.submit(taker, spec(24, 4_000, 500)).unwrap();
        world.run_for(SECOND);
        world.kill(taker, true);
        world.run_for(6 * SECOND);
        assert!(
            acted(&world, job).is_some_and(|job| job.actor != taker),
            "seed {seed}"
        );
        world.boot(taker);
        let back = |w: &World| {
            let nodes = w.nodes();
            let mut held = nodes.iter().filter_map(|node| w.job(*node, job));
            held.all(|job| job.actor == taker || job.state.is_over())
        };
        assert!(world.run_until(10 * SECOND, back), "seed {seed}");
        let all_over = |w: &World| {
            nodes
                .iter()
                .filter_map(|n| w.job(*n, job))
                .all(|job| job.state.is_over())
        };
        assert!(world.run_until(60 * SECOND, all_over), "seed {seed}");
        assert!(all_succeeded(world.job(taker, job).unwrap()), "seed {seed}");
        let ends = world
            .events
            .iter()
            .filter(|(_, _, e)| e.kind == EventKind::JobFinished);
        assert!(ends.count() <= 1, "seed {seed}");
    }
}

#[test]
fn owners_that_stay_away_are_replaced_within_a_minute() {
    for seed in 0..10 {
        let (mut world, nodes) = formed(seed, 7);
        let job = world.submit(nodes[0], spec(6, 120_000, 500)).unwrap();
        world.run_for(SECOND);
        let owners = world.job(nodes[0], job).unwrap().owners.clone();
        world.lose(owners[seed as usize % 3]);
        let full = |w: &World| {
            acted(w, job).is_some_and(|job| {
                let live = job.owners.iter().all(|owner| w.engine(*owner).is_some());
                let engine = w.engine(job.actor);
                live && job.owners.len() == 3 && engine.is_some_and(|e| e.copies(job) == 3)
            })
        };
        assert!(
            world.run_until(60 * SECOND, full),
            "seed {seed}: {:?}",
            acted(&world, job)
        );
        // The new owner is worth as much: all others may go.
        let last = acted(&world, job).unwrap().owners.clone();
        let new = *last.iter().find(|owner| !owners.contains(owner)).unwrap();
        for owner in last.iter().filter(|owner| **owner != new) {
            world.lose(*owner);
        }
        assert!(
            world.run_until(300 * SECOND, |w| over(w, new, job)),
            "seed {seed}"
        );
        assert!(all_succeeded(world.job(new, job).unwrap()), "seed {seed}");
    }
}

#[test]
fn results_are_forgotten_everywhere_in_time() {
    let mut options = Options::new(4);
    options.config.retention = 60 * SECOND;
    let (mut world, nodes) = formed_with(5, options);
    let job = world.submit(nodes[1], spec(5, 500, 500)).unwrap();
    world.run_for(30 * SECOND);
    let holders = |w: &World| nodes.iter().filter(|node| over(w, **node, job)).count();
    assert_eq!(holders(&world), 3);
    world.run_for(60 * SECOND);
    assert_eq!(holders(&world), 0);
    for machine in &world.machines {
        let left = machine
            .disk
            .keys()
            .find(|key| matches!(key.first(), Some(b'j' | b't' | b's')));
        assert_eq!(left, None, "{:?} keeps a row", machine.node);
    }
}

#[test]
fn a_stop_at_any_owner_is_carried_out() {
    for at in 0..3 {
        let (mut world, nodes) = formed(9, 5);
        let job = world.submit(nodes[0], spec(10, 600_000, 500)).unwrap();
        assert!(world.run_until(2 * SECOND, |w| running(w, job) == 10));
        let owners = world.job(nodes[0], job).unwrap().owners.clone();
        world.command(owners[at], Command::Stop(Target::Job(job)));
        assert!(world.run_until(5 * SECOND, |w| {
            owners.iter().all(|owner| over(w, *owner, job))
        }));
        assert_eq!(world.job(owners[at], job).unwrap().state, JobState::Stopped);
        world.run_for(SECOND);
        assert!(
            world
                .machines
                .iter()
                .all(|machine| machine.tasks.is_empty())
        );
    }
}

#[test]
fn a_machine_that_boots_alone_runs_again_what_it_ran() {
    for owns in [false, true] {
        let (mut world, nodes) = formed(4, 6);
        let taker = nodes[0];
        let probe = world.submit(taker, spec(1, 1, 100)).unwrap();
        let owners = world.job(taker, probe).unwrap().owners.clone();
        let host = *nodes
            .iter()
            .find(|node| owners.contains(node) == owns && **node != taker)
            .unwrap();
        let mut wanted = spec(3, 600_000, 500);
        let name = &world.machines[&host].fixed.name;
        wanted
            .constraints
            .push(format!("name={name}").parse().unwrap());
        let job = world.submit(taker, wanted).unwrap();
        assert!(world.run_until(2 * SECOND, |w| running(w, job) == 3));
        world.run_for(SECOND);
        for node in &nodes {
            world.kill(*node, true);
        }
        world.boot(host);
        let runs = |w: &World| {
            w.machines[&host]
                .tasks
                .values()
                .filter(|t| t.ended.is_none())
                .count()
        };
        assert!(
            world.run_until(5 * SECOND, |w| runs(w) == 3),
            "owner {owns}"
        );
        // When the others are back, one copy of each goes on and nothing is lost.
        for node in nodes.iter().filter(|node| **node != host) {
            world.boot(*node);
        }
        world.run_for(40 * SECOND);
        let copies: usize = world.machines.iter().map(|m| m.tasks.len()).sum();
        assert_eq!(copies, 3, "owner {owns}");
        assert_eq!(running(&world, job), 3, "owner {owns}");
    }
}

#[test]
fn copies_cost_few_messages_however_many_tasks_there_are() {
    let (mut world, nodes) = formed(6, 8);
    let count = std::rc::Rc::new(std::cell::Cell::new((0_u64, 0_u64)));
    let seen = std::rc::Rc::clone(&count);
    world.loses = Some(Box::new(move |_, _, message| {
        if let Message::Jobs(JobMessage::Copy { .. } | JobMessage::Copied { .. }) = message {
            let (messages, bytes) = seen.get();
            let size = starling_wire::encode_frame(message).len() as u64;
            seen.set((messages + 1, bytes + size));
        }
        false
    }));
    let job = world.submit(nodes[0], spec(2_000, 500, 100)).unwrap();
    assert!(world.run_until(60 * SECOND, |w| over(w, nodes[0], job)));
    world.run_for(SECOND);
    let (messages, bytes) = count.get();
    println!("2000 tasks: {messages} messages and {bytes} bytes between owners");
    assert!(bytes < 2_000 * 2 * 160, "{bytes} bytes");
    assert!(messages < 2_000, "{messages} messages");
}
