//! How records spread: joining, healing, ages and bytes.

#![allow(clippy::unwrap_used)]

mod world;

use std::time::Duration;

use rand::RngExt;
use starling_gossip::{GossipConfig, MemberState};
use starling_placement::Resources;
use starling_wire::Load;
use world::{World, for_seeds};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_cluster_that_starts_at_once_comes_together() {
    for n in [2, 3, 5, 10, 20] {
        let times = for_seeds(40, |seed| {
            let mut world = World::new(seed, n, GossipConfig::default());
            world.run_until_joined(10 * SECOND).as_millis()
        });
        println!(
            "{n} nodes together after at most {:?} ms",
            times.iter().max()
        );
        assert!(times.iter().all(|time| *time <= 3_000));
    }
}

#[test]
fn a_joiner_knows_all_within_two_seconds() {
    let times = for_seeds(40, |seed| {
        let n = 2 + usize::try_from(seed % 18).unwrap();
        let mut world = World::settled(seed * 4, n);
        world.add();
        world.run_until_joined(10 * SECOND).as_millis()
    });
    println!("a joiner is in after at most {:?} ms", times.iter().max());
    assert!(times.iter().all(|time| *time <= 2_000), "{times:?}");
}

#[test]
fn halves_that_part_go_on_and_become_one_again() {
    let times = for_seeds(60, |seed| {
        let n = 2 + usize::try_from(seed % 19).unwrap();
        let mut world = World::settled(seed, n);
        let half: Vec<usize> = (0..n / 2).collect();
        world.isolate(&half);
        world.run(60 * SECOND);
        for by in 0..n {
            for of in 0..n {
                let apart = half.contains(&by) != half.contains(&of);
                let alive = world.state(by, of) == Some(MemberState::Alive);
                assert_eq!(alive, !apart, "seed {seed}: {of} at {by}");
            }
        }
        world.heal();
        let start = world.now;
        while !world.agrees() {
            world.run(Duration::from_millis(100));
            assert!(world.now.since(start) < 35 * SECOND, "{}", world.picture());
        }
        world.now.since(start).as_millis()
    });
    let mean = times.iter().sum::<u128>() / times.len() as u128;
    println!(
        "healed after {mean} ms on average, at most {:?} ms",
        times.iter().max()
    );
}

#[test]
fn a_lossy_network_kills_nobody() {
    for (share, seeds) in [(0.05, 40), (0.20, 20)] {
        let deaths: Vec<(usize, usize)> = for_seeds(seeds, |seed| {
            let n = 2 + usize::try_from(seed % 19).unwrap();
            let mut world = World::settled(seed, n);
            (world.loss, world.delay) = (share, (200, 30_000));
            world.run(60 * SECOND);
            let count = |state| world.changes.iter().filter(|c| c.to == state).count();
            let found = (count(MemberState::Dead), count(MemberState::Suspect));
            world.loss = 0.0;
            world.run(40 * SECOND);
            assert!(world.agrees(), "seed {seed}: {}", world.picture());
            found
        });
        let dead: usize = deaths.iter().map(|(dead, _)| dead).sum();
        let suspect: usize = deaths.iter().map(|(_, suspect)| suspect).sum();
        println!("{share} lost, {seeds} x 60 s: {suspect} suspicions, {dead} deaths, all refuted");
        assert!(share > 0.1 || dead == 0);
    }
}

#[test]
fn an_idle_cluster_of_20_spends_less_than_1_kib_per_second_and_node() {
    let mut world = World::settled(4, 20);
    world.run(20 * SECOND);
    let before = world.bytes();
    world.traffic.clear();
    world.run(60 * SECOND);
    let rates = world.bytes();
    let rates = rates
        .iter()
        .zip(&before)
        .map(|(now, then)| (now - then) / 60);
    let rates: Vec<u64> = rates.collect();
    let mut kinds = std::collections::BTreeMap::<&str, u64>::new();
    for ((_, kind), (bytes, _)) in &world.traffic {
        *kinds.entry(kind).or_default() += bytes / 60 / 20;
    }
    let mean = rates.iter().sum::<u64>() / 20;
    println!(
        "idle: mean {mean} B/s, max {:?} B/s; sent by kind {kinds:?}",
        rates.iter().max()
    );
    assert!(rates.iter().all(|rate| *rate < 1_024), "{rates:?}");
}

/// Changes every node's load greatly, each 100 ms; calls `each` in between.
fn keep_busy(world: &mut World, time: Duration, mut each: impl FnMut(&World)) {
    let steps = time.as_millis() / 100;
    for _ in 0..steps {
        for index in 0..world.nodes.len() {
            let load = Load {
                free: Resources {
                    cpu: world.rng.random_range(1..8_000),
                    memory: world.rng.random_range(1..32 << 30),
                    disk: 1 << 36,
                },
                running: world.rng.random_range(0..50),
                ..Load::default()
            };
            world.with(index, |gossip, now, out| gossip.set_load(now, load, out));
        }
        world.run(Duration::from_millis(100));
        each(world);
    }
}

