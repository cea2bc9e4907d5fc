//! The numbers of failure detection, each over many seeds and cluster sizes.

#![allow(clippy::unwrap_used)]

mod world;

use std::time::Duration;

use rand::RngExt;
use starling_gossip::MemberState;
use starling_wire::Time;
use world::{World, for_seeds};

const SEEDS: u64 = 200;

fn size(seed: u64) -> usize {
    2 + usize::try_from(seed % 19).unwrap()
}

/// How long until every other node held `victim` dead for good, in milliseconds.
fn time_to_death(world: &World, victim: usize, start: Time) -> u64 {
    let others = (0..world.nodes.len()).filter(|index| *index != victim);
    let times = others.map(|by| {
        assert_eq!(world.state(by, victim), Some(MemberState::Dead), "at {by}");
        let mut deaths = world.changes.iter().rev();
        let death = deaths.find(|change| change.by == by && change.node == victim);
        death.unwrap().at.since(start).as_millis() as u64
    });
    times.max().unwrap()
}

fn report(what: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{what}: p50 {} ms, p99 {} ms, max {} ms",
        at(50),
        at(99),
        at(100)
    );
}

#[test]
fn a_cut_off_node_is_dead_everywhere_within_2_5_s() {
    let times = for_seeds(SEEDS, |seed| {
        let n = size(seed);
        let mut world = World::settled(seed, n);
        let victim = world.rng.random_range(0..n);
        world.isolate(&[victim]);
        let start = world.now;
        world.run(Duration::from_millis(2_500));
        for change in &world.changes {
            let inside = change.node == victim || change.by == victim;
            assert!(inside, "seed {seed} n {n}: {change:?}");
        }
        time_to_death(&world, victim, start)
    });
    report("cut", times);
}

#[test]
fn a_killed_node_is_dead_everywhere_within_1_s() {
    let times = for_seeds(SEEDS, |seed| {
        let n = size(seed);
        let mut world = World::settled(seed, n);
        let victim = world.rng.random_range(0..n);
        world.kill(victim);
        let start = world.now;
        world.run(Duration::from_millis(1_000));
        for change in &world.changes {
            assert_eq!(change.node, victim, "seed {seed} n {n}: {change:?}");
        }
        time_to_death(&world, victim, start)
    });
    report("kill", times);
}

#[test]
fn two_killed_together_are_both_dead_within_1_s() {
    let times = for_seeds(60, |seed| {
        let n = size(seed).max(3);
        let mut world = World::settled(seed, n);
        world.kill(0);
        world.kill(1);
        let start = world.now;
        world.run(Duration::from_millis(1_000));
        (2..n)
            .flat_map(|by| [(by, 0), (by, 1)])
            .map(|(by, of)| {
                assert_eq!(world.state(by, of), Some(MemberState::Dead), "{seed}");
                let mut deaths = world.changes.iter().rev();
                let death = deaths.find(|change| change.by == by && change.node == of);
                death.unwrap().at.since(start).as_millis() as u64
            })
            .max()
            .unwrap()
    });
    report("kill two", times);
}

#[test]
fn a_process_stopped_for_1_s_is_not_declared_dead_and_declares_nobody_dead() {
    let suspicions: u64 = for_seeds(SEEDS, |seed| {
        let n = size(seed);
        let mut world = World::settled(seed, n);
        world.inputs_first = seed % 2 == 0;
        let victim = world.rng.random_range(0..n);
        world.pause(victim, Duration::from_millis(1_000));
        world.run(Duration::from_secs(6));
        for change in &world.changes {
            let dead = matches!(change.to, MemberState::Dead | MemberState::Left);
            assert!(!dead, "seed {seed} n {n}: {change:?}");
        }
        for by in 0..n {
            for of in 0..n {
                assert_eq!(world.state(by, of), Some(MemberState::Alive), "seed {seed}");
            }
        }
        let by_victim =
            |change: &&world::Change| change.by == victim && change.to == MemberState::Suspect;
        world.changes.iter().filter(by_victim).count() as u64
    })
    .into_iter()
    .sum();
    println!("suspicions by the stopped ones: {suspicions}");
    assert_eq!(suspicions, 0);
}

