//! Pairs: I1 (pairs hidden at random) and I2 (a new job with a few partners).

use starling_placement::learn::{Effort, Features, Model, TwoWay};

use super::chance::Chance;
use super::data::Grid;
use super::eval::Row;
use super::platforms::{matrix, seen};
use super::rivals::{Additive, Way, complete, nearest};
use super::score::Tally;

/// A mean, and its standard deviation where the model gives one.
type Told = (f64, Option<f64>);

/// The ridge on rows and columns of the additive model.
const RIDGE: f64 = 1.0;
/// Soft-impute is slow: so many seeds at most.
const FEW: u64 = 2;
/// How many partners of a new job are known.
const KNOWN: [usize; 5] = [1, 2, 3, 5, 10];

/// The models, in the order of the table.
const MODELS: [&str; 6] = [
    "additive",
    "kNN-5",
    "ALS",
    "soft-impute",
    "learned, no features",
    "learned",
];

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

fn features(grid: &Grid, rows: &[usize]) -> Option<Features> {
    let rows: Vec<Vec<f64>> = rows.iter().map(|row| grid.features[*row].clone()).collect();
    rows.iter()
        .any(|row| !row.is_empty())
        .then_some(Features(rows))
}

/// Hides a share of the unordered pairs, in per cent.
pub(super) fn random(grid: &Grid, hidden: u32, seeds: u32) -> Vec<Row> {
    let n = grid.cells.len();
    let pairs: Vec<(usize, usize)> = (0..n)
        .flat_map(|a| (a..n).map(move |b| (a, b)))
        .filter(|(a, b)| grid.cells[*a][*b].is_some() && grid.cells[*b][*a].is_some())
        .collect();
    let every: Vec<usize> = (0..n).collect();
    let mut all = tallies();
    for seed in 0..u64::from(seeds) {
        let mut chance = Chance::new(1_000 * seed + u64::from(hidden));
        let places: Vec<usize> = (0..pairs.len()).collect();
        #[allow(clippy::cast_possible_truncation)]
        let lost = (pairs.len() as u64 * u64::from(hidden) + 50) / 100;
        let lost = chance.some(&places, usize::try_from(lost).unwrap_or(0));
        let mut shown = grid.cells.clone();
        for at in &lost {
            let (a, b) = pairs[*at];
            shown[a][b] = None;
            shown[b][a] = None;
        }
        let cells: Vec<(Option<usize>, Option<usize>)> = lost
            .iter()
            .flat_map(|at| {
                let (a, b) = pairs[*at];
                [(Some(a), Some(b)), (Some(b), Some(a))]
            })
            .collect();
        let mut told: Vec<(usize, Vec<Told>)> = Vec::new();
        for (at, with) in [(4, None), (5, features(grid, &every))] {
            if at == 5 && with.is_none() {
                continue;
            }
            let model = TwoWay::fit(matrix(&shown), with.clone(), with, Effort::STUDY);
            let all = model.predict(&cells).into_iter();
            told.push((at, all.map(|p| (p.mean, Some(p.deviation))).collect()));
        }
        for (at, way) in [(0, Way::Additive), (2, Way::Als), (3, Way::Soft)] {
            let full = complete(&shown, way, RIDGE, seed);
            let of = cells.iter().filter_map(|(row, column)| row.zip(*column));
            told.push((at, of.map(|cell| (full[cell], None)).collect()));
        }
        for (at, told) in told {
            for (pair, told) in lost.iter().zip(told.chunks_exact(2)) {
                let (a, b) = pairs[*pair];
                let truth =
                    [grid.cells[a][b], grid.cells[b][a]].map(|cell| cell.unwrap_or(f64::NAN));
                for ((mean, deviation), truth) in told.iter().zip(truth) {
                    all[at].cell(*mean, *deviation, truth);
                }
                all[at].least(told[0].0.min(told[1].0), truth[0].min(truth[1]));
            }
        }
    }
    rows(grid, "I1", &format!("{hidden}% hidden"), all)
}

/// What a job keeps beside each of the others, and they beside it.
struct Both {
    own: Vec<f64>,
    theirs: Vec<f64>,
    deviations: Option<(Vec<f64>, Vec<f64>)>,
}

