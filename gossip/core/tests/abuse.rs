//! What a peer that is wrong, old or malicious can do: nothing but be counted.

#![allow(clippy::unwrap_used)]

mod world;

use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use serde_bytes::ByteBuf;
use starling_gossip::{Gossip, GossipConfig, MemberState, Output};
use starling_wire::gossip::{Claim, GossipMessage, Head, Rumour};
use starling_wire::record::Aged;
use starling_wire::{Load, NodeId, NodeStatic, Record, SignedRecord, StaticHash, Time};
use world::{Fake, World};

const ME: NodeId = NodeId([1; 32]);
const PEER: NodeId = NodeId([2; 32]);

fn machine() -> Gossip {
    let rng = ChaCha12Rng::seed_from_u64(7);
    let (config, signer) = (GossipConfig::default(), Box::new(Fake(ME)));
    let fixed = NodeStatic::default();
    let mut gossip = Gossip::new(config, signer, 5, fixed, Vec::new(), rng, Time::ZERO);
    gossip.link_up(Time::from_millis(1), PEER, &mut Vec::new());
    gossip
}

fn record(node: NodeId, incarnation: u32, version: u32) -> Record {
    Record {
        node,
        incarnation,
        version,
        fixed: StaticHash::of(b"unknown"),
        load: Load::default(),
    }
}

fn signed(node: NodeId, incarnation: u32, version: u32, age_ms: u32) -> Aged {
    let record = SignedRecord::sign(&record(node, incarnation, version), &Fake(node));
    Aged {
        record: record.into(),
        age_ms,
    }
}

fn delta(records: Vec<Aged>) -> GossipMessage {
    GossipMessage::Delta {
        records,
        wants: Vec::new(),
        rumours: Vec::new(),
    }
}

fn take(gossip: &mut Gossip, at_ms: u64, message: GossipMessage) -> Vec<Output> {
    let mut out = Vec::new();
    gossip.handle(Time::from_millis(at_ms), PEER, message, 100, &mut out);
    out
}

fn rumour(node: NodeId, incarnation: u32, claim: Claim) -> Rumour {
    let by = PEER;
    Rumour {
        node,
        incarnation,
        claim,
        by,
    }
}

#[test]
fn forged_and_absurd_records_are_counted_and_go_no_further() {
    let mut gossip = machine();
    let stranger = NodeId([9; 32]);
    // Signed by another than it speaks of.
    let forged = SignedRecord::sign(&record(stranger, 1, 1), &Fake(PEER));
    let mut absurd = record(stranger, 1, 1);
    absurd.load.free.memory = u64::MAX;
    let absurd = SignedRecord::sign(&absurd, &Fake(stranger));
    let garbage: SignedRecord = {
        #[derive(serde::Serialize)]
        struct Raw {
            b: ByteBuf,
            g: starling_wire::Signature,
        }
        let b = ByteBuf::from(vec![0xff; 40]);
        let g = world::digest(&stranger, &b);
        starling_wire::decode(&starling_wire::encode(&Raw { b, g }), 1_000).unwrap()
    };
    let bad = [forged, absurd, garbage].map(|record| Aged {
        record: record.into(),
        age_ms: 0,
    });
    take(&mut gossip, 2, delta(bad.to_vec()));
    assert_eq!(gossip.counters().quarantined, 3);
    assert_eq!(gossip.quarantined()[&PEER], 3);
    assert_eq!(gossip.members().count(), 1);
    // The rest of a message that is all wrong is not even looked at.
    let many = vec![bad[0].clone(); 64];
    take(&mut gossip, 3, delta(many));
    assert_eq!(gossip.counters().quarantined, 3 + 4);
}

#[test]
fn unfit_static_parts_are_refused_once_and_for_all() {
    let mut gossip = machine();
    let fixed = NodeStatic {
        labels: (0..200).map(|n| (n.to_string(), String::new())).collect(),
        ..NodeStatic::default()
    };
    let bytes = starling_wire::encode(&fixed);
    let mut named = record(PEER, 1, 1);
    named.fixed = StaticHash::of(&bytes);
    let record = SignedRecord::sign(&named, &Fake(PEER));
    let out = take(
        &mut gossip,
        2,
        delta(vec![Aged {
            record: record.into(),
            age_ms: 0,
        }]),
    );
    let asks = |output: &Output| {
        matches!(
            output,
            Output::Send {
                message: GossipMessage::Fetch(_),
                ..
            }
        )
    };
    assert!(out.iter().any(asks));
    take(
        &mut gossip,
        3,
        GossipMessage::Statics(vec![ByteBuf::from(bytes)]),
    );
    assert_eq!(gossip.counters().quarantined, 1);
    assert!(gossip.member(&PEER).unwrap().fixed.is_none());
    let mut out = Vec::new();
    gossip.tick(Time::from_millis(5_000), &mut out);
    assert!(!out.iter().any(asks));
    // What nobody asked for is not kept.
    let other = starling_wire::encode(&NodeStatic::default());
    take(
        &mut gossip,
        6_000,
        GossipMessage::Statics(vec![ByteBuf::from(other); 4]),
    );
}

