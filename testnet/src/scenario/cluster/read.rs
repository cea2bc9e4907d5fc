//! Reads and checks the table `[cluster]`.

use std::path::Path;
use std::time::Duration;

use starling_placement::Resources;

use super::super::amount;
use super::super::error::ScenarioError;
use super::super::reader::{Table, Value};
use super::super::sheet::Sheet;
use super::super::truth::{TruthSpec, find};
use super::{Cluster, Group, MOST_MACHINES, deal};
use crate::case::Machine;

const KEYS: [&str; 16] = [
    "count",
    "share",
    "name",
    "platform",
    "cpu",
    "memory",
    "disk",
    "zone",
    "labels",
    "nat",
    "liar",
    "foreign_cpu",
    "clock_rate",
    "clock_ahead",
    "sync",
    "up",
];

/// What a machine has unless the scenario says otherwise.
const PLAIN: Resources = Resources {
    cpu: 4_000,
    memory: 8 << 30,
    disk: 64 << 30,
};

enum Size {
    Count(u32),
    Share(f64),
}

impl Cluster {
    pub(crate) fn read(
        root: &Table<'_>,
        truth: &TruthSpec,
        base: &Path,
    ) -> Result<Self, ScenarioError> {
        let value = root.need("cluster", "a table [cluster] with [[cluster.machines]]")?;
        let table = value.table(&["nodes", "machines", "nodes_from"])?;
        let given = truth.platforms();
        let mut cluster = Self {
            at: table.at.clone(),
            groups: Vec::new(),
            counts: Vec::new(),
            from_file: table.has("nodes_from"),
            rows: None,
            zones: Vec::new(),
            platforms: given.clone().unwrap_or_default(),
        };
        let known = given.is_some();
        let nodes = table.get("nodes");
        let nodes = nodes.map(|value| machines(&value, 1)).transpose()?;
        let mut sizes = Vec::new();
        match table.one_of(&["machines", "nodes_from"])? {
            Some(("nodes_from", value)) => {
                cluster.read_file(&value, &value.path(base)?, known)?;
                sizes.extend(cluster.groups.iter().map(|_| Size::Count(1)));
            }
            Some((_, value)) => {
                for group in value.list()? {
                    let group = group.table(&KEYS)?;
                    sizes.push(size(&group, nodes)?);
                    let group = cluster.read_group(&group, known)?;
                    cluster.groups.push(group);
                }
            }
            None => {}
        }
        if cluster.groups.is_empty() {
            return Err(table.at.error(
                "the cluster is empty",
                "write at least one [[cluster.machines]] with its count",
            ));
        }
        cluster.counts = default_counts(&sizes, nodes);
        if cluster.from_file {
            cluster.rows = nodes;
        } else if let Some(nodes) = nodes {
            cluster.counts = cluster.scaled(nodes);
        }
        let total: u64 = cluster.counts.iter().copied().map(u64::from).sum();
        if total == 0 {
            return Err(table.at.error(
                "the cluster is empty",
                "write a count above 0 in at least one [[cluster.machines]]",
            ));
        }
        if total > u64::from(MOST_MACHINES) {
            return Err(table.at.error(
                format!("{total} machines are above the limit"),
                format!("keep to {MOST_MACHINES} machines"),
            ));
        }
        Ok(cluster)
    }

    fn read_group(&mut self, group: &Table<'_>, known: bool) -> Result<Group, ScenarioError> {
        let text = |key: &str| group.get(key).map(|value| value.text("a name")).transpose();
        let flag = |key: &str, default| group.get(key).map_or(Ok(default), |value| value.flag());
        let mut labels = Vec::new();
        if let Some(table) = group
            .get("labels")
            .map(|value| value.any_table())
            .transpose()?
        {
            for (name, value) in table.entries() {
                labels.push((name, value.text("a text")?.to_owned()));
            }
        }
        let mut capacity = PLAIN;
        if let Some(value) = group.get("cpu") {
            capacity.cpu = value.cpu()?;
        }
        if let Some(value) = group.get("memory") {
            capacity.memory = value.memory()?;
        }
        if let Some(value) = group.get("disk") {
            capacity.disk = value.disk()?;
        }
        let plain = Machine::new(String::new(), 0, capacity);
        let clock_rate = bounds(group, "clock_rate", (1.0, 1.0), |value| {
            let rate = value.above_zero("1.0001")?;
            if (0.5..=2.0).contains(&rate) {
                return Ok(rate);
            }
            Err(value.wrong(
                "is no clock",
                "write a rate from 0.5 to 2, for example 1.0001",
            ))
        })?;
        let zero = (Duration::ZERO, Duration::ZERO);
        Ok(Group {
            at: group.at.clone(),
            name: text("name")?.map(str::to_owned),
            platforms: self.read_platforms(group, known)?,
            zones: self.read_zones(group)?,
            capacity,
            labels,
            nat: flag("nat", false)?,
            liar: flag("liar", false)?,
            foreign_cpu: group
                .get("foreign_cpu")
                .map_or(Ok(0), |value| value.some_cpu())?,
            clock_rate,
            clock_ahead: bounds(group, "clock_ahead", zero, |value| value.time())?,
            sync: bounds(group, "sync", plain.sync, |value| value.time())?,
            up: flag("up", true)?,
        })
    }

