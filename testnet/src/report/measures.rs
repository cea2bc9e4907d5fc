//! From a case and what came of it to numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::load;
use super::names::names;
use super::stats::{mean, quantile};
use crate::case::{Case, SERVICE};
use crate::outcome::{Outcome, TaskFate};

/// The numbers of one run, by the names of [`names`]. A number without meaning in the run, as the
/// mean response where nothing ended, is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measures(BTreeMap<&'static str, f64>);

impl Measures {
    /// The number under a name; none if the run has no such number.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    pub(super) fn set(&mut self, name: &'static str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.0.insert(name, value);
        }
    }

    /// Sets the five numbers of a distribution, or as many as there are names.
    fn spread(&mut self, names: &[&'static str], values: &mut [f64]) {
        values.sort_by(f64::total_cmp);
        let numbers = [
            mean(values),
            quantile(values, 500),
            quantile(values, 900),
            quantile(values, 990),
            values.last().copied(),
        ];
        for (name, number) in names.iter().zip(numbers) {
            self.set(name, number);
        }
    }
}

impl Serialize for Measures {
    /// In the order of [`names`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for name in names() {
            if let Some(value) = self.get(name.name) {
                map.serialize_entry(name.name, &value)?;
            }
        }
        map.end()
    }
}

/// Responses in seconds, of tasks and of jobs, of one group or of all.
#[derive(Default)]
struct Responses {
    tasks: Vec<f64>,
    jobs: Vec<f64>,
}

/// What is gathered from the tasks of measured jobs.
#[derive(Default)]
struct Gathered {
    all: Responses,
    groups: [Responses; 2],
    waiting: Vec<f64>,
    slowdown: Vec<f64>,
    performance: Vec<f64>,
    stretch: Vec<f64>,
    tasks: usize,
    jobs: usize,
    lost: usize,
    unfinished: usize,
    duplicates: usize,
}

/// Measures a run. An outcome that is not of this case (tasks of jobs that are not there) is
/// measured as far as the two agree.
pub fn measure(case: &Case, outcome: &Outcome) -> Measures {
    measure_and_responses(case, outcome).0
}

/// The same, and the responses, in seconds and ascending, of the measured tasks that ended.
pub(super) fn measure_and_responses(case: &Case, outcome: &Outcome) -> (Measures, Vec<f64>) {
    let mut gathered = Gathered::default();
    for job in outcome.tasks.chunk_by(|a, b| a.job == b.job) {
        gathered.add(case, job);
    }
    let mut measures = Measures::default();
    let responses = gathered.report(&mut measures, several_groups(case));
    load::of_fleet(&mut measures, case, outcome);
    load::of_messages(&mut measures, case, outcome);
    load::over_time(&mut measures, case, outcome);
    measures.set("violations", Some(count(outcome.violations.len())));
    measures.set("length", Some(outcome.end.as_secs_f64()));
    #[allow(clippy::cast_precision_loss)]
    measures.set("events", Some(outcome.events as f64));
    (measures, responses)
}

impl Gathered {
    /// Adds the tasks of one job.
    fn add(&mut self, case: &Case, fates: &[TaskFate]) {
        let job = fates
            .first()
            .and_then(|fate| case.jobs.get(index(fate.job)));
        let Some(job) = job.filter(|job| case.is_measured(job)) else {
            return;
        };
        self.jobs += 1;
        let (mut last, mut longest) = (None, Duration::ZERO);
        let (mut lost, mut ends) = (0, false);
        let group = usize::from(job.group);
        for fate in fates {
            self.tasks += 1;
            self.duplicates += usize::from(fate.starts > 1);
            if let Some(started) = fate.started {
                self.waiting.push(since(started, fate.submitted));
            }
            let work = job.tasks.get(index(fate.index)).copied();
            if work.is_none_or(|work| work == SERVICE) {
                lost += usize::from(fate.started.is_none());
                continue;
            }
            ends = true;
            let Some(ended) = fate.ended else {
                lost += 1;
                continue;
            };
            let response = since(ended, fate.submitted);
            self.all.tasks.push(response);
            if let Some(group) = self.groups.get_mut(group) {
                group.tasks.push(response);
            }
            let ideal = fate.ideal.as_secs_f64();
            if ideal > 0.0 {
                self.slowdown.push(response / ideal);
            }
            let ran = fate.started.map_or(0.0, |started| since(ended, started));
            if ran > 0.0 {
                self.performance.push(ideal / ran);
            }
            last = last.max(Some(ended));
            longest = longest.max(fate.ideal);
        }
        self.lost += lost;
        self.unfinished += usize::from(lost > 0);
        if let Some(last) = last.filter(|_| lost == 0 && ends) {
            let response = since(last, job.at);
            self.all.jobs.push(response);
            if let Some(group) = self.groups.get_mut(group) {
                group.jobs.push(response);
            }
            if !longest.is_zero() {
                self.stretch.push(response / longest.as_secs_f64());
            }
        }
    }