#[test]
fn oversized_lists_and_unknown_names_do_no_harm() {
    let mut gossip = machine();
    take(&mut gossip, 2, delta(vec![signed(PEER, 1, 1, 0)]));
    let heads: Vec<Head> = (0..5_000)
        .map(|tag| Head(tag, u32::MAX, u32::MAX))
        .collect();
    let sync = GossipMessage::Sync {
        sum: 1,
        heads,
        within_ms: u32::MAX,
        answer: true,
        seen: 1,
    };
    let out = take(&mut gossip, 3, sync);
    let wants = out.iter().find_map(|output| match output {
        Output::Send {
            message: GossipMessage::Delta { wants, .. },
            ..
        } => Some(wants.len()),
        _ => None,
    });
    assert!(wants.unwrap() <= 64);
    let unknown = NodeId([77; 32]);
    let rumours = vec![rumour(unknown, u32::MAX, Claim::Dead); 5_000];
    take(&mut gossip, 4, GossipMessage::Rumours(rumours));
    take(&mut gossip, 5, GossipMessage::PingFor { target: unknown });
    take(
        &mut gossip,
        6,
        GossipMessage::Fetch(vec![StaticHash([3; 16]); 5_000]),
    );
    let ack = GossipMessage::AckFor {
        target: unknown,
        incarnation: u32::MAX,
    };
    take(&mut gossip, 7, ack);
    let wants = GossipMessage::Delta {
        records: Vec::new(),
        wants: (0..5_000).collect(),
        rumours: Vec::new(),
    };
    take(&mut gossip, 8, wants);
    assert_eq!(gossip.members().count(), 2);
    assert!(
        gossip
            .members()
            .all(|member| member.state == MemberState::Alive)
    );
}

#[test]
fn a_flood_of_members_stays_within_the_view() {
    let mut gossip = machine();
    for n in 0..3_000_u32 {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
        id[31] = 1;
        let at = 10 + u64::from(n) * 10;
        take(&mut gossip, at, delta(vec![signed(NodeId(id), 1, 1, 0)]));
    }
    assert!(gossip.members().count() <= 512);
    assert!(gossip.counters().evictions > 2_000);
    assert!(gossip.member(&ME).is_some());
}

#[test]
fn incarnations_stop_at_the_limit() {
    let mut gossip = machine();
    for at in 0..20 {
        let claim = rumour(ME, u32::MAX, Claim::Dead);
        take(
            &mut gossip,
            1_000 + at * 300,
            GossipMessage::Rumours(vec![claim]),
        );
    }
    assert_eq!(gossip.my_incarnation(), u32::MAX);
    assert_eq!(gossip.member(&ME).unwrap().state, MemberState::Alive);
    // The greatest version too.
    take(
        &mut gossip,
        9_000,
        delta(vec![signed(PEER, u32::MAX, u32::MAX, u32::MAX)]),
    );
    assert_eq!(gossip.member(&PEER).unwrap().incarnation, u32::MAX);
}

#[test]
fn who_is_called_dead_refutes_and_its_incarnation_is_told() {
    let mut gossip = machine();
    let out = take(
        &mut gossip,
        2_000,
        GossipMessage::Rumours(vec![rumour(ME, 5, Claim::Dead)]),
    );
    assert_eq!(gossip.my_incarnation(), 6);
    assert_eq!(gossip.counters().false_deaths, 1);
    assert!(out.iter().any(|output| matches!(
        output,
        Output::Changed {
            node: ME,
            incarnation: 6,
            ..
        }
    )));
    assert!(out.iter().any(|output| matches!(
        output,
        Output::Send {
            to: PEER,
            message: GossipMessage::Delta { .. },
            urgent: true,
            ..
        }
    )));
    // A leftover of an earlier life, too.
    take(&mut gossip, 3_000, delta(vec![signed(ME, 40, 2, 0)]));
    assert_eq!(gossip.my_incarnation(), 41);
}

