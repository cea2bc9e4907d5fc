//! The tables `[[fault]]`: what goes wrong and when, as the scenario says it. [`super::timeline`]
//! turns it into what a run meets.

use std::time::Duration;

use super::amount;
use super::cluster::Fleet;
use super::dice::Dice;
use super::error::{At, ScenarioError};
use super::reader::{Table, Value};

/// A fault as the scenario says it.
#[derive(Clone, Debug)]
pub(crate) struct FaultSpec {
    pub(crate) at: Duration,
    /// After which it is undone.
    pub(crate) length: Option<Duration>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Crash {
        who: Who,
        tasks: bool,
    },
    Boot {
        who: Who,
    },
    Leave {
        who: Who,
    },
    Pause {
        who: Who,
        length: Duration,
    },
    /// From one side to the other, which is everybody else if nobody is named.
    Cut {
        who: Who,
        to: Option<Who>,
        one_way: bool,
    },
    Heal,
    Loss(f64),
    SlowDisk {
        who: Who,
        factor: f64,
    },
    Lie {
        who: Who,
        on: bool,
    },
    Foreign {
        who: Who,
        cpu: u32,
    },
    CentreDies,
    CentreReturns,
}

/// Some machines.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    at: At,
    choice: Choice,
}

#[derive(Clone, Debug)]
enum Choice {
    All,
    Named(Vec<(At, Name)>),
    Share(f64),
    Count(usize),
    Zone(String),
    Group(String),
}

#[derive(Clone, Debug)]
enum Name {
    Text(String),
    Index(usize),
}

const KINDS: [&str; 12] = [
    "crash",
    "boot",
    "leave",
    "pause",
    "cut",
    "heal",
    "loss",
    "slow-disk",
    "lie",
    "foreign",
    "centre-dies",
    "centre-returns",
];

const WHO: [&str; 5] = ["machines", "share", "count", "zone", "group"];

/// All keys that any kind has.
const KEYS: [&str; 15] = [
    "at", "kind", "for", "machines", "share", "count", "zone", "group", "to", "tasks", "one_way",
    "loss", "factor", "on", "cpu",
];

/// Reads all faults of a scenario.
pub(crate) fn read(root: &Table<'_>) -> Result<Vec<FaultSpec>, ScenarioError> {
    root.tables("fault", &KEYS)?.iter().map(one).collect()
}

fn one(table: &Table<'_>) -> Result<FaultSpec, ScenarioError> {
    let at = table.need("at", "when, for example at = \"30s\"")?.time()?;
    let name = table.need("kind", "kind = \"crash\"")?;
    let kind = name.text("\"crash\"")?;
    let (some, undone, own): (bool, bool, &[&str]) = match kind {
        "crash" => (true, true, &["tasks"]),
        "leave" => (true, true, &[]),
        "boot" => (true, false, &[]),
        "pause" => (true, true, &[]),
        "cut" => (true, true, &["to", "one_way"]),
        "loss" => (false, true, &["loss"]),
        "slow-disk" => (true, true, &["factor"]),
        "lie" => (true, true, &["on"]),
        "foreign" => (true, true, &["cpu"]),
        "centre-dies" => (false, true, &[]),
        "heal" | "centre-returns" => (false, false, &[]),
        _ => {
            return Err(name.at.error(
                format!("there is no kind of fault `{kind}`"),
                amount::instead(kind, KINDS),
            ));
        }
    };
    let mut keys = vec!["at", "kind"];
    keys.extend(own);
    if some {
        keys.extend(WHO);
    }
    if undone {
        keys.push("for");
    }
    let table = table.clone().only(&keys)?;
    let flag = |key: &str, default| table.get(key).map_or(Ok(default), |value| value.flag());
    let length = table.get("for").map(|value| value.time()).transpose()?;
    let who = || Who::read(&table);
    let kind = match kind {
        "crash" => Kind::Crash {
            who: who()?,
            tasks: flag("tasks", true)?,
        },
        "boot" => Kind::Boot { who: who()? },
        "leave" => Kind::Leave { who: who()? },
        "pause" => Kind::Pause {
            who: who()?,
            length: table
                .need("for", "how long, for example for = \"20s\"")?
                .time()?,
        },
        "cut" => Kind::Cut {
            who: Who::some(&table)?,
            to: table
                .table("to", &WHO)?
                .map(|table| Who::read(&table))
                .transpose()?,
            one_way: flag("one_way", false)?,
        },
        "loss" => Kind::Loss(
            table
                .need("loss", "the share of frames, loss = 0.2")?
                .share()?,
        ),
        "slow-disk" => {
            let value = table.need("factor", "how much slower, factor = 20")?;
            let factor = value.above_zero("a factor such as 20")?;
            Kind::SlowDisk {
                who: who()?,
                factor,
            }
        }
        "lie" => Kind::Lie {
            who: who()?,
            on: flag("on", true)?,
        },
        "foreign" => Kind::Foreign {
            who: who()?,
            cpu: table.need("cpu", "how much, cpu = 2")?.some_cpu()?,
        },
        "heal" => Kind::Heal,
        "centre-dies" => Kind::CentreDies,
        _ => Kind::CentreReturns,
    };
    // A pause ends by itself.
    let length = match kind {
        Kind::Pause { .. } => None,
        _ => length,
    };
    Ok(FaultSpec { at, length, kind })
}

