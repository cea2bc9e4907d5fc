//! What the learned model is compared with, and nothing else: the additive model, nearest
//! neighbours, alternating least squares and soft-impute, as in the data report.

use nalgebra::{DMatrix, Matrix2, Vector2};

use super::chance::Chance;

/// Cells, none where unknown.
pub(super) type Cells = [Vec<Option<f64>>];

/// An additive model: mean + row + column.
pub(super) struct Additive {
    mean: f64,
    rows: Vec<f64>,
    columns: Vec<f64>,
    ridge: f64,
}

impl Additive {
    /// Fits with ridges on rows and columns.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn fit(cells: &Cells, ridge: f64) -> Self {
        let width = cells.first().map_or(0, Vec::len);
        let known: Vec<(usize, usize, f64)> = listed(cells);
        let mean = known.iter().map(|cell| cell.2).sum::<f64>() / known.len().max(1) as f64;
        let (mut rows, mut columns) = (vec![0.0; cells.len()], vec![0.0; width]);
        for _ in 0..50 {
            let mut sums = vec![(0.0, ridge); cells.len()];
            for (row, column, log) in &known {
                sums[*row].0 += log - mean - columns[*column];
                sums[*row].1 += 1.0;
            }
            rows = sums.iter().map(|(sum, n)| sum / n).collect();
            let mut sums = vec![(0.0, 1.0); width];
            for (row, column, log) in &known {
                sums[*column].0 += log - mean - rows[*row];
                sums[*column].1 += 1.0;
            }
            columns = sums.iter().map(|(sum, n)| sum / n).collect();
        }
        Self {
            mean,
            rows,
            columns,
            ridge,
        }
    }

    /// A known row's cell.
    fn cell(&self, row: usize, column: usize) -> f64 {
        self.mean + self.rows[row] + self.columns[column]
    }

    /// A new row, from some of its cells.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn row(&self, seen: &[(usize, f64)]) -> Vec<f64> {
        let off = seen
            .iter()
            .map(|(column, log)| log - self.mean - self.columns[*column]);
        let level = off.sum::<f64>() / (seen.len() as f64 + self.ridge);
        self.columns
            .iter()
            .map(|column| self.mean + level + column)
            .collect()
    }
}

fn listed(cells: &Cells) -> Vec<(usize, usize, f64)> {
    let rows = cells.iter().enumerate();
    rows.flat_map(|(row, cells)| {
        let cells = cells.iter().enumerate();
        cells.filter_map(move |(column, cell)| cell.map(|log| (row, column, log)))
    })
    .collect()
}

/// The mean of the five rows that are nearest on the cells seen, moved to their level.
#[allow(clippy::cast_precision_loss)]
pub(super) fn nearest(cells: &Cells, additive: &Additive, seen: &[(usize, f64)]) -> Vec<f64> {
    let n = seen.len().max(1) as f64;
    let here = seen.iter().map(|cell| cell.1).sum::<f64>() / n;
    let mut near: Vec<(f64, f64, usize)> = Vec::new();
    for (row, cells) in cells.iter().enumerate() {
        let there: Option<Vec<f64>> = seen.iter().map(|(column, _)| cells[*column]).collect();
        let Some(there) = there else { continue };
        let mean = there.iter().sum::<f64>() / n;
        let apart = seen.iter().zip(&there).map(|((_, log), other)| {
            let apart = (log - here) - (other - mean);
            apart * apart
        });
        near.push((apart.sum(), here - mean, row));
    }
    near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
    near.truncate(5);
    let mut told = additive.row(seen);
    for (column, told) in told.iter_mut().enumerate() {
        let of: Vec<f64> = near
            .iter()
            .filter_map(|(_, off, row)| cells[*row][column].map(|log| log + off))
            .collect();
        if !of.is_empty() {
            *told = of.iter().sum::<f64>() / of.len() as f64;
        }
    }
    told
}

/// Which way a matrix is completed.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// The additive model.
    Additive,
    /// The additive model and two factors by alternating least squares.
    Als,
    /// The additive model and a soft-thresholded singular value decomposition of the rest
    /// (Mazumder, Hastie, Tibshirani, 2010).
    Soft,
}

const RIDGES: [f64; 5] = [0.03, 0.1, 0.3, 1.0, 3.0];
const THRESHOLDS: [f64; 7] = [0.7, 0.5, 0.35, 0.25, 0.15, 0.08, 0.04];

/// Completes a matrix; the strength is picked on a fifth of its cells.
pub(super) fn complete(cells: &Cells, way: Way, ridge: f64, seed: u64) -> DMatrix<f64> {
    let strengths: &[f64] = match way {
        Way::Additive => &[],
        Way::Als => &RIDGES,
        Way::Soft => &THRESHOLDS,
    };
    let known = listed(cells);
    let all: Vec<usize> = (0..known.len()).collect();
    let held = Chance::new(seed).some(&all, known.len() / 5);
    let mut shown = cells.to_vec();
    for at in &held {
        let (row, column, _) = known[*at];
        shown[row][column] = None;
    }
    let mut best = (f64::INFINITY, 0.0);
    for strength in strengths {
        let told = with(&shown, way, ridge, *strength, seed);
        let error: f64 = held
            .iter()
            .map(|at| {
                let (row, column, log) = known[*at];
                (told[(row, column)] - log) * (told[(row, column)] - log)
            })
            .sum();
        if error < best.0 {
            best = (error, *strength);
        }
    }
    with(cells, way, ridge, best.1, seed)
}

