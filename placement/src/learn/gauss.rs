//! The conditional Gaussian around reference rows.

use nalgebra::{DMatrix, DVector};

use super::model::{Estimate, Seen};

/// The share of a cell's variance that is its own, by which a cell that disagrees with the others
/// is believed less.
const OWN: f64 = 0.2;
/// Degrees of freedom with which a cell may disagree (Student's t).
const FREEDOM: f64 = 2.0;
/// The most that a cell's own variance is raised, times.
const RAISE: f64 = 30.0;
/// Rows that explain the cells less than this share of the best one are left out.
const FAINT: f64 = 1e-4;

/// A mixture of Gaussians of one covariance, around reference rows that are drawn to the mean.
#[derive(Clone, Debug)]
pub(super) struct Gauss {
    /// The mean row.
    pub(super) mean: Vec<f64>,
    /// The covariance of each part of the mixture.
    pub(super) covariance: DMatrix<f64>,
    /// A row per part; none for a single Gaussian around the mean.
    pub(super) centres: Option<DMatrix<f64>>,
    /// The variance of a class's level beyond the covariance: wide where levels say nothing.
    pub(super) level: f64,
    /// Whether a cell that disagrees with the others is believed less.
    pub(super) wary: bool,
    /// The level's variance without any cell.
    pub(super) prior_level: f64,
}

/// What follows from some cells.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    /// Per column asked for.
    pub(super) estimates: Vec<Estimate>,
    /// The weight of each reference row; empty for a single Gaussian.
    pub(super) weights: Vec<f64>,
}

/// A symmetric inverse; a little is added to the diagonal until there is one.
fn inverse(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let n = matrix.nrows();
    let scale = matrix.diagonal().max().max(1e-12);
    let mut add = 0.0;
    for _ in 0..12 {
        let mut raised = matrix.clone();
        for at in 0..n {
            raised[(at, at)] += add;
        }
        if let Some(cholesky) = raised.cholesky() {
            let inverse = cholesky.inverse();
            if inverse.iter().all(|value| value.is_finite()) {
                return inverse;
            }
        }
        add = if add == 0.0 {
            scale * 1e-10
        } else {
            add * 10.0
        };
    }
    // Nothing is inferred from cells whose covariance is beyond repair.
    DMatrix::zeros(n, n)
}

/// The inverse covariance of the cells. If `wary`, those that disagree with the others are believed
/// less.
fn precision(base: &DMatrix<f64>, own: &[f64], off: &DVector<f64>, wary: bool) -> DMatrix<f64> {
    let mut inverted = inverse(base);
    if off.len() < 3 || !wary {
        return inverted;
    }
    for _ in 0..2 {
        let pulled = &inverted * off;
        let mut raised = base.clone();
        for at in 0..off.len() {
            // How far a cell is from what the others say of it, squared, in its own variance.
            let far = pulled[at] * pulled[at] / inverted[(at, at)].max(1e-300);
            let times = ((far - 1.0).max(0.0) / FREEDOM).min(RAISE);
            raised[(at, at)] += OWN * own[at] * times;
        }
        inverted = inverse(&raised);
    }
    inverted
}

impl Gauss {
    /// What follows for the columns in `want`, `shift` being added to the mean. The reference row
    /// `without` is left out: it is the class itself.
    pub(super) fn condition(
        &self,
        shift: Option<&[f64]>,
        seen: &[Seen],
        want: &[usize],
        without: Option<usize>,
    ) -> Given {
        let mean = |column: usize| self.mean[column] + shift.map_or(0.0, |shift| shift[column]);
        let cover = &self.covariance;
        if seen.is_empty() {
            let estimates = want.iter().map(|column| Estimate {
                mean: mean(*column),
                variance: cover[(*column, *column)] + self.prior_level,
            });
            return Given {
                estimates: estimates.collect(),
                weights: Vec::new(),
            };
        }
        let k = seen.len();
        let column = |at: usize| seen[at].column;
        let base = DMatrix::from_fn(k, k, |a, b| {
            let stale = if a == b {
                let own = OWN * cover[(column(a), column(a))];
                own * (1.0 / seen[a].weight.clamp(0.01, 1.0) - 1.0)
            } else {
                0.0
            };
            cover[(column(a), column(b))] + self.level + stale
        });
        let own: Vec<f64> = (0..k).map(|at| cover[(column(at), column(at))]).collect();
        let off = DVector::from_fn(k, |at, _| seen[at].log - mean(column(at)));
        let precision = precision(&base, &own, &off, self.wary);
        let across = DMatrix::from_fn(k, want.len(), |a, b| {
            cover[(column(a), want[b])] + self.level
        });
        let gain = &precision * &across;
        let mut estimates: Vec<Estimate> = want
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let told = gain.column(at).dot(&across.column(at));
                Estimate {
                    mean: mean(*column),
                    variance: (cover[(*column, *column)] + self.level - told).max(1e-10),
                }
            })
            .collect();
        let Some(centres) = &self.centres else {
            for (at, estimate) in estimates.iter_mut().enumerate() {
                estimate.mean += gain.column(at).dot(&off);
            }
            return Given {
                estimates,
                weights: Vec::new(),
            };
        };
        let n = centres.nrows();
        let apart = DMatrix::from_fn(k, n, |a, row| off[a] - centres[(row, column(a))]);
        let pulled = &precision * &apart;
        let mut logs: Vec<f64> = (0..n)
            .map(|row| -0.5 * apart.column(row).dot(&pulled.column(row)))
            .collect();
        if let Some(without) = without.filter(|without| *without < n && n > 1) {
            logs[without] = f64::NEG_INFINITY;
        }
        let best = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut weights: Vec<f64> = logs.iter().map(|log| libm::exp(log - best)).collect();
        for weight in &mut weights {
            if !weight.is_finite() || *weight < FAINT {
                *weight = 0.0;
            }
        }
        let sum: f64 = weights.iter().sum();
        if sum <= 0.0 {
            return Given {
                estimates,
                weights: Vec::new(),
            };
        }
        weights.iter_mut().for_each(|weight| *weight /= sum);
        for (at, estimate) in estimates.iter_mut().enumerate() {
            let (mut first, mut second) = (0.0, 0.0);
            for (row, weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
                let told = centres[(row, want[at])] + gain.column(at).dot(&apart.column(row));
                first += weight * told;
                second += weight * told * told;
            }
            estimate.mean += first;
            estimate.variance += (second - first * first).max(0.0);
        }
        Given { estimates, weights }
    }
}
