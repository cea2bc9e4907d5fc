//! Chance by seed and purpose: each part of a case draws from a stream of its own, so that a change
//! in one does not shift the others. Only arithmetic that is the same on every machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// What chance is needed for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Machines = 1,
    Truth,
    Arrivals,
    Sizes,
    Classes,
    Homes,
    Faults,
    Churn,
    Services,
}

/// A stream of random numbers.
pub(crate) struct Dice(ChaCha12Rng);

impl Dice {
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        rng.set_stream(purpose as u64);
        Self(rng)
    }

    /// Evenly from 0 up to 1.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly between two bounds.
    pub(crate) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.unit()
    }

    /// One of the first `n` numbers; 0 if there are none.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let wide = u128::from(self.0.next_u64()) * (n as u128);
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// Exponentially with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.unit())
    }

    /// Normally with mean 0 and standard deviation 1 (Box and Muller 1958; the second number is not
    /// kept, so that a draw always takes two).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(2.0 * self.exponential());
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// A log-normal factor of mean 1.
    pub(crate) fn jitter(&mut self, sigma: f64) -> f64 {
        libm::exp(sigma * self.normal() - sigma * sigma / 2.0)
    }

    /// An index in proportion to weights, given their running sums.
    pub(crate) fn weighted(&mut self, sums: &[f64]) -> usize {
        let total = sums.last().copied().unwrap_or(0.0);
        let point = self.unit() * total;
        sums.partition_point(|sum| *sum <= point)
            .min(sums.len().saturating_sub(1))
    }

    /// Brings `items` into random order as far as its first `n`.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T], n: usize) {
        for i in 0..n.min(items.len()) {
            let other = i + self.below(items.len() - i);
            items.swap(i, other);
        }
    }
}

/// Running sums, for [`Dice::weighted`].
pub(crate) fn running_sums(weights: impl IntoIterator<Item = f64>) -> Vec<f64> {
    weights
        .into_iter()
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let first = |purpose| Dice::new(7, purpose).unit();
        assert_eq!(
            first(Purpose::Homes).to_bits(),
            first(Purpose::Homes).to_bits()
        );
        assert_ne!(
            first(Purpose::Homes).to_bits(),
            first(Purpose::Churn).to_bits()
        );
    }

    #[test]
    fn moments_are_right() {
        let mut dice = Dice::new(1, Purpose::Sizes);
        let n = 50_000;
        let (mut sum, mut squares, mut jitter, mut third) = (0.0, 0.0, 0.0, 0);
        for _ in 0..n {
            let x = dice.normal();
            sum += x;
            squares += x * x;
            jitter += dice.jitter(0.5);
            third += usize::from(dice.weighted(&[1.0, 3.0]) == 1);
        }
        let n = f64::from(n);
        assert!((sum / n).abs() < 0.02, "{sum}");
        assert!((squares / n - 1.0).abs() < 0.03, "{squares}");
        assert!((jitter / n - 1.0).abs() < 0.02, "{jitter}");
        assert!((f64::from(u32::try_from(third).unwrap_or(0)) / n - 2.0 / 3.0).abs() < 0.01);
    }
}
