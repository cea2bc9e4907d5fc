//! The table `[expect]`: what must hold at the end of a run. It is judged elsewhere, by the names
//! of metrics.

use super::amount;
use super::error::{At, ScenarioError};
use super::reader::Table;
use crate::report;

/// What must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// In the order of their keys.
    pub metrics: Vec<Expectation>,
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// A measure of reports, or one of [`BESIDES`].
    pub metric: String,
    /// How it is compared.
    pub op: Op,
    /// With what: seconds for times, 0 or 1 for `converged`.
    pub value: f64,
    /// Where the scenario says so, for a complaint.
    pub at: At,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The metric is the value.
    Equal,
    /// The metric is at most the value.
    Below,
    /// The metric is at least the value.
    Above,
}

/// What an expectation's value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Number,
    Time,
    Flag,
}

/// What can be expected of a run besides the measures of reports ([`crate::report::names`]).
pub const BESIDES: [&str; 2] = ["converged", "duplicate_seconds"];

fn unit(metric: &str) -> Option<Unit> {
    match metric {
        "converged" => Some(Unit::Flag),
        "duplicate_seconds" => Some(Unit::Number),
        _ => report::named(metric).map(|name| match name.unit {
            "s" => Unit::Time,
            _ => Unit::Number,
        }),
    }
}

impl Op {
    /// The comparison in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Equal => "exactly",
            Self::Below => "at most",
            Self::Above => "at least",
        }
    }

    /// Whether `found` is what was expected. What is not a number is not.
    pub fn holds(self, found: f64, value: f64) -> bool {
        match self {
            Self::Equal => (found - value).abs() <= 1e-9 * value.abs(),
            Self::Below => found <= value,
            Self::Above => found >= value,
        }
    }
}

impl Expect {
    /// Reads the table: `metric`, `metric_below` or `metric_above`.
    pub(crate) fn read(root: &Table<'_>) -> Result<Self, ScenarioError> {
        let mut expect = Self::default();
        let Some(value) = root.get("expect") else {
            return Ok(expect);
        };
        for (key, value) in value.any_table()?.entries() {
            let (metric, op) = if let Some(metric) = key.strip_suffix("_below") {
                (metric, Op::Below)
            } else if let Some(metric) = key.strip_suffix("_above") {
                (metric, Op::Above)
            } else {
                (key.as_str(), Op::Equal)
            };
            let Some(unit) = unit(metric) else {
                let known = report::names().iter().map(|name| name.name);
                return Err(value.at.error(
                    format!("there is no metric `{metric}`"),
                    amount::instead(metric, known.chain(BESIDES)),
                ));
            };
            let number = match unit {
                Unit::Time => value.time()?.as_secs_f64(),
                Unit::Number => value.at_least_zero("a number of at least 0")?,
                Unit::Flag if op == Op::Equal => f64::from(u8::from(value.flag()?)),
                Unit::Flag => {
                    return Err(value
                        .at
                        .error("it is true or false", format!("write {metric} = true")));
                }
            };
            expect.metrics.push(Expectation {
                metric: metric.to_owned(),
                op,
                value: number,
                at: value.at,
            });
        }
        Ok(expect)
    }
}
