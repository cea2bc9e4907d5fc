//! Random numbers of a run, by purpose, and the few distributions the model draws from. The same
//! seed gives the same numbers on every machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// What random numbers are for; each purpose has its own stream.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Purpose {
    /// The policy's draws.
    Policy = 1,
    /// Latencies.
    Latency = 2,
    /// When machines gossip.
    Gossip = 3,
    /// Errors of what policies believe.
    Beliefs = 4,
    /// Workloads of the validation.
    Workload = 5,
}

/// Keeps these streams apart from those that other parts draw from the same seed.
const MODEL: u64 = 0x6d6f_6465_6c5f_7273;

/// A stream of random numbers for one purpose.
pub(crate) fn stream(seed: u64, purpose: Purpose) -> ChaCha12Rng {
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ MODEL);
    rng.set_stream(purpose as u64);
    rng
}

/// Evenly from 0 to below `n`, by multiplication: the bias is below `n` in 2^32. 0 if `n` is 0.
pub(crate) fn below(rng: &mut impl Rng, n: usize) -> usize {
    ((u64::from(rng.next_u32()) * n as u64) >> 32) as usize
}

/// Evenly from above 0 to at most 1.
pub(crate) fn unit(rng: &mut impl Rng) -> f64 {
    ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// Exponentially distributed with mean 1.
pub(crate) fn exponential(rng: &mut impl Rng) -> f64 {
    -libm::log(unit(rng))
}

/// Normally distributed with mean 0 and standard deviation 1 (Box and Muller's method).
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let radius = libm::sqrt(2.0 * exponential(rng));
    radius * libm::cos(std::f64::consts::TAU * unit(rng))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_their_moments() {
        let mut rng = stream(1, Purpose::Policy);
        let n = 20_000;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let exponentials: Vec<f64> = (0..n).map(|_| exponential(&mut rng)).collect();
        assert!((mean(&exponentials) - 1.0).abs() < 0.03);
        let normals: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
        let squares: Vec<f64> = normals.iter().map(|z| z * z).collect();
        assert!(mean(&normals).abs() < 0.03 && (mean(&squares) - 1.0).abs() < 0.05);
        assert!((0..1_000).all(|_| below(&mut rng, 7) < 7));
    }
}
