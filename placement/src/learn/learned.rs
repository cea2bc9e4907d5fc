//! The learned model behind [`Classes`].

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::contention::{Disturbance, Profile, Sensed, place};
use super::matrix::Matrix;
use super::model::{Effort, Estimate, Model, Seen};
use super::twoway::Origin;
use crate::classes::{ClassId, Classes, Company, Contention, Known, Speed};
use crate::resources::{Excess, Pressure, excess};

/// The most cells that a prediction is conditioned on, the surest first.
const CELLS: usize = 16;
/// The most classes; the longest unused goes first.
const MAX_CLASSES: usize = 2_048;
/// The most platforms.
const MAX_PLATFORMS: usize = 64;
/// What classes have in common is fitted again after a quarter of the cells have changed, and no
/// later than after so many.
const MOST_CHANGED: usize = 2_048;
/// Measurements of a cell beyond this count no more.
const MOST: f64 = 64.0;
/// What a node's record says of pressure may be off by so much, in 1/255; what is beyond it and not
/// explained by those who run there is load that the cluster did not start.
const RECORD: u8 = 32;

/// A column in which something is known of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column<'a> {
    /// How long it runs on a platform: logarithms of seconds.
    Platform(&'a str),
    /// How many times as long it takes while a resource of its host is pressed hardest and all
    /// together at a level, 1 to 4, quarters of the greatest pressure: logarithms.
    Pressed {
        /// Index into [`RESOURCES`](crate::RESOURCES).
        resource: usize,
        /// The level.
        level: u8,
    },
    /// The excess that one task of it causes on its host.
    Exerts {
        /// Index into [`RESOURCES`](crate::RESOURCES).
        resource: usize,
    },
}

impl Column<'_> {
    /// The column of what is suffered under an excess; none if that is so little that the host
    /// counts as quiet: less than a quarter of the greatest pressure.
    pub fn pressed(excess: &Excess) -> Option<Self> {
        let (resource, level) = place(excess);
        (level > 1).then_some(Self::Pressed { resource, level })
    }
}

#[derive(Clone, Debug, Default)]
struct Row {
    cells: BTreeMap<usize, Known>,
    /// The expected logarithms per platform, once somebody asked.
    expected: OnceLock<Vec<Estimate>>,
    used: u64,
}

/// What classes have in common.
#[derive(Debug, Default)]
struct Common {
    /// The cells that it is fitted to.
    cells: Matrix,
    /// The classes, in the order of the matrix's rows.
    classes: Vec<ClassId>,
    fitted: OnceLock<Fitted>,
}

#[derive(Debug)]
struct Fitted {
    model: Model,
    /// How much faster than the average platform each is.
    platforms: Vec<f64>,
}

impl Common {
    fn get(&self) -> &Fitted {
        self.fitted.get_or_init(|| {
            let model = Model::fit(&self.cells, None, Effort::LIVE);
            let all: Vec<usize> = (0..self.cells.columns()).collect();
            let (general, _) = model.predict(&[], None, &all, None);
            #[allow(clippy::cast_precision_loss)]
            let mean = general.iter().map(|e| e.mean).sum::<f64>() / all.len().max(1) as f64;
            let platforms = general.iter().map(|e| libm::exp(mean - e.mean)).collect();
            Fitted { model, platforms }
        })
    }
}

impl Row {
    /// The cells, the surest first.
    fn seen(&self) -> Vec<Seen> {
        let cells = self.cells.iter().map(|(column, cell)| Seen {
            column: *column,
            log: cell.mean,
            weight: cell.count,
        });
        let mut seen: Vec<Seen> = cells.collect();
        seen.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.column.cmp(&b.column)));
        seen
    }
}

/// What a node has learned of classes: times per platform, what each suffers from others and does
/// to them. It is told cells, as they are known now; where they come from is others' business.
///
/// A cell that changes changes the prediction of its class at once. What classes have in common is
/// fitted again when enough has changed: to the cells as they are then, though only once somebody
/// asks. So equal histories answer equally whoever asks when, and a node that places nothing fits
/// nothing.
#[derive(Debug, Default)]
pub struct Learned {
    rows: BTreeMap<ClassId, Row>,
    /// Platforms, and how many cells each has.
    columns: BTreeMap<String, (usize, usize)>,
    common: Common,
    disturbance: Disturbance,
    used: u64,
    /// Cells that changed since the last fit, and how many there were then.
    changed: usize,
    then: usize,
}

