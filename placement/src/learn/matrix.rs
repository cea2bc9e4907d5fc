//! A matrix of logarithms with holes.

use super::error::{LearnError, logarithm};

/// Classes by columns; each cell a logarithm with a weight, or missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    logs: Vec<f64>,
    weights: Vec<f64>,
}

impl Matrix {
    /// An empty matrix.
    pub fn new(rows: usize, columns: usize) -> Self {
        Self {
            rows,
            columns,
            logs: vec![0.0; rows * columns],
            weights: vec![0.0; rows * columns],
        }
    }

    /// How many classes.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// One more measurement of a cell, averaged with the earlier ones by weight: how many
    /// measurements it stands for. Below 1 it is believed less, as an old one.
    ///
    /// # Errors
    ///
    /// The value or the weight is not a finite number above 0. A cell outside of the matrix is
    /// ignored.
    pub fn measure(
        &mut self,
        row: usize,
        column: usize,
        value: f64,
        weight: f64,
    ) -> Result<(), LearnError> {
        let log = logarithm(value)?;
        logarithm(weight)?;
        self.add(row, column, log, weight);
        Ok(())
    }

    /// A logarithm, already checked.
    pub(super) fn add(&mut self, row: usize, column: usize, log: f64, weight: f64) {
        if row < self.rows && column < self.columns {
            let at = row * self.columns + column;
            // An absurd weight must not make the sum of weights infinite.
            let weight = weight.min(1e9);
            self.weights[at] = (self.weights[at] + weight).min(1e12);
            self.logs[at] += (log - self.logs[at]) * (weight / self.weights[at]).min(1.0);
        }
    }

    /// A cell's logarithm and weight, if it was measured.
    pub fn cell(&self, row: usize, column: usize) -> Option<(f64, f64)> {
        let at = row * self.columns + column;
        let weight = *self.weights.get(at)?;
        (column < self.columns && weight > 0.0).then(|| (self.logs[at], weight))
    }

    /// A row's measured cells: column, logarithm, weight.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (usize, f64, f64)> {
        (0..self.columns).filter_map(move |column| {
            let (log, weight) = self.cell(row, column)?;
            Some((column, log, weight))
        })
    }

    /// How many cells of a row are measured.
    pub fn count(&self, row: usize) -> usize {
        self.row(row).count()
    }

    /// Columns as rows.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut other = Self::new(self.columns, self.rows);
        for row in 0..self.rows {
            for (column, log, weight) in self.row(row) {
                other.add(column, row, log, weight);
            }
        }
        other
    }

    /// Some of the rows, in the order given.
    pub(super) fn select(&self, rows: &[usize]) -> Self {
        let mut other = Self::new(rows.len(), self.columns);
        for (at, row) in rows.iter().enumerate() {
            for (column, log, weight) in self.row(*row) {
                other.add(at, column, log, weight);
            }
        }
        other
    }
}
