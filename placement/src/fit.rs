//! Fit: how well a task would do on a node. One trait, so that learned classifications replace the
//! measured baseline without anybody else noticing.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::classes::{Classes, Company};
use crate::feasible::{Need, NodeFacts, NodeLoad};
use crate::learn::Origin;

/// One named summand of a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What it stands for.
    #[serde(rename = "n")]
    pub name: Cow<'static, str>,
    /// Its weighted contribution.
    #[serde(rename = "v")]
    pub value: f64,
}

/// What is expected of a task on a node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// How fast it is alone on the platform, compared with its best one, 0 to 1.
    #[serde(rename = "s")]
    pub speed: f64,
    /// How many times as long as alone it takes beside those who run there, at least 1.
    #[serde(rename = "d")]
    pub slowdown: f64,
    /// What those lose by it, summed, as shares of their speeds, at least 0.
    #[serde(rename = "h")]
    pub harm: f64,
    /// How long it takes in seconds, all in all, if that is known.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The standard deviation of the logarithm of that, at least 0.
    #[serde(rename = "e")]
    pub deviation: f64,
    /// What the speed was derived from.
    #[serde(rename = "o")]
    pub speed_from: Origin,
    /// What the slowdown was derived from; none if nothing is known of it.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub slowdown_from: Option<Origin>,
}

/// A score in parts; the greater the total, the better the fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FitScore {
    /// The summands, in a fixed order.
    #[serde(rename = "p")]
    pub parts: Vec<Part>,
    /// What is expected of the task there, where anything is known.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<Predicted>,
}

impl FitScore {
    /// The sum of the parts, added in their order.
    pub fn total(&self) -> f64 {
        self.parts.iter().map(|part| part.value).sum()
    }
}

/// Judges how well a task fits a node, from what is known without asking the node.
pub trait Fit: Send {
    /// The score of a task with `need` on a node with `facts` under `load`.
    fn fit(&self, need: &Need<'_>, facts: &NodeFacts<'_>, load: &NodeLoad) -> FitScore;

    /// How much faster than the average node one is per core, for drawing candidates in proportion
    /// to what they can do.
    fn weight(&self, _facts: &NodeFacts<'_>) -> f64 {
        1.0
    }

    /// Whether nodes are known to differ for the task by more than their load.
    fn spreads(&self, _need: &Need<'_>) -> bool {
        false
    }
}

/// The fit of the task's class, as far as it is known; measured load decides among equals.
///
/// * `speed`, weight 1: the share of the CPU it asks for that is idle now, times its predicted speed
///   on the platform, 1 on its best one;
/// * `slowdown`: minus what it loses of that beside those who run there;
/// * `harm`: minus what those lose by it, summed over them, each as a share of its speed;
/// * `headroom`, weight 0.2, `memory` and `calm`, weight 0.1: as in [`MeasuredFit`].
#[derive(Clone, Copy, Debug)]
pub struct LearnedFit<'a> {
    /// What is known.
    pub classes: &'a dyn Classes,
    /// Whether contention counts.
    pub contention: bool,
}

/// A pair that cannot run together is as bad as this many nodes' worth of speed: it is a constraint
/// in all but name, and still a place if there is no other.
const IMPOSSIBLE: f64 = 4.0;

impl LearnedFit<'_> {
    fn predict(&self, need: &Need<'_>, facts: &NodeFacts<'_>, load: &NodeLoad) -> Predicted {
        let (class, platform) = (need.class, facts.platform);
        let speed = self.classes.speed(class, platform);
        let mut predicted = Predicted {
            speed: speed.map_or_else(
                || self.classes.platform(platform).min(1.0),
                |speed| speed.relative,
            ),
            slowdown: 1.0,
            harm: 0.0,
            seconds: speed.and_then(|speed| speed.seconds),
            deviation: speed.map_or(UNKNOWN, |speed| speed.deviation),
            speed_from: speed.map_or(Origin::Population, |speed| speed.origin),
            slowdown_from: None,
        };
        if !self.contention {
            return predicted;
        }
        let company = Company {
            mix: load.mix,
            running: load.running,
            pressure: load.pressure,
        };
        if let Some(met) = self.classes.contention(class, platform, &company) {
            predicted.slowdown = met.slowdown;
            predicted.harm = met.harm;
            predicted.seconds = predicted.seconds.map(|alone| alone * met.slowdown);
            let (a, b) = (predicted.deviation, met.deviation);
            predicted.deviation = libm::sqrt(a * a + b * b);
            predicted.slowdown_from = Some(met.origin);
        }
        predicted
    }
}

/// The standard deviation of the logarithm of a time of which nothing is known: a factor of e.
const UNKNOWN: f64 = 1.0;

