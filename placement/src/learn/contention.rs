//! How classes disturb each other: what each suffers under excess of each resource, and what excess
//! it exerts itself. Two vectors per class, never one "noisiness".
//!
//! A class takes `1 + sum over resources of sensitivity x excess` times as long as alone (iBench's
//! form, Delimitrou and Kozyrakis, IISWC 2013). A cell of what it suffered says: while that resource
//! was pressed hardest, and all together so hard, this was the mean logarithm of its slowdown. From
//! a few such cells the sensitivities are inferred by least squares (Gauss and Newton) with a normal
//! prior that comes from the other classes: those that suffer from one resource mostly suffer from
//! another. The cells share an offset, for the time alone that they were compared with is itself a
//! guess where a cluster is never quiet.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use nalgebra::{SMatrix, SVector};

use super::twoway::Origin;
use crate::classes::{ClassId, Known};
use crate::resources::Excess;

/// Shared resources.
const N: usize = 4;
/// Levels of total pressure, quarters of the greatest.
pub(super) const LEVELS: usize = 4;
/// The most classes; the longest unused goes first.
const MAX_CLASSES: usize = 2_048;
/// The total excess that stands for a level: of the quarters of pressure, about their middle.
const NOMINAL: [f64; LEVELS] = [0.15, 0.6, 1.6, 4.0];
/// The share of the total that the hardest pressed resource has; the others share the rest evenly.
const HARDEST: f64 = 0.55;
/// What a class suffers per excess before anything is known: its slowdown is half of what work
/// suffers that needs nothing but the resource.
const USUAL: f64 = 0.5;
/// The standard deviation of that over classes, before it is known.
const SPREAD: f64 = 0.5;
/// The standard deviation over classes of the excess that one task causes, before it is known.
const EXERTS: f64 = 0.3;
/// So many classes weigh as much as what is usual.
const CLASSES: f64 = 2.0;
/// How much of the variance of sensitivities is a class's own, over all resources alike.
const COMMON: f64 = 0.6;
/// The standard deviation of the offset that a class's cells share.
const OFFSET: f64 = 0.15;
/// The standard deviation of the logarithm of a slowdown, of one measurement.
const NOISE: f64 = 0.2;
/// The same of a cell however many measurements it sums up: it stands for mixtures that differ.
const COARSE: f64 = 0.08;
/// The greatest sensitivity and the greatest excess of one task.
const MOST: f64 = 20.0;
/// The standard deviation of one measurement of what a class exerts, as a share of what is usual and
/// its spread.
const JUMPY: f64 = 0.3;

/// A mean and its variance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sensed {
    /// The expected value.
    pub mean: f64,
    /// Its variance.
    pub variance: f64,
}

/// What is known of a class's part in contention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// By how much its slowdown grows per excess, by resource; at least 0.
    pub suffers: [Sensed; N],
    /// The excess that one task of it causes, by resource; at least 0.
    pub exerts: [Sensed; N],
    /// How many measurements of slowdowns this rests on.
    pub suffered: f64,
    /// How many measurements of what it causes.
    pub exerted: f64,
}

impl Profile {
    /// The logarithm of how many times as long it takes under an excess, and its variance.
    pub fn slowdown(&self, excess: &Excess) -> Sensed {
        let (mut sum, mut variance) = (1.0, 0.0);
        for (suffers, excess) in self.suffers.iter().zip(excess) {
            sum += suffers.mean * excess;
            variance += suffers.variance * excess * excess;
        }
        Sensed {
            mean: libm::log(sum),
            variance: variance / (sum * sum),
        }
    }

    /// The excess that one task of it causes.
    pub fn excess(&self) -> Excess {
        self.exerts.map(|exerts| exerts.mean)
    }

    /// What its part in contention is derived from.
    pub fn origin(&self) -> Origin {
        if self.suffered > 0.0 {
            Origin::Own
        } else {
            Origin::Population
        }
    }
}

/// The resource that is pressed hardest and the level of all together, 1 to 4; level 1 is quiet.
pub(super) fn place(excess: &Excess) -> (usize, u8) {
    let total: f64 = excess.iter().sum();
    let pressure = total / (1.0 + total);
    let mut hardest = 0;
    for (at, excess_here) in excess.iter().enumerate() {
        if *excess_here > excess[hardest] {
            hardest = at;
        }
    }
    let level = match pressure {
        p if p < 0.25 => 1,
        p if p < 0.5 => 2,
        p if p < 0.75 => 3,
        _ => 4,
    };
    (hardest, level)
}

