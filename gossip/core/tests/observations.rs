//! How observations spread: to those who never measured, over partitions and restarts, at what
//! cost, and what becomes of absurd ones.

#![allow(clippy::unwrap_used)]

mod world;

use std::sync::Arc;
use std::time::Duration;

use starling_gossip::GossipConfig;
use starling_wire::gossip::{GossipMessage, Mark};
use starling_wire::{Observation, SignedObservation, Signer};
use world::{Fake, World, for_seeds};

const SECOND: Duration = Duration::from_secs(1);

fn measure(world: &mut World, index: usize, class: &str, column: &str, value: f64) {
    world.with(index, |gossip, now, _| {
        gossip.measured(now, class, column, value)
    });
}

/// Each running node's checksum and count.
fn sums(world: &World) -> Vec<(u32, usize)> {
    let running = world.nodes.iter().filter(|node| node.running);
    let tables = running.map(|node| node.gossip.observations());
    tables.map(|table| (table.sum(), table.len())).collect()
}

fn are_equal(world: &World) -> bool {
    let sums = sums(world);
    sums.iter().all(|sum| *sum == sums[0])
}

fn run_until_equal(world: &mut World, most: Duration) -> Duration {
    let start = world.now;
    while !are_equal(world) {
        assert!(world.now.since(start) < most, "{:?}", sums(world));
        world.run(Duration::from_millis(100));
    }
    world.now.since(start)
}

#[test]
fn what_one_measured_all_know_soon() {
    let times = for_seeds(20, |seed| {
        let n = 2 + usize::try_from(seed % 19).unwrap();
        let mut world = World::settled(seed, n);
        measure(&mut world, 0, "encode", "platform:pi", 3.0);
        world.run(3 * SECOND);
        let time = run_until_equal(&mut world, 20 * SECOND);
        for node in &world.nodes {
            let known = node.gossip.observations();
            let summary = known.summary("encode", "platform:pi", world.now).unwrap();
            assert!((summary.mean - 3.0).abs() < 1e-6 && summary.observers == 1);
        }
        (time + 3 * SECOND).as_millis()
    });
    println!("known by all within {:?} ms", times.iter().max());
}

#[test]
fn islands_that_meet_hold_the_same_table() {
    let times = for_seeds(10, |seed| {
        let n = 3 + usize::try_from(seed % 6).unwrap();
        let mut world = World::settled(seed, n);
        let half: Vec<usize> = (0..n / 2).collect();
        world.isolate(&half);
        for step in 0..120 {
            for index in 0..n {
                // Some classes are known on one side only, some on both.
                let side = u8::from(half.contains(&index));
                let class = format!("class-{}", (step * 7 + index) % 60);
                let own = format!("side-{side}-{}", step % 40);
                measure(
                    &mut world,
                    index,
                    &class,
                    "platform:a",
                    1.0 + f64::from(side),
                );
                measure(&mut world, index, &own, "platform:b", 2.0);
            }
            world.run(SECOND);
        }
        let apart = sums(&world);
        assert_ne!(apart[0].0, apart[n - 1].0);
        world.heal();
        let time = run_until_equal(&mut world, 180 * SECOND);
        let table = world.nodes[0].gossip.observations();
        assert!((0..2).all(|side| table.classes().any(|c| c == format!("side-{side}-0"))));
        assert!(table.len() >= 140, "{}", table.len());
        time.as_millis()
    });
    println!("equal within {:?} ms of healing", times.iter().max());
}

#[test]
fn equal_tables_cost_next_to_nothing() {
    let idle = |filled: bool| {
        let mut world = World::settled(4, 10);
        for class in 0..if filled { 300 } else { 0 } {
            let node = class % 10;
            measure(
                &mut world,
                node,
                &format!("class-{class}"),
                "platform:a",
                1.0,
            );
        }
        world.run(240 * SECOND);
        assert!(are_equal(&world), "{:?}", sums(&world));
        assert!(!filled || sums(&world)[0].1 == 300);
        let before: u64 = world.bytes().iter().sum();
        world.traffic.clear();
        world.run(60 * SECOND);
        let seen = world
            .traffic
            .keys()
            .filter(|(_, kind)| ["Sums", "Marks", "Seen"].contains(&kind.as_str()));
        assert_eq!(seen.count(), 0);
        let after: u64 = world.bytes().iter().sum();
        (after - before) / 60 / 10
    };
    let (empty, full) = (idle(false), idle(true));
    println!("idle: {empty} B/s and node without observations, {full} B/s with 300");
    // Two checksums a second and node, sent and received.
    assert!(full <= empty + 40, "{empty} {full}");
}

