//! A matrix read both ways.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::features::Features;
use super::matrix::Matrix;
use super::model::{Effort, Estimate, Model, Seen};

/// What a prediction was derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The cell itself was measured.
    Own,
    /// The class's other cells, and reference classes.
    Class,
    /// The column's other cells, and reference columns.
    Column,
    /// Both.
    Both,
    /// What is known of all classes and columns.
    Population,
}

/// A prediction in the log domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The natural logarithm of the expected (median) value.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
    /// What it was derived from.
    pub origin: Origin,
    /// The rows that it leans on, with their shares, greatest first.
    pub neighbours: Vec<(usize, f64)>,
}

/// A view that is known so much better than the other one is used alone.
const MUCH: f64 = 5.0;

/// The rows infer what a class with few cells does in a well-known column; the columns infer what
/// well-known classes do in a new column. Both are used where both are known alike.
///
/// For pairs (a class's speed beside another) a row is a class's *sensitivity*, and a column its
/// *pressure*: two vectors, inferred apart.
#[derive(Clone, Debug)]
pub struct TwoWay {
    matrix: Matrix,
    features: Option<Features>,
    column_features: Option<Features>,
    by_rows: Model,
    by_columns: Model,
    /// The matrix by columns, of the reference rows only.
    turned: Matrix,
    /// The share of the reference rows that have a cell, per column.
    column_known: Vec<f64>,
}

fn seen(matrix: &Matrix, row: usize) -> Vec<Seen> {
    let cells = matrix.row(row);
    cells
        .map(|(column, log, weight)| Seen {
            column,
            log,
            weight,
        })
        .collect()
}

impl TwoWay {
    /// Learns from a matrix, with features of its rows and of its columns where there are any.
    #[allow(clippy::cast_precision_loss)]
    pub fn fit(
        matrix: Matrix,
        features: Option<Features>,
        column_features: Option<Features>,
        effort: Effort,
    ) -> Self {
        let by_rows = Model::fit(&matrix, features.as_ref(), effort);
        let turned = matrix.select(by_rows.reference()).transposed();
        let by_columns = Model::fit(&turned, column_features.as_ref(), effort);
        let all = turned.columns().max(1) as f64;
        let column_known = (0..turned.rows()).map(|column| turned.count(column) as f64 / all);
        Self {
            column_known: column_known.collect(),
            matrix,
            features,
            column_features,
            by_rows,
            by_columns,
            turned,
        }
    }

    /// Predicts cells, given as row and column, none where it is not in the matrix; `features` are
    /// those of rows that are not.
    pub fn predict(&self, cells: &[(Option<usize>, Option<usize>)]) -> Vec<Prediction> {
        let mut rows: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for (at, (row, _)) in cells.iter().enumerate() {
            rows.entry(*row).or_default().push(at);
        }
        let mut found: Vec<Option<Prediction>> = vec![None; cells.len()];
        let mut columns: BTreeMap<usize, Vec<(usize, usize, f64)>> = BTreeMap::new();
        for (row, group) in rows {
            let seen = row.map_or_else(Vec::new, |row| seen(&self.matrix, row));
            let beyond = self.matrix.columns();
            let want: Vec<usize> = group
                .iter()
                .map(|at| cells[*at].1.unwrap_or(beyond))
                .collect();
            let features = row.and_then(|row| self.features.as_ref()?.0.get(row));
            let features = features.map(Vec::as_slice).filter(|f| !f.is_empty());
            let (estimates, neighbours) = self.by_rows.predict(&seen, features, &want, row);
            let place = row.and_then(|row| self.by_rows.reference().binary_search(&row).ok());
            #[allow(clippy::cast_precision_loss)]
            let row_known = seen.len() as f64 / beyond.max(1) as f64;
            for (at, estimate) in group.into_iter().zip(estimates) {
                let column = cells[at].1.filter(|column| *column < beyond);
                let own = column.is_some_and(|c| seen.iter().any(|seen| seen.column == c));
                let origin = match (own, seen.is_empty() && features.is_none()) {
                    (true, _) => Origin::Own,
                    (false, true) => Origin::Population,
                    (false, false) => Origin::Class,
                };
                found[at] = Some(prediction(estimate, origin, &neighbours));
                let (Some(column), Some(place), false) = (column, place, own) else {
                    continue;
                };
                if row_known * MUCH > self.column_known[column] {
                    columns
                        .entry(column)
                        .or_default()
                        .push((at, place, row_known));
                }
            }
        }
        for (column, group) in columns {
            let seen = seen(&self.turned, column);
            let want: Vec<usize> = group.iter().map(|(_, place, _)| *place).collect();
            let features = self.column_features.as_ref().and_then(|f| f.0.get(column));
            let features = features.map(Vec::as_slice).filter(|f| !f.is_empty());
            if seen.is_empty() && features.is_none() {
                continue;
            }
            let (estimates, _) = self
                .by_columns
                .predict(&seen, features, &want, Some(column));
            for ((at, _, row_known), estimate) in group.into_iter().zip(estimates) {
                if let Some(by_row) = &mut found[at] {
                    let column_known = self.column_known[column];
                    by_row.join(estimate, row_known, column_known);
                }
            }
        }
        let population = || prediction(Estimate::default(), Origin::Population, &[]);
        found
            .into_iter()
            .map(|found| found.unwrap_or_else(population))
            .collect()
    }
}

fn prediction(estimate: Estimate, origin: Origin, neighbours: &[(usize, f64)]) -> Prediction {
    Prediction {
        mean: estimate.mean,
        deviation: libm::sqrt(estimate.variance),
        origin,
        neighbours: neighbours.iter().take(5).copied().collect(),
    }
}

impl Prediction {
    /// Adds what the columns say. A class's few cells in a well-known column speak by rows, and the
    /// other way round: each view counts by its precision and by the square of how well what it
    /// infers from is known.
    fn join(&mut self, by_column: Estimate, row_known: f64, column_known: f64) {
        let by_row = self.deviation * self.deviation;
        let rows = column_known * column_known / by_row.max(1e-12);
        let columns = row_known * row_known / by_column.variance.max(1e-12);
        let share = if row_known > MUCH * column_known {
            1.0
        } else {
            columns / (rows + columns)
        };
        if !share.is_finite() {
            return;
        }
        let mean = self.mean + share * (by_column.mean - self.mean);
        let (off, far) = (self.mean - mean, by_column.mean - mean);
        // Both saw much of the same: their errors do not average out as independent ones would.
        let variance =
            (1.0 - share) * (by_row + off * off) + share * (by_column.variance + far * far);
        self.mean = mean;
        self.deviation = libm::sqrt(variance);
        self.origin = if share < 1.0 {
            Origin::Both
        } else {
            Origin::Column
        };
        if self.origin == Origin::Column {
            self.neighbours.clear();
        }
    }
}
