//! What is known of a class before it is measured anywhere: its use of CPU, memory and bandwidth
//! when run alone.

use nalgebra::DMatrix;

/// The width of the kernel, in standard deviations of the features.
const WIDTH: f64 = 1.5;
/// The noise of what features tell, in the variance that they explain.
const NOISE: f64 = 0.7;
/// A feature that spans this factor is read by its logarithm.
const SPAN: f64 = 20.0;
/// The farthest that a feature counts, in standard deviations.
const FAR: f64 = 3.0;

/// A row of numbers per class, in the order of the matrix's rows; missing where not finite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features(pub Vec<Vec<f64>>);

/// How features are brought to one scale.
#[derive(Clone, Debug)]
struct Scale {
    logarithmic: bool,
    mean: f64,
    deviation: f64,
}

/// Kernel regression of whole rows on features (a Gaussian process with a squared exponential
/// kernel and one length for all features: Rasmussen and Williams, 2006, eq. 2.25).
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    scales: Vec<Scale>,
    at: Vec<Vec<f64>>,
    inverse: DMatrix<f64>,
}

impl Scale {
    fn of(values: &[f64]) -> Self {
        let known: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        let least = known.iter().copied().fold(f64::INFINITY, f64::min);
        let most = known.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let logarithmic = least > 0.0 && most / least > SPAN;
        let read = |v: f64| if logarithmic { libm::log(v) } else { v };
        #[allow(clippy::cast_precision_loss)]
        let n = known.len().max(1) as f64;
        let mean = known.iter().map(|v| read(*v) / n).sum::<f64>();
        let square = known
            .iter()
            .map(|v| (read(*v) - mean) * (read(*v) - mean) / n);
        Self {
            logarithmic,
            mean,
            deviation: libm::sqrt(square.sum()).max(1e-9),
        }
    }

    fn read(&self, value: f64) -> f64 {
        let value = match self.logarithmic {
            true if value > 0.0 => libm::log(value),
            true => f64::NAN,
            false => value,
        };
        let scaled = (value - self.mean) / self.deviation;
        if scaled.is_nan() {
            0.0
        } else {
            scaled.clamp(-FAR, FAR)
        }
    }
}

fn near(a: &[f64], b: &[f64]) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let n = a.len().max(1) as f64;
    let apart: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    libm::exp(-0.5 * apart / n / (WIDTH * WIDTH))
}

impl Kernel {
    /// The kernel over some classes; none if there is nothing to tell them apart by.
    pub(super) fn new(rows: &[&[f64]]) -> Option<Self> {
        let width = rows.iter().map(|row| row.len()).max().filter(|n| *n > 0)?;
        let value = |row: &[f64], at: usize| row.get(at).copied().unwrap_or(f64::NAN);
        let scales: Vec<Scale> = (0..width)
            .map(|at| Scale::of(&rows.iter().map(|row| value(row, at)).collect::<Vec<_>>()))
            .collect();
        let mut kernel = Self {
            scales,
            at: Vec::new(),
            inverse: DMatrix::zeros(0, 0),
        };
        kernel.at = rows.iter().map(|row| kernel.scaled(row)).collect();
        let n = rows.len();
        let all = DMatrix::from_fn(n, n, |a, b| {
            near(&kernel.at[a], &kernel.at[b]) + if a == b { NOISE } else { 0.0 }
        });
        kernel.inverse = all.cholesky()?.inverse();
        Some(kernel)
    }

    fn scaled(&self, row: &[f64]) -> Vec<f64> {
        let value = |at: usize| row.get(at).copied().unwrap_or(f64::NAN);
        let scales = self.scales.iter().enumerate();
        scales.map(|(at, scale)| scale.read(value(at))).collect()
    }

    /// What is to be weighed by nearness, for rows relative to their mean.
    pub(super) fn dual(&self, rows: &DMatrix<f64>) -> DMatrix<f64> {
        &self.inverse * rows
    }

    /// What the other classes tell of each.
    pub(super) fn left_out(&self, rows: &DMatrix<f64>) -> DMatrix<f64> {
        let dual = self.dual(rows);
        DMatrix::from_fn(rows.nrows(), rows.ncols(), |row, column| {
            rows[(row, column)] - dual[(row, column)] / self.inverse[(row, row)]
        })
    }

    /// What the classes tell of one with these features.
    pub(super) fn tell(&self, dual: &DMatrix<f64>, features: &[f64]) -> Vec<f64> {
        let here = self.scaled(features);
        let mut told = vec![0.0; dual.ncols()];
        for (row, at) in self.at.iter().enumerate() {
            let near = near(&here, at);
            for (column, told) in told.iter_mut().enumerate() {
                *told += near * dual[(row, column)];
            }
        }
        told
    }
}
