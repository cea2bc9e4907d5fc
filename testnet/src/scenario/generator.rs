//! A shipped truth: speeds of low rank, and contention by vectors, drawn from a seed so that they
//! have the moments that measured matrices have.
//!
//! Fitted in spirit to seven public sets: platforms explain half to three quarters of the variance
//! of a class's log speeds, what is left has a standard deviation of 0.16 to 0.25 and two or three
//! factors carry three quarters of it; two tasks side by side keep 0.67 of their speed on average,
//! with a standard deviation of 0.2; sensitivity and pressure correlate weakly. The form is
//! Paragon's (ASPLOS '13): few factors under many cells.

use super::dice::{Dice, Purpose};
use super::error::ScenarioError;
use super::reader::Table;
use crate::truth::{Contention, RESOURCES, Truth};

/// What to generate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Generator {
    pub(crate) classes: usize,
    pub(crate) platforms: usize,
    rank: usize,
    /// The platforms' share of the variance of a class's log speeds.
    platform_effect: f64,
    /// The standard deviation of log speed that is left.
    residual: f64,
    /// The share of that in `rank` factors; the rest is without structure.
    structure: f64,
    /// What a task keeps beside another: mean and standard deviation over pairs of classes.
    pair_mean: f64,
    pair_sd: f64,
    /// How the logarithms of sensitivity and pressure correlate.
    correlation: f64,
}

pub(crate) const KEYS: [&str; 9] = [
    "classes",
    "platforms",
    "rank",
    "platform_effect",
    "residual",
    "structure",
    "pair_mean",
    "pair_sd",
    "correlation",
];

/// Classes up to this number calibrate contention; more would only take longer.
const CALIBRATION: usize = 48;

impl Generator {
    pub(crate) fn read(table: &Table<'_>) -> Result<Self, ScenarioError> {
        let count = |key: &str, default: usize, most: u64| {
            table.get(key).map_or(Ok(default), |value| {
                value
                    .count(1, most)
                    .map(|n| usize::try_from(n).unwrap_or(usize::MAX))
            })
        };
        let share =
            |key: &str, default: f64| table.get(key).map_or(Ok(default), |value| value.share());
        let generator = Self {
            classes: count("classes", 40, 1_000)?,
            platforms: count("platforms", 6, 100)?,
            rank: count("rank", 3, 16)?,
            platform_effect: share("platform_effect", 0.6)?,
            residual: share("residual", 0.2)?,
            structure: share("structure", 0.75)?,
            pair_mean: share("pair_mean", 0.67)?,
            pair_sd: share("pair_sd", 0.2)?,
            correlation: share("correlation", 0.3)?,
        };
        if generator.platform_effect > 0.99 {
            return Err(table.place("platform_effect").error(
                "the platforms cannot explain everything",
                "write a share up to 0.99, for example 0.6",
            ));
        }
        if generator.pair_mean < 0.05 {
            return Err(table.place("pair_mean").error(
                "nothing would be left of the speed of two tasks",
                "write a share from 0.05 to 1, for example 0.67",
            ));
        }
        if generator.pair_mean < 1.0
            && generator.pair_sd > 0.45 * 2.0 * (1.0 - generator.pair_mean).min(generator.pair_mean)
        {
            return Err(table.place("pair_sd").error(
                "so much spread is not possible about that mean",
                "write a smaller one, for example 0.2 about a mean of 0.67",
            ));
        }
        Ok(generator)
    }

    pub(crate) fn class_names(&self) -> Vec<String> {
        (0..self.classes).map(|i| format!("c{i}")).collect()
    }

    pub(crate) fn platform_names(&self) -> Vec<String> {
        (0..self.platforms).map(|i| format!("p{i}")).collect()
    }

    pub(crate) fn draw(&self, seed: u64, noise: f64) -> Truth {
        let mut dice = Dice::new(seed, Purpose::Truth);
        Truth {
            platforms: self.platform_names(),
            classes: self.class_names(),
            speed: self.speeds(&mut dice),
            contention: self.contention(&mut dice),
            noise,
        }
    }

