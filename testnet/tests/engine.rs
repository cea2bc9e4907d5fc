//! The engine's ways, one by one, in virtual time.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{all_succeeded, over, starts};
use starling_engine::{Command, CommandError, EventKind, JobState, Reply, Target, TaskState};
use starling_placement::Resources;
use starling_testnet::sim::{Options, World};
use starling_wire::{JobId, JobSpec, NodeId, Outcome, Restart, TaskId};

const SECOND: Duration = Duration::from_secs(1);

fn spec(count: u32, millis: u32) -> JobSpec {
    JobSpec {
        name: "test".into(),
        count,
        command: vec!["sim".into(), millis.to_string(), "0".into()],
        need: Resources {
            cpu: 500,
            memory: 64 << 20,
            disk: 0,
        },
        attempts: 3,
        ..JobSpec::default()
    }
}

fn formed(seed: u64, nodes: usize) -> (World, Vec<NodeId>) {
    let mut world = World::new(seed, Options::new(nodes));
    assert!(
        world.run_until(10 * SECOND, World::is_formed),
        "{nodes} nodes did not find together"
    );
    let nodes = world.nodes();
    (world, nodes)
}

fn told(world: &World, kind: EventKind, job: JobId) -> usize {
    world
        .events
        .iter()
        .filter(|(_, _, e)| e.kind == kind && e.job == Some(job))
        .count()
}

#[test]
fn one_node_is_a_cluster() {
    let (mut world, nodes) = formed(1, 1);
    let job = world.submit(nodes[0], spec(30, 100)).unwrap();
    assert!(world.run_until(30 * SECOND, |w| over(w, nodes[0], job)));
    assert!(all_succeeded(world.job(nodes[0], job).unwrap()));
    assert!(starts(&world, job).iter().all(|n| *n == 1));
}

#[test]
fn a_job_spreads_over_the_cluster_and_each_task_starts_once() {
    for seed in 0..20 {
        let (mut world, nodes) = formed(seed, 5);
        let owner = nodes[seed as usize % 5];
        let job = world.submit(owner, spec(200, 300)).unwrap();
        assert!(
            world.run_until(60 * SECOND, |w| over(w, owner, job)),
            "seed {seed}"
        );
        let done = world.job(owner, job).unwrap();
        assert!(all_succeeded(done));
        assert_eq!(starts(&world, job), vec![1; 200], "seed {seed}");
        let hosts: BTreeSet<_> = done.tasks.iter().filter_map(|task| task.node).collect();
        assert_eq!(hosts.len(), 5, "seed {seed}");
        world.run_for(SECOND);
        assert_eq!(told(&world, EventKind::JobFinished, job), 1);
        assert_eq!(told(&world, EventKind::TaskEnded, job), 200);
    }
}

#[test]
fn what_does_not_fit_waits_and_says_for_what() {
    let (mut world, nodes) = formed(3, 2);
    // 2 nodes x 4 cores hold 16 tasks of half a core.
    let job = world.submit(nodes[0], spec(40, 1_000)).unwrap();
    world.run_for(SECOND / 2);
    let running = world.job(nodes[0], job).unwrap();
    assert_eq!((running.counts.running, running.counts.pending), (16, 24));
    let (decision, waits) = running.waits.clone().unwrap();
    assert!(waits.contains("500m"), "{waits}");
    assert!(!decision.candidates.is_empty());
    assert!(
        world.run_until(5 * SECOND, |w| over(w, nodes[0], job)),
        "three waves of a second"
    );
    assert_eq!(starts(&world, job), vec![1; 40]);
}

#[test]
fn two_owners_share_a_full_cluster_without_oversubscribing_it() {
    for seed in 0..20 {
        let (mut world, nodes) = formed(seed, 3);
        let first = world.submit(nodes[0], spec(100, 400)).unwrap();
        let second = world.submit(nodes[1], spec(100, 400)).unwrap();
        let both = |w: &World| over(w, nodes[0], first) && over(w, nodes[1], second);
        assert!(world.run_until(20 * SECOND, both), "seed {seed}");
        assert!(all_succeeded(world.job(nodes[0], first).unwrap()));
        assert!(all_succeeded(world.job(nodes[1], second).unwrap()));
    }
}