#[derive(Clone, Debug, Default)]
struct Row {
    /// By resource and level.
    suffered: [[Option<Known>; LEVELS]; N],
    exerted: [Option<Known>; N],
    /// Once somebody asked.
    profile: OnceLock<Profile>,
    used: u64,
}

impl Row {
    fn is_empty(&self) -> bool {
        self.suffered.iter().flatten().all(Option::is_none)
            && self.exerted.iter().all(Option::is_none)
    }
}

/// What is usual among classes.
#[derive(Clone, Copy, Debug)]
struct General {
    suffers: [f64; N],
    variance: f64,
    exerts: [f64; N],
    exerts_variance: [f64; N],
}

impl Default for General {
    fn default() -> Self {
        Self {
            suffers: [USUAL; N],
            variance: SPREAD * SPREAD,
            exerts: [0.0; N],
            exerts_variance: [EXERTS * EXERTS; N],
        }
    }
}

/// What is known of how classes disturb each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Disturbance {
    rows: BTreeMap<ClassId, Row>,
    general: General,
    used: u64,
}

impl Disturbance {
    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What is known now of how long a class takes while a resource is pressed hardest and all are
    /// at a level, 1 to 4, as a logarithm relative to its time alone.
    pub(super) fn suffers(
        &mut self,
        class: ClassId,
        resource: usize,
        level: u8,
        known: Option<Known>,
    ) {
        let level = usize::from(level).wrapping_sub(1);
        self.set(class, known.is_some(), |row| {
            if let Some(cell) = row
                .suffered
                .get_mut(resource)
                .and_then(|r| r.get_mut(level))
            {
                *cell = known;
            }
        });
    }

    /// What is known now of the excess that a task of a class causes.
    pub(super) fn exerts(&mut self, class: ClassId, resource: usize, known: Option<Known>) {
        self.set(class, known.is_some(), |row| {
            if let Some(cell) = row.exerted.get_mut(resource) {
                *cell = known;
            }
        });
    }

    fn set(&mut self, class: ClassId, is_known: bool, change: impl FnOnce(&mut Row)) {
        if !is_known && !self.rows.contains_key(&class) {
            return;
        }
        if self.rows.len() >= MAX_CLASSES && !self.rows.contains_key(&class) {
            let oldest = self.rows.iter().min_by_key(|(_, row)| row.used);
            if let Some(oldest) = oldest.map(|(class, _)| *class) {
                self.rows.remove(&oldest);
            }
        }
        self.used += 1;
        let row = self.rows.entry(class).or_default();
        row.used = self.used;
        change(row);
        if row.is_empty() {
            self.rows.remove(&class);
        } else {
            row.profile = OnceLock::new();
        }
    }

    /// A class's profile; what is usual if nothing is known of it.
    pub(super) fn profile(&self, class: ClassId) -> Profile {
        let own = |row: &Row| *row.profile.get_or_init(|| profile(row, &self.general));
        let row = self.rows.get(&class);
        row.map_or_else(|| profile(&Row::default(), &self.general), own)
    }

    /// How many cells are known.
    pub(super) fn cells(&self) -> usize {
        let of = |row: &Row| {
            row.suffered.iter().flatten().flatten().count() + row.exerted.iter().flatten().count()
        };
        self.rows.values().map(of).sum()
    }

    /// The classes of which something is known.
    pub(super) fn classes(&self) -> impl Iterator<Item = ClassId> {
        self.rows.keys().copied()
    }

    /// Estimates again what is usual among classes, and every class with it.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn refit(&mut self) {
        let neutral = General::default();
        let mut general = neutral;
        let told: Vec<Profile> = self
            .rows
            .values()
            .map(|row| profile(row, &neutral))
            .collect();
        let suffering: Vec<&Profile> = told.iter().filter(|p| p.suffered > 0.0).collect();
        let mut off = SPREAD * SPREAD * CLASSES;
        for at in 0..N {
            // A class counts by how much its cells tell beyond what is assumed of any.
            let weight = |p: &Profile| (1.0 - p.suffers[at].variance / neutral.variance).max(0.0);
            let all: f64 = suffering.iter().map(|p| weight(p)).sum();
            let sum: f64 = suffering
                .iter()
                .map(|p| weight(p) * p.suffers[at].mean)
                .sum();
            let mean = (sum + CLASSES * USUAL) / (all + CLASSES);
            general.suffers[at] = mean;
            let square = |p: &&Profile| (p.suffers[at].mean - mean) * (p.suffers[at].mean - mean);
            off += suffering.iter().map(square).sum::<f64>() / N as f64;
            let exerting: Vec<Known> = self
                .rows
                .values()
                .filter_map(|row| row.exerted[at])
                .collect();
            let n = exerting.len() as f64;
            let sum: f64 = exerting.iter().map(|cell| cell.mean.max(0.0)).sum();
            let mean = sum / n.max(1.0);
            let square = |cell: &Known| (cell.mean - mean) * (cell.mean - mean);
            let squares: f64 = exerting.iter().map(square).sum();
            general.exerts[at] = mean;
            general.exerts_variance[at] = (squares + CLASSES * EXERTS * EXERTS) / (n + CLASSES);
        }
        general.variance = off / (suffering.len() as f64 + CLASSES);
        self.general = general;
        for row in self.rows.values_mut() {
            row.profile = OnceLock::new();
        }
    }
}

