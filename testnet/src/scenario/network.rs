//! The table `[network]`: what lies between the machines.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::amount;
use super::cluster::Cluster;
use super::error::{At, ScenarioError};
use super::reader::{Table, Value};
use super::sheet::Sheet;
use super::truth::find;
use crate::case::{Latency, Network};

/// The most machines of a matrix of round-trip times.
const MOST_SIDE: usize = 5_000;

/// Reads the network and the period of gossip.
pub(crate) fn read(
    root: &Table<'_>,
    cluster: &Cluster,
    base: &Path,
) -> Result<(Network, Duration), ScenarioError> {
    let known = [
        "latency",
        "loss",
        "duplication",
        "reordering",
        "bandwidth",
        "gossip_period",
    ];
    let plain = Network::default();
    let usual = Duration::from_secs(1);
    let Some(table) = root.table("network", &known)? else {
        return Ok((plain, usual));
    };
    let share = |key: &str| table.get(key).map_or(Ok(0.0), |value| value.share());
    let network = Network {
        latency: match table.get("latency") {
            Some(value) => latency(&value, cluster, base)?,
            None => plain.latency,
        },
        loss: share("loss")?,
        duplication: share("duplication")?,
        reordering: share("reordering")?,
        bandwidth: table
            .get("bandwidth")
            .map(|value| value.disk())
            .transpose()?,
    };
    let period = match table.get("gossip_period") {
        None => usual,
        Some(value) => {
            value.seconds()?;
            value.time()?
        }
    };
    Ok((network, period))
}

fn latency(value: &Value<'_>, cluster: &Cluster, base: &Path) -> Result<Latency, ScenarioError> {
    if !value.is_table() {
        return simple(value);
    }
    let table = value.table(&[
        "uniform",
        "median",
        "sigma",
        "within",
        "between",
        "zones",
        "matrix",
        "rtt_matrix",
        "unit",
        "jitter",
    ])?;
    let kinds = ["uniform", "median", "within", "zones", "rtt_matrix"];
    match table.one_of(&kinds)? {
        Some(("within", within)) => {
            let table = table.only(&["within", "between"])?;
            let between = table.need("between", "between = \"20ms\"")?;
            let (within, between) = (simple(&within)?, simple(&between)?);
            let pick = |same: bool| {
                if same {
                    within.clone()
                } else {
                    between.clone()
                }
            };
            let all = 0..cluster.zones.len();
            let row = |from| all.clone().map(|to| pick(from == to)).collect();
            Ok(Latency::Zones(all.clone().map(row).collect()))
        }
        Some(("zones", zones)) => by_zone(&table.only(&["zones", "matrix"])?, &zones, cluster),
        Some(("rtt_matrix", file)) => {
            let table = table.only(&["rtt_matrix", "unit", "jitter"])?;
            let unit = table.get("unit");
            let factor = match unit
                .as_ref()
                .map(|value| value.text("\"ms\" or \"s\""))
                .transpose()?
            {
                None | Some("ms") => 1e-3,
                Some("s") => 1.0,
                Some(_) => {
                    let unit = unit.as_ref().unwrap_or(&file);
                    return Err(unit.wrong("is no unit of the matrix", "write \"ms\" or \"s\""));
                }
            };
            let rtt = matrix(&file.at, &file.path(base)?, factor)?;
            let jitter = table.get("jitter");
            Ok(Latency::Matrix {
                rtt: Arc::new(rtt),
                sigma: jitter.map_or(Ok(0.0), |value| value.at_least_zero("0.1"))?,
            })
        }
        _ => simple(value),
    }
}

/// A latency that is the same for all pairs.
fn simple(value: &Value<'_>) -> Result<Latency, ScenarioError> {
    if !value.is_table() {
        return value.time().map(Latency::Fixed);
    }
    let table = value.table(&["uniform", "median", "sigma"])?;
    match table.one_of(&["uniform", "median"])? {
        Some(("uniform", bounds)) => {
            let [least, most] = bounds.two("two bounds, for example [\"0.1ms\", \"0.6ms\"]")?;
            let (low, high) = (least.time()?, most.time()?);
            if high < low {
                return Err(most.wrong("is below the lower bound", "put the smaller first"));
            }
            Ok(Latency::Uniform(low, high))
        }
        Some((_, median)) => Ok(Latency::LogNormal {
            median: median.time()?,
            sigma: table
                .need(
                    "sigma",
                    "the standard deviation of the logarithm, for example 0.2",
                )?
                .at_least_zero("0.2")?,
        }),
        None => Err(table.at.error(
            "it says no latency",
            "write \"0.5ms\", { uniform = [..] }, { median, sigma }, { within, between }, \
             { zones, matrix } or { rtt_matrix }",
        )),
    }
}