    /// Sets the numbers, and returns the responses of all tasks, ascending.
    fn report(mut self, to: &mut Measures, several_groups: bool) -> Vec<f64> {
        to.set("tasks", Some(count(self.tasks)));
        to.set("jobs", Some(count(self.jobs)));
        to.set("lost", Some(count(self.lost)));
        to.set("unfinished_jobs", Some(count(self.unfinished)));
        to.set("duplicates", Some(count(self.duplicates)));
        let [short, long] = &mut self.groups;
        let mut groups = vec![(&mut self.all, ALL)];
        if several_groups {
            groups.extend([(short, SHORT), (long, LONG)]);
        }
        for (responses, (tasks, jobs)) in groups {
            to.spread(&tasks, &mut responses.tasks);
            to.spread(&jobs, &mut responses.jobs);
        }
        let mean_and_tail = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            (mean(values), quantile(values, 990))
        };
        let (mean_wait, tail) = mean_and_tail(&mut self.waiting);
        to.set("waiting_mean", mean_wait);
        to.set("waiting_p99", tail);
        let (mean_slowdown, tail) = mean_and_tail(&mut self.slowdown);
        to.set("slowdown_mean", mean_slowdown);
        to.set("slowdown_p99", tail);
        to.set("job_stretch_mean", mean(&self.stretch));
        to.set("performance_mean", mean(&self.performance));
        let reach = |least: f64| {
            let good = self.performance.iter().filter(|p| **p >= least).count();
            ratio(count(good), count(self.performance.len()))
        };
        // A hair below, for times are whole nanoseconds.
        to.set("performance_at_80", reach(0.8 - 1e-9));
        to.set("performance_at_90", reach(0.9 - 1e-9));
        self.all.tasks
    }
}

type Names = ([&'static str; 5], [&'static str; 4]);

const ALL: Names = (
    [
        "response_mean",
        "response_p50",
        "response_p90",
        "response_p99",
        "response_max",
    ],
    [
        "job_response_mean",
        "job_response_p50",
        "job_response_p90",
        "job_response_p99",
    ],
);
const SHORT: Names = (
    [
        "short_response_mean",
        "short_response_p50",
        "short_response_p90",
        "short_response_p99",
        "short_response_max",
    ],
    [
        "short_job_response_mean",
        "short_job_response_p50",
        "short_job_response_p90",
        "short_job_response_p99",
    ],
);
const LONG: Names = (
    [
        "long_response_mean",
        "long_response_p50",
        "long_response_p90",
        "long_response_p99",
        "long_response_max",
    ],
    [
        "long_job_response_mean",
        "long_job_response_p50",
        "long_job_response_p90",
        "long_job_response_p99",
    ],
);

/// Whether jobs are of more than one group.
fn several_groups(case: &Case) -> bool {
    let mut groups = case.jobs.iter().map(|job| job.group);
    let first = groups.next();
    groups.any(|group| Some(group) != first)
}

pub(super) fn since(later: Duration, earlier: Duration) -> f64 {
    later.saturating_sub(earlier).as_secs_f64()
}

pub(super) fn ratio(of: f64, to: f64) -> Option<f64> {
    (to > 0.0).then(|| of / to)
}

pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::super::sample::{case, fate, outcome, run, s};
    use super::*;

    fn near(measures: &Measures, name: &str, value: f64) {
        let got = measures.get(name).unwrap_or(f64::NAN);
        assert!((got - value).abs() < 1e-9, "{name}: {got}, not {value}");
    }

    #[test]
    fn a_known_run_has_known_numbers() {
        // Two machines for 10 s; a job of two tasks, and one of one.
        let work = [s(2.0), s(4.0)];
        let mut case = case(2, &[(0.0, 0, &work), (1.0, 0, &work[..1])]);
        case.measured_until = s(10.0);
        let tasks = vec![
            fate(0, 0, [0.0, 0.0, 2.0], 2.0),
            fate(0, 1, [0.0, 1.0, 6.0], 4.0),
            fate(1, 0, [1.0, 3.0, 7.0], 2.0),
        ];
        let mut outcome = outcome(tasks, 20.0);
        outcome.messages.live = 6;
        outcome.messages.placement_bytes = 300;
        outcome.messages.spread_bytes = 4_000;
        outcome.messages.bounces = 1;
        let m = measure(&case, &outcome);
        for (name, value) in [
            ("tasks", 3.0),
            ("jobs", 2.0),
            ("lost", 0.0),
            ("response_mean", 14.0 / 3.0),
            ("response_p50", 6.0),
            ("response_max", 6.0),
            ("waiting_mean", 1.0),
            ("waiting_p99", 2.0),
            ("slowdown_mean", (1.0 + 1.5 + 3.0) / 3.0),
            ("performance_mean", (1.0 + 0.8 + 0.5) / 3.0),
            ("performance_at_80", 2.0 / 3.0),
            ("performance_at_90", 1.0 / 3.0),
            ("job_response_mean", 6.0),
            ("job_stretch_mean", (6.0 / 4.0 + 6.0 / 2.0) / 2.0),
            // 8 core-seconds of work, 11 of running, of 2 x 10.
            ("utilisation", 0.4),
            ("reserved", 0.55),
            ("throughput", 0.3),
            ("live_per_task", 2.0),
            ("placement_bytes_per_task", 100.0),
            ("spread_bytes_per_machine_second", 100.0),
            ("bounces_per_task", 1.0 / 3.0),
            ("length", 20.0),
            ("events", 42.0),
        ] {
            near(&m, name, value);
        }
        assert_eq!(m.get("short_response_mean"), None, "one group is no group");
        assert_eq!(m.get("view_age_mean"), None, "no gossip has no age");
        assert_eq!(m.get("no_such"), None);
    }

    #[test]
    fn lost_tasks_are_counted_and_spoil_no_mean() {
        let work = [s(1.0), s(1.0)];
        let mut case = case(2, &[(0.0, 0, &work), (1.0, 1, &[SERVICE, SERVICE])]);
        let mut never = fate(0, 1, [0.0; 3], 1.0);
        (never.started, never.ended, never.machine, never.starts) = (None, None, None, 0);
        let mut runs_on = fate(1, 0, [1.0, 1.5, 0.0], 0.0);
        runs_on.ended = None;
        let mut lost_service = fate(1, 1, [1.0; 3], 0.0);
        (lost_service.started, lost_service.ended) = (None, None);
        let mut twice = fate(0, 0, [0.0, 2.0, 3.0], 1.0);
        twice.starts = 2;
        let outcome = outcome(vec![twice, never, runs_on, lost_service], 100.0);
        let m = measure(&case, &outcome);
        near(&m, "lost", 2.0);
        near(&m, "unfinished_jobs", 2.0);
        near(&m, "duplicates", 1.0);
        near(&m, "response_mean", 3.0);
        near(&m, "waiting_mean", 1.25);
        near(&m, "short_response_mean", 3.0);
        assert_eq!(m.get("job_response_mean"), None);
        assert_eq!(m.get("long_response_mean"), None);
        // Of 2 cores for 100 s: a second of the task, 98.5 of the service.
        near(&m, "utilisation", 0.005);
        near(&m, "reserved", 99.5 / 200.0);

        // Jobs of the warm-up are not measured, though they load the machines.
        case.warmup = s(0.5);
        let m = measure(&case, &outcome);
        near(&m, "tasks", 2.0);
        near(&m, "lost", 1.0);
        assert_eq!(m.get("response_mean"), None);
    }

    #[test]
    fn every_name_occurs_in_a_full_run_and_only_names_do() {
        let (case, outcome) = run("some", 7, 2.0, true);
        let m = measure(&case, &outcome);
        let given: Vec<_> = names().iter().map(|name| name.name).collect();
        for name in &given {
            assert!(m.get(name).is_some(), "{name}");
        }
        assert_eq!(m.0.len(), given.len());
        let json = serde_json::to_string(&m).unwrap();
        assert!(json.starts_with("{\"tasks\":"), "{json}");
    }

    #[test]
    fn an_outcome_of_another_case_does_no_harm() {
        let case = case(1, &[]);
        let m = measure(&case, &outcome(vec![fate(9, 9, [0.0, 1.0, 2.0], 1.0)], 0.0));
        near(&m, "tasks", 0.0);
        assert_eq!(m.get("utilisation"), None);
    }
}