/// A class's profile from its cells and what is usual.
fn profile(row: &Row, general: &General) -> Profile {
    let suffered = row.suffered.iter().flatten().flatten();
    let mut profile = Profile {
        suffers: suffers(row, general),
        exerts: [Sensed::default(); N],
        // An empty sum of floats is minus zero.
        suffered: 0.0 + suffered.map(|cell| cell.count).sum::<f64>(),
        exerted: 0.0 + row.exerted.iter().flatten().map(|c| c.count).sum::<f64>(),
    };
    for (at, exerts) in profile.exerts.iter_mut().enumerate() {
        let (usual, spread) = (general.exerts[at], general.exerts_variance[at]);
        let noise = JUMPY * JUMPY * (usual + EXERTS) * (usual + EXERTS);
        let (mean, variance) = match row.exerted[at] {
            Some(cell) => {
                let one = noise / cell.count.max(1e-3);
                let share = spread / (spread + one);
                (usual + share * (cell.mean - usual), one * share)
            }
            None => (usual, spread),
        };
        *exerts = Sensed {
            mean: mean.clamp(0.0, MOST),
            variance,
        };
    }
    profile
}

/// A class's sensitivities: the offset and four numbers by Gauss and Newton.
fn suffers(row: &Row, general: &General) -> [Sensed; N] {
    type Square = SMatrix<f64, 5, 5>;
    type Column = SVector<f64, 5>;
    let start = Column::from_fn(|at, _| {
        if at == 0 {
            0.0
        } else {
            general.suffers[at - 1]
        }
    });
    let prior = Square::from_fn(|a, b| match (a, b) {
        (0, 0) => OFFSET * OFFSET,
        (0, _) | (_, 0) => 0.0,
        _ if a == b => general.variance,
        _ => general.variance * COMMON,
    });
    let Some(prior) = prior.try_inverse() else {
        return general.suffers.map(|mean| Sensed {
            mean,
            variance: general.variance,
        });
    };
    let mut at = start;
    let mut covariance = Square::zeros();
    for _ in 0..4 {
        let mut precision = prior;
        let mut right = prior * (start - at);
        for (resource, levels) in row.suffered.iter().enumerate() {
            for (level, cell) in levels.iter().enumerate() {
                let Some(cell) = cell.filter(|cell| cell.count > 0.0) else {
                    continue;
                };
                #[allow(clippy::cast_precision_loss)]
                let rest = (1.0 - HARDEST) / (N - 1) as f64;
                let felt: [f64; N] = std::array::from_fn(|r| {
                    NOMINAL[level] * if r == resource { HARDEST } else { rest }
                });
                let sum = 1.0 + (0..N).map(|r| felt[r] * at[r + 1]).sum::<f64>();
                let told = at[0] + libm::log(sum);
                let slope = Column::from_fn(|r, _| if r == 0 { 1.0 } else { felt[r - 1] / sum });
                let weight = 1.0 / (COARSE * COARSE + NOISE * NOISE / cell.count);
                precision += slope * slope.transpose() * weight;
                right += slope * ((cell.mean - told) * weight);
            }
        }
        let Some(inverse) = precision.try_inverse() else {
            break;
        };
        covariance = inverse;
        at += covariance * right;
        for resource in 1..=N {
            at[resource] = at[resource].clamp(0.0, MOST);
        }
    }
    std::array::from_fn(|r| Sensed {
        mean: at[r + 1],
        variance: covariance[(r + 1, r + 1)].max(1e-9),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(mean: f64, count: f64) -> Option<Known> {
        Some(Known { mean, count })
    }

    /// The logarithm of a slowdown in the cell's nominal mixture.
    fn truth(sensitivity: [f64; N], resource: usize, level: u8) -> f64 {
        let rest = (1.0 - HARDEST) / 3.0;
        let total = NOMINAL[usize::from(level) - 1];
        let felt = (0..N).map(|r| {
            let share = if r == resource { HARDEST } else { rest };
            sensitivity[r] * share * total
        });
        libm::log(1.0 + felt.sum::<f64>())
    }

    #[test]
    fn sensitivities_are_found_per_resource_in_spite_of_an_offset() {
        let mut all = Disturbance::default();
        let (tender, tough) = (ClassId(1), ClassId(2));
        let (a, b) = ([2.0, 0.2, 0.2, 0.2], [0.1, 0.1, 0.6, 0.1]);
        for resource in 0..N {
            for level in 2..=4 {
                let wrong = 0.1;
                let [x, y] = [a, b].map(|s| truth(s, resource, level) + wrong);
                all.suffers(tender, resource, level, known(x, 8.0));
                all.suffers(tough, resource, level, known(y, 8.0));
            }
        }
        all.refit();
        let [tender, tough] = [tender, tough].map(|class| all.profile(class));
        assert!((1.2..2.4).contains(&tender.suffers[0].mean), "{tender:?}");
        assert!(tender.suffers[1].mean < 0.5, "{tender:?}");
        assert!(
            tough.suffers[2].mean > 2.0 * tough.suffers[1].mean,
            "{tough:?}"
        );
        let hard = tender.slowdown(&[1.0, 0.0, 0.0, 0.0]);
        let easy = tough.slowdown(&[1.0, 0.0, 0.0, 0.0]);
        assert!(hard.mean > easy.mean + 0.5 && hard.variance < 0.1);
    }

    #[test]
    fn a_class_without_cells_is_as_others_are_and_less_sure() {
        let mut all = Disturbance::default();
        for class in 1..12 {
            for level in 2..=4 {
                all.suffers(
                    ClassId(class),
                    0,
                    level,
                    known(truth([1.5; N], 0, level), 6.0),
                );
            }
            all.exerts(ClassId(class), 2, known(0.4 + 0.01 * f64::from(class), 5.0));
        }
        all.refit();
        let (own, stranger) = (all.profile(ClassId(3)), all.profile(ClassId(99)));
        assert_eq!(
            (own.origin(), stranger.origin()),
            (Origin::Own, Origin::Population)
        );
        assert!((stranger.suffers[0].mean - 1.5).abs() < 0.4, "{stranger:?}");
        assert!(
            (stranger.exerts[2].mean - 0.46).abs() < 0.05,
            "{stranger:?}"
        );
        assert!(stranger.suffers[0].variance > own.suffers[0].variance);
        assert!(stranger.exerts[2].variance > own.exerts[2].variance);
        // What is no longer known is forgotten.
        for level in 2..=4 {
            all.suffers(ClassId(3), 0, level, None);
        }
        all.exerts(ClassId(3), 2, None);
        assert_eq!(all.profile(ClassId(3)).origin(), Origin::Population);
    }

    #[test]
    fn the_hardest_pressed_resource_names_the_place() {
        assert_eq!(place(&[0.0; N]), (0, 1));
        assert_eq!(place(&[0.1, 0.0, 0.3, 0.0]), (2, 2));
        assert_eq!(place(&[0.1, 2.0, 0.3, 0.0]), (1, 3));
        assert_eq!(place(&[0.1, 0.0, 0.3, 9.0]), (3, 4));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_is_told_profiles_are_numbers(
            cells in prop::collection::vec(
                (0u16..6, 0usize..5, 0u8..6, -20.0..20.0f64, 1e-9..1e6f64, any::<bool>()), 0..60),
        ) {
            let mut all = Disturbance::default();
            for (at, (class, resource, level, mean, count, suffers)) in cells.iter().enumerate() {
                let known = known(*mean, *count);
                if *suffers {
                    all.suffers(ClassId(*class), *resource, *level, known);
                } else {
                    all.exerts(ClassId(*class), *resource, known);
                }
                if at % 7 == 0 {
                    all.refit();
                }
            }
            for class in 0..8 {
                let profile = all.profile(ClassId(class));
                for sensed in profile.suffers.iter().chain(&profile.exerts) {
                    prop_assert!((0.0..=MOST).contains(&sensed.mean), "{:?}", profile);
                    prop_assert!(sensed.variance >= 0.0 && sensed.variance.is_finite());
                }
                let slowdown = profile.slowdown(&[16.0; N]);
                prop_assert!(slowdown.mean >= 0.0 && slowdown.variance.is_finite());
            }
        }
    }

    #[test]
    fn a_million_names_stay_bounded() {
        let mut all = Disturbance::default();
        for class in 0..3_000 {
            all.exerts(ClassId(class), 0, known(0.1, 1.0));
        }
        assert!(all.rows.len() <= MAX_CLASSES);
    }
}
