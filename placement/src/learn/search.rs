//! How strongly to believe each part of the model: by cells that are held out.

use nalgebra::DMatrix;

use super::EIGHTY;
use super::features::Kernel;
use super::fill::{Filled, fill};
use super::floor::Floor;
use super::gauss::Gauss;
use super::matrix::Matrix;
use super::model::{Caution, Effort, Estimate, Seen, blend, mixed};

/// Parts into which the reference rows are held out. Neighbours in the order of the rows, which is
/// that of names, leave together: they are often variants of one program.
const FOLDS: usize = 5;
/// How many cells of a row are shown in a trial.
const SHOWN: [usize; 4] = [1, 2, 3, 5];
/// The most cells that are judged in a trial.
const JUDGED: usize = 32;
/// Degrees of freedom of the likelihood (Student's t), so that one wild cell does not decide.
const FREEDOM: f64 = 4.0;
/// Degrees of freedom of a reference row's spread: wild rows shape the covariance less.
const WILD: f64 = 3.0;
/// Rows whose worth of evidence a difference in the mean likelihood has: below the number of rows,
/// since rows resemble each other.
const EVIDENCE: f64 = 0.5;
/// Variants that are this much less likely than the best are left out.
const UNLIKELY: f64 = 0.1;

/// What a variant is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Variant {
    /// Whether the level of a row tells about its shape.
    levels: bool,
    /// Whether features are used.
    features: bool,
    /// How far the covariance is drawn to its diagonal: 0 not, 1 all.
    shrink: f64,
    /// The noise of a measurement, in mean variances.
    noise: f64,
    /// How far parts of the mixture are from the mean: 0 one Gaussian, 1 the rows themselves.
    apart: f64,
    /// Whether a cell that disagrees with the others is believed less.
    wary: bool,
}

/// The reference rows as a variant reads them.
struct View {
    levels: bool,
    rows: DMatrix<f64>,
    unsure: DMatrix<f64>,
    weights: Vec<f64>,
    mean: Vec<f64>,
    /// What features tell of each row; empty without.
    told: DMatrix<f64>,
    kernel: Option<Kernel>,
    dual: DMatrix<f64>,
    wide: f64,
    prior: f64,
    /// Mean, covariance and rows without each fold; the last one with all.
    without: Vec<Moments>,
}

/// A mean, a covariance and the rows that they are of.
struct Moments {
    mean: Vec<f64>,
    square: DMatrix<f64>,
    rows: DMatrix<f64>,
}

/// A chosen variant, ready to predict.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Its weight; all sum to 1.
    pub(super) weight: f64,
    /// The mixture.
    pub(super) gauss: Gauss,
    /// What features tell, with the weights of rows.
    pub(super) kernel: Option<(Kernel, DMatrix<f64>)>,
}

struct Trial {
    row: usize,
    fold: usize,
    seen: Vec<Seen>,
    judged: Vec<usize>,
    truth: Vec<f64>,
}

struct Scored {
    variant: Variant,
    /// The mean of the negative logarithms of the likelihood.
    loss: f64,
    estimates: Vec<Vec<Estimate>>,
}

