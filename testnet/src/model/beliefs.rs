//! What a policy that knows classes believes about speeds and contention: nothing, the truth with an
//! error in each cell, or means of what it has seen.

use super::chance::{Purpose, normal, stream};
use crate::case::{Beliefs, Case};
use crate::truth::Contention;

/// Believed speeds and contention.
#[derive(Clone, Debug)]
pub(super) struct Belief {
    /// By class and platform.
    speed: Vec<Vec<f64>>,
    /// The best speed of each class on the platforms in use.
    ideal: Vec<f64>,
    beside: Beside,
    /// Sum and number of what was seen, by class and platform, if that is what is believed.
    seen: Option<Vec<Vec<(f64, u32)>>>,
    platforms: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Beside {
    Nothing,
    /// The slow-down `felt[class][beside]` that adds up.
    Felt(Vec<Vec<f64>>),
    /// The share `keeps[platform][class][beside]` that multiplies.
    Keeps(Vec<Vec<Vec<f64>>>),
}

impl Belief {
    /// What a case's policies believe at the start. Errors are drawn from the case's seed: by class
    /// and platform first, then by class and the class beside it.
    pub(super) fn new(case: &Case, beliefs: Beliefs) -> Self {
        let truth = &case.truth;
        let (classes, platforms) = (truth.classes.len(), truth.platforms.len());
        let mut used: Vec<usize> = case
            .machines
            .iter()
            .map(|m| usize::from(m.platform))
            .collect();
        used.sort_unstable();
        used.dedup();
        let mut belief = Self {
            speed: vec![vec![1.0; platforms]; classes],
            ideal: vec![1.0; classes],
            beside: Beside::Nothing,
            seen: None,
            platforms: used,
        };
        match beliefs {
            Beliefs::Nothing => {}
            Beliefs::Learned => belief.seen = Some(vec![vec![(0.0, 0); platforms]; classes]),
            Beliefs::Given { error } => {
                let mut rng = stream(case.seed, Purpose::Beliefs);
                let mut wrong = |value: f64| value * libm::exp(error * normal(&mut rng));
                let cells = truth.speed.iter().flatten().copied().map(&mut wrong);
                let cells: Vec<f64> = cells.collect();
                belief.speed = cells.chunks(platforms).map(<[f64]>::to_vec).collect();
                let factors: Vec<Vec<f64>> = (0..classes)
                    .map(|_| (0..classes).map(|_| wrong(1.0)).collect())
                    .collect();
                belief.beside = beside(&truth.contention, &factors);
                (0..classes).for_each(|class| belief.find_ideal(class));
            }
        }
        belief
    }

    fn find_ideal(&mut self, class: usize) {
        let speeds = self.platforms.iter().map(|p| self.speed[class][*p]);
        self.ideal[class] = speeds.fold(0.0, f64::max);
    }

    /// Work per second of a class alone on a platform.
    pub(super) fn speed(&self, class: u16, platform: u16) -> f64 {
        self.speed[usize::from(class)][usize::from(platform)]
    }

    /// A task's rate on a platform beside others, relative to its ideal; 0 if it cannot run there.
    pub(super) fn relative(
        &self,
        class: u16,
        platform: u16,
        others: impl IntoIterator<Item = u16>,
    ) -> f64 {
        let (class, platform) = (usize::from(class), usize::from(platform));
        let ideal = self.ideal[class];
        if ideal <= 0.0 {
            return 0.0;
        }
        let alone = self.speed[class][platform] / ideal;
        let others = others.into_iter().map(usize::from);
        match &self.beside {
            Beside::Nothing => alone,
            Beside::Felt(felt) => {
                alone / (1.0 + others.map(|other| felt[class][other]).sum::<f64>())
            }
            Beside::Keeps(keeps) => {
                let row = &keeps[platform][class];
                alone * others.map(|other| row[other]).product::<f64>()
            }
        }
    }

    /// What is gained, relative to ideals, if a task runs on a platform beside residents: its own
    /// rate less what they lose; minus infinity if they cannot run together.
    pub(super) fn benefit(&self, class: u16, platform: u16, residents: &[u16]) -> f64 {
        let mine = self.relative(class, platform, residents.iter().copied());
        if mine <= 0.0 {
            return f64::NEG_INFINITY;
        }
        if matches!(self.beside, Beside::Nothing) {
            return mine;
        }
        let mut benefit = mine;
        for (at, resident) in residents.iter().enumerate() {
            let others = residents.iter().enumerate().filter(move |(i, _)| *i != at);
            let others = others.map(|(_, other)| *other);
            let before = self.relative(*resident, platform, others.clone());
            let after = self.relative(*resident, platform, others.chain([class]));
            if after <= 0.0 && before > 0.0 {
                return f64::NEG_INFINITY;
            }
            benefit -= before - after;
        }
        benefit
    }

    /// A task of a class was seen at a rate on a platform; 0 if it could not run there.
    pub(super) fn learn(&mut self, class: u16, platform: u16, rate: f64) {
        let Some(seen) = &mut self.seen else { return };
        let (class, platform) = (usize::from(class), usize::from(platform));
        let cell = &mut seen[class][platform];
        cell.0 += rate;
        cell.1 += 1;
        let mean = |(sum, count): &(f64, u32)| (*count > 0).then(|| sum / f64::from(*count));
        let row = &seen[class];
        let best = row.iter().filter_map(mean).fold(0.0, f64::max);
        // What was never tried may be as good as the best, so that it is tried.
        let unknown = if best > 0.0 { best } else { 1.0 };
        self.speed[class] = row.iter().map(|c| mean(c).unwrap_or(unknown)).collect();
        self.find_ideal(class);
    }
}

fn beside(truth: &Contention, factors: &[Vec<f64>]) -> Beside {
    match truth {
        Contention::None => Beside::Nothing,
        Contention::Vectors {
            sensitivity,
            pressure,
        } => {
            let felt = |class: usize, other: usize| {
                let pairs = sensitivity[class].iter().zip(&pressure[other]);
                factors[class][other] * pairs.map(|(s, p)| s * p).sum::<f64>()
            };
            let classes = factors.len();
            let row = |class| (0..classes).map(|other| felt(class, other)).collect();
            Beside::Felt((0..classes).map(row).collect())
        }
        Contention::Pairs { keeps } => {
            let row = |(row, factors): (&Vec<f64>, &Vec<f64>)| -> Vec<f64> {
                let cells = row.iter().zip(factors);
                cells
                    .map(|(keep, factor)| (keep * factor).min(1.0))
                    .collect()
            };
            let rows = |rows: &Vec<Vec<f64>>| rows.iter().zip(factors).map(row).collect();
            Beside::Keeps(keeps.iter().map(rows).collect())
        }
    }
}
