//! Properties of the table: what merging must be, what bounds it, and what a liar can do.

#![allow(clippy::unwrap_used, clippy::float_cmp)]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use starling_wire::sign::Signature;
use starling_wire::{NodeId, Observation, OpenObservation, SignedObservation, Signer, Time};

use super::measured::Measured;
use super::{Limits, Observations, Taken};

/// Signs as anybody: here nobody checks.
struct Anybody;

impl Signer for Anybody {
    fn node(&self) -> NodeId {
        NodeId([0; 32])
    }

    fn sign(&self, _: &[u8]) -> Signature {
        Signature([0; 64])
    }

    fn verify(&self, _: &NodeId, _: &[u8], _: &Signature) -> bool {
        true
    }
}

fn open(seen: Observation) -> Arc<OpenObservation> {
    let signed = Arc::new(SignedObservation::sign(&seen, &Anybody));
    Anybody.open_seen(&signed).unwrap()
}

fn seen(node: u8, class: &str, column: &str, mean: f32, at: u32) -> Observation {
    Observation {
        node: NodeId([node; 32]),
        class: class.into(),
        column: column.into(),
        mean,
        variance: 0.01,
        count: 10,
        at,
    }
}

fn table(limits: Limits, cells: &[Arc<OpenObservation>]) -> Observations {
    let mut table = Observations::new(limits);
    for cell in cells {
        table.insert(Arc::clone(cell));
    }
    table
}

fn merged(a: &Observations, b: &Observations) -> Observations {
    let both: Vec<_> = a.iter().chain(b.iter()).cloned().collect();
    table(a.limits, &both)
}

fn held(table: &Observations) -> (Vec<Arc<OpenObservation>>, u32) {
    (table.iter().cloned().collect(), table.sum())
}

/// Small limits, so that few observations reach them; none for one observer.
const TIGHT: Limits = Limits {
    cell: 2,
    observer: usize::MAX,
    table: 9,
};

fn cells(most: usize) -> impl Strategy<Value = Vec<Arc<OpenObservation>>> {
    let one = (0u8..6, 0u8..4, 0u8..3, -2i8..3, 0u32..12, 1u32..40);
    let one = one.prop_map(|(node, class, column, mean, at, count)| {
        let (class, column) = (class.to_string(), column.to_string());
        let seen = seen(node, &class, &column, mean.into(), at);
        open(Observation { count, ..seen })
    });
    prop::collection::vec(one, 0..most)
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        a in cells(20), b in cells(20), c in cells(20)
    ) {
        let [a, b, c] = [a, b, c].map(|cells| table(TIGHT, &cells));
        prop_assert_eq!(held(&merged(&a, &b)), held(&merged(&b, &a)));
        let left = merged(&merged(&a, &b), &c);
        let right = merged(&a, &merged(&b, &c));
        prop_assert_eq!(held(&left), held(&right));
        prop_assert_eq!(held(&merged(&a, &a)), held(&a));
        prop_assert_eq!(held(&merged(&left, &b)), held(&left));
    }

    #[test]
    fn indexes_agree_with_the_cells_and_limits_hold(cells in cells(80)) {
        let limits = Limits { observer: 3, ..TIGHT };
        let table = table(limits, &cells);
        prop_assert!(table.len() <= limits.table);
        prop_assert!(table.observers.values().all(|ranks| ranks.len() <= limits.observer));
        let mut by_rows = 0;
        for class in table.classes() {
            for column in table.columns(class) {
                let count = table.cell(class, column).count();
                prop_assert!((1..=limits.cell).contains(&count));
                by_rows += count;
            }
        }
        prop_assert_eq!(by_rows, table.len());
        prop_assert_eq!(table.ranks.len(), table.len());
        let again = super::tests::table(limits, &held(&table).0);
        prop_assert_eq!(again.sum(), table.sum());
    }

    /// Two honest observers or more: a liar cannot bring the mean out of what they measured.
    #[test]
    fn a_liar_moves_a_cell_only_within_what_the_honest_measured(
        honest in prop::collection::vec((-3.0f32..3.0, 1u32..1_000_000), 1..5),
        lie in (-20.0f32..=20.0, 0.0f32..=400.0, 1u32..=1_000_000, 0u32..200),
    ) {
        let now = Time::from_millis(100_000);
        let mut all = Observations::new(Limits::of(1_000));
        for (node, (mean, count)) in (1..).zip(&honest) {
            let honest = seen(node, "c", "p", *mean, 50);
            all.insert(open(Observation { count: *count, ..honest }));
        }
        let before = all.summary("c", "p", now).unwrap();
        let (mean, variance, count, at) = lie;
        let lie = Observation { variance, count, ..seen(0, "c", "p", mean, at) };
        all.insert(open(lie));
        let after = all.summary("c", "p", now).unwrap();
        let means = honest.iter().map(|(mean, _)| f64::from(*mean));
        let low = means.clone().fold(f64::INFINITY, f64::min);
        let high = means.fold(f64::NEG_INFINITY, f64::max);
        if honest.len() > 1 {
            prop_assert!((low..=high).contains(&after.mean), "{} in {low}..{high}", after.mean);
        } else {
            let half = (f64::from(mean) - before.mean).abs() / 2.0;
            prop_assert!((after.mean - before.mean).abs() <= half + 1e-9);
            // That it is in doubt shows.
            prop_assert!(after.variance >= before.variance / 2.0 + half * half);
        }
        prop_assert!(after.variance.is_finite() && after.count <= before.count + 64.0);
    }
}