/// SplitMix64 (Steele, Lea, Flood, 2014): which cells are shown looks random and is always the same.
fn mixed_up(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[allow(clippy::cast_precision_loss)]
fn moments(view: &View, keep: &[usize]) -> Moments {
    let width = view.rows.ncols();
    let all: f64 = keep.iter().map(|row| view.weights[*row]).sum();
    let mut off = vec![0.0; width];
    for (column, off) in off.iter_mut().enumerate() {
        let sum = keep
            .iter()
            .map(|row| view.weights[*row] * view.rows[(*row, column)]);
        *off = sum.sum::<f64>() / all;
    }
    let rows = DMatrix::from_fn(keep.len(), width, |at, column| {
        view.rows[(keep[at], column)] - off[column]
    });
    let weighted = DMatrix::from_fn(keep.len(), width, |at, column| {
        view.weights[keep[at]] * rows[(at, column)]
    });
    let share = keep.len() as f64 / view.rows.nrows() as f64;
    let square = (rows.tr_mul(&weighted) + &view.unsure * share) / all;
    let mean = view.mean.iter().zip(&off).map(|(mean, off)| mean + off);
    Moments {
        mean: mean.collect(),
        square,
        rows,
    }
}

#[allow(clippy::cast_precision_loss)]
fn robust(rows: &DMatrix<f64>) -> Vec<f64> {
    let n = rows.nrows();
    let width = rows.ncols().max(1) as f64;
    let spread: Vec<f64> = (0..n)
        .map(|row| rows.row(row).iter().map(|v| v * v).sum::<f64>() / width + 1e-12)
        .collect();
    let mut weights = vec![1.0; n];
    for _ in 0..6 {
        let sum: f64 = weights.iter().sum();
        let mean = weights.iter().zip(&spread).map(|(w, s)| w * s).sum::<f64>() / sum;
        for (weight, spread) in weights.iter_mut().zip(&spread) {
            *weight = (WILD + 1.0) / (WILD + spread / mean);
        }
    }
    weights
}

fn view(filled: Filled, levels: bool, kernel: Option<Kernel>, floor: &Floor) -> View {
    let (told, dual) = match &kernel {
        Some(kernel) => (kernel.left_out(&filled.rows), kernel.dual(&filled.rows)),
        None => (DMatrix::zeros(0, 0), DMatrix::zeros(0, 0)),
    };
    let rows = if kernel.is_some() {
        &filled.rows - &told
    } else {
        filled.rows
    };
    let n = rows.nrows();
    let mut view = View {
        levels,
        weights: robust(&rows),
        rows,
        unsure: filled.unsure,
        mean: filled.mean,
        told,
        kernel,
        dual,
        wide: if levels { 0.0 } else { floor.wide() },
        prior: if levels { 0.0 } else { floor.level_variance },
        without: Vec::new(),
    };
    for fold in 0..=FOLDS {
        let keep: Vec<usize> = (0..n).filter(|row| fold_of(*row, n) != fold).collect();
        let moments = moments(&view, &keep);
        view.without.push(moments);
    }
    view
}

fn fold_of(row: usize, n: usize) -> usize {
    (row * FOLDS) / n.max(1)
}

#[allow(clippy::cast_precision_loss)]
fn gauss(view: &View, moments: &Moments, variant: Variant) -> Gauss {
    let n = moments.rows.nrows() as f64;
    let mean = moments.square.diagonal().mean();
    let mut covariance = &moments.square * (1.0 - variant.shrink);
    for at in 0..covariance.nrows() {
        let own = (moments.square[(at, at)] * n + 3.0 * mean) / (n + 3.0);
        covariance[(at, at)] = own + variant.noise * mean + 1e-10;
    }
    // What the spread of the parts explains is not in each of them again.
    covariance *= 1.0 - variant.apart * variant.apart;
    Gauss {
        mean: moments.mean.clone(),
        covariance,
        centres: (variant.apart > 0.0).then(|| &moments.rows * variant.apart),
        level: view.wide,
        wary: variant.wary,
        prior_level: view.prior,
    }
}

/// The search over variants.
struct Search<'a> {
    views: Vec<View>,
    trials: &'a [Trial],
    scored: Vec<Scored>,
}

impl Search<'_> {
    fn view(&self, variant: Variant) -> Option<&View> {
        self.views
            .iter()
            .find(|view| view.levels == variant.levels && view.kernel.is_some() == variant.features)
    }

    #[allow(clippy::cast_precision_loss)]
    fn score(&self, variant: Variant) -> Option<Scored> {
        let view = self.view(variant)?;
        let parts: Vec<Gauss> = view.without[..FOLDS]
            .iter()
            .map(|moments| gauss(view, moments, variant))
            .collect();
        let mut total = 0.0;
        let mut estimates = Vec::with_capacity(self.trials.len());
        for trial in self.trials {
            let told: Option<Vec<f64>> = variant
                .features
                .then(|| view.told.row(trial.row).iter().copied().collect());
            let part = &parts[trial.fold];
            let given = part.condition(told.as_deref(), &trial.seen, &trial.judged, None);
            let each = given.estimates.iter().zip(&trial.truth);
            let each = each.map(|(estimate, truth)| loss(*estimate, *truth));
            total += each.sum::<f64>() / trial.truth.len() as f64;
            estimates.push(given.estimates);
        }
        let loss = total / self.trials.len().max(1) as f64;
        loss.is_finite().then_some(Scored {
            variant,
            loss,
            estimates,
        })
    }

    fn try_out(&mut self, variants: impl IntoIterator<Item = Variant>) {
        for variant in variants {
            if self.scored.iter().all(|scored| scored.variant != variant)
                && let Some(scored) = self.score(variant)
            {
                self.scored.push(scored);
            }
        }
        self.scored.sort_by(|a, b| a.loss.total_cmp(&b.loss));
    }

    fn best(&self) -> Option<Variant> {
        self.scored.first().map(|scored| scored.variant)
    }
}

