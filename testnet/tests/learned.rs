//! What is learned of classes: by nodes that never ran them, over partitions and restarts, and in
//! spite of a liar.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{all_succeeded, over, starts};
use starling_placement::{ClassId, Classes as _, Column, Resources};
use starling_testnet::sim::{Options, SimSigner, World};
use starling_testnet::truth::Truth;
use starling_wire::gossip::GossipMessage;
use starling_wire::observation::column_name;
use starling_wire::{JobSpec, Message, NodeId, Observation, SignedObservation};

const SECOND: Duration = Duration::from_secs(1);

/// Tasks of a class that run so long on the machine of that name.
fn spec(class: &str, machine: &str, count: u32, millis: u32) -> JobSpec {
    JobSpec {
        class: class.into(),
        count,
        command: vec!["sim".into(), millis.to_string(), "0".into()],
        constraints: vec![format!("name={machine}").parse().unwrap()],
        need: Resources {
            cpu: 1_000,
            memory: 64 << 20,
            disk: 0,
        },
        attempts: 3,
        ..JobSpec::default()
    }
}

/// Machines in turn of the platforms `slow` and `fast`, named n0, n1, .., in this order.
fn formed(seed: u64, nodes: usize) -> (World, Vec<NodeId>) {
    let mut options = Options::new(nodes);
    options.truth = Arc::new(Truth {
        platforms: vec!["slow".into(), "fast".into()],
        classes: vec!["any".into()],
        speed: vec![vec![1.0, 1.0]],
        ..Truth::uniform()
    });
    for (at, machine) in options.machines.iter_mut().enumerate() {
        machine.platform = u16::try_from(at % 2).unwrap();
    }
    let mut world = World::new(seed, options);
    assert!(world.run_until(20 * SECOND, World::is_formed));
    let mut nodes = world.nodes();
    nodes.sort_by_key(|node| {
        let gossip = world.engine(*node).unwrap().gossip();
        gossip.my_fixed().name.clone()
    });
    (world, nodes)
}

fn run(world: &mut World, owner: NodeId, spec: JobSpec) {
    let job = world.submit(owner, spec).unwrap();
    assert!(world.run_until(60 * SECOND, |w| over(w, owner, job)));
    assert!(all_succeeded(world.job(owner, job).unwrap()));
}

fn sums(world: &World, nodes: &[NodeId]) -> Vec<(u32, usize)> {
    let engines = nodes.iter().filter_map(|node| world.engine(*node));
    let tables = engines.map(|engine| engine.gossip().observations());
    tables.map(|table| (table.sum(), table.len())).collect()
}

fn are_equal(world: &World, nodes: &[NodeId]) -> bool {
    let sums = sums(world, nodes);
    sums.iter().all(|sum| *sum == sums[0])
}

/// The mean of a cell at a node, in seconds.
fn seconds(world: &World, node: NodeId, class: &str, platform: &str) -> Option<f64> {
    let gossip = world.engine(node)?.gossip();
    let column = column_name(Column::Platform(platform));
    let known = gossip
        .observations()
        .summary(class, &column, gossip.now())?;
    Some(known.mean.exp())
}

fn speed(world: &World, node: NodeId, class: &str, platform: &str) -> Option<f64> {
    let learned = world.engine(node)?.learned();
    let speed = learned.speed(ClassId::of(class), platform)?;
    Some(speed.relative)
}

#[test]
fn a_node_that_never_ran_a_class_predicts_it() {
    for seed in 0..5 {
        let (mut world, nodes) = formed(seed, 5);
        let stranger = nodes[4];
        assert_eq!(speed(&world, stranger, "encode", "fast"), None);
        for machine in ["n0", "n1", "n2", "n3"] {
            let millis = if machine == "n0" || machine == "n2" {
                4_000
            } else {
                1_000
            };
            run(&mut world, nodes[0], spec("encode", machine, 8, millis));
        }
        let known = |w: &World| {
            nodes.iter().all(|node| {
                speed(w, *node, "encode", "fast") > Some(0.99)
                    && speed(w, *node, "encode", "slow").is_some_and(|s| s < 0.4)
            })
        };
        assert!(world.run_until(60 * SECOND, known), "seed {seed}");
        let slow = seconds(&world, stranger, "encode", "slow").unwrap();
        assert!((slow - 4.0).abs() < 0.2, "seed {seed}: {slow} s");
        assert!(world.run_until(60 * SECOND, |w| are_equal(w, &nodes)));
        // A class that ran on one platform only is expected by what the platform does to others.
        run(&mut world, nodes[0], spec("backup", "n1", 2, 500));
        let expected = |w: &World| speed(w, stranger, "backup", "slow").is_some_and(|s| s < 0.7);
        assert!(world.run_until(60 * SECOND, expected), "seed {seed}");
    }
}

#[test]
fn failures_teach_nothing() {
    let (mut world, nodes) = formed(3, 3);
    let mut failing = spec("broken", "n1", 5, 200);
    failing.command[2] = "1".into();
    failing.attempts = 1;
    let job = world.submit(nodes[0], failing).unwrap();
    assert!(world.run_until(60 * SECOND, |w| over(w, nodes[0], job)));
    assert_eq!(starts(&world, job), vec![1; 5]);
    world.run_for(20 * SECOND);
    assert_eq!(sums(&world, &nodes), vec![(0, 0); 3]);
}

