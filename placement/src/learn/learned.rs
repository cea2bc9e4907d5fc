//! The learned model behind [`Classes`].

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use super::features::Features;
use super::matrix::Matrix;
use super::model::{Effort, Estimate, Model};
use super::table::Table;
use super::twoway::TwoWay;
use crate::classes::{ClassId, Classes};

/// The most cells that a prediction is conditioned on, the surest first.
const CELLS: usize = 16;
/// The model is fitted again after a quarter more measurements, and no later than after so many.
const MOST_NEW: u64 = 2_048;
/// The most pairs of classes of which is kept how they get on; the longest unused goes first.
const MAX_PAIRS: usize = 4_096;
/// The most classes between which pairs are inferred.
const MAX_PAIRED: usize = 48;
/// A pair's mean counts its earlier measurements for at most so many.
const MEMORY: f64 = 16.0;

#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    mean: f64,
    count: f64,
    used: u64,
}

/// What a node has learned of classes: times per platform, and what each keeps beside another.
///
/// A new measurement changes the prediction of its class at once; what classes have in common is
/// fitted again now and then ([`Learned::refit`]), after measurements only, so that equal histories
/// answer equally.
#[derive(Debug, Default)]
pub struct Learned {
    table: Table,
    model: Option<Model>,
    /// The classes that the model was fitted to, in the order of its rows.
    rows: Vec<ClassId>,
    /// Per class that was asked for since it was last measured: the expected logarithms.
    expected: BTreeMap<ClassId, OnceLock<Vec<Estimate>>>,
    pairs: BTreeMap<(ClassId, ClassId), Pair>,
    kept: BTreeMap<(ClassId, ClassId), f64>,
    platforms: Vec<f64>,
    seen: u64,
    fitted: u64,
    refused: u64,
}

impl Learned {
    /// What was measured.
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// How many measurements were refused: no number, too many platforms, or set aside.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// A task of a class ran so long on a platform. What is absurd or stands alone is refused.
    pub fn observe(&mut self, class: ClassId, platform: &str, ran: Duration) {
        if self
            .table
            .observe(class, platform, ran.as_secs_f64())
            .is_err()
        {
            self.refused += 1;
            return;
        }
        self.seen += 1;
        self.expected.insert(class, OnceLock::new());
        if self.expected.len() > 2 * self.table.len() {
            let known: std::collections::BTreeSet<ClassId> = self.table.classes().collect();
            self.expected.retain(|class, _| known.contains(class));
        }
        self.refit_if_due();
    }

    /// A class ran beside another at this share of its speed alone. What is not above 0 and finite
    /// is refused; above 2 it is no share of a speed alone.
    pub fn observe_pair(&mut self, class: ClassId, beside: ClassId, kept: f64) {
        if !(kept.is_finite() && kept > 0.0 && kept <= 2.0) {
            self.refused += 1;
            return;
        }
        if self.pairs.len() >= MAX_PAIRS && !self.pairs.contains_key(&(class, beside)) {
            let oldest = self.pairs.iter().min_by_key(|(_, pair)| pair.used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.pairs.remove(&oldest);
                self.kept.remove(&oldest);
            }
        }
        self.seen += 1;
        let pair = self.pairs.entry((class, beside)).or_default();
        pair.count = (pair.count + 1.0).min(MEMORY);
        pair.mean += (libm::log(kept) - pair.mean) / pair.count;
        pair.used = self.seen;
        let mean = libm::exp(pair.mean).min(1.0);
        self.kept.insert((class, beside), mean);
        self.refit_if_due();
    }

    fn refit_if_due(&mut self) {
        let new = self.seen - self.fitted;
        if new >= (self.fitted / 4).clamp(1, MOST_NEW) {
            self.refit();
        }
    }

    /// Fits what classes have in common again.
    pub fn refit(&mut self) {
        self.fitted = self.seen;
        let matrix = self.table.matrix();
        let model = Model::fit(&matrix, None, Effort::LIVE);
        let all: Vec<usize> = (0..matrix.columns()).collect();
        let (general, _) = model.predict(&[], None, &all, None);
        #[allow(clippy::cast_precision_loss)]
        let mean = general.iter().map(|e| e.mean).sum::<f64>() / all.len().max(1) as f64;
        self.platforms = general.iter().map(|e| libm::exp(mean - e.mean)).collect();
        self.model = Some(model);
        self.rows = self.table.classes().collect();
        self.expected = self
            .table
            .classes()
            .map(|class| (class, OnceLock::new()))
            .collect();
        self.infer_pairs();
    }

