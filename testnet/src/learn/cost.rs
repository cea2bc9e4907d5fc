//! What learning costs.

use std::time::{Duration, Instant};

use serde::Serialize;
use starling_placement::learn::{Column, Effort, Learned, Matrix, Model, Seen};
use starling_placement::{ClassId, Classes as _, Known};

use super::chance::Chance;

/// Times on one core of this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Fitting 2,000 classes by 64 columns, a quarter of the cells known, in milliseconds.
    pub refit_ms: f64,
    /// Predicting all columns of a class with 8 known cells, in microseconds.
    pub predict_us: f64,
    /// Taking a measurement and predicting its class anew, in microseconds.
    pub update_us: f64,
}

const CLASSES: usize = 2_000;
const COLUMNS: usize = 64;

#[allow(clippy::cast_precision_loss)]
fn value(row: usize, column: usize, chance: &mut Chance) -> f64 {
    let (a, b) = (row as f64, column as f64);
    let noise = chance.below(1_000) as f64 / 5_000.0;
    libm::exp(libm::sin(a) + 0.05 * b + 0.3 * libm::sin(a * 0.7) * libm::cos(b) + noise)
}

/// The median of some repetitions.
fn median(times: usize, mut run: impl FnMut() -> Duration) -> f64 {
    let mut all: Vec<Duration> = (0..times).map(|_| run()).collect();
    all.sort();
    all[times / 2].as_secs_f64()
}

/// Measures.
pub(super) fn measure() -> Cost {
    let mut chance = Chance::new(1);
    let mut matrix = Matrix::new(CLASSES, COLUMNS);
    let every: Vec<usize> = (0..COLUMNS).collect();
    for row in 0..CLASSES {
        for column in chance.some(&every, COLUMNS / 4) {
            let _ = matrix.measure(row, column, value(row, column, &mut chance), 1.0);
        }
    }
    let refit = median(5, || {
        let from = Instant::now();
        let model = Model::fit(&matrix, None, Effort::LIVE);
        let took = from.elapsed();
        std::hint::black_box(model.reference().len());
        took
    });
    let model = Model::fit(&matrix, None, Effort::LIVE);
    let cells: Vec<Seen> = matrix
        .row(7)
        .take(8)
        .map(|(column, log, weight)| Seen {
            column,
            log,
            weight,
        })
        .collect();
    let predict = median(101, || {
        let from = Instant::now();
        std::hint::black_box(model.predict(&cells, None, &every, None));
        from.elapsed()
    });
    let mut learned = Learned::default();
    let mut tell = |learned: &mut Learned, row: usize, column: usize| {
        let known = Known {
            mean: libm::log(value(row, column, &mut chance)),
            count: 1.0,
        };
        let class = ClassId::of(&row.to_string());
        let column = format!("p{column}");
        learned.learn(class, Column::Platform(&column), Some(known));
        (class, column)
    };
    for row in 0..CLASSES {
        for column in 0..8 {
            tell(&mut learned, row, (row + column * 8) % COLUMNS);
        }
    }
    // The fit falls due with the first question.
    std::hint::black_box(learned.platform("p0"));
    let mut row = 0;
    let update = median(101, || {
        row += 1;
        let from = Instant::now();
        let (class, column) = tell(&mut learned, row, row % COLUMNS);
        std::hint::black_box(learned.speed(class, &column));
        from.elapsed()
    });
    Cost {
        refit_ms: refit * 1e3,
        predict_us: predict * 1e6,
        update_us: update * 1e6,
    }
}
