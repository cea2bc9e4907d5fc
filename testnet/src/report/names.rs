//! What is measured: the name, unit and meaning of each number of [`super::Measures`].

/// A measure's name, for scenarios and programs, its unit, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// As scenarios, JSON and CSV write it.
    pub name: &'static str,
    /// Its unit; empty for a count or a pure ratio.
    pub unit: &'static str,
    /// One line.
    pub meaning: &'static str,
    /// Whether less of it is better; none where neither is.
    pub less_is_better: Option<bool>,
}

/// All measures, in the order of the reports. Those of tasks and jobs are of measured jobs only
/// ([`crate::case::Case::is_measured`]); services count for `waiting`, `lost` and `reserved` alone,
/// as they never end.
pub fn names() -> &'static [Name] {
    &NAMES
}

/// What stands under a name; none if there is no such measure.
pub fn named(name: &str) -> Option<&'static Name> {
    NAMES.iter().find(|known| known.name == name)
}

const fn less(name: &'static str, unit: &'static str, meaning: &'static str) -> Name {
    Name {
        name,
        unit,
        meaning,
        less_is_better: Some(true),
    }
}

const fn more(name: &'static str, unit: &'static str, meaning: &'static str) -> Name {
    Name {
        name,
        unit,
        meaning,
        less_is_better: Some(false),
    }
}

const fn plain(name: &'static str, unit: &'static str, meaning: &'static str) -> Name {
    Name {
        name,
        unit,
        meaning,
        less_is_better: None,
    }
}

#[rustfmt::skip]
static NAMES: [Name; 58] = [
    plain("tasks", "", "measured tasks"),
    plain("jobs", "", "measured jobs"),
    less("lost", "", "measured tasks that never ended (services: that never started)"),
    less("unfinished_jobs", "", "measured jobs with a lost task"),
    less("duplicates", "", "measured tasks that were started more than once"),
    less("violations", "", "things that did not hold and should have"),
    less("response_mean", "s", "from a task's submission to its end, mean"),
    less("response_p50", "s", "the same, median"),
    less("response_p90", "s", "the same, 90th percentile"),
    less("response_p99", "s", "the same, 99th percentile"),
    less("response_max", "s", "the same, greatest"),
    less("waiting_mean", "s", "from a task's submission to its last start, mean"),
    less("waiting_p99", "s", "the same, 99th percentile"),
    less("slowdown_mean", "", "response to the time alone on the best platform, mean"),
    less("slowdown_p99", "", "the same, 99th percentile"),
    more("performance_mean", "", "time alone on the best platform to the time it ran, mean"),
    more("performance_at_80", "", "share of tasks whose performance is at least 0.8"),
    more("performance_at_90", "", "share of tasks whose performance is at least 0.9"),
    less("job_response_mean", "s", "from a job's submission to its last task's end, mean"),
    less("job_response_p50", "s", "the same, median"),
    less("job_response_p90", "s", "the same, 90th percentile"),
    less("job_response_p99", "s", "the same, 99th percentile"),
    less("job_stretch_mean", "", "a job's response to its longest task's time alone, mean"),
    less("short_response_mean", "s", "response of tasks of the first group of several, mean"),
    less("short_response_p50", "s", "the same, median"),
    less("short_response_p90", "s", "the same, 90th percentile"),
    less("short_response_p99", "s", "the same, 99th percentile"),
    less("short_response_max", "s", "the same, greatest"),
    less("short_job_response_mean", "s", "response of jobs of the first group of several, mean"),
    less("short_job_response_p50", "s", "the same, median"),
    less("short_job_response_p90", "s", "the same, 90th percentile"),
    less("short_job_response_p99", "s", "the same, 99th percentile"),
    less("long_response_mean", "s", "response of tasks of the second group, mean"),
    less("long_response_p50", "s", "the same, median"),
    less("long_response_p90", "s", "the same, 90th percentile"),
    less("long_response_p99", "s", "the same, 99th percentile"),
    less("long_response_max", "s", "the same, greatest"),
    less("long_job_response_mean", "s", "response of jobs of the second group, mean"),
    less("long_job_response_p50", "s", "the same, median"),
    less("long_job_response_p90", "s", "the same, 90th percentile"),
    less("long_job_response_p99", "s", "the same, 99th percentile"),
    plain("utilisation", "", "work done in the measured window, in core-seconds at speed 1, to the cores of the whole fleet"),
    plain("reserved", "", "CPU reserved by running tasks in the measured window, to that of the whole fleet"),
    more("throughput", "tasks/s", "tasks ended per second of the measured window"),
    less("live_per_task", "", "questions about live state per task"),
    less("placement_per_task", "", "messages of placement per task"),
    less("placement_bytes_per_task", "B", "bytes of placement per task"),
    less("spread_per_machine_second", "1/s", "messages that spread load, per second of a machine that is up"),
    less("spread_bytes_per_machine_second", "B/s", "bytes that spread load, per second of a machine that is up"),
    less("bounces_per_task", "", "times that a machine passed a task on, per task"),
    plain("steals_per_task", "", "times that an idle machine took a task, per task"),
    less("view_age_mean", "s", "mean age of what machines know of one another, over the measured window"),
    plain("waiting_tasks_mean", "", "tasks that wait, mean over the measured window"),
    plain("waiting_tasks_max", "", "tasks that wait, most in the measured window"),
    plain("running_tasks_mean", "", "tasks that run, mean over the measured window"),
    plain("machines_up_mean", "", "machines that are up, mean over the measured window"),
    plain("length", "s", "when the run ended"),
    plain("events", "", "events handled"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_bare_keys_and_stand_once() {
        let mut seen = BTreeSet::new();
        for Name { name, meaning, .. } in names() {
            assert!(seen.insert(name), "{name}");
            let bare = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            assert!(name.bytes().all(bare) && !meaning.is_empty(), "{name}");
        }
        assert_eq!(
            named("lost").map(|name| name.less_is_better),
            Some(Some(true))
        );
        assert_eq!(named("no_such"), None);
    }
}