    /// Speeds with each class's best platform at 1.
    fn speeds(&self, dice: &mut Dice) -> Vec<Vec<f64>> {
        let (n, m) = (self.classes, self.platforms);
        let mut platform = normals(dice, m);
        let effect = self.platform_effect / (1.0 - self.platform_effect);
        standardise(&mut [&mut platform], self.residual * libm::sqrt(effect));

        let left: Vec<Vec<f64>> = (0..self.rank).map(|_| normals(dice, n)).collect();
        let right: Vec<Vec<f64>> = (0..self.rank).map(|_| normals(dice, m)).collect();
        let mut factors: Vec<Vec<f64>> = (0..n)
            .map(|class| {
                let cell = |p: usize| (0..self.rank).map(|k| left[k][class] * right[k][p]).sum();
                (0..m).map(cell).collect()
            })
            .collect();
        let mut rest: Vec<Vec<f64>> = (0..n).map(|_| normals(dice, m)).collect();
        for (matrix, share) in [
            (&mut factors, self.structure),
            (&mut rest, 1.0 - self.structure),
        ] {
            double_centre(matrix);
            let mut rows: Vec<&mut Vec<f64>> = matrix.iter_mut().collect();
            standardise(&mut rows, self.residual * libm::sqrt(share));
        }
        let row = |class: usize| {
            let logs: Vec<f64> = (0..m)
                .map(|p| platform[p] + factors[class][p] + rest[class][p])
                .collect();
            let best = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            logs.iter().map(|log| libm::exp(log - best)).collect()
        };
        (0..n).map(row).collect()
    }

    /// Sensitivity and pressure: an intensity per class and side, dealt over the resources with a
    /// liking of their own; scale and spread are found by bisection.
    fn contention(&self, dice: &mut Dice) -> Contention {
        let n = self.classes;
        let mut mine = normals(dice, n);
        let other = normals(dice, n);
        let rho = self.correlation;
        let mut theirs: Vec<f64> = mine
            .iter()
            .zip(&other)
            .map(|(a, b)| rho * a + libm::sqrt(1.0 - rho * rho) * b)
            .collect();
        standardise(&mut [&mut mine], 1.0);
        standardise(&mut [&mut theirs], 1.0);
        let likings = |dice: &mut Dice| -> Vec<[f64; RESOURCES]> {
            (0..n)
                .map(|_| {
                    let raw: [f64; RESOURCES] =
                        std::array::from_fn(|_| libm::exp(0.7 * dice.normal()));
                    let sum: f64 = raw.iter().sum();
                    raw.map(|x| x * 2.0 / sum)
                })
                .collect()
        };
        let (feel, press) = (likings(dice), likings(dice));
        let vectors = |spread: f64, scale: f64| {
            let by = |liking: &[[f64; RESOURCES]], level: &[f64], scale: f64| {
                liking
                    .iter()
                    .zip(level)
                    .map(|(row, z)| row.map(|x| scale * x * libm::exp(spread * z)))
                    .collect::<Vec<_>>()
            };
            (by(&feel, &mine, 1.0), by(&press, &theirs, scale))
        };
        if self.pair_mean >= 1.0 {
            return Contention::None;
        }
        let (mut low, mut high) = (0.0, 3.0);
        let mut found = (0.5, self.scale_for(0.5, &vectors));
        for _ in 0..14 {
            let spread = f64::midpoint(low, high);
            let scale = self.scale_for(spread, &vectors);
            found = (spread, scale);
            let (feel, press) = vectors(spread, scale);
            if moments(&feel, &press).1 < self.pair_sd {
                low = spread;
            } else {
                high = spread;
            }
        }
        let (sensitivity, pressure) = vectors(found.0, found.1);
        Contention::Vectors {
            sensitivity,
            pressure,
        }
    }

    /// The scale of pressure at which pairs keep the mean share.
    fn scale_for(&self, spread: f64, vectors: &impl Fn(f64, f64) -> Pair) -> f64 {
        let (mut low, mut high) = (-12.0, 12.0);
        for _ in 0..24 {
            let middle = f64::midpoint(low, high);
            let (feel, press) = vectors(spread, libm::exp(middle));
            if moments(&feel, &press).0 > self.pair_mean {
                low = middle;
            } else {
                high = middle;
            }
        }
        libm::exp(f64::midpoint(low, high))
    }
}

/// Sensitivity and pressure of all classes.
type Pair = (Vec<[f64; RESOURCES]>, Vec<[f64; RESOURCES]>);

