//! Feasibility: whether a node may run a task at all, now or ever, and if not, why.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::classes::{ClassId, Mix};
use crate::compact::{bytes, mebi};
use crate::constraint::Constraint;
use crate::resources::{Pressure, Resources};

/// What one task of a job asks of its node.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// What it reserves.
    pub resources: Resources,
    /// Conditions on the node's labels.
    pub constraints: &'a [Constraint],
    /// What is known of it by experience; [`ClassId::default`] for nothing.
    pub class: ClassId,
}

/// What seldom changes about a node, as far as placement cares.
#[derive(Clone, Copy, Debug)]
pub struct NodeFacts<'a> {
    /// What it can give to tasks in all.
    pub capacity: Resources,
    /// Its labels, `arch`, `os` and `name` among them.
    pub labels: &'a BTreeMap<String, String>,
    /// Its hardware class.
    pub platform: &'a str,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands it over by reference.
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// How loaded a node is, by its own word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeLoad {
    /// What is not reserved by tasks.
    #[serde(rename = "f", with = "mebi")]
    pub free: Resources,
    /// CPU time that nobody used in the last seconds, in millicores: load that Starling did not
    /// start counts here.
    #[serde(rename = "i")]
    pub idle_cpu: u32,
    /// Tasks that run.
    #[serde(rename = "r")]
    pub running: u32,
    /// Owners that wait for room.
    #[serde(rename = "q")]
    pub queue: u32,
    /// Tasks of its own jobs that found no place yet.
    #[serde(rename = "w", skip_serializing_if = "is_zero")]
    pub waiting: u32,
    /// A sample of the classes that run.
    #[serde(rename = "m", skip_serializing_if = "Mix::is_empty")]
    pub mix: Mix,
    /// How hard each shared resource is pressed.
    #[serde(rename = "p", with = "bytes")]
    pub pressure: Pressure,
    /// Whether it takes no new tasks.
    #[serde(rename = "d", skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
}

/// Why a node cannot run a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Miss {
    /// A constraint that its labels do not meet, and what the label is there.
    Constraint {
        /// The constraint.
        constraint: Constraint,
        /// The node's value of that label, if it has one.
        found: Option<String>,
    },
    /// Too little of a resource.
    Resource {
        /// `cpu` (millicores), `memory` or `disk` (bytes).
        resource: String,
        /// How much is asked for.
        need: u64,
        /// How much there is.
        have: u64,
    },
    /// It takes no new tasks.
    Draining,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constraint {
                constraint,
                found: None,
            } if *constraint == Constraint::runs_containers() => {
                f.write_str("it cannot run containers: no container engine answers there")
            }
            Self::Constraint {
                constraint,
                found: Some(found),
            } => {
                write!(f, "{constraint} is not met: {} is {found}", constraint.key)
            }
            Self::Constraint {
                constraint,
                found: None,
            } => {
                write!(
                    f,
                    "{constraint} is not met: it has no label {}",
                    constraint.key
                )
            }
            Self::Resource {
                resource,
                need,
                have,
            } if resource == "cpu" => {
                write!(f, "cpu: {need}m asked for, {have}m there")
            }
            Self::Resource {
                resource,
                need,
                have,
            } => {
                write!(
                    f,
                    "{resource}: {} MiB asked for, {} MiB there",
                    need >> 20,
                    have >> 20
                )
            }
            Self::Draining => f.write_str("it is draining"),
        }
    }
}

/// Whether the node could run the task if it were empty.
pub fn could_ever(need: &Need<'_>, facts: &NodeFacts<'_>) -> Result<(), Miss> {
    let unmet = need
        .constraints
        .iter()
        .find(|constraint| !constraint.met_by(facts.labels));
    if let Some(constraint) = unmet {
        return Err(Miss::Constraint {
            constraint: constraint.clone(),
            found: facts.labels.get(&constraint.key).cloned(),
        });
    }
    fits(&need.resources, &facts.capacity)
}

/// Whether the node could take the task now.
pub fn feasible(need: &Need<'_>, facts: &NodeFacts<'_>, load: &NodeLoad) -> Result<(), Miss> {
    could_ever(need, facts)?;
    if load.draining {
        return Err(Miss::Draining);
    }
    fits(&need.resources, &load.free)
}

fn fits(need: &Resources, have: &Resources) -> Result<(), Miss> {
    let short = [
        ("cpu", u64::from(need.cpu), u64::from(have.cpu)),
        ("memory", need.memory, have.memory),
        ("disk", need.disk, have.disk),
    ]
    .into_iter()
    .find(|(_, need, have)| need > have);
    match short {
        None => Ok(()),
        Some((resource, need, have)) => Err(Miss::Resource {
            resource: resource.to_owned(),
            need,
            have,
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_miss_is_told() {
        let labels = BTreeMap::from([("arch".to_owned(), "aarch64".to_owned())]);
        let capacity = Resources {
            cpu: 4_000,
            memory: 1 << 30,
            disk: 1 << 30,
        };
        let facts = NodeFacts {
            capacity,
            labels: &labels,
            platform: "",
        };
        let load = NodeLoad {
            free: Resources {
                cpu: 50,
                ..capacity
            },
            ..NodeLoad::default()
        };
        let constraints = ["arch=x86_64".parse().unwrap()];

        let need = Need {
            resources: Resources {
                cpu: 100,
                ..Resources::default()
            },
            constraints: &constraints,
            class: ClassId::default(),
        };
        let miss = feasible(&need, &facts, &load).unwrap_err();
        assert_eq!(miss.to_string(), "arch=x86_64 is not met: arch is aarch64");

        let constraints = [Constraint::runs_containers()];
        let container = Need {
            constraints: &constraints,
            ..need
        };
        let miss = could_ever(&container, &facts).unwrap_err();
        assert!(miss.to_string().starts_with("it cannot run containers"));
        let able = BTreeMap::from([("containers".to_owned(), "podman".to_owned())]);
        let able = NodeFacts {
            labels: &able,
            ..facts
        };
        assert_eq!(could_ever(&container, &able), Ok(()));

        let need = Need {
            constraints: &[],
            class: ClassId::default(),
            ..need
        };
        assert_eq!(could_ever(&need, &facts), Ok(()));
        let miss = feasible(&need, &facts, &load).unwrap_err();
        assert_eq!(miss.to_string(), "cpu: 100m asked for, 50m there");

        let load = NodeLoad {
            draining: true,
            ..load
        };
        assert_eq!(feasible(&need, &facts, &load), Err(Miss::Draining));
    }
}
