//! Times per platform: H1 (cells hidden at random) and H2 (a new workload with a few cells).

use starling_placement::learn::{Effort, Matrix, Model, Seen, TwoWay};

use super::chance::Chance;
use super::data::Grid;
use super::eval::Row;
use super::rivals::{Additive, Way, complete, nearest};
use super::score::Tally;

/// The ridge on rows of the additive model.
const RIDGE: f64 = 1e-3;
/// Soft-impute is slow: so many seeds at most.
const FEW: u64 = 2;
/// How many cells of a new workload are known.
const KNOWN: [usize; 5] = [1, 2, 3, 5, 8];

/// The models, in the order of the table.
const MODELS: [&str; 5] = ["additive", "kNN-5", "ALS", "soft-impute", "learned"];

pub(super) fn matrix(cells: &[Vec<Option<f64>>]) -> Matrix {
    let mut matrix = Matrix::new(cells.len(), cells.first().map_or(0, Vec::len));
    for (row, cells) in cells.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            if let Some(log) = cell {
                // A logarithm of the data is a finite number.
                let _ = matrix.measure(row, column, libm::exp(*log), 1.0);
            }
        }
    }
    matrix
}

pub(super) fn seen(cells: &[(usize, f64)]) -> Vec<Seen> {
    let cells = cells.iter().map(|(column, log)| Seen {
        column: *column,
        log: *log,
        weight: 1.0,
    });
    cells.collect()
}

fn rows(grid: &Grid, protocol: &str, setting: &str, tallies: Vec<Tally>) -> Vec<Row> {
    let named = MODELS.iter().zip(tallies);
    named
        .filter_map(|(model, tally)| {
            Some(Row::new(
                grid.name,
                protocol,
                setting,
                model,
                tally.figures()?,
            ))
        })
        .collect()
}

fn tallies() -> Vec<Tally> {
    MODELS.iter().map(|_| Tally::default()).collect()
}

/// Hides a share of the cells, in per cent.
pub(super) fn random(grid: &Grid, hidden: u32, seeds: u32) -> Vec<Row> {
    let mut all = tallies();
    for seed in 0..u64::from(seeds) {
        let mut chance = Chance::new(1_000 * seed + u64::from(hidden));
        let mut shown = grid.cells.clone();
        let mut gone = Vec::new();
        for (row, shown) in shown.iter_mut().enumerate() {
            let valid = grid.valid(row);
            #[allow(clippy::cast_possible_truncation)]
            let keep = ((valid.len() as u64 * u64::from(100 - hidden) + 50) / 100).max(1) as usize;
            let kept = chance.some(&valid, keep);
            let lost: Vec<usize> = valid.into_iter().filter(|at| !kept.contains(at)).collect();
            for column in &lost {
                shown[*column] = None;
            }
            gone.push(lost);
        }
        let cells: Vec<(Option<usize>, Option<usize>)> = gone
            .iter()
            .enumerate()
            .flat_map(|(row, lost)| lost.iter().map(move |column| (Some(row), Some(*column))))
            .collect();
        let learned = TwoWay::fit(matrix(&shown), None, None, Effort::STUDY).predict(&cells);
        let mut told = learned.iter();
        let mut ours = vec![vec![(0.0, 0.0); grid.width()]; gone.len()];
        for (row, lost) in gone.iter().enumerate() {
            for (column, told) in lost.iter().zip(told.by_ref()) {
                ours[row][*column] = (told.mean, told.deviation);
            }
        }
        let completed = [(0, Way::Additive), (2, Way::Als), (3, Way::Soft)]
            .map(|(at, way)| (at, complete(&shown, way, RIDGE, seed)));
        for (row, lost) in gone.iter().enumerate() {
            let truth = |at: usize| grid.cells[row][at].unwrap_or(f64::NAN);
            let choice = 7_777 + 100 * seed + row as u64;
            for (model, told) in &completed {
                for column in lost {
                    all[*model].cell(told[(row, *column)], None, truth(*column));
                }
                all[*model].choices(choice, lost, |at| told[(row, at)], truth);
            }
            for column in lost {
                let (mean, deviation) = ours[row][*column];
                all[4].cell(mean, Some(deviation), truth(*column));
            }
            all[4].choices(choice, lost, |at| ours[row][at].0, truth);
        }
    }
    rows(grid, "H1", &format!("{hidden}% hidden"), all)
}

/// A new workload of a family that nobody has seen.
pub(super) fn new(grid: &Grid, seeds: u32) -> Vec<Row> {
    let mut all: Vec<Vec<Tally>> = KNOWN.iter().map(|_| tallies()).collect();
    let every: Vec<usize> = (0..grid.width()).collect();
    for family in grid.families() {
        let is_target = |row: &usize| grid.families[*row] == family;
        let reference: Vec<Vec<Option<f64>>> = (0..grid.cells.len())
            .filter(|row| !is_target(row))
            .map(|row| grid.cells[row].clone())
            .collect();
        let additive = Additive::fit(&reference, RIDGE);
        let model = Model::fit(&matrix(&reference), None, Effort::STUDY);
        for row in (0..grid.cells.len()).filter(is_target) {
            for (setting, k) in KNOWN.into_iter().enumerate() {
                let valid = grid.valid(row);
                if valid.len() <= k {
                    continue;
                }
                for seed in 0..u64::from(seeds) {
                    let mut chance = Chance::new(100_000 * seed + 1_000 * k as u64 + row as u64);
                    let kept = chance.some(&valid, k);
                    let truth = |at: usize| grid.cells[row][at].unwrap_or(f64::NAN);
                    let cells: Vec<(usize, f64)> =
                        kept.iter().map(|at| (*at, truth(*at))).collect();
                    let hidden: Vec<usize> = valid
                        .iter()
                        .copied()
                        .filter(|at| !kept.contains(at))
                        .collect();
                    let mut told: Vec<(usize, Vec<f64>)> = vec![
                        (0, additive.row(&cells)),
                        (1, nearest(&reference, &additive, &cells)),
                    ];
                    let ways: &[(usize, Way)] = match seed {
                        0..FEW if k == 3 => &[(2, Way::Als), (3, Way::Soft)],
                        _ => &[(2, Way::Als)],
                    };
                    if k == 3 {
                        let mut with = reference.clone();
                        let mut target = vec![None; grid.width()];
                        cells.iter().for_each(|(at, log)| target[*at] = Some(*log));
                        with.push(target);
                        for (at, way) in ways {
                            let full = complete(&with, *way, RIDGE, seed);
                            let last = full.row(reference.len());
                            told.push((*at, last.iter().copied().collect()));
                        }
                    }
                    let (learned, _) = model.predict(&seen(&cells), None, &every, None);
                    let choice = 7_777 + 100 * seed + row as u64;
                    let tallies = &mut all[setting];
                    for (at, told) in told {
                        hidden
                            .iter()
                            .for_each(|c| tallies[at].cell(told[*c], None, truth(*c)));
                        tallies[at].choices(choice, &hidden, |c| told[c], truth);
                    }
                    for c in &hidden {
                        let deviation = libm::sqrt(learned[*c].variance);
                        tallies[4].cell(learned[*c].mean, Some(deviation), truth(*c));
                    }
                    tallies[4].choices(choice, &hidden, |c| learned[c].mean, truth);
                }
            }
        }
    }
    let settings = KNOWN.into_iter().zip(all);
    settings
        .flat_map(|(k, all)| rows(grid, "H2", &format!("k={k}"), all))
        .collect()
}