/// The trials of some reference rows: at most `limit`, spread over the rows.
fn trials(matrix: &Matrix, limit: usize) -> Vec<Trial> {
    let n = matrix.rows();
    let mut trials = Vec::new();
    // With many rows each is tried once, with another number of cells than its neighbour.
    let each = (limit / n.max(1)).clamp(1, SHOWN.len());
    let step = n.div_ceil(limit.max(1)).max(1);
    for row in (0..n).step_by(step) {
        let cells: Vec<(usize, f64, f64)> = matrix.row(row).collect();
        for turn in 0..each {
            let shown = SHOWN[(row + turn) % SHOWN.len()];
            if cells.len() <= shown {
                continue;
            }
            let salt = ((row as u64) << 20) ^ ((shown as u64) << 50);
            let mut order = cells.clone();
            order.sort_by_key(|cell| mixed_up(salt ^ cell.0 as u64));
            let seen = order[..shown].iter().map(|(column, log, weight)| Seen {
                column: *column,
                log: *log,
                weight: *weight,
            });
            let judged = &order[shown..order.len().min(shown + JUDGED)];
            trials.push(Trial {
                row,
                fold: fold_of(row, n),
                seen: seen.collect(),
                judged: judged.iter().map(|cell| cell.0).collect(),
                truth: judged.iter().map(|cell| cell.1).collect(),
            });
        }
    }
    trials
}

/// The parts of the model, how much the floor counts, and the factor by which their deviations are corrected.
#[allow(clippy::cast_precision_loss)]
pub(super) fn search(
    matrix: &Matrix,
    floor: &Floor,
    features: Option<&[&[f64]]>,
    effort: Effort,
) -> (Vec<Part>, Caution, f64) {
    let trials = trials(matrix, effort.trials);
    if trials.is_empty() {
        return (Vec::new(), Caution::default(), 1.0);
    }
    let mut views = Vec::new();
    for levels in [false, true] {
        let filled = fill(matrix, floor, levels);
        if let Some(kernel) = features.and_then(Kernel::new) {
            views.push(view(filled.clone(), levels, Some(kernel), floor));
        }
        views.push(view(filled, levels, None, floor));
    }
    let mut search = Search {
        views,
        trials: &trials,
        scored: Vec::new(),
    };
    let plain = Variant {
        levels: false,
        features: false,
        shrink: 1.0,
        noise: 0.0,
        apart: 0.0,
        wary: false,
    };
    let [near, middle, far] = [0.1, 0.3, 0.6];
    search.try_out([false, true].into_iter().flat_map(|levels| {
        [near, middle, far].map(|shrink| Variant {
            levels,
            shrink,
            noise: 0.1,
            ..plain
        })
    }));
    search.try_out([plain]);
    let steps: [fn(Variant) -> Vec<Variant>; 4] = [
        |best| {
            let noises = [0.03, 0.1, 0.3];
            let grid = noises.into_iter().flat_map(|noise| {
                [0.0, 0.6, 0.85].map(|apart| Variant {
                    noise,
                    apart,
                    ..best
                })
            });
            grid.collect()
        },
        |best| {
            vec![Variant {
                features: true,
                ..best
            }]
        },
        |best| vec![Variant { wary: true, ..best }],
        |best| {
            let shrinks = [0.05, 0.2, 0.45, 0.8];
            shrinks.map(|shrink| Variant { shrink, ..best }).to_vec()
        },
    ];
    for step in steps {
        if let Some(best) = search.best().filter(|best| best.shrink < 1.0) {
            search.try_out(step(best));
        }
    }
    let Some(least) = search.scored.first().map(|scored| scored.loss) else {
        return (Vec::new(), Caution::default(), 1.0);
    };
    let rows = matrix.rows() as f64;
    let likely = |scored: &Scored| libm::exp((least - scored.loss) * rows * EVIDENCE);
    let chosen: Vec<(&Scored, f64)> = search
        .scored
        .iter()
        .map(|scored| (scored, likely(scored)))
        .filter(|(_, likely)| *likely > UNLIKELY)
        .take(effort.parts)
        .collect();
    let sum: f64 = chosen.iter().map(|(_, likely)| likely).sum();
    let (caution, correction) = corrected(&trials, &chosen, floor);
    let parts = chosen.iter().filter_map(|(scored, likely)| {
        let view = search.view(scored.variant)?;
        let kernel = view
            .kernel
            .clone()
            .map(|kernel| (kernel, view.dual.clone()));
        Some(Part {
            weight: likely / sum,
            gauss: gauss(view, &view.without[FOLDS], scored.variant),
            kernel,
        })
    });
    (parts.collect(), caution, correction)
}