#[test]
fn a_busy_table_stays_within_the_budget() {
    let mut world = World::settled(8, 8);
    world.run(20 * SECOND);
    for step in 0_u32..120 {
        for index in 0..8 {
            for class in 0..10 {
                let name = format!("class-{}", (step * 10 + class) % 400);
                measure(&mut world, index, &name, "platform:a", f64::from(step % 5));
            }
        }
        let before = world.bytes();
        world.run(SECOND);
        if step % 10 == 9 {
            let spent = world.bytes().iter().zip(&before).map(|(a, b)| a - b).max();
            assert!(spent.unwrap() <= 5 * 4_096, "{spent:?} in a second");
        }
    }
    let total = world.bytes();
    let time = run_until_equal(&mut world, 900 * SECOND);
    println!("2,000 observations are equal after {} s", time.as_secs());
    world.run(900 * SECOND - time);
    let mean = world.bytes().iter().zip(&total).map(|(a, b)| a - b).max();
    assert!(mean.unwrap() / 900 <= 4_096, "{mean:?}");
}

#[test]
fn a_restarted_node_knows_what_it_knew() {
    let mut world = World::settled(12, 3);
    for class in 0..50 {
        let class = format!("class-{class}");
        measure(&mut world, class.len() % 3, &class, "platform:a", 1.0);
    }
    world.run(60 * SECOND);
    let known = sums(&world)[0];
    assert_eq!(known.1, 50);
    // Alone, so that nobody can tell it.
    world.isolate(&[1]);
    world.kill(1);
    world.restart(1);
    assert_eq!(sums(&world)[1], known);
    // What was damaged on disk, or does not belong there, is left out and removed.
    world.kill(1);
    let first = *world.nodes[1].saved.keys().next().unwrap();
    world.nodes[1].saved.insert(first, vec![0xff, 0]);
    world.nodes[1].saved.insert(1, Vec::new());
    world.restart(1);
    assert_eq!(sums(&world)[1].1, 49);
    world.run(15 * SECOND);
    assert_eq!(world.nodes[1].saved.len(), 49);
}

#[test]
fn absurd_observations_are_quarantined_and_go_no_further() {
    let mut world = World::settled(16, 3);
    let liar = Fake(world.nodes[1].id);
    let now = u32::try_from(world.now.as_micros() / 1_000_000).unwrap();
    let good = Observation {
        node: liar.node(),
        class: "c".into(),
        column: "p".into(),
        mean: 1.0,
        variance: 0.0,
        count: 1,
        at: now,
    };
    let bad = |spoil: fn(&mut Observation)| {
        let mut seen = good.clone();
        spoil(&mut seen);
        Arc::new(SignedObservation::sign(&seen, &liar))
    };
    let forged = {
        let mut seen = good.clone();
        seen.node = world.nodes[2].id;
        Arc::new(SignedObservation::sign(&seen, &liar))
    };
    let cases = vec![
        bad(|o| o.mean = f32::NAN),
        bad(|o| o.mean = f32::INFINITY),
        bad(|o| o.count = 0),
        bad(|o| o.at += 3_600),
        forged,
    ];
    let from = world.nodes[1].id;
    for cell in cases {
        let (cells, wants) = (vec![cell], Vec::new());
        let message = GossipMessage::Seen { cells, wants };
        world.with(0, |gossip, now, out| {
            gossip.handle(now, from, message, 300, out)
        });
    }
    let gossip = &world.nodes[0].gossip;
    assert_eq!(gossip.counters().observations_refused, 5);
    assert_eq!(gossip.quarantined().get(&from), Some(&5));
    world.run(10 * SECOND);
    assert!(
        world
            .nodes
            .iter()
            .all(|n| n.gossip.observations().is_empty())
    );

    // Garbled digests are answered within bounds and harm nothing.
    let messages = [
        GossipMessage::Sums {
            of: u16::MAX,
            sums: vec![(u16::MAX, 7); 1_000],
        },
        GossipMessage::Sums {
            of: 0,
            sums: (0..4_000).map(|part| (part, 7)).collect(),
        },
        GossipMessage::Marks {
            of: (0..5_000).collect(),
            marks: vec![Mark(1, 2, 3); 3_000],
        },
        GossipMessage::Seen {
            cells: Vec::new(),
            wants: (0..5_000).collect(),
        },
    ];
    for message in messages {
        world.with(0, |gossip, now, out| {
            gossip.handle(now, from, message, 300, out)
        });
    }
    measure(&mut world, 2, "fine", "platform:a", 1.0);
    world.run(20 * SECOND);
    assert!(are_equal(&world) && sums(&world)[0].1 == 1);
}

#[test]
fn a_large_cluster_does_not_say_everything_at_once() {
    let mut world = World::new(3, 60, GossipConfig::default());
    world.run_until_joined(60 * SECOND);
    world.run(30 * SECOND);
    for _ in 0..60 {
        for index in 0..60 {
            measure(&mut world, index, "same", "platform:a", 1.0);
        }
        world.run(SECOND);
    }
    world.run(60 * SECOND);
    assert!(are_equal(&world), "{:?}", sums(&world));
    let told = world
        .nodes
        .iter()
        .map(|n| n.gossip.counters().observations_told);
    let told: u64 = told.sum();
    println!("60 nodes that measure one cell 60 times each told it {told} times");
    // 3,600 measurements; without restraint 60 x 6 words.
    assert!(told < 100, "{told}");
}