/// A new job of a family that nobody has seen.
pub(super) fn new(grid: &Grid, seeds: u32) -> Vec<Row> {
    let mut all: Vec<Vec<Tally>> = KNOWN.iter().map(|_| tallies()).collect();
    for family in grid.families() {
        let others: Vec<usize> = (0..grid.cells.len())
            .filter(|row| grid.families[*row] != family)
            .collect();
        let part = |turned: bool| -> Vec<Vec<Option<f64>>> {
            let cell = |a: usize, b: usize| {
                if turned {
                    grid.cells[b][a]
                } else {
                    grid.cells[a][b]
                }
            };
            let row = |a: &usize| others.iter().map(|b| cell(*a, *b)).collect();
            others.iter().map(row).collect()
        };
        let views = [part(false), part(true)];
        let additive = views.each_ref().map(|cells| Additive::fit(cells, RIDGE));
        let with = features(grid, &others);
        let plain = views
            .each_ref()
            .map(|cells| Model::fit(&matrix(cells), None, Effort::STUDY));
        let rich = with.as_ref().map(|with| {
            views
                .each_ref()
                .map(|cells| Model::fit(&matrix(cells), Some(with), Effort::STUDY))
        });
        let every: Vec<usize> = (0..others.len()).collect();
        for target in (0..grid.cells.len()).filter(|row| grid.families[*row] == family) {
            let pair = |at: usize| {
                let other = others[at];
                grid.cells[target][other].zip(grid.cells[other][target])
            };
            let valid: Vec<usize> = every
                .iter()
                .copied()
                .filter(|at| pair(*at).is_some())
                .collect();
            for (setting, k) in KNOWN
                .into_iter()
                .enumerate()
                .filter(|(_, k)| valid.len() > *k)
            {
                for seed in 0..u64::from(seeds) {
                    let salt = 100_000 * seed + 1_000 * k as u64 + target as u64;
                    let kept = Chance::new(salt).some(&valid, k);
                    let own: Vec<(usize, f64)> = kept
                        .iter()
                        .filter_map(|at| Some((*at, pair(*at)?.0)))
                        .collect();
                    let theirs: Vec<(usize, f64)> = kept
                        .iter()
                        .filter_map(|at| Some((*at, pair(*at)?.1)))
                        .collect();
                    let cells = [&own, &theirs];
                    let mut told = vec![
                        (0, both(|at| additive[at].row(cells[at]))),
                        (1, both(|at| nearest(&views[at], &additive[at], cells[at]))),
                    ];
                    if k == 3 && seed < FEW {
                        let mut full = views[0].clone();
                        full.iter_mut().for_each(|row| row.push(None));
                        theirs
                            .iter()
                            .for_each(|(at, log)| full[*at][others.len()] = Some(*log));
                        let mut last = vec![None; others.len() + 1];
                        own.iter().for_each(|(at, log)| last[*at] = Some(*log));
                        full.push(last);
                        for (at, way) in [(2, Way::Als), (3, Way::Soft)] {
                            let full = complete(&full, way, RIDGE, seed);
                            let n = others.len();
                            let told_by = Both {
                                own: every.iter().map(|c| full[(n, *c)]).collect(),
                                theirs: every.iter().map(|c| full[(*c, n)]).collect(),
                                deviations: None,
                            };
                            told.push((at, told_by));
                        }
                    }
                    let of = Some(grid.features[target].as_slice()).filter(|f| !f.is_empty());
                    told.push((4, learned(&plain, cells, None, &every)));
                    if let Some(rich) = &rich {
                        told.push((5, learned(rich, cells, of, &every)));
                    }
                    for (at, told) in told {
                        let tally = &mut all[setting][at];
                        for c in valid.iter().copied().filter(|c| !kept.contains(c)) {
                            let Some((own, theirs)) = pair(c) else {
                                continue;
                            };
                            let deviations = told.deviations.as_ref();
                            tally.cell(told.own[c], deviations.map(|d| d.0[c]), own);
                            tally.cell(told.theirs[c], deviations.map(|d| d.1[c]), theirs);
                            tally.least(told.own[c].min(told.theirs[c]), own.min(theirs));
                        }
                    }
                }
            }
        }
    }
    let settings = KNOWN.into_iter().zip(all);
    settings
        .flat_map(|(k, all)| rows(grid, "I2", &format!("k={k}"), all))
        .collect()
}

fn both(of: impl Fn(usize) -> Vec<f64>) -> Both {
    Both {
        own: of(0),
        theirs: of(1),
        deviations: None,
    }
}

fn learned(
    models: &[Model; 2],
    cells: [&Vec<(usize, f64)>; 2],
    features: Option<&[f64]>,
    every: &[usize],
) -> Both {
    let [own, theirs] = [0, 1].map(|at| {
        models[at]
            .predict(&seen(cells[at]), features, every, None)
            .0
    });
    let deviation = |all: &[starling_placement::learn::Estimate]| {
        all.iter()
            .map(|e| libm::sqrt(e.variance))
            .collect::<Vec<f64>>()
    };
    Both {
        deviations: Some((deviation(&own), deviation(&theirs))),
        own: own.iter().map(|e| e.mean).collect(),
        theirs: theirs.iter().map(|e| e.mean).collect(),
    }
}