#[test]
fn a_liar_cannot_bury_a_node_that_others_hear() {
    let mut world = World::settled(5, 6);
    for _ in 0..20 {
        let (from, target) = (world.nodes[0].id, world.nodes[1].id);
        let lie = Rumour {
            node: target,
            incarnation: world.nodes[1].gossip.my_incarnation(),
            claim: Claim::Dead,
            by: from,
        };
        for at in 2..6 {
            world.with(at, |gossip, now, out| {
                gossip.handle(now, from, GossipMessage::Rumours(vec![lie]), 100, out);
            });
        }
        world.run(Duration::from_millis(500));
    }
    world.run(Duration::from_secs(3));
    assert!(world.agrees(), "{}", world.picture());
}

#[test]
fn a_fresher_direct_answer_is_shown_until_the_record_is_younger() {
    let mut gossip = machine();
    take(&mut gossip, 2, delta(vec![signed(PEER, 1, 1, 0)]));
    let load = Load {
        queue: 9,
        ..Load::default()
    };
    gossip.observe_load(Time::from_millis(500), PEER, load);
    assert_eq!(gossip.member(&PEER).unwrap().load.queue, 9);
    assert_eq!(gossip.member(&PEER).unwrap().age, Duration::ZERO);
    take(&mut gossip, 2_000, delta(vec![signed(PEER, 1, 2, 100)]));
    assert_eq!(gossip.member(&PEER).unwrap().load.queue, 0);
    assert_eq!(
        gossip.member(&PEER).unwrap().age,
        Duration::from_millis(100)
    );
}

/// What the view ends up with.
fn stamps(gossip: &Gossip) -> Vec<(NodeId, u32, u64)> {
    let others = gossip.members().filter(|member| member.node != ME);
    others
        .map(|member| {
            (
                member.node,
                member.incarnation,
                u64::from(member.load.running),
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_and_repetition_of_records_do_not_matter(
        records in prop::collection::vec((3_u8..8, 1_u32..4, 1_u32..6), 1..40),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let make = |(node, incarnation, version): (u8, u32, u32)| {
            let mut record = record(NodeId([node; 32]), incarnation, version);
            record.load.running = version;
            let record = SignedRecord::sign(&record, &Fake(record.node));
            Aged { record: record.into(), age_ms: 0 }
        };
        let mut once = machine();
        for record in &records {
            take(&mut once, 5, delta(vec![make(*record)]));
        }
        let mut shuffled = machine();
        for at in &order {
            take(&mut shuffled, 5, delta(vec![make(*at.get(&records))]));
        }
        for record in records.iter().rev() {
            take(&mut shuffled, 5, delta(vec![make(*record), make(*record)]));
        }
        prop_assert_eq!(stamps(&once), stamps(&shuffled));
    }

    #[test]
    fn no_sequence_of_inputs_panics_or_stalls(
        steps in prop::collection::vec((0_u8..12, 0_u8..6, any::<u32>(), 0_u64..900), 1..200),
    ) {
        let mut gossip = machine();
        let (mut now, mut out) = (Time::from_millis(2), Vec::new());
        for (what, who, number, wait) in steps {
            now = now + Duration::from_millis(wait);
            let node = NodeId([who; 32]);
            let claims = [Claim::Silent, Claim::Refused, Claim::Dead, Claim::Left];
            let claim = claims[number as usize % 4];
            let message = match what {
                0 => GossipMessage::Ping { seq: number, rumours: vec![rumour(node, number % 9, claim)] },
                1 => GossipMessage::Rumours(vec![rumour(node, number % 9, claim)]),
                2 => delta(vec![signed(node, 1 + number % 9, number % 7, number % 5_000)]),
                3 => GossipMessage::Sync {
                    sum: u64::from(number),
                    heads: vec![Head(node.tag(), number % 9, number % 7)],
                    within_ms: number,
                    answer: number.is_multiple_of(2),
                    seen: number,
                },
                4 => GossipMessage::AckFor { target: node, incarnation: number % 9 },
                5 => GossipMessage::PingFor { target: node },
                6 => { gossip.link_up(now, node, &mut out); continue }
                7 => { gossip.link_down(now, node, &mut out); continue }
                8 => { gossip.dial_failed(now, node, number.is_multiple_of(2), &mut out); continue }
                9 => { gossip.discovered(now, node, format!("/ip4/1.2.3.4/tcp/{}", number % 9), &mut out); continue }
                10 => { gossip.heard(now, node); continue }
                _ => {
                    gossip.tick(now, &mut out);
                    prop_assert!(gossip.next_deadline().is_some_and(|next| next > now));
                    continue
                }
            };
            gossip.handle(now, node, message, 50, &mut out);
        }
        prop_assert_eq!(gossip.member(&ME).unwrap().state, MemberState::Alive);
    }
}
