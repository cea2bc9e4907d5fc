//! The measures of the whole run: how full the fleet was, and what was sent.

use std::time::Duration;

use super::measures::{Measures, count, index, ratio, since};
use super::stats::mean;
use crate::case::{Case, SERVICE};
use crate::outcome::{Moment, Outcome, TaskFate};

/// How full the fleet was: over the measured window, as far as the run reached into it, and by the
/// tasks of all jobs.
pub(super) fn of_fleet(to: &mut Measures, case: &Case, outcome: &Outcome) {
    let (from, until) = window(case, outcome);
    let length = until.saturating_sub(from).as_secs_f64();
    let (mut work, mut reserved, mut ended_within) = (0.0, 0.0, 0);
    for fate in &outcome.tasks {
        let (Some(job), Some(started)) = (case.jobs.get(index(fate.job)), fate.started) else {
            continue;
        };
        let cores = f64::from(job.need.cpu) / 1_000.0;
        let ended = fate.ended.unwrap_or(outcome.end);
        let inside = since(ended.min(until), started.max(from));
        reserved += inside * cores;
        let done = job.tasks.get(index(fate.index)).filter(|w| **w != SERVICE);
        if let (Some(done), Some(ended)) = (done, fate.ended) {
            ended_within += usize::from(ended >= from && ended < until);
            // The work of a task counts as spread evenly over its run.
            let ran = since(ended, started);
            if ran > 0.0 {
                work += done.as_secs_f64() * cores * inside / ran;
            }
        }
    }
    let capacity = case.cores() * length;
    to.set("utilisation", ratio(work, capacity));
    to.set("reserved", ratio(reserved, capacity));
    to.set("throughput", ratio(count(ended_within), length));
}

/// Messages, per task of all jobs and per second of all machines that are up: the counts are of the
/// whole run.
#[allow(clippy::cast_precision_loss)]
pub(super) fn of_messages(to: &mut Measures, case: &Case, outcome: &Outcome) {
    let sent = &outcome.messages;
    let came = |fate: &&TaskFate| fate.submitted <= outcome.end;
    let tasks = count(outcome.tasks.iter().filter(came).count());
    to.set("live_per_task", ratio(sent.live as f64, tasks));
    to.set("placement_per_task", ratio(sent.placement as f64, tasks));
    to.set(
        "placement_bytes_per_task",
        ratio(sent.placement_bytes as f64, tasks),
    );
    to.set("bounces_per_task", ratio(sent.bounces as f64, tasks));
    to.set("steals_per_task", ratio(sent.steals as f64, tasks));
    let up: Vec<f64> = outcome.course.iter().map(|m| f64::from(m.up)).collect();
    let up = mean(&up).unwrap_or_else(|| count(case.machines.len()));
    let seconds = up * outcome.end.as_secs_f64();
    to.set(
        "spread_per_machine_second",
        ratio(sent.spread as f64, seconds),
    );
    to.set(
        "spread_bytes_per_machine_second",
        ratio(sent.spread_bytes as f64, seconds),
    );
}

/// Means over the moments of the measured window.
pub(super) fn over_time(to: &mut Measures, case: &Case, outcome: &Outcome) {
    let (from, until) = window(case, outcome);
    let inside = |m: &&Moment| m.at >= from && m.at <= until;
    let of = |what: fn(&Moment) -> f64| -> Vec<f64> {
        let values = outcome.course.iter().filter(inside).map(what);
        values.filter(|value| value.is_finite()).collect()
    };
    let waiting = of(|m| f64::from(m.waiting));
    to.set("view_age_mean", mean(&of(|m| m.view_age)));
    to.set("waiting_tasks_mean", mean(&waiting));
    to.set(
        "waiting_tasks_max",
        waiting.iter().copied().reduce(f64::max),
    );
    to.set("running_tasks_mean", mean(&of(|m| f64::from(m.running))));
    to.set("machines_up_mean", mean(&of(|m| f64::from(m.up))));
}

/// From the end of the warm-up to the cool-down or the end of the run.
fn window(case: &Case, outcome: &Outcome) -> (Duration, Duration) {
    (case.warmup, case.measured_until.min(outcome.end))
}
