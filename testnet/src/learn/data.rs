//! The data sets of the report, in the log domain.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::files::{FileError, Line, Sheet};

/// Classes by columns, with families of classes.
pub(super) struct Grid {
    pub(super) name: &'static str,
    /// The family of each row.
    pub(super) families: Vec<String>,
    /// Natural logarithms; none where nothing was measured.
    pub(super) cells: Vec<Vec<Option<f64>>>,
    /// Features of the rows run alone; empty where there are none.
    pub(super) features: Vec<Vec<f64>>,
}

impl Grid {
    pub(super) fn width(&self) -> usize {
        self.cells.first().map_or(0, Vec::len)
    }

    /// The measured columns of a row.
    pub(super) fn valid(&self, row: usize) -> Vec<usize> {
        let cells = self.cells[row].iter().enumerate();
        cells.filter_map(|(at, cell)| cell.map(|_| at)).collect()
    }

    /// The families, each once.
    pub(super) fn families(&self) -> BTreeSet<&str> {
        self.families.iter().map(String::as_str).collect()
    }
}

type Key = (String, String);

fn grid(name: &'static str, cells: Vec<(Key, String, f64)>, complete: bool) -> Grid {
    let rows: BTreeSet<&Key> = cells.iter().map(|cell| &cell.0).collect();
    let columns: BTreeSet<&String> = cells.iter().map(|cell| &cell.1).collect();
    let rows: BTreeMap<&Key, usize> = rows.into_iter().zip(0..).collect();
    let columns: BTreeMap<&String, usize> = columns.into_iter().zip(0..).collect();
    let mut all = vec![vec![None; columns.len()]; rows.len()];
    for (row, column, log) in &cells {
        all[rows[row]][columns[column]] = Some(*log);
    }
    if complete {
        let full: Vec<bool> = (0..columns.len())
            .map(|at| all.iter().all(|row| row[at].is_some()))
            .collect();
        for row in &mut all {
            let kept = row.iter().zip(&full).filter(|(_, full)| **full);
            *row = kept.map(|(cell, _)| *cell).collect();
        }
    }
    Grid {
        name,
        families: rows.keys().map(|key| key.0.clone()).collect(),
        features: vec![Vec::new(); rows.len()],
        cells: all,
    }
}

/// Where the number of a cell is, and whether it is a speed.
struct Shape {
    name: &'static str,
    file: &'static str,
    row: [&'static str; 2],
    column: &'static [&'static str],
    value: &'static str,
    rate: bool,
    /// Only lines that say this.
    only: Option<(&'static str, &'static str)>,
    /// Only columns that all rows have.
    complete: bool,
}

const SHAPES: [Shape; 6] = [
    Shape {
        name: "lumos",
        file: "lumos_runtime.csv",
        row: ["family", "workload"],
        column: &["cloud", "vm"],
        value: "median_s",
        rate: false,
        only: None,
        complete: false,
    },
    Shape {
        name: "ibm",
        file: "ibm_multicloud.csv",
        row: ["family", "workload"],
        column: &["provider", "config"],
        value: "runtime_s",
        rate: false,
        only: Some(("ok", "1")),
        complete: false,
    },
    Shape {
        name: "spec2006",
        file: "spec2006_cpudb.csv",
        row: ["family", "benchmark"],
        column: &["processor_id", "auto_parallel"],
        value: "spec_ratio_median",
        rate: true,
        only: None,
        complete: true,
    },
    Shape {
        name: "gavel_iso",
        file: "gavel_isolated.csv",
        row: ["family", "job"],
        column: &["gpu", "consolidated", "scale_factor"],
        value: "steps_per_s",
        rate: true,
        only: Some(("campaign", "A")),
        complete: false,
    },
    Shape {
        name: "miso",
        file: "miso_mig.csv",
        row: ["family", "workload"],
        column: &["mig_slice"],
        value: "median_iter_s",
        rate: false,
        only: None,
        complete: false,
    },
    Shape {
        name: "functionbench",
        file: "functionbench_nodes.csv",
        row: ["family", "workload"],
        column: &["node_type"],
        value: "duration_ms",
        rate: false,
        only: None,
        complete: false,
    },
];

/// The matrices of times per platform, those whose name contains `only`.
pub(super) fn platforms(dir: &Path, only: &str) -> Result<Vec<Grid>, FileError> {
    let chosen = SHAPES.iter().filter(|shape| shape.name.contains(only));
    chosen.map(|shape| platform(dir, shape)).collect()
}