#[test]
fn a_process_back_on_its_port_within_300_ms_is_not_declared_dead() {
    for_seeds(SEEDS, |seed| {
        let n = size(seed);
        let mut world = World::settled(seed, n);
        // The address book is saved by then.
        world.run(Duration::from_secs(6));
        world.changes.clear();
        let victim = world.rng.random_range(0..n);
        world.kill(victim);
        let away = world.rng.random_range(50..300);
        world.run(Duration::from_millis(away));
        world.restart(victim);
        world.run(Duration::from_secs(3));
        for change in &world.changes {
            let dead = change.to == MemberState::Dead;
            assert!(!dead, "seed {seed} n {n} away {away}: {change:?}");
        }
        for by in (0..n).filter(|by| *by != victim) {
            let member = world.nodes[by]
                .gossip
                .member(&world.nodes[victim].id)
                .unwrap();
            let state = (member.state, member.incarnation);
            let expected = world.nodes[victim].gossip.my_incarnation();
            assert_eq!(state, (MemberState::Alive, expected), "seed {seed}");
            assert!(member.linked);
        }
    });
}

#[test]
fn a_leaving_node_is_gone_at_once_and_can_come_back() {
    for_seeds(40, |seed| {
        let n = size(seed);
        let mut world = World::settled(seed, n);
        world.run(Duration::from_secs(6));
        world.with(0, |gossip, now, out| gossip.leave(now, out));
        world.run(Duration::from_millis(20));
        world.kill(0);
        for by in 1..n {
            assert_eq!(world.state(by, 0), Some(MemberState::Left), "seed {seed}");
        }
        world.run(Duration::from_secs(5));
        assert!(
            world
                .changes
                .iter()
                .all(|change| change.to == MemberState::Left)
        );
        assert!(world.nodes[0].gossip.next_deadline().is_none());
        world.restart(0);
        world.run(Duration::from_secs(2));
        for by in 1..n {
            assert_eq!(world.state(by, 0), Some(MemberState::Alive), "seed {seed}");
        }
    });
}

#[test]
fn a_node_that_was_dead_for_long_is_found_again_at_the_low_rate() {
    for_seeds(20, |seed| {
        let n = size(seed);
        let mut world = World::settled(seed, n);
        world.isolate(&[0]);
        world.run(Duration::from_secs(120));
        world.heal();
        world.run(Duration::from_secs(35));
        for by in 0..n {
            for of in 0..n {
                assert_eq!(world.state(by, of), Some(MemberState::Alive), "seed {seed}");
            }
        }
    });
}

#[test]
fn starved_machines_kill_nobody() {
    let found = for_seeds(30, |seed| {
        let n = size(seed);
        let mut world = World::settled(seed, n);
        world.inputs_first = seed % 2 == 0;
        // A third of all is stopped at any time, and the rest answers late.
        world.delay = (1_000, 60_000);
        for _ in 0..300 {
            let stopped = world.rng.random_range(0..n);
            let time = world.rng.random_range(50..1_000);
            if world.rng.random_bool((n as f64 / 15.0).min(1.0)) {
                world.pause(stopped, Duration::from_millis(time));
            }
            world.run(Duration::from_millis(100));
        }
        let count = |state| world.changes.iter().filter(|c| c.to == state).count();
        (count(MemberState::Suspect), count(MemberState::Dead))
    });
    let suspicions: usize = found.iter().map(|(suspicions, _)| suspicions).sum();
    let deaths: usize = found.iter().map(|(_, deaths)| deaths).sum();
    println!("starved, 30 x 30 s: {suspicions} suspicions, {deaths} deaths");
    assert_eq!(deaths, 0);
}