impl Learned {
    /// Takes what is known of a class in a column now, in the place of what was known before; none
    /// forgets it. What is no number is not known.
    pub fn learn(&mut self, class: ClassId, column: Column<'_>, known: Option<Known>) {
        let usable = |known: &Known| known.mean.is_finite() && known.count > 0.0;
        let known = known.filter(usable).map(|known| Known {
            count: known.count.min(MOST),
            ..known
        });
        match column {
            Column::Platform(platform) => self.learn_time(class, platform, known),
            Column::Pressed { resource, level } => {
                self.disturbance.suffers(class, resource, level, known);
            }
            Column::Exerts { resource } => self.disturbance.exerts(class, resource, known),
        }
        self.changed = self.changed.saturating_add(1);
        if self.changed >= (self.then / 4).clamp(1, MOST_CHANGED) {
            self.refit();
        }
    }

    fn learn_time(&mut self, class: ClassId, platform: &str, known: Option<Known>) {
        let Some(known) = known else {
            self.forget(class, platform);
            return;
        };
        let Some(at) = self.column(platform) else {
            return;
        };
        if self.rows.len() >= MAX_CLASSES && !self.rows.contains_key(&class) {
            let oldest = self.rows.iter().min_by_key(|(_, row)| row.used);
            if let Some(oldest) = oldest.map(|(class, _)| *class) {
                self.remove(oldest);
            }
        }
        self.used += 1;
        let row = self.rows.entry(class).or_default();
        row.used = self.used;
        if row.cells.insert(at, known).is_none()
            && let Some((_, cells)) = self.columns.get_mut(platform)
        {
            *cells += 1;
        }
        row.expected = OnceLock::new();
    }

    /// A platform's column; a new one takes the place of one without cells, if there are many.
    fn column(&mut self, platform: &str) -> Option<usize> {
        if let Some((at, _)) = self.columns.get(platform) {
            return Some(*at);
        }
        let mut at = self.columns.len();
        if at >= MAX_PLATFORMS {
            let empty = self.columns.iter().find(|(_, (_, cells))| *cells == 0);
            let name = empty.map(|(name, _)| name.clone())?;
            at = self.columns.remove(&name)?.0;
            self.changed = MOST_CHANGED;
        }
        self.columns.insert(platform.to_owned(), (at, 0));
        Some(at)
    }

    fn forget(&mut self, class: ClassId, platform: &str) {
        let Some((at, cells)) = self.columns.get_mut(platform) else {
            return;
        };
        let Some(row) = self.rows.get_mut(&class) else {
            return;
        };
        if row.cells.remove(at).is_some() {
            *cells -= 1;
        }
        row.expected = OnceLock::new();
        if row.cells.is_empty() {
            self.rows.remove(&class);
        }
    }

    fn remove(&mut self, class: ClassId) {
        let Some(row) = self.rows.remove(&class) else {
            return;
        };
        for (at, cells) in self.columns.values_mut() {
            *cells -= usize::from(row.cells.contains_key(at));
        }
    }

    /// Begins anew with what classes have in common, from the cells as they are now.
    fn refit(&mut self) {
        self.changed = 0;
        let mut cells = Matrix::new(self.rows.len(), self.columns.len());
        self.then = self.disturbance.cells();
        for (at, row) in self.rows.values_mut().enumerate() {
            self.then += row.cells.len();
            row.expected = OnceLock::new();
            for (column, cell) in &row.cells {
                cells.add(at, *column, cell.mean, cell.count);
            }
        }
        self.common = Common {
            cells,
            classes: self.rows.keys().copied().collect(),
            fitted: OnceLock::new(),
        };
        self.disturbance.refit();
    }

    /// The expected logarithms of a class's times, per platform.
    fn expected(&self, class: ClassId) -> Option<&[Estimate]> {
        let row = self.rows.get(&class)?;
        Some(row.expected.get_or_init(|| {
            let mut seen = row.seen();
            seen.truncate(CELLS);
            let all: Vec<usize> = (0..self.columns.len()).collect();
            let at = self.common.classes.binary_search(&class).ok();
            self.common.get().model.predict(&seen, None, &all, at).0
        }))
    }

    /// What is expected of a class alone on a platform, in the logarithm of seconds; none if the
    /// class is unknown or nothing is learned yet.
    pub fn estimate(&self, class: ClassId, platform: &str) -> Option<Estimate> {
        let (column, _) = self.columns.get(platform)?;
        self.expected(class)?.get(*column).copied()
    }

