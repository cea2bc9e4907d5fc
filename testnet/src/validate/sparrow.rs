//! Sparrow's own set-up: workers of 4 slots, jobs of 100 tasks that all take the same time,
//! exponentially distributed over jobs with mean 100 ms, 0.5 ms one way, two probes for each task.
//! Mean job response, and its ratio to the mean of the longest task, against what Sparrow's published
//! simulator gives.
//!
//! That simulator ends when 3,000 jobs have had their last task launched, counts those jobs alone,
//! and leaves out jobs of the first 500 ms, while others go on arriving; so long jobs are missing
//! from its means where queues are long. The same rule is applied here. It begins empty.

use std::time::Duration;

use super::stats::Sample;
use super::workload::Spec;
use super::{Check, Job, Size};
use crate::model;

const GROUP: &str = "Sparrow";
const TOLERANCE: f64 = 0.05;
const TASKS: usize = 100;

/// Policy, load, mean job response in milliseconds, and its ratio to the longest task.
const KNOWN: [(&str, f64, f64, f64); 17] = [
    ("random", 0.5, 253.0, 2.54),
    ("per-task", 0.5, 110.0, 1.10),
    ("sparrow-batch", 0.5, 101.0, 1.02),
    ("sparrow-late-keep", 0.5, 102.0, 1.015),
    ("sparrow-late", 0.5, 102.0, 1.015),
    ("central", 0.5, 103.0, 1.005),
    ("random", 0.8, 566.0, 5.66),
    ("per-task", 0.8, 198.0, 2.04),
    ("sparrow-batch", 0.8, 147.0, 1.52),
    ("sparrow-late-keep", 0.8, 107.0, 1.062),
    ("sparrow-late", 0.8, 106.0, 1.054),
    ("central", 0.8, 103.0, 1.007),
    ("random", 0.9, 754.0, 7.53),
    ("per-task", 0.9, 230.0, 2.35),
    ("sparrow-batch", 0.9, 188.0, 1.91),
    ("sparrow-late-keep", 0.9, 120.0, 1.20),
    ("central", 0.9, 110.0, 1.07),
];

/// Mean response in milliseconds, and its ratio to the mean longest task, of the first `counted`
/// jobs to have all their tasks launched.
fn measure(
    policy: model::PolicyName,
    load: f64,
    workers: usize,
    counted: usize,
    seed: u64,
) -> (f64, f64) {
    const WORK: f64 = 0.1;
    let slots = 4;
    let spec = Spec {
        machines: workers,
        slots,
        speeds: vec![1.0],
        between: WORK * TASKS as f64 / (load * workers as f64 * f64::from(slots)),
        // Enough go on arriving while the counted ones are placed.
        jobs: counted + counted / 2,
        tasks: TASKS,
        work: WORK,
        latency: Duration::from_micros(500),
    };
    let case = spec.case(seed, &[]);
    let outcome = model::run(&case, policy, None);
    let mut jobs: Vec<(Duration, Duration, Duration, f64)> = Vec::new();
    for (job, fates) in case.jobs.iter().zip(outcome.tasks.chunks(TASKS)) {
        let launched = fates.iter().filter_map(|fate| fate.started).max();
        let ended = fates.iter().filter_map(|fate| fate.ended).max();
        if let (Some(launched), Some(ended)) = (launched, ended) {
            jobs.push((launched, job.at, ended, job.tasks[0].as_secs_f64()));
        }
    }
    jobs.sort_by_key(|job| job.0);
    jobs.truncate(counted);
    let response: f64 = jobs.iter().map(|job| (job.2 - job.1).as_secs_f64()).sum();
    let longest: f64 = jobs.iter().map(|job| job.3).sum();
    (1e3 * response / jobs.len() as f64, response / longest)
}

/// The comparisons.
pub(super) fn jobs(size: Size) -> Vec<Job> {
    let (workers, counted, seeds) = match size {
        Size::Small => (0, 0, 0),
        Size::Full => (2_000, 3_000, 12),
    };
    if size == Size::Small {
        return vec![small()];
    }
    let mut jobs = Vec::new();
    for (name, load, mean, ratio) in KNOWN {
        let Ok(policy) = model::parse(name) else {
            continue;
        };
        jobs.push(Job {
            name: format!("{GROUP}: {name}, load {load}"),
            cost: seeds as f64 * counted as f64 * TASKS as f64 * 4.0,
            run: Box::new(move || {
                let runs: Vec<(f64, f64)> = (1..=seeds)
                    .map(|seed| measure(policy, load, workers, counted, seed))
                    .collect();
                let means: Sample = runs.iter().map(|run| run.0).collect();
                let ratios: Sample = runs.iter().map(|run| run.1).collect();
                let source = "Sparrow's simulator";
                let what = |what| format!("{name}, load {load}: {what}");
                let ms = "mean job response in ms";
                vec![
                    Check::near(GROUP, what(ms), mean, &means, TOLERANCE, source),
                    Check::near(
                        GROUP,
                        what("ratio to longest task"),
                        ratio,
                        &ratios,
                        TOLERANCE,
                        source,
                    ),
                ]
            }),
        });
    }
    jobs
}

/// A tenth of the set-up, at a load where the queues hardly depend on its size.
fn small() -> Job {
    Job {
        name: format!("{GROUP}: sparrow-late, load 0.5"),
        cost: 1e5,
        run: Box::new(|| {
            let Ok(policy) = model::parse("sparrow-late") else {
                return Vec::new();
            };
            let runs = (1..=2).map(|seed| measure(policy, 0.5, 400, 120, seed).1);
            let what = "sparrow-late, load 0.5, 400 workers: ratio to longest task";
            let sample = runs.collect();
            let source = "Sparrow's simulator";
            vec![Check::near(
                GROUP,
                what.to_owned(),
                1.015,
                &sample,
                TOLERANCE,
                source,
            )]
        }),
    }
}