#[test]
fn the_tasks_of_a_dead_node_run_elsewhere() {
    for seed in 0..50 {
        let (mut world, nodes) = formed(seed, 5);
        let job = world.submit(nodes[0], spec(30, 5_000)).unwrap();
        world.run_for(2 * SECOND);
        let victim = nodes[1 + seed as usize % 4];
        let lost: Vec<TaskId> = (0..30)
            .map(|index| TaskId { job, index })
            .filter(|id| {
                world
                    .job(nodes[0], job)
                    .unwrap()
                    .task(id.index)
                    .unwrap()
                    .node
                    == Some(victim)
            })
            .collect();
        assert!(!lost.is_empty(), "seed {seed}");
        let killed = world.now();
        world.kill(victim, true);
        let again = |w: &World| {
            lost.iter().all(|id| {
                let task = w.job(nodes[0], job).unwrap().task(id.index).unwrap();
                task.state == TaskState::Running && task.node != Some(victim)
            })
        };
        assert!(world.run_until(10 * SECOND, again), "seed {seed}");
        let took = world.now().since(killed);
        assert!(took < Duration::from_millis(1_500), "seed {seed}: {took:?}");
        assert!(
            world.run_until(30 * SECOND, |w| over(w, nodes[0], job)),
            "seed {seed}"
        );
        let done = world.job(nodes[0], job).unwrap();
        assert!(all_succeeded(done));
        assert_eq!(
            done.tasks.iter().map(|task| task.moves).sum::<u32>() as usize,
            lost.len()
        );
        world.run_for(SECOND);
        assert_eq!(told(&world, EventKind::TaskEnded, job), 30);
    }
}

#[test]
fn the_tasks_of_a_cut_off_node_run_elsewhere_and_the_old_copies_end_after_healing() {
    for seed in 0..50 {
        let (mut world, nodes) = formed(seed, 4);
        let job = world.submit(nodes[0], spec(20, 60_000)).unwrap();
        world.run_for(2 * SECOND);
        let victim = nodes[3];
        let count = |w: &World| {
            let job = w.job(nodes[0], job).unwrap();
            job.tasks
                .iter()
                .filter(|task| task.node == Some(victim))
                .count()
        };
        assert!(count(&world) > 0, "seed {seed}");
        let cut = world.now();
        world.cut(&[victim], &nodes[..3]);
        let moved = |w: &World| {
            let job = w.job(nodes[0], job).unwrap();
            count(w) == 0 && job.counts.running == 20
        };
        assert!(world.run_until(10 * SECOND, moved), "seed {seed}");
        let took = world.now().since(cut);
        assert!(took < 3 * SECOND, "seed {seed}: {took:?}");
        assert!(
            !world.machines[&victim].tasks.is_empty(),
            "the cut-off side goes on"
        );
        world.network.heal();
        let ended = |w: &World| w.machines[&victim].tasks.is_empty();
        assert!(world.run_until(60 * SECOND, ended), "seed {seed}");
        assert!(
            world.run_until(80 * SECOND, |w| over(w, nodes[0], job)),
            "seed {seed}"
        );
        assert!(all_succeeded(world.job(nodes[0], job).unwrap()));
    }
}

#[test]
fn a_restarted_daemon_finds_its_tasks_running() {
    for seed in 0..30 {
        let (mut world, nodes) = formed(seed, 3);
        let job = world.submit(nodes[0], spec(18, 4_000)).unwrap();
        world.run_for(SECOND);
        // Owner and host at once, then a host: both back before they are given up.
        for node in [nodes[0], nodes[1]] {
            world.kill(node, false);
            world.run_for(Duration::from_millis(250));
            world.boot(node);
            world.run_for(Duration::from_millis(500));
        }
        assert!(
            world.run_until(30 * SECOND, |w| over(w, nodes[0], job)),
            "seed {seed}"
        );
        assert!(
            all_succeeded(world.job(nodes[0], job).unwrap()),
            "seed {seed}"
        );
        assert_eq!(starts(&world, job), vec![1; 18], "seed {seed}");
    }
}

#[test]
fn a_daemon_killed_right_after_a_placement_finds_its_task() {
    for seed in 0..100 {
        let (mut world, nodes) = formed(seed, 1);
        let job = world.submit(nodes[0], spec(4, 3_000)).unwrap();
        world.run_for(Duration::from_micros(seed * 60));
        world.kill(nodes[0], false);
        world.boot(nodes[0]);
        let end = |w: &World| over(w, nodes[0], job);
        assert!(world.run_until(20 * SECOND, end), "seed {seed}");
        assert_eq!(starts(&world, job), vec![1; 4], "seed {seed}");
    }
}