/// The mean age of what each node holds of each other.
fn mean_age(world: &World) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for node in &world.nodes {
        for member in node
            .gossip
            .members()
            .filter(|member| member.node != node.id)
        {
            sum += member.age.as_secs_f64();
            count += 1.0;
        }
    }
    sum / count
}

#[test]
fn a_busy_cluster_of_20_keeps_to_its_budget() {
    let mut world = World::settled(8, 20);
    let mut samples = vec![world.bytes()];
    let (mut ages, mut count) = (0.0, 0.0);
    keep_busy(&mut world, 60 * SECOND, |world| {
        samples.push(world.bytes());
        ages += mean_age(world);
        count += 1.0;
    });
    let mut worst = 0;
    for (then, now) in samples.iter().zip(&samples[100..]) {
        for (then, now) in then.iter().zip(now) {
            worst = worst.max((now - then) / 10);
        }
    }
    println!(
        "busy: at most {worst} B/s over 10 s, mean age {:.2} s",
        ages / count
    );
    assert!(worst <= 4_096, "{worst}");
    assert!(ages / count < 6.0);
    assert!(world.changes.is_empty(), "{:?}", world.changes);
}

/// PAPERS.md 0.2: with one push-pull exchange per node and period T, a table of rows that change all
/// the time is `0.58 ln(n) T` old on average. Here a row is written at most once a second, so half
/// of that is added.
#[test]
fn ages_grow_with_the_logarithm_of_the_cluster() {
    for n in [5, 10, 20, 40] {
        let config = GossipConfig {
            byte_budget: 1 << 20,
            ..GossipConfig::default()
        };
        let mut world = World::new(n as u64, n, config);
        world.run_until_joined(10 * SECOND);
        keep_busy(&mut world, 10 * SECOND, |_| {});
        let (mut ages, mut count) = (0.0, 0.0);
        keep_busy(&mut world, 20 * SECOND, |world| {
            ages += mean_age(world);
            count += 1.0;
        });
        let (age, paper) = (ages / count, 0.58 * (n as f64).ln());
        println!("{n} nodes: mean age {age:.2} s, by the formula {paper:.2} + 0.5 s");
        let ratio = age / (paper + 0.5);
        assert!((0.75..1.25).contains(&ratio), "{ratio}");
    }
}

#[test]
fn two_hundred_nodes_live_with_bounded_links_and_bytes() {
    let mut world = World::new(1, 200, GossipConfig::default());
    let all = |world: &World| {
        world.nodes.iter().all(|node| {
            let alive = node
                .gossip
                .members()
                .filter(|m| m.state == MemberState::Alive);
            alive.count() == 200
        })
    };
    while !all(&world) && world.now.as_millis() < 360_000 {
        world.run(10 * SECOND);
    }
    println!(
        "200 that start at once by one seed: together after {}",
        world.now
    );
    let known: Vec<usize> = world
        .nodes
        .iter()
        .map(|node| {
            node.gossip
                .members()
                .filter(|m| m.state == MemberState::Alive)
                .count()
        })
        .collect();
    let links: Vec<usize> = world
        .nodes
        .iter()
        .map(|node| node.gossip.members().filter(|m| m.linked).count())
        .collect();
    println!(
        "known: {:?} to {:?}",
        known.iter().min(),
        known.iter().max()
    );
    println!(
        "links: {:?} to {:?}",
        links.iter().min(),
        links.iter().max()
    );
    assert!(known.iter().all(|known| *known == 200));
    assert!(links.iter().all(|links| *links <= 80));
    world.changes.clear();
    let before = world.bytes();
    world.run(30 * SECOND);
    let rates: Vec<u64> = world
        .bytes()
        .iter()
        .zip(&before)
        .map(|(a, b)| (a - b) / 30)
        .collect();
    println!("idle: at most {:?} B/s", rates.iter().max());
    assert!(rates.iter().all(|rate| *rate <= 4_096), "{rates:?}");
    let deaths = world.changes.iter().filter(|c| c.to == MemberState::Dead);
    assert_eq!(deaths.count(), 0);

    world.kill(7);
    let start = world.now;
    let dead = |world: &World| {
        (0..200)
            .filter(|by| world.state(*by, 7) == Some(MemberState::Dead))
            .count()
    };
    while dead(&world) < 199 && world.now.since(start) < 60 * SECOND {
        world.run(SECOND / 10);
    }
    println!(
        "killed: {} of 199 know after {:?}",
        dead(&world),
        world.now.since(start)
    );
    assert_eq!(dead(&world), 199);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut world = World::settled(11, 12);
        world.loss = 0.1;
        keep_busy(&mut world, 5 * SECOND, |_| {});
        world.kill(3);
        world.run(5 * SECOND);
        (world.bytes(), format!("{:?}", world.changes))
    };
    assert_eq!(run(), run());
}
