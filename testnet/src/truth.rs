//! The truth about performance: how fast each class of work is on each platform, and what it keeps
//! of that beside others. Policies see of it only what a real node could measure.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// How many shared resources contention is described by: CPU, memory, I/O and network, as in
/// [`starling_placement::Pressure`].
pub const RESOURCES: usize = 4;

/// Speeds and contention of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// Names of the platforms.
    pub platforms: Vec<String>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// `speed[class][platform]`: work done per second by a task alone; 0 if it cannot run there.
    pub speed: Vec<Vec<f64>>,
    /// What a task keeps of its speed beside others.
    pub contention: Contention,
    /// The standard deviation of the logarithm of a placement's own noise.
    pub noise: f64,
}

/// How tasks on one machine slow each other down.
#[derive(Clone, Debug, PartialEq)]
pub enum Contention {
    /// Not at all.
    None,
    /// By vectors over shared resources, as in iBench: a task keeps
    /// `1 / (1 + sum over resources of its sensitivity x the others' pressure)`.
    Vectors {
        /// `sensitivity[class]`, at least 0.
        sensitivity: Vec<[f64; RESOURCES]>,
        /// `pressure[class]`, at least 0.
        pressure: Vec<[f64; RESOURCES]>,
    },
    /// By measured pairs: `keeps[platform][class][beside]` is the share of its speed that a class
    /// keeps beside another, 0 if the two cannot run together; several others multiply.
    Pairs {
        /// By platform, class, and the class beside it.
        keeps: Vec<Vec<Vec<f64>>>,
    },
}

impl Truth {
    /// One platform and one class of speed 1.
    pub fn uniform() -> Self {
        Self {
            platforms: vec!["any".to_owned()],
            classes: vec!["any".to_owned()],
            speed: vec![vec![1.0]],
            contention: Contention::None,
            noise: 0.0,
        }
    }

    /// Work per second of a class alone on a platform.
    pub fn alone(&self, class: u16, platform: u16) -> f64 {
        self.speed[usize::from(class)][usize::from(platform)]
    }

    /// The share of its speed that `class` keeps on `platform` beside `others`, 0 to 1; 0 if they
    /// cannot run together.
    pub fn keeps(&self, class: u16, platform: u16, others: impl IntoIterator<Item = u16>) -> f64 {
        match &self.contention {
            Contention::None => 1.0,
            Contention::Vectors {
                sensitivity,
                pressure,
            } => {
                let mine = &sensitivity[usize::from(class)];
                let mut felt = 0.0;
                for other in others {
                    let theirs = &pressure[usize::from(other)];
                    felt += mine.iter().zip(theirs).map(|(s, p)| s * p).sum::<f64>();
                }
                1.0 / (1.0 + felt)
            }
            Contention::Pairs { keeps } => {
                let row = &keeps[usize::from(platform)][usize::from(class)];
                others
                    .into_iter()
                    .map(|other| row[usize::from(other)])
                    .product()
            }
        }
    }

    /// What sensors show where these run: by resource the share of its time, in 1/255, that work is
    /// stalled which needs nothing but that resource. Measured pairs do not tell resources apart:
    /// there the CPU shows what the average class loses.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn pressure(&self, platform: u16, running: impl Iterator<Item = u16>) -> [u8; RESOURCES] {
        let mut excess = [0.0; RESOURCES];
        match &self.contention {
            Contention::None => {}
            Contention::Vectors { pressure, .. } => {
                for class in running {
                    for (sum, pressure) in excess.iter_mut().zip(&pressure[usize::from(class)]) {
                        *sum += pressure;
                    }
                }
            }
            Contention::Pairs { keeps } => {
                let rows = &keeps[usize::from(platform)];
                #[allow(clippy::cast_precision_loss)]
                let classes = rows.len().max(1) as f64;
                for class in running {
                    let kept: f64 = rows.iter().map(|row| row[usize::from(class)]).sum();
                    excess[0] += classes / kept.max(0.05 * classes) - 1.0;
                }
            }
        }
        excess.map(|excess| (255.0 * excess / (1.0 + excess)).clamp(0.0, 255.0) as u8)
    }

    /// A placement's own luck: a log-normal factor of its rate, the same for a task under every
    /// policy of a seed.
    pub fn luck(&self, seed: u64, job: u32, index: u32) -> f64 {
        if self.noise <= 0.0 {
            return 1.0;
        }
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x6c75_636b_6c75_636b);
        rng.set_stream(u64::from(job) << 32 | u64::from(index));
        log_normal(self.noise, &mut rng)
    }

    /// Work per second of a class on a platform beside others.
    pub fn rate(&self, class: u16, platform: u16, others: impl IntoIterator<Item = u16>) -> f64 {
        self.alone(class, platform) * self.keeps(class, platform, others)
    }

    /// Work per second of a class alone on its best platform of those in use.
    pub fn ideal(&self, class: u16, platforms: impl IntoIterator<Item = u16>) -> f64 {
        platforms
            .into_iter()
            .map(|platform| self.alone(class, platform))
            .fold(0.0, f64::max)
    }
}

/// `exp(sigma x standard normal)`, by Box and Muller (1958); the same on every machine.
pub fn log_normal(sigma: f64, rng: &mut ChaCha12Rng) -> f64 {
    if sigma <= 0.0 {
        return 1.0;
    }
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    let normal = libm::sqrt(-2.0 * libm::log(u)) * libm::cos(std::f64::consts::TAU * v);
    libm::exp(sigma * normal)
}