    /// Infers what each class keeps beside each other one, for the classes with the freshest pairs.
    fn infer_pairs(&mut self) {
        let mut fresh: BTreeMap<ClassId, u64> = BTreeMap::new();
        for ((class, beside), pair) in &self.pairs {
            for name in [class, beside] {
                let used = fresh.entry(*name).or_default();
                *used = (*used).max(pair.used);
            }
        }
        let mut classes: Vec<ClassId> = fresh.keys().copied().collect();
        classes.sort_by_key(|class| std::cmp::Reverse(fresh[class]));
        classes.truncate(MAX_PAIRED);
        classes.sort_unstable();
        let place = |class: &ClassId| classes.binary_search(class).ok();
        let mut matrix = Matrix::new(classes.len(), classes.len());
        for ((class, beside), pair) in &self.pairs {
            if let Some((row, column)) = place(class).zip(place(beside)) {
                matrix.add(row, column, pair.mean, pair.count);
            }
        }
        let cells: Vec<(Option<usize>, Option<usize>)> = (0..classes.len())
            .flat_map(|row| (0..classes.len()).map(move |column| (Some(row), Some(column))))
            .collect();
        self.kept.clear();
        for ((class, beside), pair) in &self.pairs {
            self.kept
                .insert((*class, *beside), libm::exp(pair.mean).min(1.0));
        }
        if cells.is_empty() {
            return;
        }
        let learned = TwoWay::fit(matrix, None::<Features>, None, Effort::LIVE);
        for ((row, column), told) in cells.iter().zip(learned.predict(&cells)) {
            if let Some((row, column)) = row.zip(*column) {
                let kept = libm::exp(told.mean).clamp(0.01, 1.0);
                self.kept
                    .entry((classes[row], classes[column]))
                    .or_insert(kept);
            }
        }
    }

    /// The expected logarithms of a class's times, per platform.
    fn expected(&self, class: ClassId) -> Option<&[Estimate]> {
        let slot = self.expected.get(&class)?;
        let expected = slot.get_or_init(|| {
            let mut seen = self.table.seen(class).unwrap_or_default();
            seen.truncate(CELLS);
            let all: Vec<usize> = (0..self.table.width()).collect();
            match &self.model {
                Some(model) => {
                    let row = self.rows.binary_search(&class).ok();
                    model.predict(&seen, None, &all, row).0
                }
                None => Vec::new(),
            }
        });
        Some(expected)
    }

    /// What is expected of a class on a platform, in the logarithm of seconds; none if the class is
    /// unknown or nothing is learned yet.
    pub fn estimate(&self, class: ClassId, platform: &str) -> Option<Estimate> {
        let column = self.table.column(platform)?;
        self.expected(class)?.get(column).copied()
    }
}

impl Classes for Learned {
    fn speed(&self, class: ClassId, platform: &str) -> Option<f64> {
        let expected = self.expected(class).filter(|all| !all.is_empty())?;
        let best = expected
            .iter()
            .map(|e| e.mean)
            .fold(f64::INFINITY, f64::min);
        let here = match self.table.column(platform) {
            Some(column) => expected.get(column)?.mean,
            // A platform that nobody measured is an average one.
            #[allow(clippy::cast_precision_loss)]
            None => {
                let sum: f64 = expected.iter().map(|e| e.mean).sum();
                sum / expected.len().max(1) as f64
            }
        };
        let speed = libm::exp(best.min(here) - here);
        speed.is_finite().then_some(speed)
    }

    fn keeps(&self, class: ClassId, _: &str, beside: ClassId) -> Option<f64> {
        self.kept.get(&(class, beside)).copied()
    }

    fn platform(&self, platform: &str) -> f64 {
        let column = self.table.column(platform);
        let speed = column.and_then(|column| self.platforms.get(column).copied());
        speed.unwrap_or(1.0)
    }
}
