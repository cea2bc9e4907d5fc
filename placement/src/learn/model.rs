//! The model of a matrix, read by rows.

use super::features::Features;
use super::floor::Floor;
use super::matrix::Matrix;
use super::search::{Part, search};

/// A measured cell of the class that is asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The column.
    pub column: usize,
    /// The natural logarithm of the value.
    pub log: f64,
    /// How many fresh measurements it stands for; below 1 it is believed less.
    pub weight: f64,
}

/// A mean and a variance in the log domain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The natural logarithm of the expected (median) value.
    pub mean: f64,
    /// Its variance.
    pub variance: f64,
}

/// How much work a fit may be, and what it may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// The most reference rows, and the most columns that are inferred together.
    pub reference: usize,
    /// The most trials by which variants are judged.
    pub trials: usize,
    /// The most variants that predict together.
    pub parts: usize,
}

impl Effort {
    /// For a live node: 2,000 classes by 64 columns well under 200 ms.
    pub const LIVE: Self = Self {
        reference: 80,
        trials: 64,
        parts: 4,
    };
    /// For a study: seconds are no matter.
    pub const STUDY: Self = Self {
        reference: 256,
        trials: 400,
        parts: 12,
    };
}

/// The share of the floor in a prediction, by how many cells are known: a class need not resemble
/// the reference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caution([f64; 4]);

impl Default for Caution {
    fn default() -> Self {
        Self([0.4, 0.12, 0.05, 0.05])
    }
}

impl Caution {
    const fn place(cells: usize) -> usize {
        match cells {
            0 | 1 => 0,
            2 => 1,
            3 | 4 => 2,
            _ => 3,
        }
    }

    /// Sets it for so many cells.
    pub(super) const fn set(&mut self, cells: usize, share: f64) {
        self.0[Self::place(cells)] = share;
    }

    /// The share for so many cells, 0 to 1.
    pub(super) const fn share(self, cells: usize) -> f64 {
        self.0[Self::place(cells)]
    }
}

/// A prediction with a share of the floor.
pub(super) fn blend(estimate: Estimate, floor: Estimate, share: f64) -> Estimate {
    mixture([(1.0 - share, estimate), (share, floor)].into_iter())
}

fn mixture(parts: impl Iterator<Item = (f64, Estimate)> + Clone) -> Estimate {
    let all: f64 = parts.clone().map(|part| part.0).sum();
    let mean = parts.clone().map(|(w, e)| w * e.mean).sum::<f64>() / all;
    let spread = parts.map(|(w, e)| w * (e.variance + (e.mean - mean) * (e.mean - mean)));
    Estimate {
        mean,
        variance: spread.sum::<f64>() / all,
    }
}

/// Several predictions of the same `n` columns as one, by weight.
pub(super) fn mixed<'a>(
    parts: impl Iterator<Item = (f64, &'a [Estimate])> + Clone,
    n: usize,
) -> Vec<Estimate> {
    let one = |at: usize| mixture(parts.clone().map(move |(weight, all)| (weight, all[at])));
    (0..n).map(one).collect()
}

/// The learned model: [`Model::fit`] once in a while, [`Model::predict`] for any row at any time.
#[derive(Clone, Debug)]
pub struct Model {
    floor: Floor,
    /// The matrix's rows that are the reference, ascending.
    reference: Vec<usize>,
    /// A column's place among those inferred together.
    places: Vec<Option<usize>>,
    parts: Vec<Part>,
    /// How much the floor counts.
    caution: Caution,
    /// By how much deviations are corrected.
    correction: f64,
}

/// At least so many reference rows, or the floor is all.
const FEWEST: usize = 4;
/// With so many well-measured rows, others need not be the reference.
const ENOUGH: usize = 24;

/// The indices of the greatest values, at most `limit`, ascending; ties by index.
fn greatest(values: &[usize], limit: usize, least: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len())
        .filter(|at| values[*at] >= least)
        .collect();
    order.sort_by_key(|at| (std::cmp::Reverse(values[*at]), *at));
    order.truncate(limit);
    order.sort_unstable();
    order
}

