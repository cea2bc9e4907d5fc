//! The numbers of one run that the table of aims asks for: all of the report's measures, and a few
//! that need the case or the course besides.

use std::collections::BTreeMap;
use std::time::Duration;

use starling_testnet::case::Case;
use starling_testnet::outcome::{Outcome, TaskFate};
use starling_testnet::report::{Run, names};

use super::row::Setting;

/// Mean response over the mean service time.
pub(super) const RESPONSE: &str = "response/S";
/// Mean response of what ended in the second half of the measured window over that of the first: far
/// above 1 where queues grow without bound.
pub(super) const GROWTH: &str = "growth";
/// Mean response, in seconds, of what ended in the setting's own stretch.
pub(super) const STRETCH: &str = "response in the stretch";
/// Bytes of placement and of gossip or pushes together, per task of the run.
pub(super) const BYTES: &str = "bytes per task";
/// Mean view age over the mean service time.
pub(super) const AGE: &str = "view age/S";
/// Tasks that were submitted and never ended, measured or not; not those of a run cut short.
pub(super) const NEVER_ENDED: &str = "never ended";

/// The share of tasks whose performance is below 0.8.
pub(super) const SLOW: &str = "slow";
/// Mean performance by tenths of all tasks, in the order of their submission.
pub(super) const CURVE: [&str; 10] = [
    "curve 1", "curve 2", "curve 3", "curve 4", "curve 5", "curve 6", "curve 7", "curve 8",
    "curve 9", "curve 10",
];
/// Headings of these.
pub(super) const CURVE_HEADS: [&str; 10] = [
    "1st tenth",
    "2nd",
    "3rd",
    "4th",
    "5th",
    "6th",
    "7th",
    "8th",
    "9th",
    "10th",
];

/// The numbers of one run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) seed: u64,
    pub(super) values: BTreeMap<&'static str, f64>,
    pub(super) violations: Vec<String>,
    pub(super) digest: String,
}

/// Reduces a run to its numbers.
#[allow(clippy::cast_precision_loss)]
pub(super) fn measure(setting: &Setting, case: &Case, outcome: Outcome) -> Measured {
    let mut values = BTreeMap::new();
    let sent = outcome.messages;
    let tasks = outcome.tasks.len().max(1) as f64;
    let bytes = (sent.placement_bytes + sent.spread_bytes) as f64 / tasks;
    values.insert(BYTES, bytes);
    let ends = outcome.tasks.iter().filter(|task| task.ended.is_none());
    values.insert(NEVER_ENDED, ends.count() as f64);
    let curve = curve(&outcome);
    let run = Run::new(case, outcome);
    for name in names() {
        if let Some(value) = run.measures.get(name.name) {
            values.insert(name.name, value);
        }
    }
    let mut derive = |name, value: Option<f64>| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            values.insert(name, value);
        }
    };
    let by_service = |value: f64| value / setting.service;
    derive(RESPONSE, run.measures.get("response_mean").map(by_service));
    derive(AGE, run.measures.get("view_age_mean").map(by_service));
    derive(GROWTH, growth(case, &run));
    derive(
        SLOW,
        run.measures.get("performance_at_80").map(|good| 1.0 - good),
    );
    for (name, value) in CURVE.into_iter().zip(curve) {
        derive(name, value);
    }
    if let Some((from, until)) = setting.stretch {
        derive(STRETCH, run.response_between(from, until));
    }
    Measured {
        seed: run.seed,
        values,
        violations: run.violations,
        digest: run.digest,
    }
}

/// Mean performance by tenths of the tasks.
#[allow(clippy::cast_precision_loss)]
fn curve(outcome: &Outcome) -> Vec<Option<f64>> {
    let tenth = outcome.tasks.len().div_ceil(CURVE.len()).max(1);
    let mean = |tasks: &[TaskFate]| {
        // Of a task that was started twice it is not known which copy ended when.
        let once = |task: &&TaskFate| task.starts == 1;
        let performance = |task: &TaskFate| {
            let ran = task.ended?.checked_sub(task.started?)?.as_secs_f64();
            (ran > 0.0).then(|| task.ideal.as_secs_f64() / ran)
        };
        let all: Vec<f64> = tasks.iter().filter(once).filter_map(performance).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    };
    outcome.tasks.chunks(tenth).map(mean).collect()
}

fn growth(case: &Case, run: &Run) -> Option<f64> {
    let last = case.jobs.last().map_or(Duration::ZERO, |job| job.at);
    let until = case.measured_until.min(last);
    let middle = case.warmup + until.saturating_sub(case.warmup) / 2;
    let first = run.response_between(case.warmup, middle)?;
    Some(run.response_between(middle, until)? / first)
}