/// A matrix of zones, in the order that the scenario gives.
fn by_zone(
    table: &Table<'_>,
    zones: &Value<'_>,
    cluster: &Cluster,
) -> Result<Latency, ScenarioError> {
    let mut order = Vec::new();
    for zone in zones.list()? {
        let name = zone.text("the name of a zone")?;
        order.push(find(&zone, name, &cluster.zones, "zone")?);
    }
    if let Some(left) = (0..cluster.zones.len()).find(|zone| !order.contains(zone)) {
        return Err(zones.at.error(
            format!("the zone `{}` is missing", cluster.zones[left]),
            "name every zone of the cluster",
        ));
    }
    let value = table.need("matrix", "a row of latencies for each zone")?;
    let rows = value.list()?;
    let right = format!("write {} rows of {} latencies", order.len(), order.len());
    if rows.len() != order.len() {
        return Err(value.wrong("has not a row for each zone", &right));
    }
    let n = cluster.zones.len();
    let mut matrix = vec![vec![Latency::Fixed(Duration::ZERO); n]; n];
    for (row, from) in rows.iter().zip(&order) {
        let cells = row.list()?;
        if cells.len() != order.len() {
            return Err(row.wrong("has not a latency for each zone", &right));
        }
        for (cell, to) in cells.iter().zip(&order) {
            matrix[*from][*to] = simple(cell)?;
        }
    }
    Ok(Latency::Zones(matrix))
}

/// A square of round-trip times. What was not measured gets the row's median; a machine's way to
/// itself, which two machines of one row share, its row's shortest.
fn matrix(at: &At, path: &Path, factor: f64) -> Result<Vec<Vec<Duration>>, ScenarioError> {
    let mut rows: Vec<Vec<Option<f64>>> = Vec::new();
    let mut lines = Vec::new();
    Sheet::open_bare(at, path)?.each(|row| {
        let mut cells = Vec::new();
        for (column, cell) in row.cells().enumerate() {
            let cell = cell.trim();
            let unknown = cell.is_empty() || cell.eq_ignore_ascii_case("nan");
            cells.push(if unknown {
                None
            } else {
                Some(row.parse(column, cell)?)
            });
        }
        if let Some(first) = rows.first()
            && first.len() != cells.len()
        {
            let problem = format!("{} columns where line 1 has {}", cells.len(), first.len());
            return Err(row.cut_short(&problem));
        }
        if rows.len() >= MOST_SIDE {
            return Err(row.error("this is one row too many", "keep to 5000 rows"));
        }
        lines.push(row.line);
        rows.push(cells);
        Ok(true)
    })?;
    let side = rows.first().map_or(0, Vec::len);
    if side == 0 || rows.len() != side {
        return Err(at.error_within(
            path,
            lines.last().copied(),
            format!("{} rows of {side} columns are no square", rows.len()),
            "the file is cut short or damaged: fetch it again",
        ));
    }
    let mut filled = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let mut known: Vec<f64> = (0..side)
            .filter(|j| *j != i)
            .filter_map(|j| row[j])
            .collect();
        known.sort_by(f64::total_cmp);
        let least = known.first().copied().or(row[i]).unwrap_or(0.0);
        let median = known.get(known.len() / 2).copied().unwrap_or(least);
        let cell = |j: usize| {
            let rtt = if i == j {
                least
            } else {
                row[j].unwrap_or(median)
            };
            amount::seconds(rtt * factor).ok_or_else(|| {
                let problem = format!("a round trip of {rtt} is absurdly long");
                at.error_within(path, lines.get(i).copied(), problem, "check `unit`")
            })
        };
        filled.push((0..side).map(cell).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(filled)
}
