//! Reads what kind of work jobs are, at whose door they arrive, what they need, and services.

use std::time::Duration;

use starling_placement::Resources;

use super::trace::MOST_TASKS;
use super::{Classes, Home, Service, Source};
use crate::scenario::error::ScenarioError;
use crate::scenario::reader::{Table, Value};
use crate::scenario::truth::find;

/// What a task reserves unless the scenario says otherwise: a core.
pub(super) const ONE_CORE: Resources = Resources {
    cpu: 1_000,
    memory: 0,
    disk: 0,
};

pub(super) fn class(
    table: &Table<'_>,
    classes: &[String],
    source: &Source,
) -> Result<Classes, ScenarioError> {
    let Some(value) = table.get("class") else {
        return Ok(Classes::Uniform);
    };
    if value.is_table() {
        let mut weights = vec![0.0; classes.len()];
        for (name, value) in value.any_table()?.entries() {
            let index = find(&value, &name, classes, "class")?;
            weights[index] = value.at_least_zero("a weight such as 3")?;
        }
        if weights.iter().all(|weight| *weight <= 0.0) {
            return Err(value
                .at
                .error("no class has a weight", "write for example { web = 3 }"));
        }
        return Ok(Classes::Weighted(weights));
    }
    match value.text("\"uniform\", \"trace\", the name of a class, or weights")? {
        "uniform" => Ok(Classes::Uniform),
        "trace" => match source {
            Source::Traced {
                classes: Some(_), ..
            } => Ok(Classes::Traced),
            Source::Traced { jobs, .. } => {
                let strange = jobs.iter().find_map(|job| {
                    let class = job.class.as_ref()?;
                    (!classes.contains(class)).then_some(class.as_str())
                });
                Err(value.at.error(
                    strange.map_or_else(
                        || "the trace says no classes".to_owned(),
                        |name| format!("the trace's class `{name}` is not in the truth"),
                    ),
                    "write \"uniform\", or unknown_class = \"skip\" into the trace",
                ))
            }
            _ => Err(value
                .at
                .error("there is no trace", "write \"uniform\" or weights")),
        },
        name => {
            let mut weights = vec![0.0; classes.len()];
            weights[find(&value, name, classes, "class")?] = 1.0;
            Ok(Classes::Weighted(weights))
        }
    }
}

pub(super) fn home(table: &Table<'_>) -> Result<Home, ScenarioError> {
    let Some(value) = table.get("home") else {
        return Ok(Home::Random);
    };
    if value.is_table() {
        let table = value.table(&["zone", "machine"])?;
        return match table.one_of(&["zone", "machine"])? {
            Some(("zone", value)) => {
                let name = value.text("the name of a zone")?.to_owned();
                Ok(Home::Zone(value.at, name))
            }
            Some((_, value)) => {
                let name = value.text("the name of a machine")?.to_owned();
                Ok(Home::Machine(value.at, name))
            }
            None => Err(table.at.error("it names nobody", "write { zone = \"..\" }")),
        };
    }
    match value.text("\"random\", \"weighted\" or the name of a machine")? {
        "random" => Ok(Home::Random),
        "weighted" => Ok(Home::Weighted),
        name => Ok(Home::Machine(value.at.clone(), name.to_owned())),
    }
}

pub(super) fn services(
    table: &Table<'_>,
    classes: &[String],
) -> Result<Vec<Service>, ScenarioError> {
    let keys = ["at", "count", "tasks", "need", "class"];
    let mut services = Vec::new();
    for table in table.tables("services", &keys)? {
        let count = |key: &str| {
            table.get(key).map_or(Ok(1), |value| {
                value
                    .count(1, 100_000)
                    .map(|n| usize::try_from(n).unwrap_or(usize::MAX))
            })
        };
        let class = match table.get("class") {
            Some(value) => find(&value, value.text("the name of a class")?, classes, "class")?,
            None => 0,
        };
        let service = Service {
            at: table
                .get("at")
                .map_or(Ok(Duration::ZERO), |value| value.time())?,
            tasks: count("tasks")?,
            need: table
                .get("need")
                .map_or(Ok(ONE_CORE), |value| need(&value))?,
            need_at: table.place("need"),
            class: u16::try_from(class).unwrap_or(0),
        };
        let copies = count("count")?;
        if (services.len() + copies).saturating_mul(service.tasks) > MOST_TASKS {
            return Err(table.at.error(
                format!("more than {MOST_TASKS} tasks are above the limit"),
                "write fewer",
            ));
        }
        services.extend(std::iter::repeat_n(service, copies));
    }
    Ok(services)
}

pub(super) fn need(value: &Value<'_>) -> Result<Resources, ScenarioError> {
    let table = value.table(&["cpu", "memory", "disk"])?;
    Ok(Resources {
        cpu: table.get("cpu").map_or(Ok(0), |value| value.cpu())?,
        memory: table.get("memory").map_or(Ok(0), |value| value.memory())?,
        disk: table.get("disk").map_or(Ok(0), |value| value.disk())?,
    })
}
