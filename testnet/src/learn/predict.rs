//! Predictions for anybody's measurements.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use starling_placement::learn::{EIGHTY, Effort, Features, Matrix, Origin, TwoWay};

use super::files::Measured;

/// A prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Predicted {
    /// The class.
    pub class: String,
    /// The column.
    pub column: String,
    /// What is expected (the median), in the unit of the measurements.
    pub prediction: f64,
    /// With 80% probability it is at least this,
    pub low: f64,
    /// and at most this.
    pub high: f64,
    /// What it was derived from: `own`, `class`, `column`, `both` or `population`.
    pub origin: &'static str,
    /// The classes that it leans on, with their shares.
    pub neighbours: Vec<(String, f64)>,
}

/// The farthest that a logarithm is trusted to be: a factor beyond e to this is infinite.
const FAR: f64 = 700.0;

const fn named(origin: Origin) -> &'static str {
    match origin {
        Origin::Own => "own",
        Origin::Class => "class",
        Origin::Column => "column",
        Origin::Both => "both",
        Origin::Population => "population",
    }
}

/// Predicts cells of a matrix from measurements of others. Times and rates alike: the logarithm of
/// the one is minus that of the other, and the model takes no side.
///
/// Columns may be named as classes: then the matrix is one of pairs, and the features of a class are
/// those of the column too.
pub fn predict(
    measured: &[Measured],
    questions: &[(String, String)],
    features: &BTreeMap<String, Vec<f64>>,
) -> Vec<Predicted> {
    // Of one order, so that the order of the lines does not count.
    let mut measured: Vec<&Measured> = measured.iter().collect();
    measured.sort_by(|a, b| {
        let names = (&a.class, &a.column).cmp(&(&b.class, &b.column));
        names
            .then(a.value.total_cmp(&b.value))
            .then(a.weight.total_cmp(&b.weight))
    });
    let of_questions = questions
        .iter()
        .map(|(class, column)| (class.as_str(), column.as_str()));
    let cells = measured
        .iter()
        .map(|m| (m.class.as_str(), m.column.as_str()));
    let (mut classes, mut columns) = (BTreeSet::new(), BTreeSet::new());
    for (class, column) in cells.chain(of_questions) {
        classes.insert(class);
        columns.insert(column);
    }
    let classes: Vec<&str> = classes.into_iter().collect();
    let columns: Vec<&str> = columns.into_iter().collect();
    let place = |names: &[&str], name: &str| names.binary_search(&name).ok();
    let mut matrix = Matrix::new(classes.len(), columns.len());
    for m in measured {
        if let Some((row, column)) = place(&classes, &m.class).zip(place(&columns, &m.column)) {
            // The files were checked: a number that is none is not taken.
            let _ = matrix.measure(row, column, m.value, m.weight);
        }
    }
    let of = |names: &[&str]| {
        let rows = names
            .iter()
            .map(|name| features.get(*name).cloned().unwrap_or_default());
        let rows: Vec<Vec<f64>> = rows.collect();
        rows.iter()
            .any(|row| !row.is_empty())
            .then_some(Features(rows))
    };
    let model = TwoWay::fit(matrix, of(&classes), of(&columns), Effort::STUDY);
    let cells: Vec<(Option<usize>, Option<usize>)> = questions
        .iter()
        .map(|(class, column)| (place(&classes, class), place(&columns, column)))
        .collect();
    let told = model.predict(&cells);
    let value = |log: f64| libm::exp(log.clamp(-FAR, FAR));
    questions
        .iter()
        .zip(told)
        .map(|((class, column), told)| Predicted {
            class: class.clone(),
            column: column.clone(),
            prediction: value(told.mean),
            low: value(told.mean - EIGHTY * told.deviation),
            high: value(told.mean + EIGHTY * told.deviation),
            origin: named(told.origin),
            neighbours: told
                .neighbours
                .iter()
                .map(|(row, share)| (classes[*row].to_owned(), *share))
                .collect(),
        })
        .collect()
}