#[test]
fn a_million_class_names_displace_only_their_own() {
    let mut table = Observations::new(Limits::of(64));
    for class in 0..20 {
        table.insert(open(seen(1 + class % 4, &format!("c{class}"), "p", 1.0, 5)));
    }
    let mut crowded = 0;
    // A million is no different, only slower: nothing is kept of what was displaced.
    for name in 0..20_000 {
        let flood = open(seen(9, &format!("flood{name}"), "p", 1.0, 10 + name));
        table.insert(flood);
        crowded += usize::from(table.observers[&NodeId([9; 32])].len() == 8);
    }
    assert!(crowded > 19_000);
    assert_eq!(table.len(), 28);
    assert_eq!(
        table.classes().filter(|c| !c.starts_with("flood")).count(),
        20
    );
    assert!(table.digest.parts() <= 2 * 28);
    assert!(table.changed.len() <= 128 && table.unsaved.len() <= 128);
}

#[test]
fn the_full_table_stays_within_its_stated_memory() {
    // The stated KiB: what a cell holds itself, and its places in six indexes of B-trees that are
    // at least half full.
    let long = open(seen(1, &"c".repeat(64), &"p".repeat(128), 1.0, 5));
    let names = 64 + 128;
    let cell = size_of::<OpenObservation>() + 2 * names + long.size + 32;
    let rank = size_of::<super::Rank>();
    let indexes = 2 * (3 * rank + 16 + 8 + names + 2 * size_of::<String>());
    assert!(cell + indexes <= 2_048, "{cell} + {indexes}");
    let short = open(seen(
        1,
        "process:ffmpeg/encode",
        "platform:x/8c/16G",
        1.0,
        5,
    ));
    let names = 21 + 17;
    let cell = size_of::<OpenObservation>() + 2 * names + short.size + 32;
    let indexes = 2 * (3 * rank + 16 + 8 + names + 2 * size_of::<String>());
    assert!(cell + indexes <= 1_024, "{cell} + {indexes}");
}

