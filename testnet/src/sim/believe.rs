//! What engines are told of classes: the truth with an error, as a learner that has seen enough
//! would know it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use starling_placement::{ClassId, Classes, Company, Contention, Origin, Speed};

use crate::case::{Beliefs, Case};
use crate::truth::{self, Truth, log_normal};

/// The truth as engines know it.
#[derive(Debug)]
struct Given {
    truth: Arc<Truth>,
    classes: BTreeMap<ClassId, u16>,
    platforms: BTreeMap<String, u16>,
    /// `speed[class][platform]`, 1 on the best platform.
    speed: Vec<Vec<f64>>,
    /// Errors of what a class keeps beside another.
    error: Vec<Vec<f64>>,
    /// How fast each platform is for the average class, 1 for the average platform.
    general: Vec<f64>,
    /// The standard deviation of the logarithm of errors.
    deviation: f64,
}

/// What the engines of a case are given; none where they know nothing or learn by themselves.
pub(super) fn believed(case: &Case) -> Option<Arc<dyn Classes>> {
    let Beliefs::Given { error } = case.beliefs else {
        return None;
    };
    let truth = Arc::clone(&case.truth);
    let mut rng = ChaCha12Rng::seed_from_u64(case.seed ^ 0x6265_6c69_6576_6564);
    let mut speed = Vec::new();
    for row in &truth.speed {
        let believed: Vec<f64> = row
            .iter()
            .map(|speed| speed * log_normal(error, &mut rng))
            .collect();
        let best = believed.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        speed.push(believed.iter().map(|speed| speed / best).collect());
    }
    let mut errors = Vec::new();
    for _ in &truth.classes {
        let row = truth.classes.iter();
        errors.push(row.map(|_| log_normal(error, &mut rng)).collect());
    }
    let index =
        |names: &[String]| -> Vec<(String, u16)> { names.iter().cloned().zip(0..).collect() };
    let classes = index(&truth.classes)
        .into_iter()
        .map(|(name, at)| (ClassId::of(&name), at))
        .collect();
    let platforms: BTreeMap<String, u16> = index(&truth.platforms).into_iter().collect();
    let general = general(&speed, truth.platforms.len());
    Some(Arc::new(Given {
        classes,
        platforms,
        speed,
        error: errors,
        general,
        deviation: error,
        truth,
    }))
}

/// Each platform's mean speed over classes, as a share of the mean over platforms.
#[allow(clippy::cast_precision_loss)]
fn general(speed: &[Vec<f64>], platforms: usize) -> Vec<f64> {
    let classes = speed.len().max(1) as f64;
    let mean = |platform: usize| speed.iter().map(|row| row[platform]).sum::<f64>() / classes;
    let means: Vec<f64> = (0..platforms).map(mean).collect();
    let all = means.iter().sum::<f64>() / platforms.max(1) as f64;
    means.into_iter().map(|mean| mean / all.max(1e-9)).collect()
}

impl Given {
    /// What a class keeps beside others; the error is of the loss: company that does no harm is
    /// known to do none.
    fn keeps(&self, class: u16, platform: u16, others: &[u16]) -> f64 {
        let keeps = self.truth.keeps(class, platform, others.iter().copied());
        let (Some(first), true) = (others.first(), keeps > 0.0) else {
            return keeps;
        };
        let loss = (1.0 - keeps) * self.error[usize::from(class)][usize::from(*first)];
        (1.0 - loss).clamp(0.01, 1.0)
    }
}

impl Classes for Given {
    fn speed(&self, class: ClassId, platform: &str) -> Option<Speed> {
        let class = *self.classes.get(&class)?;
        let platform = *self.platforms.get(platform)?;
        Some(Speed {
            relative: self.speed[usize::from(class)][usize::from(platform)],
            seconds: None,
            deviation: self.deviation,
            origin: Origin::Own,
        })
    }

    fn contention(&self, class: ClassId, platform: &str, company: &Company) -> Option<Contention> {
        if !self.disturbs() {
            return None;
        }
        let platform = self.platforms.get(platform).copied().unwrap_or(0);
        let class = *self.classes.get(&class)?;
        let named = company.mix.classes();
        let named: Vec<u16> = named
            .filter_map(|class| self.classes.get(&class).copied())
            .collect();
        // The record names a sample of those who run.
        let count = named.len().max(company.running as usize);
        let others: Vec<u16> = named.iter().copied().cycle().take(count).collect();
        let keeps = self.keeps(class, platform, &others);
        let mut harm = 0.0;
        for (at, other) in others.iter().enumerate() {
            let mut beside = others.clone();
            beside.swap_remove(at);
            let before = self.keeps(*other, platform, &beside);
            beside.push(class);
            let after = self.keeps(*other, platform, &beside);
            let speed = self.speed[usize::from(*other)][usize::from(platform)];
            harm += if before > 0.0 && after <= 0.0 {
                f64::INFINITY
            } else {
                speed * (before - after).max(0.0)
            };
        }
        Some(Contention {
            slowdown: 1.0 / keeps,
            deviation: self.deviation,
            harm,
            origin: Origin::Own,
        })
    }

    fn platform(&self, platform: &str) -> f64 {
        let at = self.platforms.get(platform);
        at.map_or(1.0, |at| self.general[usize::from(*at)])
    }

    fn disturbs(&self) -> bool {
        self.truth.contention != truth::Contention::None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use starling_placement::Mix;

    #[test]
    fn without_error_engines_know_the_truth() {
        let truth = Truth {
            platforms: vec!["slow".to_owned(), "fast".to_owned()],
            classes: vec!["a".to_owned(), "b".to_owned()],
            speed: vec![vec![0.2, 1.8], vec![0.5, 1.0]],
            contention: truth::Contention::Vectors {
                sensitivity: vec![[1.0, 0.0, 0.0, 0.0], [0.0; 4]],
                pressure: vec![[0.0; 4], [1.0, 0.0, 0.0, 0.0]],
            },
            noise: 0.0,
        };
        let mut case = Case::empty(truth);
        assert!(believed(&case).is_none());
        case.beliefs = Beliefs::Given { error: 0.0 };
        let known = believed(&case).unwrap();
        let (a, b) = (ClassId::of("a"), ClassId::of("b"));
        let speed = |class, platform| known.speed(class, platform).unwrap().relative;
        assert!((speed(a, "slow") - 0.2 / 1.8).abs() < 1e-9);
        assert!((speed(a, "fast") - 1.0).abs() < 1e-9);
        let met = |class, beside| {
            let company = Company {
                mix: Mix::of([beside]),
                running: 1,
                ..Company::default()
            };
            let met = known.contention(class, "fast", &company).unwrap();
            (met.slowdown, met.harm)
        };
        assert_eq!(met(a, b), (2.0, 0.0));
        // What `a` loses is a share of its speed there, which is its best.
        assert_eq!(met(b, a), (1.0, 0.5));
        assert!(known.platform("fast") > known.platform("slow"));
    }
}