fn with(cells: &Cells, way: Way, ridge: f64, strength: f64, seed: u64) -> DMatrix<f64> {
    let additive = Additive::fit(cells, ridge);
    let width = cells.first().map_or(0, Vec::len);
    let base = DMatrix::from_fn(cells.len(), width, |row, column| additive.cell(row, column));
    let rest: Vec<(usize, usize, f64)> = listed(cells)
        .into_iter()
        .map(|(row, column, log)| (row, column, log - base[(row, column)]))
        .collect();
    let told = match way {
        Way::Additive => return base,
        Way::Als => als(&rest, cells.len(), width, strength, seed),
        Way::Soft => soft(&rest, cells.len(), width, strength),
    };
    base + told
}

#[allow(clippy::cast_precision_loss)]
fn als(
    rest: &[(usize, usize, f64)],
    n: usize,
    width: usize,
    ridge: f64,
    seed: u64,
) -> DMatrix<f64> {
    let mut chance = Chance::new(seed ^ 0xa15);
    let mut small = || 0.1 * (chance.below(2_001) as f64 / 1_000.0 - 1.0);
    let mut columns: Vec<Vector2<f64>> =
        (0..width).map(|_| Vector2::new(small(), small())).collect();
    let mut rows = vec![Vector2::zeros(); n];
    let solve = |count: usize, from: &[Vector2<f64>], by_row: bool| {
        let mut sums = vec![(Matrix2::identity() * ridge, Vector2::zeros()); count];
        for cell in rest {
            let (to, at) = if by_row {
                (cell.0, cell.1)
            } else {
                (cell.1, cell.0)
            };
            sums[to].0 += from[at] * from[at].transpose();
            sums[to].1 += from[at] * cell.2;
        }
        let solved = sums.into_iter().map(|(square, sum)| {
            square
                .try_inverse()
                .map_or_else(Vector2::zeros, |inverse| inverse * sum)
        });
        solved.collect::<Vec<Vector2<f64>>>()
    };
    for _ in 0..25 {
        rows = solve(n, &columns, true);
        columns = solve(width, &rows, false);
    }
    DMatrix::from_fn(n, width, |row, column| rows[row].dot(&columns[column]))
}

fn soft(rest: &[(usize, usize, f64)], n: usize, width: usize, share: f64) -> DMatrix<f64> {
    let mut told = DMatrix::zeros(n, width);
    let mut threshold = None;
    for _ in 0..25 {
        let mut filled = told.clone();
        for (row, column, left) in rest {
            filled[(*row, *column)] = *left;
        }
        // By the smaller of the two squares: its eigenvalues are the squared singular values.
        let tall = n > width;
        let square = if tall {
            filled.tr_mul(&filled)
        } else {
            &filled * filled.transpose()
        };
        let eigen = square.symmetric_eigen();
        let most = libm::sqrt(eigen.eigenvalues.max().max(0.0));
        let threshold = *threshold.get_or_insert(share * most);
        let mut scaled = eigen.eigenvectors.clone();
        for (at, value) in eigen.eigenvalues.iter().enumerate() {
            let singular = libm::sqrt(value.max(0.0));
            let kept = if singular > threshold {
                1.0 - threshold / singular
            } else {
                0.0
            };
            scaled.column_mut(at).scale_mut(kept);
        }
        let project = scaled * eigen.eigenvectors.transpose();
        told = if tall {
            filled * project
        } else {
            project * filled
        };
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix of level, column and one factor, with a hole.
    fn factor() -> (Vec<Vec<Option<f64>>>, f64) {
        #[allow(clippy::cast_precision_loss)]
        let cell = |row: usize, column: usize| {
            let (a, b) = (row as f64, column as f64);
            a * 0.3 - b * 0.2 + libm::sin(a * 1.7) * libm::cos(b * 2.3)
        };
        let mut cells: Vec<Vec<Option<f64>>> = (0..14)
            .map(|row| (0..12).map(|column| Some(cell(row, column))).collect())
            .collect();
        cells[3][4] = None;
        (cells, cell(3, 4))
    }

    #[test]
    fn factors_find_what_the_additive_model_misses() {
        let (cells, truth) = factor();
        let off = |way| (complete(&cells, way, 1e-3, 1)[(3, 4)] - truth).abs();
        let additive = off(Way::Additive);
        assert!(additive > 0.1, "{additive}");
        assert!(off(Way::Als) < 0.5 * additive && off(Way::Soft) < 0.6 * additive);
    }

    #[test]
    fn a_copy_of_a_row_is_its_own_neighbour() {
        let (cells, truth) = factor();
        let mut others = cells.clone();
        others[3][4] = Some(truth);
        for _ in 0..5 {
            others.push(others[3].clone());
        }
        let seen: Vec<(usize, f64)> = [0, 5, 9]
            .iter()
            .map(|c| (*c, cells[3][*c].unwrap() + 1.0))
            .collect();
        let told = nearest(&others, &Additive::fit(&others, 1e-3), &seen);
        assert!((told[4] - truth - 1.0).abs() < 1e-9);
    }
}