#[test]
fn the_freshest_word_of_an_observer_counts_and_old_ones_fade() {
    let mut table = Observations::new(Limits::of(100));
    let (old, new) = (
        open(seen(1, "c", "p", 1.0, 5)),
        open(seen(1, "c", "p", 2.0, 6)),
    );
    assert_eq!(table.insert(Arc::clone(&new)), Taken::New);
    assert_eq!(table.insert(old), Taken::Known);
    assert_eq!(table.insert(new), Taken::Known);
    let at = |days: u64| table.summary("c", "p", Time::from_millis(6_000 + days * 86_400_000));
    let (fresh, week) = (at(0).unwrap(), at(7).unwrap());
    assert_eq!((fresh.mean, fresh.observers), (2.0, 1));
    assert!((week.count - fresh.count / 2.0).abs() < 1e-6);
    assert_eq!(at(61), None);
    let mut crowd = Observations::new(Limits::of(100));
    for node in 1..=5 {
        crowd.insert(open(seen(node, "c", "p", 0.0, 10)));
    }
    assert_eq!(
        crowd.insert(open(seen(6, "c", "p", 0.0, 9))),
        Taken::Crowded
    );
    assert_eq!(crowd.insert(open(seen(6, "c", "p", 0.0, 11))), Taken::New);
    assert_eq!(crowd.len(), 5);
}

/// Tells all that is due and puts it into the table.
fn tell(own: &mut Measured, table: &mut Observations, now: Time) -> usize {
    let mut told = 0;
    while let Some(seen) = own.tell(NodeId([7; 32]), table, now) {
        table.insert(open(seen));
        told += 1;
    }
    told
}

#[test]
fn what_is_measured_is_told_while_it_says_something_new() {
    let (mut own, mut table) = (Measured::default(), Observations::new(Limits::of(100)));
    let key = || ("c".to_owned(), "p".to_owned());
    let mut told = 0;
    for second in 0..2_000 {
        let now = Time::from_millis(second * 1_000);
        let value = if second % 2 == 0 { 1.0 } else { 1.2 };
        assert!(own.add(key(), value, now, Duration::ZERO));
        told += tell(&mut own, &mut table, now);
    }
    // Only while the count still doubles, so about log2 of 2,000 words.
    assert!((8..=12).contains(&told), "{told}");
    let summary = table
        .summary("c", "p", Time::from_millis(2_000_000))
        .unwrap();
    assert!((summary.mean - 1.1).abs() < 0.02, "{summary:?}");
    assert!((summary.variance - 0.01).abs() < 0.002, "{summary:?}");
    // Its nature changes: that is told soon, and the mean follows.
    for second in 2_000..2_400 {
        let now = Time::from_millis(second * 1_000);
        own.add(key(), 3.0, now, Duration::ZERO);
        tell(&mut own, &mut table, now);
    }
    let summary = table
        .summary("c", "p", Time::from_millis(2_400_000))
        .unwrap();
    assert!((summary.mean - 3.0).abs() < 0.15, "{summary:?}");
}

#[test]
fn a_cell_with_observers_enough_is_left_to_them() {
    let (mut own, mut table) = (Measured::default(), Observations::new(Limits::of(100)));
    for node in 1..=5 {
        table.insert(open(seen(node, "c", "p", 1.0, 1_000)));
    }
    let key = || ("c".to_owned(), "p".to_owned());
    let now = Time::from_millis(1_001_000);
    own.add(key(), 1.0, now, Duration::ZERO);
    assert_eq!(tell(&mut own, &mut table, now), 0);
    let later = Time::from_millis(6_000_000);
    own.add(key(), 1.0, later, Duration::ZERO);
    assert_eq!(tell(&mut own, &mut table, later), 1);
    for absurd in [f64::NAN, f64::INFINITY, 21.0] {
        assert!(!own.add(key(), absurd, later, Duration::ZERO));
    }
}

#[test]
fn a_clock_that_went_back_does_not_silence_a_node() {
    let (mut own, mut table) = (Measured::default(), Observations::new(Limits::of(100)));
    let earlier = seen(7, "c", "p", 1.0, 5_000);
    own.restore(&earlier);
    table.insert(open(earlier));
    let key = || ("c".to_owned(), "p".to_owned());
    let now = Time::from_millis(100_000);
    for step in 0..20 {
        own.add(key(), 2.0, now + Duration::from_secs(step), Duration::ZERO);
    }
    assert_eq!(tell(&mut own, &mut table, now + Duration::from_secs(30)), 1);
    let kept = table.cell("c", "p").next().unwrap();
    assert_eq!((kept.seen.at, kept.seen.count), (5_001, 30));
}