impl Who {
    /// Reads which machines a table means; all of them if it does not say.
    pub(crate) fn read(table: &Table<'_>) -> Result<Self, ScenarioError> {
        let Some((key, value)) = table.one_of(&WHO)? else {
            return Ok(Self {
                at: table.at.clone(),
                choice: Choice::All,
            });
        };
        let name = |value: &Value<'_>| value.text("a name").map(str::to_owned);
        let choice = match key {
            "share" => Choice::Share(value.share()?),
            "count" => {
                let count = value.count(1, u64::from(super::cluster::MOST_MACHINES))?;
                Choice::Count(usize::try_from(count).unwrap_or(usize::MAX))
            }
            "zone" => Choice::Zone(name(&value)?),
            "group" => Choice::Group(name(&value)?),
            _ => {
                let list = value.list()?;
                if list.is_empty() {
                    return Err(value.wrong("is empty", "name at least one machine"));
                }
                let one = |value: &Value<'_>| {
                    let name = if value.is_text() {
                        Name::Text(name(value)?)
                    } else {
                        let index = value.count(0, u64::from(u32::MAX))?;
                        Name::Index(usize::try_from(index).unwrap_or(usize::MAX))
                    };
                    Ok((value.at.clone(), name))
                };
                Choice::Named(list.iter().map(one).collect::<Result<_, _>>()?)
            }
        };
        Ok(Self {
            at: value.at,
            choice,
        })
    }

    /// Reads which machines a table means, which must say so.
    pub(crate) fn some(table: &Table<'_>) -> Result<Self, ScenarioError> {
        let who = Self::read(table)?;
        if matches!(who.choice, Choice::All) {
            return Err(table.at.error(
                "it does not say who is cut off",
                format!("write one of {}", WHO.join(", ")),
            ));
        }
        Ok(who)
    }

    /// The machines' indices in order; chance decides where only a number was given.
    pub(crate) fn resolve(
        &self,
        fleet: &Fleet,
        dice: &mut Dice,
    ) -> Result<Vec<u32>, ScenarioError> {
        let n = fleet.machines.len();
        let that = |wanted: &dyn Fn(usize) -> bool| (0..n).filter(|i| wanted(*i)).collect();
        let mut found: Vec<usize> = match &self.choice {
            Choice::All => (0..n).collect(),
            Choice::Share(share) => some(n, part(n, *share), dice),
            Choice::Count(count) if *count > n => {
                return Err(self.at.error(
                    format!("there are only {n} machines, not {count}"),
                    "name fewer, or a share",
                ));
            }
            Choice::Count(count) => some(n, *count, dice),
            Choice::Zone(name) => {
                let zone = fleet.zones.iter().position(|zone| zone == name);
                that(&|i| zone == Some(usize::from(fleet.machines[i].zone)))
            }
            Choice::Group(name) => that(&|i| fleet.groups[i].as_ref() == Some(name)),
            Choice::Named(names) => {
                let mut found = Vec::new();
                for (at, name) in names {
                    found.push(index(fleet, at, name)?);
                }
                found
            }
        };
        if found.is_empty() {
            let (what, known): (_, Vec<&str>) = match &self.choice {
                Choice::Zone(name) => (
                    format!("there is no machine in a zone `{name}`"),
                    fleet.zones.iter().map(String::as_str).collect(),
                ),
                Choice::Group(name) => {
                    let mut known: Vec<&str> =
                        fleet.groups.iter().flatten().map(String::as_str).collect();
                    known.dedup();
                    (format!("there is no machine in a group `{name}`"), known)
                }
                _ => ("there is no such machine".to_owned(), Vec::new()),
            };
            let name = match &self.choice {
                Choice::Zone(name) | Choice::Group(name) => name.as_str(),
                _ => "",
            };
            return Err(self.at.error(what, amount::instead(name, known)));
        }
        found.sort_unstable();
        found.dedup();
        Ok(found
            .into_iter()
            .filter_map(|i| u32::try_from(i).ok())
            .collect())
    }
}

fn index(fleet: &Fleet, at: &At, name: &Name) -> Result<usize, ScenarioError> {
    let n = fleet.machines.len();
    match name {
        Name::Index(index) if *index < n => Ok(*index),
        Name::Index(index) => Err(at.error(
            format!("there is no machine {index}"),
            format!("write a number from 0 to {}", n.saturating_sub(1)),
        )),
        Name::Text(name) => fleet
            .machines
            .iter()
            .position(|machine| machine.name == *name)
            .ok_or_else(|| {
                let known = fleet.machines.iter().map(|machine| machine.name.as_str());
                at.error(
                    format!("there is no machine `{name}`"),
                    amount::instead(name, known),
                )
            }),
    }
}

/// `count` of the first `n` numbers.
fn some(n: usize, count: usize, dice: &mut Dice) -> Vec<usize> {
    let mut all: Vec<usize> = (0..n).collect();
    dice.shuffle(&mut all, count);
    all.truncate(count);
    all
}

/// A share of `n`, at least one unless the share is nothing.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
fn part(n: usize, share: f64) -> usize {
    if share <= 0.0 {
        return 0;
    }
    ((n as f64 * share).round() as usize).clamp(1, n)
}
