//! The reference rows' mean and covariance, with missing cells: expectation maximisation for a
//! Gaussian (Dempster, Laird, Rubin, 1977), shrunk in every round.

use nalgebra::DMatrix;

use super::floor::Floor;
use super::matrix::Matrix;

/// Rounds of expectation maximisation: the shrinkage makes more of them needless.
const ROUNDS: usize = 3;
/// Rows times the cube of columns from which one round must do.
const MUCH: f64 = 1e9;
/// How far the covariance is drawn to its diagonal meanwhile.
const SHRINK: f64 = 0.3;
/// The measurement noise assumed meanwhile, in mean residual variances.
const NOISE: f64 = 0.1;

/// Rows without holes, relative to their mean.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    /// The rows; the level is taken out of each where levels say nothing.
    pub(super) rows: DMatrix<f64>,
    /// What the filled cells add to the sum of squares, since they are only expected.
    pub(super) unsure: DMatrix<f64>,
    /// The mean row.
    pub(super) mean: Vec<f64>,
}

fn shrunk(rows: &DMatrix<f64>, unsure: &DMatrix<f64>, noise: f64) -> DMatrix<f64> {
    #[allow(clippy::cast_precision_loss)]
    let n = rows.nrows().max(1) as f64;
    let mut square = (rows.tr_mul(rows) + unsure) / n;
    let diagonal = square.diagonal();
    square *= 1.0 - SHRINK;
    for at in 0..diagonal.len() {
        square[(at, at)] = diagonal[at] + noise;
    }
    square
}

/// Takes the mean out of each column and adds it to `mean`.
fn centre(rows: &mut DMatrix<f64>, mean: &mut [f64]) {
    #[allow(clippy::cast_precision_loss)]
    let n = rows.nrows().max(1) as f64;
    for (mut column, mean) in rows.column_iter_mut().zip(mean) {
        let off = column.iter().sum::<f64>() / n;
        column.iter_mut().for_each(|value| *value -= off);
        *mean += off;
    }
}

/// Fills a matrix whose rows all have a cell. `levels`: whether a row's level is part of it.
#[allow(clippy::cast_precision_loss)]
pub(super) fn fill(matrix: &Matrix, floor: &Floor, levels: bool) -> Filled {
    let (n, width) = (matrix.rows(), matrix.columns());
    let mut mean: Vec<f64> = (0..width).map(|column| floor.column(column)).collect();
    let noise = NOISE * floor.variance;
    let wide = if levels { 0.0 } else { floor.wide() };
    let level = |row: usize| floor.levels[row];
    let mut rows = DMatrix::from_fn(n, width, |row, column| match matrix.cell(row, column) {
        Some((log, _)) if levels => log - mean[column],
        Some((log, _)) => log - mean[column] - level(row),
        None if levels => level(row),
        None => 0.0,
    });
    let mut unsure = DMatrix::zeros(width, width);
    if (0..n).all(|row| matrix.count(row) == width) {
        centre(&mut rows, &mut mean);
        return Filled { rows, unsure, mean };
    }
    let mut cover = shrunk(&rows, &unsure, noise);
    let work = n as f64 * (width * width) as f64 * width as f64;
    let rounds = if work > MUCH { 1 } else { ROUNDS };
    for _ in 0..rounds {
        unsure.fill(0.0);
        for row in 0..n {
            let seen: Vec<(usize, f64)> = matrix.row(row).map(|(c, log, _)| (c, log)).collect();
            let k = seen.len();
            let base = DMatrix::from_fn(k, k, |a, b| cover[(seen[a].0, seen[b].0)] + wide);
            let Some(cholesky) = base.cholesky() else {
                continue;
            };
            let holes: Vec<usize> = {
                let known = |column: &usize| seen.binary_search_by_key(column, |s| s.0).is_err();
                (0..width).filter(known).collect()
            };
            let across =
                DMatrix::from_fn(k, holes.len(), |a, b| cover[(seen[a].0, holes[b])] + wide);
            let gain = cholesky.solve(&across);
            let told = across.tr_mul(&gain);
            for (a, one) in holes.iter().enumerate() {
                for (b, other) in holes.iter().enumerate() {
                    let before = cover[(*one, *other)] + wide;
                    unsure[(*one, *other)] += before - told[(a, b)];
                }
            }
            for (column, log) in &seen {
                rows[(row, *column)] = log - mean[*column];
            }
            for (at, hole) in holes.iter().enumerate() {
                let expected = seen.iter().enumerate();
                let expected = expected.map(|(a, (c, log))| gain[(a, at)] * (log - mean[*c]));
                rows[(row, *hole)] = expected.sum();
            }
            if !levels {
                // The level, by what was measured and, as the holes are filled, by all.
                let measured = seen.iter().map(|(c, _)| rows[(row, *c)]).sum::<f64>() / k as f64;
                let all = rows.row(row).iter().sum::<f64>() / width as f64;
                let level = if 2 * k > width {
                    all
                } else {
                    0.5 * (all + measured)
                };
                rows.row_mut(row)
                    .iter_mut()
                    .for_each(|value| *value -= level);
            }
        }
        centre(&mut rows, &mut mean);
        cover = shrunk(&rows, &unsure, noise);
    }
    Filled { rows, unsure, mean }
}