#[test]
fn an_owner_that_was_away_finds_results_and_finishes() {
    for seed in 0..30 {
        let (mut world, nodes) = formed(seed, 3);
        let job = world.submit(nodes[0], spec(60, 1_500)).unwrap();
        world.run_for(SECOND);
        world.kill(nodes[0], true);
        world.run_for(10 * SECOND);
        world.boot(nodes[0]);
        assert!(
            world.run_until(30 * SECOND, |w| over(w, nodes[0], job)),
            "seed {seed}"
        );
        assert!(
            all_succeeded(world.job(nodes[0], job).unwrap()),
            "seed {seed}"
        );
    }
}

#[test]
fn an_acknowledged_job_survives_a_crash_at_any_instant() {
    for seed in 0..100 {
        let (mut world, nodes) = formed(seed, 1);
        let job = world.submit(nodes[0], spec(8, 200)).unwrap();
        world.run_for(Duration::from_micros(seed * 997));
        world.kill(nodes[0], seed % 2 == 0);
        world.boot(nodes[0]);
        assert!(
            world.run_until(20 * SECOND, |w| over(w, nodes[0], job)),
            "seed {seed}"
        );
        assert!(
            all_succeeded(world.job(nodes[0], job).unwrap()),
            "seed {seed}"
        );
    }
}

#[test]
fn stopping_ends_running_and_waiting_tasks_and_cannot_be_done_twice() {
    let (mut world, nodes) = formed(5, 3);
    let job = world.submit(nodes[0], spec(60, 60_000)).unwrap();
    world.run_for(SECOND);
    let one = world.command(
        nodes[0],
        Command::Stop(Target::Task(TaskId { job, index: 0 })),
    );
    world.run_for(SECOND);
    assert_eq!(world.replies[&one], Ok(Reply::Stopping(1)));
    assert_eq!(
        world.job(nodes[0], job).unwrap().task(0).unwrap().state,
        TaskState::Stopped
    );
    let first = world.command(nodes[0], Command::Stop(Target::Job(job)));
    world.run_for(Duration::from_millis(2));
    let second = world.command(nodes[0], Command::Stop(Target::Job(job)));
    assert!(world.run_until(5 * SECOND, |w| over(w, nodes[0], job)));
    assert_eq!(world.replies[&first], Ok(Reply::Stopping(59)));
    assert!(matches!(
        world.replies[&second],
        Err(CommandError::Over { .. })
    ));
    let done = world.job(nodes[0], job).unwrap();
    assert_eq!((done.state, done.counts.stopped), (JobState::Stopped, 60));
    world.run_for(5 * SECOND);
    assert!(
        world
            .machines
            .iter()
            .all(|machine| machine.tasks.is_empty())
    );
}

#[test]
fn a_job_that_fits_nowhere_is_refused_with_the_nearest_misses() {
    let (mut world, nodes) = formed(6, 3);
    let mut large = spec(1, 1);
    large.need.cpu = 64_000;
    let Err(CommandError::Impossible(misses)) = world.submit(nodes[0], large) else {
        panic!("it was taken");
    };
    assert_eq!(misses.len(), 3);
    assert_eq!(
        misses[0].miss.to_string(),
        "cpu: 64000m asked for, 4000m there"
    );
    let mut picky = spec(1, 1);
    picky.constraints.push("name=n9".parse().unwrap());
    assert!(matches!(
        world.submit(nodes[0], picky),
        Err(CommandError::Impossible(_))
    ));
    let mut zero = spec(1, 1);
    zero.count = 0;
    assert!(matches!(
        world.submit(nodes[0], zero),
        Err(CommandError::Spec(_))
    ));
}

#[test]
fn a_full_owner_forgets_its_oldest_result_and_never_an_open_job() {
    let mut options = Options::new(1);
    options.config.max_jobs = 2;
    let mut world = World::new(1, options);
    assert!(world.run_until(10 * SECOND, World::is_formed));
    let node = world.nodes()[0];
    let long = world.submit(node, spec(1, 60_000)).unwrap();
    let short = world.submit(node, spec(1, 10)).unwrap();
    assert!(world.run_until(SECOND, |w| over(w, node, short)));
    let third = world.submit(node, spec(1, 60_000)).unwrap();
    assert!(world.job(node, short).is_none());
    assert!(world.job(node, long).is_some() && world.job(node, third).is_some());
    let fourth = world.submit(node, spec(1, 10));
    assert!(matches!(fourth, Err(CommandError::Full { .. })));
}

