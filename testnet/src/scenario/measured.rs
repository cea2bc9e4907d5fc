//! Truths from files of measurements: co-run throughputs in Gavel's form, and durations of
//! functions on node types in Dodoor's. The files are read by path and are no part of the project.

use std::path::{Path, PathBuf};

use super::error::{At, ScenarioError};
use super::sheet::Sheet;
use crate::truth::{Contention, Truth};

/// Reads `gavel_pairs.csv`, or the directory it lies in, one campaign of it.
///
/// Platforms are GPU types, classes are jobs. A job's speed on a platform is its throughput alone
/// there over that on its best; beside another it keeps the measured share, and 0 where the two
/// together run out of memory or were not measured.
pub(crate) fn gavel(at: &At, path: &Path, campaign: &str) -> Result<Truth, ScenarioError> {
    let path: PathBuf = if path.is_dir() {
        path.join("gavel_pairs.csv")
    } else {
        path.to_owned()
    };
    let sheet = Sheet::open(at, &path)?;
    let column = |name| sheet.column(name);
    let (of, gpu) = (column("campaign")?, column("gpu")?);
    let jobs = [column("job1")?, column("job2")?];
    let alone = [column("iso1")?, column("iso2")?];
    let shares = [column("norm1")?, column("norm2")?];
    let together = column("colocatable")?;

    let mut names = Names::default();
    let mut cells = Vec::new();
    let mut seen = Names::default();
    sheet.each(|row| {
        seen.index(row.text(of));
        if row.text(of) != campaign {
            return Ok(true);
        }
        let platform = names.platform(row.text(gpu));
        let pair = jobs.map(|job| names.index(row.text(job)));
        let speeds = [row.number(alone[0])?, row.number(alone[1])?];
        let keeps = if row.number(together)? > 0.0 {
            [row.number(shares[0])?, row.number(shares[1])?]
        } else {
            [0.0; 2]
        };
        cells.push((platform, pair, speeds, keeps));
        Ok(true)
    })?;
    if cells.is_empty() {
        let known = seen.classes.join(", ");
        return Err(at.error_within(
            &path,
            None,
            format!("it has no campaign `{campaign}`"),
            format!("set `campaign` to one of {known}"),
        ));
    }
    let (n, m) = (names.classes.len(), names.platforms.len());
    let mut speed = vec![vec![0.0; m]; n];
    let mut keeps = vec![vec![vec![0.0; n]; n]; m];
    for (platform, [a, b], speeds, shares) in cells {
        speed[a][platform] = speeds[0];
        speed[b][platform] = speeds[1];
        keeps[platform][a][b] = f64::min(shares[0], 1.0);
        keeps[platform][b][a] = f64::min(shares[1], 1.0);
    }
    normalise(&mut speed);
    Ok(Truth {
        platforms: names.platforms,
        classes: names.classes,
        speed,
        contention: Contention::Pairs { keeps },
        noise: 0.0,
    })
}

/// Reads `functionbench_nodes.csv`: classes are functions by size, platforms are node types, and
/// speed is the shortest duration over the duration.
pub(crate) fn functionbench(at: &At, path: &Path) -> Result<Truth, ScenarioError> {
    let sheet = Sheet::open(at, path)?;
    let function = sheet.column("workload")?;
    let node = sheet.column("node_type")?;
    let duration = sheet.column("duration_ms")?;
    let mut names = Names::default();
    let mut cells = Vec::new();
    sheet.each(|row| {
        let millis = row.number(duration)?;
        if millis <= 0.0 {
            return Err(row.error(
                "duration_ms: 0 is no duration",
                "write milliseconds above 0",
            ));
        }
        let platform = names.platform(row.text(node));
        cells.push((names.index(row.text(function)), platform, 1.0 / millis));
        Ok(true)
    })?;
    if cells.is_empty() {
        let remedy = "it needs a row per function and node type";
        return Err(at.error_within(path, None, "it has no rows", remedy));
    }
    let mut speed = vec![vec![0.0; names.platforms.len()]; names.classes.len()];
    for (class, platform, cell) in cells {
        speed[class][platform] = cell;
    }
    normalise(&mut speed);
    Ok(Truth {
        platforms: names.platforms,
        classes: names.classes,
        speed,
        contention: Contention::None,
        noise: 0.0,
    })
}

/// Names in the order in which they came.
#[derive(Default)]
struct Names {
    classes: Vec<String>,
    platforms: Vec<String>,
}

impl Names {
    fn index(&mut self, class: &str) -> usize {
        position(&mut self.classes, class)
    }

    fn platform(&mut self, platform: &str) -> usize {
        position(&mut self.platforms, platform)
    }
}

fn position(names: &mut Vec<String>, name: &str) -> usize {
    names
        .iter()
        .position(|other| other == name)
        .unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        })
}

/// Each class's best platform gets speed 1.
fn normalise(speed: &mut [Vec<f64>]) {
    for row in speed {
        let best = row.iter().copied().fold(0.0, f64::max);
        if best > 0.0 {
            row.iter_mut().for_each(|x| *x /= best);
        }
    }
}
