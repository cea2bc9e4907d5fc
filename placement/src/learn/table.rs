//! What was measured: a bounded table of cells that forgets.

use std::collections::BTreeMap;

use super::error::{LearnError, logarithm};
use super::matrix::Matrix;
use super::model::Seen;
use crate::classes::ClassId;

/// The most classes; the longest unused goes first.
pub(super) const MAX_CLASSES: usize = 2_048;
/// The most columns.
pub(super) const MAX_COLUMNS: usize = 64;
/// A cell counts its earlier measurements for at most so many.
const MEMORY: f64 = 32.0;
/// After so many measurements of anything a cell is believed half as much.
const HALF_LIFE: f64 = 16_384.0;
/// How many standard deviations a measurement may be off before it is set aside.
const FAR: f64 = 6.0;
/// The least standard deviation assumed of a cell: a factor of 1.28.
const LEAST: f64 = 0.25;
/// So many measurements in a row that agree with each other, and not with the cell, show that the
/// class has changed.
const CHANGED: u32 = 3;

/// The measurements of a class in a column, in the log domain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// The mean of the logarithms.
    pub mean: f64,
    /// Their variance.
    pub variance: f64,
    /// How many they are, up to a bound: older ones fade.
    pub count: f64,
    /// The table's clock when it was last measured: one tick per measurement of anything.
    pub at: u64,
}

impl Cell {
    fn add(&mut self, log: f64, now: u64) {
        self.count = (self.count + 1.0).min(MEMORY);
        let off = log - self.mean;
        self.mean += off / self.count;
        let square = off * (log - self.mean);
        self.variance += (square - self.variance) / self.count;
        self.at = now;
    }

    /// How many fresh measurements it stands for, above 0.
    #[allow(clippy::cast_precision_loss)]
    pub fn weight(&self, now: u64) -> f64 {
        let age = now.saturating_sub(self.at) as f64;
        (self.count * libm::exp2(-age / HALF_LIFE)).max(1e-6)
    }
}

#[derive(Clone, Debug, Default)]
struct Row {
    cells: BTreeMap<usize, Cell>,
    used: u64,
    /// What disagreed last: its mean distance from the cells, and how often in a row.
    strange: (f64, u32),
}

/// Cells of classes by named columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: BTreeMap<ClassId, Row>,
    columns: BTreeMap<String, usize>,
    now: u64,
    set_aside: u64,
}

impl Table {
    /// A measurement, above 0 and finite, in any unit that is always the same for the class.
    ///
    /// # Errors
    ///
    /// It is no such number, there are too many columns, or it is so far from what was measured
    /// before that it is set aside. If it is repeated, the class has changed its nature: all that
    /// was known of it is forgotten and the new measurements count.
    pub fn observe(&mut self, class: ClassId, column: &str, value: f64) -> Result<(), LearnError> {
        let log = logarithm(value)?;
        let count = self.columns.len();
        let at = match self.columns.get(column) {
            Some(at) => *at,
            None if count >= MAX_COLUMNS => {
                return Err(LearnError::TooManyColumns { limit: MAX_COLUMNS });
            }
            None => {
                self.columns.insert(column.to_owned(), count);
                count
            }
        };
        if self.rows.len() >= MAX_CLASSES && !self.rows.contains_key(&class) {
            let oldest = self.rows.iter().min_by_key(|(_, row)| row.used);
            if let Some(oldest) = oldest.map(|(class, _)| *class) {
                self.rows.remove(&oldest);
            }
        }
        self.now += 1;
        let now = self.now;
        let row = self.rows.entry(class).or_default();
        row.used = now;
        if let Some(cell) = row.cells.get(&at).filter(|cell| cell.count >= 2.0) {
            let off = log - cell.mean;
            let deviation = libm::sqrt(cell.variance).max(LEAST);
            if off.abs() > FAR * deviation {
                let (mean, times) = row.strange;
                let again = times > 0 && (off - mean).abs() <= FAR * LEAST;
                let times = if again { times + 1 } else { 1 };
                let mean = if again {
                    mean + (off - mean) / f64::from(times)
                } else {
                    off
                };
                row.strange = (mean, times);
                if times < CHANGED {
                    self.set_aside += 1;
                    return Err(LearnError::Inconsistent {
                        factor: libm::exp(off),
                    });
                }
                row.cells.clear();
            }
        }
        row.strange = (0.0, 0);
        row.cells.entry(at).or_default().add(log, now);
        Ok(())
    }