fn platform(dir: &Path, shape: &Shape) -> Result<Grid, FileError> {
    let sheet = Sheet::read(&dir.join(shape.file))?;
    let [family, class] = [sheet.column(shape.row[0])?, sheet.column(shape.row[1])?];
    let columns: Result<Vec<usize>, FileError> =
        shape.column.iter().map(|name| sheet.column(name)).collect();
    let (columns, value) = (columns?, sheet.column(shape.value)?);
    let only = match shape.only {
        Some((column, text)) => Some((sheet.column(column)?, text)),
        None => None,
    };
    let mut cells = Vec::new();
    for line in sheet.lines() {
        if only.is_some_and(|(at, text)| line.text(at) != text) || line.text(value).is_empty() {
            continue;
        }
        let value = line.number(value)?;
        if value > 0.0 && value.is_finite() {
            let log = libm::log(value);
            let parts: Vec<&str> = columns.iter().map(|at| line.text(*at)).collect();
            let key = (line.text(family).to_owned(), line.text(class).to_owned());
            cells.push((key, parts.join("/"), if shape.rate { -log } else { log }));
        }
    }
    Ok(grid(shape.name, cells, shape.complete))
}

/// A pair of jobs on one machine.
struct Pair {
    jobs: [Key; 2],
    kept: [f64; 2],
}

fn key(line: &Line<'_>, family: usize, job: usize) -> Key {
    (line.text(family).to_owned(), line.text(job).to_owned())
}

fn square(name: &'static str, pairs: &[Pair]) -> (Grid, BTreeMap<Key, usize>) {
    let jobs: BTreeSet<&Key> = pairs.iter().flat_map(|pair| &pair.jobs).collect();
    let places: BTreeMap<Key, usize> = jobs.into_iter().cloned().zip(0..).collect();
    let mut cells = vec![vec![None; places.len()]; places.len()];
    for pair in pairs
        .iter()
        .filter(|pair| pair.kept.iter().all(|kept| *kept > 0.0))
    {
        let [a, b] = [places[&pair.jobs[0]], places[&pair.jobs[1]]];
        cells[a][b] = Some(libm::log(pair.kept[0]));
        cells[b][a] = Some(libm::log(pair.kept[1]));
    }
    let grid = Grid {
        name,
        families: places.keys().map(|key| key.0.clone()).collect(),
        features: vec![Vec::new(); places.len()],
        cells,
    };
    (grid, places)
}

/// The matrices of what a job keeps of its speed beside another.
pub(super) fn pairs(dir: &Path, only: &str) -> Result<Vec<Grid>, FileError> {
    let mut grids = Vec::new();
    if "lucid".contains(only) {
        grids.push(lucid(dir)?);
    }
    for (name, campaign, gpu) in [("gavel_B_p100", "B", "p100"), ("gavel_A_v100", "A", "v100")] {
        if !name.contains(only) {
            continue;
        }
        let sheet = Sheet::read(&dir.join("gavel_pairs.csv"))?;
        let at = |name: &str| sheet.column(name);
        let (of_campaign, of_gpu, fits) = (at("campaign")?, at("gpu")?, at("colocatable")?);
        let jobs = [(at("family1")?, at("job1")?), (at("family2")?, at("job2")?)];
        let kept = [at("norm1")?, at("norm2")?];
        let mut pairs = Vec::new();
        for line in sheet.lines() {
            let here = line.text(of_campaign) == campaign && line.text(of_gpu) == gpu;
            if here && line.text(fits) == "1" {
                pairs.push(Pair {
                    jobs: jobs.map(|(family, job)| key(&line, family, job)),
                    kept: [line.number(kept[0])?, line.number(kept[1])?],
                });
            }
        }
        grids.push(square(name, &pairs).0);
    }
    Ok(grids)
}

fn lucid(dir: &Path) -> Result<Grid, FileError> {
    let sheet = Sheet::read(&dir.join("lucid_pairs.csv"))?;
    let at = |name: &str| sheet.column(name);
    let jobs = [(at("family1")?, at("w1")?), (at("family2")?, at("w2")?)];
    let kept = [at("norm1")?, at("norm2")?];
    let mut pairs = Vec::new();
    for line in sheet.lines() {
        pairs.push(Pair {
            jobs: jobs.map(|(family, job)| key(&line, family, job)),
            kept: [line.number(kept[0])?, line.number(kept[1])?],
        });
    }
    let (mut grid, places) = square("lucid", &pairs);
    let sheet = Sheet::read(&dir.join("lucid_isolated.csv"))?;
    let (family, job) = (sheet.column("family")?, sheet.column("workload")?);
    let numbers = ["gpu_util_pct", "gmem_util_pct", "gmem_mib", "amp"];
    let numbers: Result<Vec<usize>, FileError> =
        numbers.iter().map(|name| sheet.column(name)).collect();
    let numbers = numbers?;
    for line in sheet.lines() {
        if let Some(at) = places.get(&key(&line, family, job)) {
            let row: Result<Vec<f64>, FileError> =
                numbers.iter().map(|at| line.number(*at)).collect();
            grid.features[*at] = row?;
        }
    }
    Ok(grid)
}
