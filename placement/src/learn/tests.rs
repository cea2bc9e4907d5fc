//! The model as a whole.

use proptest::prelude::*;

use super::*;
use crate::classes::{ClassId, Classes as _, Company, Known, Mix};

/// A world of two kinds of classes, which differ in what slows them down.
#[allow(clippy::cast_precision_loss)]
fn world(row: usize, column: usize) -> f64 {
    let (a, b) = (row as f64, column as f64);
    let kind = if row.is_multiple_of(2) { 1.0 } else { -1.0 };
    let noise = 0.02 * libm::sin(12.9 * a + 78.2 * b);
    2.0 * libm::sin(a) + 0.1 * b + 0.5 * kind * libm::cos(1.3 * b) + noise
}

fn matrix(rows: usize, columns: usize) -> Matrix {
    let mut matrix = Matrix::new(rows, columns);
    for row in 0..rows {
        for column in 0..columns {
            let value = libm::exp(world(row, column));
            matrix.measure(row, column, value, 1.0).unwrap();
        }
    }
    matrix
}

fn seen(row: usize, columns: &[usize]) -> Vec<Seen> {
    let cells = columns.iter().map(|column| Seen {
        column: *column,
        log: world(row, *column),
        weight: 1.0,
    });
    cells.collect()
}

#[test]
fn three_cells_tell_the_kind_of_a_class() {
    let (rows, columns) = (30, 12);
    let matrix = matrix(rows, columns);
    let model = Model::fit(&matrix, None, Effort::LIVE);
    let floor = floor::Floor::fit(&matrix);
    let all: Vec<usize> = (0..columns).collect();
    let (mut ours, mut additive, mut inside, mut count) = (0.0, 0.0, 0, 0);
    for row in 100..130 {
        let cells = seen(row, &[0, 2, 5]);
        let (told, neighbours) = model.predict(&cells, None, &all, None);
        let base = floor.predict(&cells, &all);
        for column in all.iter().filter(|column| ![0, 2, 5].contains(*column)) {
            let truth = world(row, *column);
            let off = (told[*column].mean - truth).abs();
            ours += off;
            additive += (base[*column].mean - truth).abs();
            inside += i32::from(off <= EIGHTY * libm::sqrt(told[*column].variance));
            count += 1;
        }
        let like: f64 = neighbours
            .iter()
            .filter(|n| n.0 % 2 == row % 2)
            .map(|n| n.1)
            .sum();
        let unlike: f64 = neighbours
            .iter()
            .filter(|n| n.0 % 2 != row % 2)
            .map(|n| n.1)
            .sum();
        assert!(
            neighbours.is_empty() || like > 5.0 * unlike,
            "{neighbours:?}"
        );
    }
    assert!(ours < 0.4 * additive, "{ours} against {additive}");
    assert!(inside * 10 >= count * 7, "{inside} of {count}");
}

#[test]
fn what_was_measured_is_its_own_answer_and_what_is_unknown_is_the_population() {
    let mut cells = matrix(20, 8);
    cells = {
        let mut with = Matrix::new(22, 9);
        for row in 0..20 {
            for (column, log, weight) in cells.row(row) {
                with.measure(row, column, libm::exp(log), weight).unwrap();
            }
        }
        with.measure(20, 3, 5.0, 4.0).unwrap();
        with
    };
    let model = TwoWay::fit(cells, None, None, Effort::STUDY);
    let asked = [(20, 3), (20, 4), (21, 0), (20, 8)].map(|(row, column)| (Some(row), Some(column)));
    let told = model.predict(&asked);
    assert_eq!(told[0].origin, Origin::Own);
    assert!((told[0].mean - libm::log(5.0)).abs() < 1e-9);
    assert_eq!(told[1].origin, Origin::Class);
    assert_eq!(told[2].origin, Origin::Population);
    assert!(told[2].deviation > told[1].deviation && told[3].deviation > told[1].deviation);
    assert_eq!(model.predict(&[(None, None)])[0].origin, Origin::Population);
}

#[test]
fn a_new_column_is_inferred_from_a_few_classes() {
    let (rows, columns) = (24, 16);
    let mut cells = Matrix::new(rows, columns + 1);
    for row in 0..rows {
        for column in 0..columns {
            cells
                .measure(row, column, libm::exp(world(row, column)), 1.0)
                .unwrap();
        }
    }
    // The new column is like column 4, and three times as slow.
    let truth = |row: usize| world(row, 4) + libm::log(3.0);
    for row in [1, 4, 9] {
        cells
            .measure(row, columns, libm::exp(truth(row)), 1.0)
            .unwrap();
    }
    let model = TwoWay::fit(cells, None, None, Effort::STUDY);
    for row in [2, 7, 12, 17] {
        let told = &model.predict(&[(Some(row), Some(columns))])[0];
        assert!((told.mean - truth(row)).abs() < 0.25, "{row}: {told:?}");
        assert!(
            matches!(told.origin, Origin::Column | Origin::Both),
            "{told:?}"
        );
    }
}