    /// How many run times of a class are known, over all platforms.
    pub fn timed(&self, class: ClassId) -> f64 {
        let row = self.rows.get(&class);
        row.map_or(0.0, |row| row.cells.values().map(|cell| cell.count).sum())
    }

    /// What is known of a class's part in contention; what is usual if nothing is known of it.
    pub fn profile(&self, class: ClassId) -> Profile {
        self.disturbance.profile(class)
    }

    /// The classes of whose part in contention something is known.
    pub fn disturbing(&self) -> impl Iterator<Item = ClassId> {
        self.disturbance.classes()
    }

    /// How many times as long a class takes beside one task of another, as a logarithm.
    pub fn beside(&self, class: ClassId, other: ClassId) -> Sensed {
        self.profile(class).slowdown(&self.profile(other).excess())
    }
}

/// Excess that is measured and not explained by those who run.
fn unexplained(pressure: Pressure, explained: &Excess) -> Excess {
    let pressure = <[u8; 4]>::from(pressure);
    let mut beyond = pressure.map(|p| excess(p.saturating_sub(RECORD)));
    for (beyond, explained) in beyond.iter_mut().zip(explained) {
        *beyond = (*beyond - explained).max(0.0);
    }
    beyond
}

fn plus(a: &Excess, b: &Excess, times: f64) -> Excess {
    std::array::from_fn(|at| (a[at] + times * b[at]).max(0.0))
}

impl Classes for Learned {
    fn speed(&self, class: ClassId, platform: &str) -> Option<Speed> {
        let expected = self.expected(class).filter(|all| !all.is_empty())?;
        let best = expected
            .iter()
            .map(|e| e.mean)
            .fold(f64::INFINITY, f64::min);
        let column = self.columns.get(platform).map(|(at, _)| *at);
        let here = column.and_then(|column| expected.get(column).copied());
        let own = |column| {
            let row = self.rows.get(&class);
            row.is_some_and(|row| row.cells.contains_key(&column))
        };
        let (estimate, origin) = match (here, column) {
            (Some(here), Some(column)) if own(column) => (here, Origin::Own),
            (Some(here), _) => (here, Origin::Class),
            // A platform that nobody measured is an average one.
            #[allow(clippy::cast_precision_loss)]
            (None, _) => {
                let n = expected.len().max(1) as f64;
                let mean = expected.iter().map(|e| e.mean).sum::<f64>() / n;
                let apart = |e: &Estimate| e.variance + (e.mean - mean) * (e.mean - mean);
                let variance = expected.iter().map(apart).sum::<f64>() / n;
                (Estimate { mean, variance }, Origin::Population)
            }
        };
        let relative = libm::exp(best.min(estimate.mean) - estimate.mean);
        relative.is_finite().then(|| Speed {
            relative,
            seconds: Some(libm::exp(estimate.mean)),
            deviation: libm::sqrt(estimate.variance.max(0.0)),
            origin,
        })
    }

    fn contention(&self, class: ClassId, platform: &str, company: &Company) -> Option<Contention> {
        if !self.disturbs() {
            return None;
        }
        let each = company.each();
        let mut explained = Excess::default();
        for other in company.mix.classes() {
            explained = plus(&explained, &self.profile(other).excess(), each);
        }
        let beyond = unexplained(company.pressure, &explained);
        let all = plus(&explained, &beyond, 1.0);
        let mine = self.profile(class);
        let slowdown = mine.slowdown(&all);
        let mut harm = 0.0;
        for other in company.mix.classes() {
            let theirs = self.profile(other);
            let before = theirs.slowdown(&plus(&all, &theirs.excess(), -1.0)).mean;
            let with = plus(&all, &mine.excess(), 1.0);
            let after = theirs.slowdown(&plus(&with, &theirs.excess(), -1.0)).mean;
            let speed = self.speed(other, platform).map_or(1.0, |s| s.relative);
            harm += each * speed * (libm::exp(-before) - libm::exp(-after)).max(0.0);
        }
        Some(Contention {
            slowdown: libm::exp(slowdown.mean),
            deviation: libm::sqrt(slowdown.variance),
            harm,
            origin: mine.origin(),
        })
    }

    fn platform(&self, platform: &str) -> f64 {
        let column = self.columns.get(platform);
        let platforms = &self.common.get().platforms;
        let speed = column.and_then(|(column, _)| platforms.get(*column).copied());
        speed.unwrap_or(1.0)
    }

    fn disturbs(&self) -> bool {
        !self.disturbance.is_empty()
    }
}
