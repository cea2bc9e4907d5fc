//! A mean over seeds and its confidence interval.

/// One value for each seed.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample(Vec<f64>);

impl From<Vec<f64>> for Sample {
    fn from(values: Vec<f64>) -> Self {
        Self(values)
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Sample {
    /// The mean; not a number of none.
    pub(super) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// Half the width of the 95% confidence interval of the mean, by Student's t; not a number for
    /// fewer than two values.
    pub(super) fn half_width(&self) -> f64 {
        let n = self.0.len();
        if n < 2 {
            return f64::NAN;
        }
        let mean = self.mean();
        let squares = self.0.iter().map(|value| (value - mean) * (value - mean));
        let variance = squares.sum::<f64>() / (n - 1) as f64;
        student(n - 1) * libm::sqrt(variance / n as f64)
    }
}

/// The 97.5% quantile of Student's t distribution.
fn student(freedom: usize) -> f64 {
    const FEW: [f64; 10] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    ];
    match freedom {
        0 => f64::NAN,
        // A series in 1/freedom, right to a thousandth from 10 on.
        _ => FEW
            .get(freedom - 1)
            .copied()
            .unwrap_or(1.96 + 2.372 / freedom as f64 + 2.82 / (freedom * freedom) as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_follow_students_t() {
        assert!((student(20) - 2.086).abs() < 2e-3 && (student(12) - 2.179).abs() < 2e-3);
        let sample = Sample::from(vec![1.0, 2.0, 3.0]);
        assert_eq!(sample.mean(), 2.0);
        let expected = 4.303 / 3f64.sqrt();
        assert!((sample.half_width() - expected).abs() < 1e-9);
        assert!(Sample::from(vec![1.0]).half_width().is_nan());
    }
}