impl Model {
    /// Learns from a matrix. Rows with at least half as many cells as the best-measured tenth are
    /// the reference. `features` belong to the matrix's rows.
    pub fn fit(matrix: &Matrix, features: Option<&Features>, effort: Effort) -> Self {
        let mut counts: Vec<usize> = (0..matrix.rows()).map(|row| matrix.count(row)).collect();
        let mut model = Self {
            floor: Floor::fit(matrix),
            reference: Vec::new(),
            places: vec![None; matrix.columns()],
            parts: Vec::new(),
            caution: Caution::default(),
            correction: 1.0,
        };
        let mut sorted = counts.clone();
        sorted.sort_unstable();
        let Some(well) = sorted.get(sorted.len().saturating_sub(1) * 9 / 10) else {
            return model;
        };
        let of = |least: usize| counts.iter().filter(|count| **count >= least).count();
        // A few well-known classes among many new ones are the reference all the same.
        let most = sorted.last().copied().unwrap_or(0);
        let well = if of(most.div_ceil(2)) >= 2 * FEWEST {
            most
        } else {
            *well
        };
        // Where there are few, half-known ones are better than none.
        let least = if of((well / 2).max(2)) >= ENOUGH {
            well / 2
        } else {
            well / 4
        };
        let least = least.max(2);
        model.reference = greatest(&counts, effort.reference, least);
        let reference = matrix.select(&model.reference);
        counts = (0..matrix.columns())
            .map(|column| {
                (0..reference.rows())
                    .filter(|r| reference.cell(*r, column).is_some())
                    .count()
            })
            .collect();
        let columns = greatest(&counts, effort.reference, 1);
        for (place, column) in columns.iter().enumerate() {
            model.places[*column] = Some(place);
        }
        if model.reference.len() < FEWEST || columns.len() < 2 {
            return model;
        }
        let mut dense = Matrix::new(reference.rows(), columns.len());
        for row in 0..reference.rows() {
            for (column, log, weight) in reference.row(row) {
                if let Some(place) = model.places[column] {
                    dense.add(row, place, log, weight);
                }
            }
        }
        let rows: Option<Vec<&[f64]>> = features.map(|features| {
            let of = |row: &usize| features.0.get(*row).map_or(&[][..], Vec::as_slice);
            model.reference.iter().map(of).collect()
        });
        let floor = Floor::fit(&dense);
        let (parts, caution, correction) = search(&dense, &floor, rows.as_deref(), effort);
        model.parts = parts;
        model.caution = caution;
        model.correction = correction;
        model
    }

    /// The matrix's rows that others are inferred from.
    pub fn reference(&self) -> &[usize] {
        &self.reference
    }

    /// Predicts the columns in `want` of a class from its cells and features. `row` is its row in
    /// the matrix, if it has one: it is no neighbour of itself. Also answers the neighbours: rows of
    /// the matrix and their shares, greatest first.
    pub fn predict(
        &self,
        seen: &[Seen],
        features: Option<&[f64]>,
        want: &[usize],
        row: Option<usize>,
    ) -> (Vec<Estimate>, Vec<(usize, f64)>) {
        let place = |column: usize| self.places.get(column).copied().flatten();
        let mut estimates = self.floor.predict(seen, want);
        let known: Vec<Seen> = seen
            .iter()
            .filter_map(|seen| place(seen.column).map(|column| Seen { column, ..*seen }))
            .collect();
        let inferred: Vec<(usize, usize)> = want
            .iter()
            .enumerate()
            .filter_map(|(at, column)| Some((at, place(*column)?)))
            .collect();
        let wanted: Vec<usize> = inferred.iter().map(|(_, column)| *column).collect();
        let without = row.and_then(|row| self.reference.binary_search(&row).ok());
        let mut shares = vec![0.0; self.reference.len()];
        let mut told = Vec::new();
        for part in &self.parts {
            let kernel = part.kernel.as_ref().zip(features);
            let shift = kernel.map(|((kernel, dual), features)| kernel.tell(dual, features));
            let given = part
                .gauss
                .condition(shift.as_deref(), &known, &wanted, without);
            for (share, weight) in shares.iter_mut().zip(&given.weights) {
                *share += part.weight * weight;
            }
            told.push((part.weight, given.estimates));
        }
        if !told.is_empty() {
            let parts = told.iter().map(|(weight, all)| (*weight, all.as_slice()));
            let together = mixed(parts, wanted.len());
            for ((at, _), estimate) in inferred.iter().zip(together) {
                estimates[*at] = blend(estimate, estimates[*at], self.caution.share(known.len()));
            }
        }
        for (estimate, column) in estimates.iter_mut().zip(want) {
            estimate.variance *= self.correction * self.correction;
            // What was measured is not predicted: its own noise is all the doubt there is.
            if let Some(own) = seen.iter().find(|seen| seen.column == *column) {
                estimate.mean = own.log;
                estimate.variance = 0.1 * self.floor.variance / own.weight.max(1e-3);
            }
        }
        let mut neighbours: Vec<(usize, f64)> = self
            .reference
            .iter()
            .copied()
            .zip(shares)
            .filter(|(_, share)| *share > 0.01)
            .collect();
        neighbours.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        (estimates, neighbours)
    }
}
