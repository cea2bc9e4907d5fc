//! Two choices on a gossiped table, as stale as the period makes it: M/M/1 queues at load 0.9, 100
//! machines that each open one push-pull exchange in a period. Mean response against what was
//! measured elsewhere.

use std::time::Duration;

use super::stats::Sample;
use super::workload::Spec;
use super::{Check, Job, Size};
use crate::model;

const GROUP: &str = "stale choices";
const TOLERANCE: f64 = 0.05;
const MACHINES: usize = 100;
const LOAD: f64 = 0.9;

/// The period in service times, and the mean response.
const KNOWN: [(f64, f64); 6] = [
    (0.1, 2.83),
    (0.5, 3.44),
    (1.0, 3.93),
    (2.0, 4.87),
    (5.0, 7.25),
    (10.0, 10.5),
];

fn measure(policy: model::PolicyName, period: f64, tasks: usize, seed: u64) -> f64 {
    let mut case = Spec::single(MACHINES, LOAD, tasks).case(seed, &[]);
    case.gossip_period = Duration::from_secs_f64(period);
    let outcome = model::run(&case, policy, None);
    // The first tenth fills the queues.
    let measured = outcome.tasks.iter().skip(tasks / 10);
    let responses = measured.filter_map(|fate| Some((fate.ended? - fate.submitted).as_secs_f64()));
    responses.collect::<Sample>().mean()
}

/// The comparisons.
pub(super) fn jobs(size: Size) -> Vec<Job> {
    let Ok(policy) = model::parse("p2c-stale") else {
        return Vec::new();
    };
    if size == Size::Small {
        return Vec::new();
    }
    let job = |(period, known)| {
        let (seeds, tasks) = (4, 400_000);
        let what = format!("p2c-stale, period {period} service times, n = {MACHINES}");
        Job {
            name: format!("{GROUP}: {what}"),
            // Exchanges of whole tables are what takes time where the period is short.
            cost: (seeds * tasks) as f64 * (1.0 + 0.5 / period),
            run: Box::new(move || {
                let sample: Sample = (1..=seeds)
                    .map(|seed| measure(policy, period, tasks, seed as u64))
                    .collect();
                let what = what.clone();
                vec![Check::near(
                    GROUP,
                    what,
                    known,
                    &sample,
                    TOLERANCE,
                    "measured table",
                )]
            }),
        }
    };
    KNOWN.into_iter().map(job).collect()
}
