//! Small statistics: quantiles, means with their interval over seeds, and two policies compared
//! seed by seed.

use std::fmt;

use serde::Serialize;

/// The smallest value of an ascending sample that `per_mille` thousandths of it do not exceed
/// (nearest rank: the value at rank `ceil(n q)`, counted from one); none of an empty sample. It is
/// always a value that occurred, and needs no interpolation between far outliers.
pub fn quantile(ascending: &[f64], per_mille: usize) -> Option<f64> {
    let rank = (ascending.len() * per_mille).div_ceil(1_000).max(1);
    ascending.get(rank - 1).copied()
}

/// The mean; none of an empty sample. Summed in order, so equal samples have equal means.
#[allow(clippy::cast_precision_loss)]
pub fn mean(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    (!values.is_empty()).then(|| sum / values.len() as f64)
}

/// A mean over seeds with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half the width of the interval, by Student's t; none of a single value.
    pub half: Option<f64>,
    /// How many values it was taken from.
    pub n: usize,
}

impl Estimate {
    /// From one value per seed; none if there is no value.
    #[allow(clippy::cast_precision_loss)]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mean = mean(values)?;
        let n = values.len();
        let half = (n > 1).then(|| {
            let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
            let error = (squares / (n - 1) as f64 / n as f64).sqrt();
            student(n - 1) * error
        });
        Some(Self { mean, half, n })
    }

    /// The ends of the interval; the mean itself, twice, where there is no interval.
    pub fn ends(&self) -> (f64, f64) {
        let half = self.half.unwrap_or(0.0);
        (self.mean - half, self.mean + half)
    }
}

impl fmt::Display for Estimate {
    /// As `2.61 ±0.03`; without an interval, or with one of no width, the mean alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.half.filter(|half| *half > 0.0) {
            Some(half) => {
                let places = places(self.mean.abs().max(half));
                write!(f, "{:.places$} ±{half:.places$}", self.mean)
            }
            None => f.write_str(&number(self.mean)),
        }
    }
}

/// Three significant digits or so, and whole numbers whole.
pub fn number(value: f64) -> String {
    let places = places(value.abs());
    if value == value.trunc() && value.abs() < 1e15 {
        format!("{value:.0}")
    } else if value.abs() < 1e-5 {
        format!("{value:.1e}")
    } else {
        format!("{value:.places$}")
    }
}

/// How many decimal places a number of this size deserves.
fn places(size: f64) -> usize {
    match size {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        size if size >= 0.01 => 4,
        _ => 6,
    }
}

/// Two policies over the same seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// The mean of the differences, ours less theirs.
    pub difference: Estimate,
    /// The mean of the ratios, ours to theirs; none if one of theirs is 0.
    pub ratio: Option<Estimate>,
}

/// Compares pairs of (ours, theirs), one per seed: what the seeds have in common drops out, so the
/// interval is far narrower than that of either mean. None without a pair.
pub fn paired(pairs: &[(f64, f64)]) -> Option<Paired> {
    let differences: Vec<f64> = pairs.iter().map(|(ours, theirs)| ours - theirs).collect();
    let ratios: Option<Vec<f64>> = pairs
        .iter()
        .map(|(ours, theirs)| (*theirs != 0.0).then(|| ours / theirs))
        .collect();
    Some(Paired {
        difference: Estimate::of(&differences)?,
        ratio: ratios.and_then(|ratios| Estimate::of(&ratios)),
    })
}