#[test]
fn features_stand_in_for_measurements() {
    let (rows, columns) = (30, 10);
    #[allow(clippy::cast_precision_loss)]
    let feature = |row: usize| vec![(row % 2) as f64, (row % 7) as f64];
    let features = Features((0..rows).map(feature).collect());
    let matrix = matrix(rows, columns);
    let with = Model::fit(&matrix, Some(&features), Effort::STUDY);
    let without = Model::fit(&matrix, None, Effort::STUDY);
    let all: Vec<usize> = (1..columns).collect();
    let (mut good, mut bad) = (0.0, 0.0);
    for row in 100..120 {
        let cells = seen(row, &[0]);
        let told = with.predict(&cells, Some(&feature(row)), &all, None).0;
        let blind = without.predict(&cells, None, &all, None).0;
        for (at, column) in all.iter().enumerate() {
            good += (told[at].mean - world(row, *column)).abs();
            bad += (blind[at].mean - world(row, *column)).abs();
        }
    }
    assert!(good < 0.7 * bad, "{good} against {bad}");
}

fn known(mean: f64, count: f64) -> Option<Known> {
    Some(Known { mean, count })
}

#[test]
fn a_node_learns_platforms_and_who_disturbs_whom() {
    let mut learned = Learned::default();
    let class = |name: usize| ClassId::of(&format!("job {name}"));
    for row in 0..20 {
        for column in 0..6 {
            let platform = format!("p{column}");
            let cell = known(world(row, column) + 3.0, 4.0);
            learned.learn(class(row), Column::Platform(&platform), cell);
        }
    }
    // A new class of the first kind, seen on three platforms.
    for column in [0, 1, 5] {
        let platform = format!("p{column}");
        let cell = known(world(30, column) + 3.0, 1.0);
        learned.learn(class(30), Column::Platform(&platform), cell);
    }
    let [fast, slow] = [2, 4].map(|column| learned.estimate(class(30), &format!("p{column}")));
    let gap = slow.unwrap().mean - fast.unwrap().mean;
    let truth = world(30, 4) - world(30, 2);
    assert!((gap - truth).abs() < 0.3, "{gap} for {truth}");
    let [own, inferred] = ["p0", "p2"].map(|on| learned.speed(class(30), on).unwrap());
    assert!(inferred.relative > 0.0 && inferred.relative <= 1.0);
    assert_eq!((own.origin, inferred.origin), (Origin::Own, Origin::Class));
    assert!(own.deviation < inferred.deviation);
    assert_eq!(learned.speed(class(999), "p2"), None);

    let beside = |other| Company {
        mix: Mix::of([other]),
        running: 1,
        ..Company::default()
    };
    let met = learned.contention(class(1), "p0", &beside(class(2)));
    assert_eq!(met, None, "nothing is known of any disturbance");
    for (at, log) in [(2_u8, 0.4), (3, 0.8)] {
        let column = Column::Pressed {
            resource: 0,
            level: at,
        };
        learned.learn(class(1), column, known(log, 6.0));
    }
    for (name, excess) in [(2, 0.9), (3, 0.0)] {
        for resource in 0..4 {
            let excess = if resource == 0 { excess } else { 0.0 };
            let column = Column::Exerts { resource };
            learned.learn(class(name), column, known(excess, 6.0));
        }
    }
    let met = |newcomer, there| {
        let met = learned.contention(class(newcomer), "p0", &beside(class(there)));
        met.unwrap()
    };
    let (hard, easy) = (met(1, 2), met(1, 3));
    assert!(
        hard.slowdown > 1.3 && easy.slowdown < 1.15,
        "{hard:?} {easy:?}"
    );
    // The other way about, what the one suffers is what the other does.
    let (bully, mouse) = (met(2, 1), met(3, 1));
    assert!(bully.harm > mouse.harm + 0.1, "{bully:?} {mouse:?}");
    // Load that nobody here started counts as well, beyond what a record may be off by.
    let foreign = Company {
        pressure: [200, 0, 0, 0].into(),
        ..beside(class(3))
    };
    let pressed = learned.contention(class(1), "p0", &foreign).unwrap();
    assert!(pressed.slowdown > hard.slowdown, "{pressed:?}");
}

#[test]
fn who_asks_when_does_not_count() {
    let tell = |asking: bool| {
        let mut learned = Learned::default();
        for row in 0..12 {
            for column in 0..5 {
                let platform = format!("p{column}");
                let class = ClassId(u16::try_from(row).unwrap() + 1);
                let column = Column::Platform(&platform);
                learned.learn(
                    class,
                    column,
                    known(world(row, 1) + 0.1 * world(1, row), 2.0),
                );
                if asking && row % 2 == 0 {
                    learned.speed(class, &platform);
                    learned.platform(&platform);
                }
            }
        }
        let all = (1..13).map(|class| learned.speed(ClassId(class), "p3"));
        all.collect::<Vec<_>>()
    };
    assert_eq!(tell(true), tell(false));
}