    /// How many classes it knows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many measurements were set aside as inconsistent.
    pub const fn set_aside(&self) -> u64 {
        self.set_aside
    }

    /// The classes, in their order.
    pub fn classes(&self) -> impl Iterator<Item = ClassId> {
        self.rows.keys().copied()
    }

    /// A column's index.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.get(name).copied()
    }

    /// How many columns there are.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// A cell.
    pub fn cell(&self, class: ClassId, column: &str) -> Option<&Cell> {
        self.rows.get(&class)?.cells.get(&self.column(column)?)
    }

    /// A class's cells, the surest first; none if it is unknown.
    pub(super) fn seen(&self, class: ClassId) -> Option<Vec<Seen>> {
        let row = self.rows.get(&class)?;
        let mut seen: Vec<Seen> = row
            .cells
            .iter()
            .map(|(column, cell)| Seen {
                column: *column,
                log: cell.mean,
                weight: cell.weight(self.now),
            })
            .collect();
        seen.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.column.cmp(&b.column)));
        Some(seen)
    }

    /// All cells, classes in their order.
    pub(super) fn matrix(&self) -> Matrix {
        let mut matrix = Matrix::new(self.rows.len(), self.columns.len());
        for (at, row) in self.rows.values().enumerate() {
            for (column, cell) in &row.cells {
                matrix.add(at, *column, cell.mean, cell.weight(self.now));
            }
        }
        matrix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absurd_is_refused_and_what_repeats_is_a_change() {
        let mut table = Table::default();
        let class = ClassId::of("encode");
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(table.observe(class, "pi", bad).is_err(), "{bad}");
        }
        assert!(table.is_empty());
        for at in 0..20 {
            table
                .observe(class, "pi", 10.0 + 0.1 * f64::from(at % 3))
                .unwrap();
        }
        table.observe(class, "server", 2.0).unwrap();
        let odd = table.observe(class, "pi", 1e6);
        assert!(matches!(odd, Err(LearnError::Inconsistent { factor }) if factor > 1e4));
        let kept = table.cell(class, "pi").unwrap().mean;
        assert!((kept - libm::log(10.1)).abs() < 0.05, "{kept}");
        // One stray value between is no change.
        table.observe(class, "pi", 10.0).unwrap();
        for _ in 0..2 {
            assert!(table.observe(class, "pi", 1_000.0).is_err());
        }
        table.observe(class, "pi", 1_000.0).unwrap();
        assert!((table.cell(class, "pi").unwrap().mean - libm::log(1_000.0)).abs() < 0.1);
        assert_eq!(table.cell(class, "server"), None, "old cells are forgotten");
        assert_eq!(table.set_aside(), 3);
    }

    #[test]
    fn a_million_names_stay_bounded() {
        let mut table = Table::default();
        for name in 0..20_000_u32 {
            let column = format!("p{}", name % 100);
            let taken = table.observe(ClassId::of(&name.to_string()), &column, 1.0);
            assert_eq!(taken.is_ok(), name % 100 < 64, "{taken:?}");
        }
        assert!(table.len() <= MAX_CLASSES && table.width() == MAX_COLUMNS);
        // The most recent one is there.
        assert!(table.seen(ClassId::of("19963")).is_some());
    }

    #[test]
    fn old_cells_are_believed_less() {
        let mut table = Table::default();
        let (old, new) = (ClassId::of("old"), ClassId::of("new"));
        table.observe(old, "a", 1.0).unwrap();
        for _ in 0..40_000 {
            table.observe(new, "a", 1.0).unwrap();
        }
        let weight = |class| table.cell(class, "a").unwrap().weight(table.now);
        assert!(weight(old) < 0.25 && weight(new) > 30.0);
    }
}