#[test]
fn constraints_hold() {
    let (mut world, nodes) = formed(7, 5);
    let mut picky = spec(6, 50);
    picky.constraints.push("name in (n1, n3)".parse().unwrap());
    let job = world.submit(nodes[0], picky).unwrap();
    assert!(world.run_until(10 * SECOND, |w| over(w, nodes[0], job)));
    for task in &world.job(nodes[0], job).unwrap().tasks {
        let name = &world.machines[&task.node.unwrap()].fixed.name;
        assert!(name == "n1" || name == "n3", "{name}");
    }
}

#[test]
fn load_that_starling_did_not_start_pushes_work_away() {
    for seed in 0..20 {
        let (mut world, nodes) = formed(seed, 4);
        let hogged = nodes[2];
        world.machines.get_mut(&hogged).unwrap().foreign_cpu = 4_000;
        world.run_for(4 * SECOND);
        let job = world.submit(nodes[0], spec(12, 2_000)).unwrap();
        world.run_for(SECOND);
        let job = world.job(nodes[0], job).unwrap();
        assert_eq!(job.counts.running, 12, "seed {seed}");
        let there = job
            .tasks
            .iter()
            .filter(|task| task.node == Some(hogged))
            .count();
        assert_eq!(there, 0, "seed {seed}");
    }
}

#[test]
fn failed_tasks_are_tried_again_only_if_asked_for() {
    let (mut world, nodes) = formed(8, 2);
    let mut failing = spec(2, 10);
    failing.command[2] = "3".into();
    let never = world.submit(nodes[0], failing.clone()).unwrap();
    failing.restart = Restart::OnFailure;
    let often = world.submit(nodes[0], failing).unwrap();
    let both = |w: &World| over(w, nodes[0], never) && over(w, nodes[0], often);
    assert!(world.run_until(20 * SECOND, both));
    for (job, attempts) in [(never, 1), (often, 3)] {
        let job = world.job(nodes[0], job).unwrap();
        assert_eq!(job.counts.failed, 2);
        assert!(job.tasks.iter().all(|task| task.attempts == attempts));
        assert_eq!(job.tasks[0].outcome, Some(Outcome::Exited(3)));
    }
}

#[test]
fn a_service_is_run_again_with_longer_pauses_until_it_is_stopped() {
    let (mut world, nodes) = formed(31, 2);
    let mut service = spec(1, 200);
    service.restart = Restart::Always;
    service.attempts = u32::MAX;
    let id = world.submit(nodes[0], service).unwrap();
    world.run_for(40 * SECOND);
    let begins: Vec<_> = world.starts.values().flatten().map(|(at, _)| *at).collect();
    // Pauses of 1, 2, 4, 8 and 16 s, a tenth more or less each.
    assert_eq!(begins.len(), 6, "{begins:?}");
    for (index, pair) in begins.windows(2).enumerate() {
        let pause = pair[1].since(pair[0]).as_secs_f64() - 0.2;
        let wanted = f64::from(1 << index);
        assert!((pause / wanted - 1.0).abs() < 0.2, "{pause} for {wanted}");
    }
    world.command(nodes[0], Command::Stop(Target::Job(id)));
    assert!(world.run_until(5 * SECOND, |w| over(w, nodes[0], id)));
    assert_eq!(world.job(nodes[0], id).unwrap().state, JobState::Stopped);
}

#[test]
fn a_service_that_ran_for_long_begins_with_the_first_pause_again() {
    let (mut world, nodes) = formed(32, 1);
    let mut service = spec(1, 70_000);
    service.restart = Restart::Always;
    service.attempts = 4;
    let id = world.submit(nodes[0], service).unwrap();
    assert!(world.run_until(300 * SECOND, |w| over(w, nodes[0], id)));
    let begins: Vec<_> = world.starts.values().flatten().map(|(at, _)| *at).collect();
    assert_eq!(begins.len(), 4);
    for pair in begins.windows(2) {
        assert!(pair[1].since(pair[0]) < 72 * SECOND, "{begins:?}");
    }
}