/// The mean and standard deviation of what one task keeps beside another.
#[allow(clippy::cast_precision_loss)]
fn moments(feel: &[[f64; RESOURCES]], press: &[[f64; RESOURCES]]) -> (f64, f64) {
    let n = feel.len().min(CALIBRATION);
    let (mut sum, mut squares) = (0.0, 0.0);
    for s in &feel[..n] {
        for p in &press[..n] {
            let felt: f64 = s.iter().zip(p).map(|(s, p)| s * p).sum();
            let keeps = 1.0 / (1.0 + felt);
            sum += keeps;
            squares += keeps * keeps;
        }
    }
    let count = (n * n) as f64;
    let mean = sum / count;
    (mean, libm::sqrt((squares / count - mean * mean).max(0.0)))
}

fn normals(dice: &mut Dice, n: usize) -> Vec<f64> {
    (0..n).map(|_| dice.normal()).collect()
}

/// Gives all values together mean 0 and a standard deviation; a single value becomes 0.
#[allow(clippy::cast_precision_loss)]
fn standardise(rows: &mut [&mut Vec<f64>], sd: f64) {
    let count = rows.iter().map(|row| row.len()).sum::<usize>() as f64;
    let mean = rows.iter().flat_map(|row| row.iter()).sum::<f64>() / count;
    let squares = rows
        .iter()
        .flat_map(|row| row.iter())
        .map(|x| (x - mean) * (x - mean))
        .sum::<f64>();
    let had = libm::sqrt(squares / count);
    let factor = if had > 1e-12 { sd / had } else { 0.0 };
    for x in rows.iter_mut().flat_map(|row| row.iter_mut()) {
        *x = (*x - mean) * factor;
    }
}

/// Takes the means of rows and columns out.
#[allow(clippy::cast_precision_loss)]
fn double_centre(matrix: &mut [Vec<f64>]) {
    for row in matrix.iter_mut() {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        row.iter_mut().for_each(|x| *x -= mean);
    }
    let rows = matrix.len() as f64;
    let columns = matrix.first().map_or(0, Vec::len);
    for column in 0..columns {
        let mean = matrix.iter().map(|row| row[column]).sum::<f64>() / rows;
        matrix.iter_mut().for_each(|row| row[column] -= mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Generator = Generator {
        classes: 40,
        platforms: 6,
        rank: 3,
        platform_effect: 0.6,
        residual: 0.2,
        structure: 0.75,
        pair_mean: 0.67,
        pair_sd: 0.2,
        correlation: 0.3,
    };

    #[test]
    fn pairs_keep_what_was_asked_for() {
        for seed in 1..4 {
            let truth = PLAIN.draw(seed, 0.0);
            let mut keeps = Vec::new();
            for a in 0..40 {
                for b in 0..40 {
                    keeps.push(truth.keeps(a, 0, [b]));
                }
            }
            let mean = keeps.iter().sum::<f64>() / 1_600.0;
            let squares = keeps.iter().map(|k| (k - mean) * (k - mean)).sum::<f64>();
            let sd = libm::sqrt(squares / 1_600.0);
            assert!((mean - 0.67).abs() < 0.01, "{mean}");
            assert!((sd - 0.2).abs() < 0.02, "{sd}");
        }
    }

    #[test]
    fn platforms_explain_their_share() {
        let truth = PLAIN.draw(9, 0.0);
        let logs: Vec<Vec<f64>> = truth
            .speed
            .iter()
            .map(|row| {
                let logs: Vec<f64> = row.iter().map(|x| libm::log(*x)).collect();
                let mean = logs.iter().sum::<f64>() / 6.0;
                logs.iter().map(|x| x - mean).collect()
            })
            .collect();
        let all: f64 = logs.iter().flatten().map(|x| x * x).sum();
        let column = |p: usize| logs.iter().map(|row| row[p]).sum::<f64>() / 40.0;
        let explained: f64 = (0..6).map(|p| 40.0 * column(p) * column(p)).sum();
        assert!((explained / all - 0.6).abs() < 0.02, "{}", explained / all);
        let residual = libm::sqrt((all - explained) / 240.0);
        assert!((residual - 0.2).abs() < 0.02, "{residual}");
        assert!(
            truth
                .speed
                .iter()
                .flatten()
                .all(|x| (0.0..=1.0).contains(x))
        );
    }

    #[test]
    fn one_class_and_one_platform_are_enough() {
        let small = Generator {
            classes: 1,
            platforms: 1,
            ..PLAIN
        };
        assert_eq!(small.draw(1, 0.0).speed, vec![vec![1.0]]);
    }
}
