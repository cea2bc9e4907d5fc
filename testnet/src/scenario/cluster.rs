//! The table `[cluster]`: groups of machines, or a file of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use starling_placement::Resources;

use super::amount;
use super::dice::{Dice, Purpose};
use super::error::{At, ScenarioError};
use super::reader::{Table, Value};
use super::sheet::Sheet;
use super::truth::{TruthSpec, find};
use crate::case::Machine;

/// The most machines of a scenario.
pub const MOST_MACHINES: u32 = 100_000;

/// The checked table.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    at: At,
    groups: Vec<Group>,
    /// How many machines each group has unless somebody asks for another number.
    counts: Vec<u32>,
    /// The groups are the rows of a file: fewer machines are a random choice of them.
    from_file: bool,
    /// How many rows of the file are wanted.
    rows: Option<u32>,
    /// Names of zones in the order in which they are first named.
    pub(crate) zones: Vec<String>,
    /// Names of platforms; the truth's, if it has any.
    pub(crate) platforms: Vec<String>,
}

/// Machines that are alike.
#[derive(Clone, Debug)]
struct Group {
    at: At,
    /// What its machines are called, before their number.
    name: Option<String>,
    /// Its machines are dealt over these in turn.
    platforms: Vec<u16>,
    zones: Vec<u16>,
    capacity: Resources,
    labels: Vec<(String, String)>,
    nat: bool,
    liar: bool,
    foreign_cpu: u32,
    clock_rate: (f64, f64),
    clock_ahead: (Duration, Duration),
    sync: (Duration, Duration),
    up: bool,
}

/// The machines of a run.
pub(crate) struct Fleet {
    pub(crate) machines: Vec<Machine>,
    /// Each machine's group, as faults name it.
    pub(crate) groups: Vec<Option<String>>,
    pub(crate) zones: Vec<String>,
}

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

    /// Where the table stands.
    pub(crate) const fn at(&self) -> &At {
        &self.at
    }

    /// How many machines there are by default.
    pub(crate) fn size(&self) -> u32 {
        self.rows.unwrap_or_else(|| self.counts.iter().sum())
    }

    fn read_group(&mut self, group: &Table<'_>, known: bool) -> Result<Group, ScenarioError> {
        let text = |key: &str| group.get(key).map(|value| value.text("a name")).transpose();
        let flag = |key: &str, default| group.get(key).map_or(Ok(default), |value| value.flag());
        let mut labels = Vec::new();
        if let Some(table) = group.get("labels").map(|value| value.any_table()).transpose()? {
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
            Err(value.wrong("is no clock", "write a rate from 0.5 to 2, for example 1.0001"))
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
            foreign_cpu: group.get("foreign_cpu").map_or(Ok(0), |value| value.cpu())?,
            clock_rate,
            clock_ahead: bounds(group, "clock_ahead", zero, |value| value.time())?,
            sync: bounds(group, "sync", plain.sync, |value| value.time())?,
            up: flag("up", true)?,
        })
    }

    fn read_platforms(&mut self, group: &Table<'_>, known: bool) -> Result<Vec<u16>, ScenarioError> {
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
        names(&value)?.iter().map(|value| one(self, value)).collect()
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
    fn read_file(&mut self, value: &Value<'_>, path: &Path, known: bool) -> Result<(), ScenarioError> {
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

    /// Counts for another number of machines: each group keeps its part, as near as whole machines
    /// allow.
    fn scaled(&self, nodes: u32) -> Vec<u32> {
        let total: u64 = self.counts.iter().copied().map(u64::from).sum();
        if total == 0 {
            return self.counts.clone();
        }
        deal(nodes, &self.counts.iter().map(|n| u64::from(*n)).collect::<Vec<_>>())
    }

    /// Every row as often as `nodes` allows, and some of them once more by chance.
    fn chosen(&self, nodes: u32, dice: &mut Dice) -> Vec<u32> {
        let rows = self.groups.len();
        let each = nodes as usize / rows;
        let more = nodes as usize % rows;
        let mut order: Vec<usize> = (0..rows).collect();
        dice.shuffle(&mut order, more);
        let mut counts = vec![u32::try_from(each).unwrap_or(u32::MAX); rows];
        for row in order.into_iter().take(more) {
            counts[row] += 1;
        }
        counts
    }

    /// The machines of a run, as many as asked for.
    pub(crate) fn draw(&self, nodes: Option<u32>, seed: u64) -> Result<Fleet, ScenarioError> {
        let mut dice = Dice::new(seed, Purpose::Machines);
        let counts = match nodes.or(self.rows) {
            None => self.counts.clone(),
            Some(nodes) if self.from_file => self.chosen(nodes, &mut dice),
            Some(nodes) => self.scaled(nodes),
        };
        let mut fleet = Fleet {
            machines: Vec::new(),
            groups: Vec::new(),
            zones: self.zones.clone(),
        };
        let mut taken = BTreeSet::new();
        for ((group, count), usual) in self.groups.iter().zip(counts).zip(&self.counts) {
            for i in 0..count {
                let name = match &group.name {
                    None => format!("n{}", fleet.machines.len()),
                    // A machine that is alone by default has no number, however many there are.
                    Some(name) if *usual <= 1 && i == 0 => name.clone(),
                    Some(name) if *usual <= 1 => format!("{name}-{i}"),
                    Some(name) => format!("{name}{i}"),
                };
                if !taken.insert(name.clone()) {
                    return Err(group.at.error(
                        format!("two machines are named `{name}`"),
                        "give each group its own `name`",
                    ));
                }
                fleet.machines.push(group.machine(name, i, &mut dice));
                fleet.groups.push(group.name.clone());
            }
        }
        if fleet.machines.iter().all(|machine| !machine.up) {
            return Err(self.at.error(
                "no machine is up at the start",
                "leave `up = false` out of at least one group",
            ));
        }
        Ok(fleet)
    }
}

impl Group {
    fn machine(&self, name: String, i: u32, dice: &mut Dice) -> Machine {
        let nth = |list: &[u16]| list[i as usize % list.len()];
        let ahead = dice.between(
            self.clock_ahead.0.as_secs_f64(),
            self.clock_ahead.1.as_secs_f64(),
        );
        Machine {
            zone: nth(&self.zones),
            labels: self.labels.clone(),
            nat: self.nat,
            liar: self.liar,
            foreign_cpu: self.foreign_cpu,
            clock_rate: dice.between(self.clock_rate.0, self.clock_rate.1),
            clock_ahead: amount::seconds(ahead).unwrap_or(self.clock_ahead.0),
            sync: self.sync,
            up: self.up,
            ..Machine::new(name, nth(&self.platforms), self.capacity)
        }
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

/// Deals `total` by weights: the largest remainders get what whole parts leave.
fn deal(total: u32, weights: &[u64]) -> Vec<u32> {
    let sum: u128 = weights.iter().copied().map(u128::from).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let part = |weight: &u64| u128::from(total) * u128::from(*weight);
    let mut counts: Vec<u32> = weights
        .iter()
        .map(|weight| u32::try_from(part(weight) / sum).unwrap_or(u32::MAX))
        .collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(part(&weights[*i]) % sum), *i));
    let left = total.saturating_sub(counts.iter().sum());
    for i in order.into_iter().take(left as usize) {
        counts[i] += 1;
    }
    counts
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
    names.iter().position(|other| other == name).unwrap_or_else(|| {
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
