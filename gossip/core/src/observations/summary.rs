//! What the observers of a cell say together, so that one that lies or is broken moves it only
//! within a bound: a weighted median over observers (breakdown point one half: Huber 1981), in
//! which none weighs twice as much as another however much it claims to have measured.

use std::time::Duration;

use starling_wire::{OpenObservation, Time};

use super::Observations;

/// An observer's count beyond this adds nothing.
const MOST_COUNT: u32 = 64;
/// After so long an observation counts half.
const HALF_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// After so long it counts nothing.
const TOO_OLD: Duration = Duration::from_secs(60 * 24 * 3600);
/// A median deviation times this is a standard deviation, of normal values.
const DEVIATION: f64 = 1.4826;

/// What is known of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The mean of the logarithms. With two honest observers or more it lies between theirs,
    /// whatever one more says; with one, it is moved at most half way to the other.
    pub mean: f64,
    /// How far one value lies from it, as a variance: the observers' own, and what they differ by.
    pub variance: f64,
    /// How many values it rests on: at most 64 of each observer, halved each week.
    pub count: f64,
    /// How many observers it rests on.
    pub observers: usize,
    /// How long ago the freshest was measured.
    pub age: Duration,
}

impl Observations {
    /// What the observers of a cell say together; none if nobody said anything for two months.
    pub fn summary(&self, class: &str, column: &str, now: Time) -> Option<Summary> {
        let age = |open: &OpenObservation| now.since(measured_at(open));
        let fresh = self.cell(class, column).filter(|open| age(open) < TOO_OLD);
        let cells: Vec<&OpenObservation> = fresh.map(|open| &**open).collect();
        let newest = cells.iter().map(|open| age(open)).min()?;
        let weighted = |value: fn(&OpenObservation) -> f64| {
            let pairs = cells.iter().map(|open| (value(open), weight(open)));
            median(pairs.collect())
        };
        let mean = weighted(|open| f64::from(open.seen.mean))?;
        let within = weighted(|open| f64::from(open.seen.variance))?;
        let apart = |open: &&OpenObservation| (f64::from(open.seen.mean) - mean).abs();
        let apart = cells.iter().map(|open| (apart(open), weight(open)));
        let apart = DEVIATION * median(apart.collect())?;
        let count = |open: &&OpenObservation| {
            let lives = age(open).as_secs_f64() / HALF_LIFE.as_secs_f64();
            f64::from(open.seen.count.min(MOST_COUNT)) * libm::exp2(-lives)
        };
        Some(Summary {
            mean,
            variance: within + apart * apart,
            count: cells.iter().map(count).sum(),
            observers: cells.len(),
            age: newest,
        })
    }
}

/// When an observation was measured.
pub(super) const fn measured_at(open: &OpenObservation) -> Time {
    Time(open.seen.at as u64 * 1_000_000)
}

/// At least 1 and below 2: no observer outweighs two others.
fn weight(open: &OpenObservation) -> f64 {
    2.0 - 1.0 / f64::from(open.seen.count.clamp(1, MOST_COUNT))
}

/// The weighted median of values and weights; of two values the middle, since neither can be told
/// to be wrong.
fn median(mut values: Vec<(f64, f64)>) -> Option<f64> {
    values.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    match values[..] {
        [] => return None,
        [(a, _), (b, _)] => return Some(f64::midpoint(a, b)),
        _ => {}
    }
    let half = values.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut below = 0.0;
    for (at, (value, weight)) in values.iter().enumerate() {
        below += weight;
        if below > half {
            return Some(*value);
        }
        if below >= half {
            let next = values.get(at + 1).map_or(*value, |(next, _)| *next);
            return Some(f64::midpoint(*value, next));
        }
    }
    values.last().map(|(value, _)| *value)
}
