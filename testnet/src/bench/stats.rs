//! Order statistics of small samples.

/// A sample, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

impl Sample {
    /// How many values there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest value that `percent` of all do not exceed (nearest rank); 0 of none.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// The smallest and the greatest.
    pub(crate) fn spread(&self) -> (f64, f64) {
        (self.percentile(0), self.percentile(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sample: Sample = (1..=200).rev().map(f64::from).collect();
        let at = |percent| sample.percentile(percent);
        assert_eq!((at(0), at(50), at(99), at(100)), (1.0, 100.0, 198.0, 200.0));
        assert_eq!(Sample::default().median(), 0.0);
        let one: Sample = [7.0, f64::NAN].into_iter().collect();
        assert_eq!(
            (one.len(), one.median(), one.spread()),
            (1, 7.0, (7.0, 7.0))
        );
    }
}