impl Fit for LearnedFit<'_> {
    fn fit(&self, need: &Need<'_>, facts: &NodeFacts<'_>, load: &NodeLoad) -> FitScore {
        let idle = load.idle_cpu.min(load.free.cpu);
        let asked = need.resources.cpu.max(1);
        let left_cpu = idle.saturating_sub(asked);
        let left_memory = load.free.memory.saturating_sub(need.resources.memory);
        let predicted = self.predict(need, facts, load);
        let speed = ratio(u64::from(idle), u64::from(asked)) * predicted.speed;
        let mut parts = vec![part("speed", speed)];
        if predicted.slowdown_from.is_some() {
            let kept = 1.0 / predicted.slowdown;
            let impossible = predicted.slowdown.is_infinite() || predicted.speed <= 0.0;
            let harm = predicted.harm.min(IMPOSSIBLE) + if impossible { IMPOSSIBLE } else { 0.0 };
            parts.push(part("slowdown", -speed * (1.0 - kept)));
            parts.push(part("harm", -harm));
        } else if predicted.speed <= 0.0 {
            parts.push(part("harm", -IMPOSSIBLE));
        }
        parts.push(part(
            "headroom",
            0.2 * ratio(left_cpu.into(), facts.capacity.cpu.into()),
        ));
        parts.push(part(
            "memory",
            0.1 * ratio(left_memory, facts.capacity.memory),
        ));
        parts.push(part("calm", 0.1 * calm(load)));
        FitScore {
            parts,
            predicted: Some(predicted),
        }
    }

    fn weight(&self, facts: &NodeFacts<'_>) -> f64 {
        self.classes.platform(facts.platform)
    }

    fn spreads(&self, _: &Need<'_>) -> bool {
        self.contention && self.classes.disturbs()
    }
}

fn part(name: &'static str, value: f64) -> Part {
    Part {
        name: Cow::Borrowed(name),
        value,
    }
}

/// One minus the greatest pressure on any shared resource.
fn calm(load: &NodeLoad) -> f64 {
    let pressure = &load.pressure;
    let pressed = pressure
        .cpu
        .max(pressure.memory)
        .max(pressure.io)
        .max(pressure.network);
    1.0 - f64::from(pressed) / 255.0
}

/// The baseline fit: from measured load alone, without a learned profile.
///
/// * `speed`, weight 1: the share of the CPU it asks for that is idle now, 0 to 1;
/// * `headroom`, weight 0.5: the share of the node's CPU left idle with the task on it;
/// * `memory`, weight 0.25: the share of the node's memory left free with the task on it;
/// * `calm`, weight 0.25: one minus the greatest pressure on any shared resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeasuredFit;

impl Fit for MeasuredFit {
    fn fit(&self, need: &Need<'_>, facts: &NodeFacts<'_>, load: &NodeLoad) -> FitScore {
        let idle = load.idle_cpu.min(load.free.cpu);
        let asked = need.resources.cpu.max(1);
        let left_cpu = idle.saturating_sub(asked);
        let left_memory = load.free.memory.saturating_sub(need.resources.memory);
        FitScore {
            parts: vec![
                part("speed", ratio(u64::from(idle), u64::from(asked))),
                part(
                    "headroom",
                    0.5 * ratio(left_cpu.into(), facts.capacity.cpu.into()),
                ),
                part("memory", 0.25 * ratio(left_memory, facts.capacity.memory)),
                part("calm", 0.25 * calm(load)),
            ],
            predicted: None,
        }
    }
}

/// `have / of`, between 0 and 1.
#[allow(clippy::cast_precision_loss)]
fn ratio(have: u64, of: u64) -> f64 {
    if of == 0 {
        0.0
    } else {
        (have as f64 / of as f64).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::resources::{Pressure, Resources};

    #[test]
    fn foreign_load_and_pressure_make_a_node_worse() {
        let labels = BTreeMap::new();
        let capacity = Resources {
            cpu: 4_000,
            memory: 1 << 32,
            disk: 1 << 32,
        };
        let facts = NodeFacts {
            capacity,
            labels: &labels,
            platform: "",
        };
        let need = Need {
            resources: Resources {
                cpu: 1_000,
                ..Resources::default()
            },
            constraints: &[],
            class: crate::classes::ClassId::default(),
        };
        let idle = NodeLoad {
            free: capacity,
            idle_cpu: 4_000,
            ..NodeLoad::default()
        };
        let hogged = NodeLoad {
            idle_cpu: 200,
            ..idle
        };
        let pressed = NodeLoad {
            pressure: Pressure {
                io: 200,
                ..Pressure::default()
            },
            ..idle
        };
        let full = NodeLoad {
            free: Resources {
                cpu: 1_000,
                ..capacity
            },
            ..idle
        };
        let score = |load| MeasuredFit.fit(&need, &facts, load).total();
        assert!(score(&idle) > score(&pressed));
        assert!(score(&pressed) > score(&full));
        assert!(score(&full) > score(&hogged));
    }
}
