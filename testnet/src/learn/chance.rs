//! Chance for the protocols: ChaCha with the seeds of the report, whose own generator (numpy's) is
//! another one, so cells differ and distributions do not.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A generator.
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Below `n`, which is above 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }

    /// `k` of some, in ascending order.
    pub(super) fn some(&mut self, of: &[usize], k: usize) -> Vec<usize> {
        let mut all = of.to_vec();
        let k = k.min(all.len());
        for at in 0..k {
            let other = at + self.below(all.len() - at);
            all.swap(at, other);
        }
        all.truncate(k);
        all.sort_unstable();
        all
    }

    /// Two different ones of some, if there are two.
    pub(super) fn two(&mut self, of: &[usize]) -> Option<(usize, usize)> {
        if of.len() < 2 {
            return None;
        }
        let first = self.below(of.len());
        let second = (first + 1 + self.below(of.len() - 1)) % of.len();
        Some((of[first], of[second]))
    }
}