/// The value that a Student-t variable of so many degrees of freedom (at least 1) exceeds in size
/// with probability 5%.
pub fn student(freedom: usize) -> f64 {
    // The distribution function is a finite sum in theta = atan(t / sqrt(freedom)) and rises
    // with it; halving the interval 64 times leaves nothing to gain.
    let (mut low, mut high) = (0.0, std::f64::consts::FRAC_PI_2);
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if within(middle, freedom) < 0.95 {
            low = middle;
        } else {
            high = middle;
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let root = (freedom as f64).sqrt();
    libm::tan(f64::midpoint(low, high)) * root
}

/// The probability that a Student-t variable is within `tan(theta) sqrt(freedom)` of 0: the finite
/// sums of Abramowitz and Stegun, 26.7.3 and 26.7.4.
#[allow(clippy::cast_precision_loss)]
fn within(theta: f64, freedom: usize) -> f64 {
    let (sine, cosine) = (libm::sin(theta), libm::cos(theta));
    let odd = freedom % 2 == 1;
    let (mut term, first) = if odd { (cosine, 3) } else { (1.0, 2) };
    let mut sum = if freedom == 1 { 0.0 } else { term };
    for k in (first..freedom.saturating_sub(1)).step_by(2) {
        // Even: 1/2, 3/4, ...; odd: 2/3, 4/5, ...
        term *= cosine * cosine * (k - 1) as f64 / k as f64;
        sum += term;
    }
    if odd {
        std::f64::consts::FRAC_2_PI * (theta + sine * sum)
    } else {
        sine * sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let sample: Vec<f64> = (1..=200).map(f64::from).collect();
        let at = |per_mille| quantile(&sample, per_mille).unwrap();
        assert_eq!((at(0), at(500), at(900)), (1.0, 100.0, 180.0));
        assert_eq!((at(990), at(999), at(1_000)), (198.0, 200.0, 200.0));
        assert_eq!(quantile(&[7.0], 10), Some(7.0));
        assert_eq!(quantile(&[], 500), None);
    }

    #[test]
    fn student_agrees_with_published_values() {
        let published = [
            (1, 12.7062),
            (2, 4.3027),
            (3, 3.1824),
            (4, 2.7764),
            (5, 2.5706),
            (9, 2.2622),
            (10, 2.2281),
            (19, 2.0930),
            (30, 2.0423),
            (60, 2.0003),
            (120, 1.9799),
        ];
        for (freedom, value) in published {
            let ours = student(freedom);
            assert!((ours - value).abs() < 6e-5, "{freedom}: {ours}");
        }
        assert!((student(100_000) - 1.959_96).abs() < 1e-4);
    }

    #[test]
    fn an_interval_needs_two_values() {
        assert_eq!(Estimate::of(&[]), None);
        let one = Estimate::of(&[2.5]).unwrap();
        assert_eq!((one.mean, one.half, one.n), (2.5, None, 1));
        assert_eq!(one.to_string(), "2.50");
        // Deviation 1, error 1/sqrt(3), t of 2 degrees 4.3027.
        let three = Estimate::of(&[1.0, 2.0, 3.0]).unwrap();
        assert!((three.half.unwrap() - 4.302_65 / 3f64.sqrt()).abs() < 1e-4);
        assert_eq!(three.to_string(), "2.00 ±2.48");
        assert_eq!(Estimate::of(&[0.0, 0.0]).unwrap().to_string(), "0");
    }

    #[test]
    fn pairs_cancel_what_the_seeds_share() {
        // Seeds differ by far; the policies always by a tenth.
        let pairs = [(1.1, 1.0), (11.0, 10.0), (110.0, 100.0)];
        let ratio = paired(&pairs).unwrap().ratio.unwrap();
        assert!((ratio.mean - 1.1).abs() < 1e-12 && ratio.half.unwrap() < 1e-12);
        let alone = Estimate::of(&pairs.map(|(ours, _)| ours)).unwrap();
        assert!(alone.half.unwrap() > alone.mean);
        let zero = paired(&[(1.0, 0.0), (2.0, 1.0)]).unwrap();
        assert_eq!((zero.ratio, zero.difference.mean), (None, 1.0));
        assert_eq!(paired(&[]), None);
    }

    #[test]
    fn numbers_keep_three_digits() {
        let all = [0.0, 3.0, 2.614, 12.34, 1234.5, 0.5, 0.0312, 0.000_42, 3e-7];
        let words = all.map(number).join(" ");
        assert_eq!(words, "0 3 2.61 12.3 1234 0.500 0.0312 0.000420 3.0e-7");
    }
}