#[test]
fn islands_that_meet_hold_the_same_table() {
    for seed in 0..5 {
        let (mut world, nodes) = formed(seed, 6);
        let (some, others) = nodes.split_at(3);
        world.cut(some, others);
        world.run_for(10 * SECOND);
        for round in 0..10 {
            let class = format!("here-{round}");
            run(&mut world, nodes[0], spec(&class, "n1", 2, 300));
            let class = format!("there-{round}");
            run(&mut world, nodes[5], spec(&class, "n4", 2, 300));
            run(&mut world, nodes[0], spec("both", "n2", 2, 300));
            run(&mut world, nodes[5], spec("both", "n4", 2, 300));
        }
        world.run_for(20 * SECOND);
        assert_eq!(seconds(&world, nodes[0], "there-0", "slow"), None);
        assert!(!are_equal(&world, &nodes));
        world.network.heal();
        let equal = world.run_until(180 * SECOND, |w| are_equal(w, &nodes));
        assert!(equal, "seed {seed}: {:?}", sums(&world, &nodes));
        for node in &nodes {
            assert!(seconds(&world, *node, "there-0", "slow").is_some());
            assert!(seconds(&world, *node, "here-9", "fast").is_some());
        }
        assert_eq!(sums(&world, &nodes)[0].1, 22);
    }
}

#[test]
fn what_was_learned_survives_a_restart_of_all() {
    let (mut world, nodes) = formed(4, 3);
    for machine in ["n0", "n1", "n2"] {
        run(&mut world, nodes[0], spec("encode", machine, 4, 700));
    }
    world.run_for(40 * SECOND);
    let before = sums(&world, &nodes);
    assert!(before.iter().all(|(_, count)| *count == 3), "{before:?}");
    for node in &nodes {
        world.kill(*node, true);
    }
    world.run_for(5 * SECOND);
    for node in &nodes {
        world.boot(*node);
        world.run_for(SECOND / 100);
        assert_eq!(sums(&world, &[*node]), vec![before[0]]);
    }
}

#[test]
fn a_liar_moves_nothing_out_of_what_the_honest_measured() {
    let (mut world, nodes) = formed(5, 7);
    // Honest machines of the platform `slow`: n0, n2, n4; the liar is n6.
    for (machine, millis) in [("n0", 2_000), ("n2", 2_200), ("n4", 2_400)] {
        run(&mut world, nodes[0], spec("encode", machine, 4, millis));
    }
    world.run_for(40 * SECOND);
    let honest = 1.9..2.5;
    let (liar, signer) = (nodes[6], SimSigner::new(nodes[6]));
    for (step, mean) in [20.0, -20.0, 3.0, f32::NAN, f32::INFINITY, -500.0]
        .into_iter()
        .enumerate()
    {
        let now = world.engine(nodes[0]).unwrap().gossip().now();
        let seen = Observation {
            node: liar,
            class: "encode".into(),
            column: column_name(Column::Platform("slow")),
            mean,
            variance: 0.0,
            count: 1_000_000,
            // As fresh as is believed.
            at: u32::try_from(now.as_micros() / 1_000_000).unwrap()
                + 500
                + u32::try_from(step).unwrap(),
        };
        let cells = vec![Arc::new(SignedObservation::sign(&seen, &signer))];
        let wants = Vec::new();
        let message = Message::Gossip(GossipMessage::Seen { cells, wants });
        for node in &nodes[..6] {
            world.inject(liar, *node, &message);
        }
        world.run_for(20 * SECOND);
        for node in &nodes {
            let seconds = seconds(&world, *node, "encode", "slow").unwrap();
            assert!(honest.contains(&seconds), "lie {mean}: {seconds} s");
        }
    }
    let gossip = world.engine(nodes[0]).unwrap().gossip();
    assert!(
        gossip
            .quarantined()
            .get(&liar)
            .is_some_and(|count| *count >= 3)
    );
    // Nor can it invent so many classes that others are forgotten.
    let now = gossip.now().as_micros() / 1_000_000;
    for batch in 0..200 {
        let cells = (0..16).map(|at| {
            let seen = Observation {
                node: liar,
                class: format!("invented-{batch}-{at}"),
                column: column_name(Column::Platform("slow")),
                mean: 1.0,
                variance: 0.0,
                count: 1,
                at: u32::try_from(now).unwrap(),
            };
            Arc::new(SignedObservation::sign(&seen, &signer))
        });
        let (cells, wants) = (cells.collect(), Vec::new());
        world.inject(
            liar,
            nodes[0],
            &Message::Gossip(GossipMessage::Seen { cells, wants }),
        );
        world.run_for(SECOND / 100);
    }
    let table = world.engine(nodes[0]).unwrap().gossip().observations();
    assert!(table.len() <= 1_024 + 4, "{}", table.len());
    assert!(seconds(&world, nodes[0], "encode", "slow").is_some());
}
