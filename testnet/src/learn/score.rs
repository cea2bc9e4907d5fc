//! Errors, choices and decisions, as the report defines them.

use serde::Serialize;
use starling_placement::learn::EIGHTY;

use super::chance::Chance;

/// What the predictions of one model came to.
#[derive(Default)]
pub(super) struct Tally {
    errors: Vec<f64>,
    inside: (usize, usize),
    right: (usize, usize),
    regret: f64,
    /// Pairs: the predicted and the true logarithm of the lesser share of speed that is kept.
    least: Vec<(f64, f64)>,
}

/// The figures of one model on one data set under one protocol.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// The median of the relative errors.
    pub median: f64,
    /// Their 90th percentile.
    pub p90: f64,
    /// The share of truths inside the 80% interval; none where a model has none.
    pub inside: Option<f64>,
    /// How often the faster of two platforms was chosen.
    pub accuracy: Option<f64>,
    /// The mean share of time that the choice cost.
    pub regret: Option<f64>,
    /// "One of them keeps less than 80%": mean of recall and specificity,
    pub balanced: Option<f64>,
    /// harmonic mean of precision and recall,
    pub f1: Option<f64>,
    /// and the area under the receiver's curve.
    pub auc: Option<f64>,
}

/// How many pairs of platforms are compared per row and seed.
const CHOICES: usize = 40;
/// Less than this difference in logarithms is a tie.
const TIE: f64 = 0.02;
/// Slower than this share of its speed is too slow.
const SLOW: f64 = 0.8;

#[allow(clippy::cast_precision_loss)]
fn share(part: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
fn percentile(sorted: &[f64], of: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let at = of * (sorted.len() - 1) as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (at - at.floor()) * (sorted[high] - sorted[low])
}

impl Tally {
    /// A hidden cell's prediction and truth, with a standard deviation where there is one.
    pub(super) fn cell(&mut self, predicted: f64, deviation: Option<f64>, truth: f64) {
        self.errors.push(libm::expm1(predicted - truth).abs());
        if let Some(deviation) = deviation {
            self.inside.1 += 1;
            self.inside.0 += usize::from((predicted - truth).abs() <= EIGHTY * deviation);
        }
    }

    /// Choices between two hidden platforms of a row.
    pub(super) fn choices(
        &mut self,
        seed: u64,
        hidden: &[usize],
        predicted: impl Fn(usize) -> f64,
        truth: impl Fn(usize) -> f64,
    ) {
        let mut chance = Chance::new(seed);
        for _ in 0..CHOICES {
            let Some((a, b)) = chance.two(hidden) else {
                return;
            };
            let (first, second) = (truth(a), truth(b));
            if (first - second).abs() < TIE {
                continue;
            }
            let chosen = if predicted(a) <= predicted(b) {
                first
            } else {
                second
            };
            self.right.1 += 1;
            self.right.0 += usize::from(chosen <= first.min(second));
            self.regret += libm::expm1(chosen - first.min(second));
        }
    }

    /// A pair's lesser share of speed.
    pub(super) fn least(&mut self, predicted: f64, truth: f64) {
        self.least.push((predicted, truth));
    }

    /// The figures; none if nothing was predicted.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn figures(mut self) -> Option<Figures> {
        if self.errors.is_empty() {
            return None;
        }
        self.errors.sort_by(f64::total_cmp);
        let limit = libm::log(SLOW);
        let mut table = [[0_usize; 2]; 2];
        for (predicted, truth) in &self.least {
            table[usize::from(*truth < limit)][usize::from(*predicted < limit)] += 1;
        }
        let [[calm, alarm], [missed, caught]] = table;
        let recall = share(caught, caught + missed);
        let calm = share(calm, calm + alarm);
        Some(Figures {
            median: percentile(&self.errors, 0.5),
            p90: percentile(&self.errors, 0.9),
            inside: share(self.inside.0, self.inside.1),
            accuracy: share(self.right.0, self.right.1),
            regret: (self.right.1 > 0).then(|| self.regret / self.right.1 as f64),
            balanced: recall.zip(calm).map(|(recall, calm)| 0.5 * (recall + calm)),
            f1: share(2 * caught, 2 * caught + missed + alarm),
            auc: auc(&mut self.least, limit),
        })
    }
}

/// The chance that a pair which is too slow is predicted slower than one that is not.
#[allow(clippy::cast_precision_loss)]
fn auc(pairs: &mut [(f64, f64)], limit: f64) -> Option<f64> {
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let slow = pairs.iter().filter(|pair| pair.1 < limit).count();
    let calm = pairs.len() - slow;
    if slow == 0 || calm == 0 {
        return None;
    }
    let (mut wins, mut seen_calm) = (0.0, 0.0);
    for ties in pairs.chunk_by(|a, b| a.0 == b.0) {
        let slow = ties.iter().filter(|pair| pair.1 < limit).count() as f64;
        let calm_here = ties.len() as f64 - slow;
        wins += slow * (calm as f64 - seen_calm - 0.5 * calm_here);
        seen_calm += calm_here;
    }
    Some(wins / (slow as f64 * calm as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_known_case() {
        let mut tally = Tally::default();
        for (predicted, truth) in [(0.0, 0.1), (0.0, 0.0), (0.5, 0.0)] {
            tally.cell(predicted, Some(0.1), truth);
        }
        for (predicted, truth) in [(0.7, 0.7), (0.9, 0.75), (0.75, 0.9), (0.95, 1.0)] {
            tally.least(libm::log(predicted), libm::log(truth));
        }
        tally.choices(1, &[0, 1], |at| [2.0, 1.0][at], |at| [0.0, 1.0][at]);
        let figures = tally.figures().unwrap();
        assert!((figures.median - 0.095).abs() < 0.001, "{figures:?}");
        assert_eq!(figures.inside, Some(2.0 / 3.0));
        assert_eq!((figures.balanced, figures.f1), (Some(0.5), Some(0.5)));
        // Of the four comparisons of a slow and a calm pair three are right.
        assert_eq!(figures.auc, Some(0.75));
        assert_eq!(figures.accuracy, Some(0.0));
        assert!((figures.regret.unwrap() - libm::expm1(1.0)).abs() < 1e-9);
    }
}