    fn read_platforms(
        &mut self,
        group: &Table<'_>,
        known: bool,
    ) -> Result<Vec<u16>, ScenarioError> {
        let Some(value) = group.get("platform") else {
            if known {
                return Ok((0..self.platforms.len()).map(index).collect());
            }
            return Ok(vec![self.platform("any")]);
        };
        let one = |cluster: &mut Self, value: &Value<'_>| {
            let name = value.text("the name of a platform")?;
            if known {
                find(value, name, &cluster.platforms, "platform").map(index)
            } else {
                Ok(cluster.platform(name))
            }
        };
        names(&value)?
            .iter()
            .map(|value| one(self, value))
            .collect()
    }

    fn read_zones(&mut self, group: &Table<'_>) -> Result<Vec<u16>, ScenarioError> {
        let Some(value) = group.get("zone") else {
            return Ok(vec![self.zone("zone0")]);
        };
        let mut zones = Vec::new();
        for value in names(&value)? {
            zones.push(self.zone(value.text("the name of a zone")?));
        }
        Ok(zones)
    }

    fn zone(&mut self, name: &str) -> u16 {
        index(position(&mut self.zones, name))
    }

    fn platform(&mut self, name: &str) -> u16 {
        index(position(&mut self.platforms, name))
    }

    /// Reads machines from a file: one group each, so that a scaled cluster keeps the mix.
    fn read_file(
        &mut self,
        value: &Value<'_>,
        path: &Path,
        known: bool,
    ) -> Result<(), ScenarioError> {
        let sheet = Sheet::open(&value.at, path)?;
        let name = sheet.column("sn")?;
        let cpu = sheet.column("cpu_milli")?;
        let memory = sheet.column("memory_mib")?;
        let model = sheet.column("model")?;
        let zone = self.zone("zone0");
        sheet.each(|row| {
            let model = match row.text(model) {
                "" => "cpu",
                model => model,
            };
            let platform = if !known {
                self.platform(model)
            } else if let Some(i) = self.platforms.iter().position(|name| name == model) {
                index(i)
            } else {
                let known = self.platforms.iter().map(String::as_str);
                let problem = format!("model: there is no platform `{model}`");
                return Err(row.error(&problem, &amount::instead(model, known)));
            };
            let capacity = Resources {
                cpu: whole(row.number(cpu)?),
                memory: u64::from(whole(row.number(memory)?)) << 20,
                disk: PLAIN.disk,
            };
            if capacity.cpu == 0 {
                return Err(row.error("cpu_milli: it has no CPU", "write millicores above 0"));
            }
            if self.groups.len() >= MOST_MACHINES as usize {
                return Err(row.error(
                    "this is one machine too many",
                    &format!("keep to {MOST_MACHINES} machines"),
                ));
            }
            let plain = Machine::new(String::new(), platform, capacity);
            self.groups.push(Group {
                at: value.at.clone(),
                name: Some(row.text(name).to_owned()),
                platforms: vec![platform],
                zones: vec![zone],
                capacity,
                labels: vec![("model".to_owned(), model.to_owned())],
                nat: false,
                liar: false,
                foreign_cpu: 0,
                clock_rate: (1.0, 1.0),
                clock_ahead: (Duration::ZERO, Duration::ZERO),
                sync: plain.sync,
                up: true,
            });
            Ok(true)
        })
    }
}

fn machines(value: &Value<'_>, least: u64) -> Result<u32, ScenarioError> {
    let count = value.count(least, u64::from(MOST_MACHINES))?;
    Ok(u32::try_from(count).unwrap_or(MOST_MACHINES))
}

fn size(group: &Table<'_>, nodes: Option<u32>) -> Result<Size, ScenarioError> {
    match group.one_of(&["count", "share"])? {
        None => Ok(Size::Count(1)),
        Some(("share", value)) if nodes.is_none() => Err(value.at.error(
            "a share of how many?",
            "write `nodes = 100` into [cluster], or a `count` here",
        )),
        Some(("share", value)) => value.share().map(Size::Share),
        Some((_, value)) => machines(&value, 0).map(Size::Count),
    }
}

/// Counts as they stand, and what they leave of `nodes` dealt by the shares.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn default_counts(sizes: &[Size], nodes: Option<u32>) -> Vec<u32> {
    let fixed: u32 = sizes
        .iter()
        .map(|size| match size {
            Size::Count(count) => *count,
            Size::Share(_) => 0,
        })
        .fold(0, u32::saturating_add);
    let weights: Vec<u64> = sizes
        .iter()
        .map(|size| match size {
            Size::Count(_) => 0,
            Size::Share(share) => (share * 1e9) as u64,
        })
        .collect();
    let dealt = deal(nodes.unwrap_or(0).saturating_sub(fixed), &weights);
    sizes
        .iter()
        .zip(dealt)
        .map(|(size, dealt)| match size {
            Size::Count(count) => *count,
            Size::Share(_) => dealt,
        })
        .collect()
}

/// One value, or two bounds of it.
fn bounds<T: Copy + PartialOrd>(
    table: &Table<'_>,
    key: &str,
    default: (T, T),
    read: impl Fn(&Value<'_>) -> Result<T, ScenarioError>,
) -> Result<(T, T), ScenarioError> {
    let Some(value) = table.get(key) else {
        return Ok(default);
    };
    if !value.is_list() {
        let one = read(&value)?;
        return Ok((one, one));
    }
    let [least, most] = value.two("one value or two bounds")?;
    let (low, high) = (read(&least)?, read(&most)?);
    if high < low {
        return Err(most.wrong("is below the lower bound", "put the smaller first"));
    }
    Ok((low, high))
}

/// One text or a list of them, not empty.
fn names<'a>(value: &Value<'a>) -> Result<Vec<Value<'a>>, ScenarioError> {
    if !value.is_list() {
        return Ok(vec![value.clone()]);
    }
    let list = value.list()?;
    if list.is_empty() {
        return Err(value.wrong("is empty", "write at least one name"));
    }
    Ok(list)
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

fn index(i: usize) -> u16 {
    u16::try_from(i).unwrap_or(u16::MAX)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> u32 {
    number.round() as u32
}
