//! The floor: class + column, with ridge.

use super::matrix::Matrix;
use super::model::{Estimate, Seen};

/// Ridges, in measurements, before anything is known: on classes and on columns.
const RIDGES: [f64; 2] = [1e-3, 0.5];
/// The least and the most that a ridge may be.
const RIDGE: [f64; 2] = [1e-3, 3.0];
/// How often ridges are estimated anew (empirical Bayes).
const PASSES: usize = 3;
/// How much wider than the levels seen new ones are expected.
const SPARE: f64 = 2.0;
/// Rounds of alternating least squares in each pass.
const ROUNDS: usize = 12;

/// The additive model of a matrix, fitted by alternating ridge regressions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Floor {
    /// The mean of all cells.
    pub(super) mean: f64,
    /// What each class adds.
    pub(super) levels: Vec<f64>,
    /// What each column adds.
    pub(super) effects: Vec<f64>,
    /// The ridge on a class's level: what is left, in variances of levels.
    ridge: f64,
    /// The variance of the classes' levels.
    pub(super) level_variance: f64,
    /// The variance of the columns' effects.
    effect_variance: f64,
    /// What is left, per column.
    residual: Vec<f64>,
    /// What is left, over all.
    pub(super) variance: f64,
}

fn variance(values: &[f64]) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n
}

impl Floor {
    /// Fits the model; without a cell it predicts a factor of about e either way of 1.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn fit(matrix: &Matrix) -> Self {
        let (rows, columns) = (matrix.rows(), matrix.columns());
        let cells: Vec<(usize, usize, f64)> = (0..rows)
            .flat_map(|row| {
                matrix
                    .row(row)
                    .map(move |(column, log, _)| (row, column, log))
            })
            .collect();
        let mean = cells.iter().map(|c| c.2).sum::<f64>() / cells.len().max(1) as f64;
        let mut levels = vec![0.0; rows];
        let mut effects = vec![0.0; columns];
        let mut per_row = vec![0.0; rows];
        let mut per_column = vec![0.0; columns];
        for (row, column, _) in &cells {
            per_row[*row] += 1.0;
            per_column[*column] += 1.0;
        }
        let mut ridges = RIDGES;
        let mut left = 0.0;
        let mut squares = vec![0.0; columns];
        for _ in 0..PASSES {
            for _ in 0..ROUNDS {
                let mut sums = vec![0.0; rows];
                for (row, column, log) in &cells {
                    sums[*row] += log - mean - effects[*column];
                }
                for row in 0..rows {
                    levels[row] = sums[row] / (per_row[row] + ridges[0]);
                }
                let mut sums = vec![0.0; columns];
                for (row, column, log) in &cells {
                    sums[*column] += log - mean - levels[*row];
                }
                for column in 0..columns {
                    effects[column] = sums[column] / (per_column[column] + ridges[1]);
                }
            }
            squares.fill(0.0);
            for (row, column, log) in &cells {
                let left = log - mean - levels[*row] - effects[*column];
                squares[*column] += left * left;
            }
            // What the levels and effects have used up of the cells.
            let used = |counts: &[f64], ridge: f64| -> f64 {
                counts.iter().map(|n| n / (n + ridge)).sum()
            };
            let used = used(&per_row, ridges[0]) + used(&per_column, ridges[1]);
            let all = cells.len() as f64;
            let sum: f64 = squares.iter().sum();
            left = sum / (all - used).max(0.1 * all).max(1.0);
            if !left.is_finite() || left <= 1e-10 {
                // Fewer cells than levels and effects say nothing of what is left.
                left = if all > used + 1.0 { 1e-10 } else { 0.25 };
            }
            ridges = [(&levels, &per_row), (&effects, &per_column)].map(|(values, counts)| {
                let n = counts.iter().filter(|n| **n > 0.0).count() as f64;
                let square: f64 = values.iter().map(|value| value * value).sum();
                (left * n / square.max(1e-12)).clamp(RIDGE[0], RIDGE[1])
            });
        }
        let known: Vec<f64> = (0..rows)
            .filter(|row| per_row[*row] > 0.0)
            .map(|row| levels[row])
            .collect();
        let level_variance = if known.len() > 1 {
            variance(&known)
        } else {
            1.0
        };
        let effect_variance = if columns > 1 {
            variance(&effects)
        } else {
            0.25
        };
        let residual = squares
            .iter()
            .zip(&per_column)
            .map(|(sum, n)| match *n {
                // Nothing is known of the column's effect.
                0.0 => left + effect_variance,
                n => (sum + 3.0 * left) / (n + 3.0) + left / n,
            })
            .collect();
        Self {
            mean,
            levels,
            effects,
            ridge: ridges[0],
            level_variance,
            effect_variance,
            residual,
            variance: left,
        }
    }

    /// The variance with which the level of a new class is expected: that of the classes there are,
    /// with room to spare, and within what doubles can tell from what is left.
    pub(super) fn wide(&self) -> f64 {
        let least = 0.1 * self.variance;
        (SPARE * self.level_variance).clamp(least, 1e5 * self.variance)
    }

    /// A column's mean over classes of average level, and whether any class was measured there.
    pub(super) fn column(&self, column: usize) -> f64 {
        self.mean + self.effects.get(column).copied().unwrap_or(0.0)
    }

    /// What the model predicts of a class with these cells.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn predict(&self, seen: &[Seen], want: &[usize]) -> Vec<Estimate> {
        let n = seen.len() as f64;
        let sum: f64 = seen.iter().map(|s| s.log - self.column(s.column)).sum();
        let level = sum / (n + self.ridge);
        // The level's own uncertainty: shared by all columns.
        let unsure = self.level_variance / (1.0 + n * self.level_variance / self.variance);
        want.iter()
            .map(|column| {
                let own = self.residual.get(*column).copied();
                let own = own.unwrap_or(self.variance + self.effect_variance);
                Estimate {
                    mean: self.column(*column) + level,
                    variance: own + unsure,
                }
            })
            .collect()
    }
}