#[test]
fn a_task_whose_time_is_up_has_failed_and_is_tried_again_as_its_job_says() {
    let (mut world, nodes) = formed(33, 2);
    let mut slow = spec(2, 60_000);
    slow.timeout_ms = Some(1_500);
    slow.restart = Restart::OnFailure;
    slow.attempts = 2;
    let id = world.submit(nodes[0], slow).unwrap();
    assert!(world.run_until(10 * SECOND, |w| over(w, nodes[0], id)));
    let job = world.job(nodes[0], id).unwrap();
    assert_eq!(job.counts.failed, 2);
    for task in &job.tasks {
        assert_eq!(task.outcome, Some(Outcome::TimedOut));
        assert_eq!(task.attempts, 2);
        let ran = task.ran.unwrap();
        assert!(
            ran >= Duration::from_millis(1_500) && ran < 2 * SECOND,
            "{ran:?}"
        );
    }
}

#[test]
fn a_node_that_fails_task_after_task_is_avoided_for_that_job() {
    let (mut world, nodes) = formed(34, 3);
    let mut failing = spec(1, 10);
    failing.command[2] = "3".into();
    failing.restart = Restart::OnFailure;
    failing.attempts = 10;
    let id = world.submit(nodes[0], failing).unwrap();
    let limit = 600 * SECOND;
    assert!(world.run_until(limit, |w| over(w, nodes[0], id)));
    let mut places: Vec<_> = world.starts.values().flatten().map(|(_, n)| *n).collect();
    assert_eq!(places.len(), 10);
    places.sort_unstable();
    for node in nodes {
        // Three failures each; then they are all alike, and one more try is left.
        let count = places.iter().filter(|place| **place == node).count();
        assert!((3..=4).contains(&count), "{places:?}");
    }
}

#[test]
fn a_draining_node_takes_nothing_new_and_moves_what_is_left_at_its_deadline() {
    let (mut world, nodes) = formed(9, 3);
    let long = world.submit(nodes[0], spec(6, 60_000)).unwrap();
    world.run_for(SECOND);
    let drained = nodes[1];
    let deadline = Some(3 * SECOND);
    world.command(drained, Command::Drain { on: true, deadline });
    world.run_for(SECOND);
    let before = world.job(nodes[0], long).unwrap().counts.running;
    assert_eq!(before, 6, "they may finish until the deadline");
    let new = world.submit(nodes[0], spec(10, 100)).unwrap();
    assert!(world.run_until(5 * SECOND, |w| over(w, nodes[0], new)));
    let there = |world: &World, job| {
        world
            .job(nodes[0], job)
            .unwrap()
            .tasks
            .iter()
            .any(|t| t.node == Some(drained))
    };
    assert!(!there(&world, new));
    world.run_for(4 * SECOND);
    assert!(!there(&world, long), "moved off at the deadline");
    assert_eq!(world.job(nodes[0], long).unwrap().counts.running, 6);
    world.command(
        drained,
        Command::Drain {
            on: false,
            deadline: None,
        },
    );
    world.run_for(2 * SECOND);
    let last = world.submit(nodes[0], spec(12, 100)).unwrap();
    assert!(world.run_until(5 * SECOND, |w| over(w, nodes[0], last)));
    assert!(there(&world, last));
}

#[test]
fn a_leaving_node_hands_its_tasks_back_and_is_gone_at_once() {
    let (mut world, nodes) = formed(10, 3);
    let job = world.submit(nodes[0], spec(12, 20_000)).unwrap();
    world.run_for(SECOND);
    let leaver = nodes[2];
    world.command(leaver, Command::Leave);
    let left = |w: &World| w.engine(leaver).is_none();
    assert!(world.run_until(SECOND, left), "it has nothing to wait for");
    world.run_for(Duration::from_millis(100));
    assert!(world.is_formed(), "the others know");
    world.run_for(2 * SECOND);
    let job = world.job(nodes[0], job).unwrap();
    assert_eq!(job.counts.running, 12);
    assert!(job.tasks.iter().all(|task| task.node != Some(leaver)));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let (mut world, nodes) = formed(seed, 6);
        world.network.loss = 0.05;
        let job = world.submit(nodes[0], spec(50, 200)).unwrap();
        world.kill(nodes[3], true);
        world.run_until(30 * SECOND, |w| over(w, nodes[0], job));
        world.digest()
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}
