//! What engines are told of classes: the truth with an error, as a learner that has seen enough
//! would know it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use starling_placement::{ClassId, Classes};

use crate::case::{Beliefs, Case};
use crate::truth::{Contention, Truth, log_normal};

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

impl Classes for Given {
    fn speed(&self, class: ClassId, platform: &str) -> Option<f64> {
        let class = *self.classes.get(&class)?;
        let platform = *self.platforms.get(platform)?;
        Some(self.speed[usize::from(class)][usize::from(platform)])
    }

    fn keeps(&self, class: ClassId, platform: &str, beside: ClassId) -> Option<f64> {
        if self.truth.contention == Contention::None {
            return None;
        }
        let platform = self.platforms.get(platform).copied().unwrap_or(0);
        let class = *self.classes.get(&class)?;
        let beside = *self.classes.get(&beside)?;
        let keeps = self.truth.keeps(class, platform, [beside]);
        if keeps <= 0.0 {
            return Some(0.0);
        }
        // The error is of the loss: a pair that does no harm is known to do none.
        let loss = (1.0 - keeps) * self.error[usize::from(class)][usize::from(beside)];
        Some((1.0 - loss).clamp(0.01, 1.0))
    }

    fn platform(&self, platform: &str) -> f64 {
        let at = self.platforms.get(platform);
        at.map_or(1.0, |at| self.general[usize::from(*at)])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn without_error_engines_know_the_truth() {
        let truth = Truth {
            platforms: vec!["slow".to_owned(), "fast".to_owned()],
            classes: vec!["a".to_owned(), "b".to_owned()],
            speed: vec![vec![0.2, 1.8], vec![0.5, 1.0]],
            contention: Contention::Vectors {
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
        assert!((known.speed(a, "slow").unwrap() - 0.2 / 1.8).abs() < 1e-9);
        assert_eq!(known.speed(a, "fast"), Some(1.0));
        assert_eq!(known.keeps(a, "fast", b), Some(0.5));
        assert_eq!(known.keeps(b, "fast", a), Some(1.0));
        assert!(known.platform("fast") > known.platform("slow"));
    }
}