#[test]
fn what_is_forgotten_leaves_no_trace_and_names_stay_bounded() {
    let mut learned = Learned::default();
    for name in 0..6_000_u32 {
        let (class, platform) = (ClassId::of(&name.to_string()), format!("p{name}"));
        learned.learn(class, Column::Platform(&platform), known(1.0, 1.0));
    }
    // The platforms of those that came first; others found no column.
    let has = |learned: &Learned, name: u32| {
        let class = ClassId::of(&name.to_string());
        learned.speed(class, &format!("p{name}")).is_some()
    };
    assert!(has(&learned, 63) && !has(&learned, 64));
    for name in 0..64_u32 {
        let (class, platform) = (ClassId::of(&name.to_string()), format!("p{name}"));
        learned.learn(class, Column::Platform(&platform), None);
    }
    assert!(!has(&learned, 63));
    let late = ClassId::of("late");
    learned.learn(late, Column::Platform("p9999"), known(1.0, 1.0));
    assert!(learned.speed(late, "p9999").is_some());
    for bad in [f64::NAN, f64::INFINITY] {
        learned.learn(late, Column::Platform("p9999"), known(bad, 1.0));
    }
    assert_eq!(learned.speed(late, "p9999"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn predictions_are_numbers_whatever_was_measured(
        cells in prop::collection::vec((0usize..12, 0usize..7, -30.0..30.0f64, 0.001..100.0f64), 0..80),
    ) {
        let mut matrix = Matrix::new(12, 7);
        for (row, column, log, weight) in &cells {
            matrix.measure(*row, *column, libm::exp(*log), *weight).unwrap();
        }
        let model = TwoWay::fit(matrix, None, None, Effort::LIVE);
        let all: Vec<_> = (0..12).flat_map(|row| (0..7).map(move |c| (Some(row), Some(c)))).collect();
        for told in model.predict(&all) {
            prop_assert!(told.mean.is_finite() && told.deviation.is_finite(), "{:?}", told);
            prop_assert!(told.deviation > 0.0 && told.mean.abs() < 1e3, "{:?}", told);
        }
    }

    #[test]
    fn the_order_of_measurements_and_of_columns_does_not_count(
        cells in prop::collection::vec((0usize..10, 0usize..6, -2.0..2.0f64), 20..60),
        turn in 1usize..6,
    ) {
        let fit = |cells: &mut dyn Iterator<Item = (usize, usize, f64)>| {
            let mut matrix = Matrix::new(10, 6);
            for (row, column, log) in cells {
                matrix.measure(row, column, libm::exp(log), 1.0).unwrap();
            }
            Model::fit(&matrix, None, Effort::LIVE)
        };
        let forth = fit(&mut cells.iter().copied());
        let back = fit(&mut cells.iter().rev().copied());
        let known = |turn: usize| [0, 3].map(|c| Seen { column: (c + turn) % 6, log: 0.3, weight: 1.0 });
        let all: Vec<usize> = (0..6).collect();
        let one = forth.predict(&known(0), None, &all, None).0;
        let two = back.predict(&known(0), None, &all, None).0;
        for (a, b) in one.iter().zip(&two) {
            prop_assert!((a.mean - b.mean).abs() < 1e-6 * (1.0 + a.mean.abs()), "{:?} {:?}", a, b);
        }
        // The floor has no order at all: turned columns are turned answers.
        let floor = |turn: usize| {
            let mut matrix = Matrix::new(10, 6);
            for (row, column, log) in &cells {
                matrix.measure(*row, (*column + turn) % 6, libm::exp(*log), 1.0).unwrap();
            }
            let want: Vec<usize> = all.iter().map(|c| (c + turn) % 6).collect();
            floor::Floor::fit(&matrix).predict(&known(turn), &want)
        };
        for (a, b) in floor(0).iter().zip(floor(turn)) {
            prop_assert!((a.mean - b.mean).abs() < 1e-6 && (a.variance - b.variance).abs() < 1e-6);
        }
    }

    #[test]
    fn speeds_are_shares(
        times in prop::collection::vec((0u8..9, 0u8..5, -20.0..20.0f64, 1e-3..1e6f64), 0..120),
    ) {
        let mut learned = Learned::default();
        for (class, platform, mean, count) in &times {
            let (class, platform) = (ClassId(u16::from(*class) + 1), platform.to_string());
            learned.learn(class, Column::Platform(&platform), known(*mean, *count));
        }
        for class in 0..9 {
            for platform in 0..6 {
                if let Some(speed) = learned.speed(ClassId(class + 1), &platform.to_string()) {
                    prop_assert!((0.0..=1.0).contains(&speed.relative), "{:?}", speed);
                }
                prop_assert!(learned.platform(&platform.to_string()) > 0.0);
            }
        }
    }
}