/// Shares of the floor that are tried.
const SHARES: [f64; 5] = [0.0, 0.1, 0.25, 0.5, 1.0];

/// How much farther off a class of a new kind is than one whose like remains in the reference.
const NOVEL: f64 = 1.1;
/// How far the share may be from what is expected.
const SPREAD: f64 = 0.15;

/// How much the floor counts by the number of cells known, and by how much deviations are too small
/// (0.5 to 2.5), both judged by the held-out cells.
fn corrected(trials: &[Trial], chosen: &[(&Scored, f64)], floor: &Floor) -> (Caution, f64) {
    let mut told = Vec::with_capacity(trials.len());
    for (at, trial) in trials.iter().enumerate() {
        let parts = chosen
            .iter()
            .map(|(scored, likely)| (*likely, scored.estimates[at].as_slice()));
        let together = mixed(parts, trial.truth.len());
        told.push((together, floor.predict(&trial.seen, &trial.judged)));
    }
    let mut caution = Caution::default();
    for shown in SHOWN {
        let loss = |share: f64| -> f64 {
            let of = trials
                .iter()
                .zip(&told)
                .filter(|(t, _)| t.seen.len() == shown);
            of.map(|(trial, (together, base))| {
                let cells = together.iter().zip(base).zip(&trial.truth);
                let sum: f64 = cells
                    .map(|((e, base), truth)| loss(blend(*e, *base, share), *truth))
                    .sum();
                #[allow(clippy::cast_precision_loss)]
                let n = trial.truth.len() as f64;
                sum / n
            })
            .sum()
        };
        let losses = SHARES.map(loss);
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        // A few rows cannot choose: their word moves what is expected without them.
        let expected = caution.share(shown);
        let (mut sum, mut all) = (0.0, 0.0);
        for (share, loss) in SHARES.iter().zip(losses) {
            let off = (share - expected) / SPREAD;
            let weight = libm::exp((least - loss) * EVIDENCE - 0.5 * off * off);
            sum += weight * share;
            all += weight;
        }
        if all > 0.0 && all.is_finite() {
            caution.set(shown, sum / all);
        }
    }
    let mut far = Vec::new();
    for (trial, (together, base)) in trials.iter().zip(&told) {
        let share = caution.share(trial.seen.len());
        for ((estimate, base), truth) in together.iter().zip(base).zip(&trial.truth) {
            let estimate = blend(*estimate, *base, share);
            far.push((estimate.mean - truth).abs() / libm::sqrt(estimate.variance));
        }
    }
    far.sort_by(f64::total_cmp);
    let at = far.len() * 4 / 5;
    let off = far
        .get(at)
        .map_or(1.0, |far| NOVEL * (far / EIGHTY).clamp(0.5, 2.5));
    (caution, off)
}

/// The negative logarithm of the likelihood of a truth, but for a constant.
fn loss(estimate: Estimate, truth: f64) -> f64 {
    let off = estimate.mean - truth;
    let square = off * off / estimate.variance;
    0.5 * (FREEDOM + 1.0) * libm::log1p(square / FREEDOM) + 0.5 * libm::log(estimate.variance)
}
