//! A fleet of two speeds, half the machines 0.2 and half 1.8. Two choices drawn evenly send a quarter
//! of all tasks to two slow machines, which can do a tenth of the fleet's work: beyond load 0.4 their
//! queues grow without bound. Drawn in proportion to capacity they do not.

use super::stats::Sample;
use super::workload::Spec;
use super::{Check, Job, Size};
use crate::model;

const GROUP: &str = "two speeds";
const TOLERANCE: f64 = 0.1;

/// How much is run.
#[derive(Clone, Copy)]
struct Plan {
    n: usize,
    seeds: u64,
    /// Mean service times of a run; the first third is not measured.
    time: f64,
}

/// The mean response of the tasks that came in the second and in the third third.
fn thirds(policy: model::PolicyName, load: f64, plan: Plan, seed: u64) -> (f64, f64) {
    let Plan { n, time, .. } = plan;
    let spec = Spec {
        speeds: vec![0.2, 1.8],
        ..Spec::single(n, load, (load * n as f64 * time) as usize)
    };
    let case = spec.case(seed, &[]);
    let outcome = model::run(&case, policy, None);
    let mean = |from: f64, to: f64| {
        let fates = outcome.tasks.iter().filter_map(|fate| {
            let at = fate.submitted.as_secs_f64();
            let ended = fate.ended?.as_secs_f64();
            (at >= from && at < to).then_some(ended - at)
        });
        fates.collect::<Sample>().mean()
    };
    (
        mean(time / 3.0, time * 2.0 / 3.0),
        mean(time * 2.0 / 3.0, f64::INFINITY),
    )
}

/// How much the response grows from the second third to the third: 1 where queues are stable, 5/3
/// where they grow evenly from nothing.
fn growth(name: &str, load: f64, plan: Plan) -> Sample {
    let Ok(policy) = model::parse(name) else {
        return Sample::default();
    };
    (1..=plan.seeds)
        .map(|seed| {
            let (second, third) = thirds(policy, load, plan, seed);
            third / second
        })
        .collect()
}

/// Growth above this is a queue without bound; below it is noise.
const BOUND: f64 = 1.25;

fn check_growth(name: &'static str, load: f64, plan: Plan, grows: bool) -> Job {
    let verb = if grows { "grows" } else { "is stable" };
    let what =
        format!("{name}, load {load}: {verb} (response of the last third to the one before)");
    Job {
        name: format!("{GROUP}: {what}"),
        cost: plan.seeds as f64 * plan.time * plan.n as f64 * 2.0,
        run: Box::new(move || {
            let sample = growth(name, load, plan);
            let measured = sample.mean();
            let sign = if grows { ">" } else { "<" };
            vec![Check {
                group: GROUP.to_owned(),
                what: what.clone(),
                expected: BOUND,
                measured,
                tolerance: f64::NAN,
                half_width: sample.half_width(),
                pass: (measured > BOUND) == grows && measured.is_finite(),
                source: format!("{sign} {BOUND}: the bound on uniform choices is load 0.4"),
            }]
        }),
    }
}

fn check_mean(name: &'static str, load: f64, known: f64, plan: Plan) -> Job {
    let what = format!("{name}, load {load}: mean response");
    Job {
        name: format!("{GROUP}: {what}"),
        cost: plan.seeds as f64 * plan.time * plan.n as f64 * 2.0,
        run: Box::new(move || {
            let Ok(policy) = model::parse(name) else {
                return Vec::new();
            };
            let sample: Sample = (1..=plan.seeds)
                .map(|seed| {
                    let (second, third) = thirds(policy, load, plan, seed);
                    (second + third) / 2.0
                })
                .collect();
            let source = "measured table";
            vec![Check::near(
                GROUP,
                what.clone(),
                known,
                &sample,
                TOLERANCE,
                source,
            )]
        }),
    }
}

/// The comparisons.
pub(super) fn jobs(size: Size) -> Vec<Job> {
    if size == Size::Small {
        let plan = Plan {
            n: 100,
            seeds: 1,
            time: 300.0,
        };
        return vec![
            check_growth("p2c", 0.7, plan, true),
            check_growth("p2c-weighted", 0.7, plan, false),
        ];
    }
    let plan = Plan {
        n: 200,
        seeds: 5,
        time: 3_000.0,
    };
    let mut jobs = vec![
        check_growth("p2c", 0.3, plan, false),
        check_growth("p2c", 0.45, plan, true),
        check_growth("p2c", 0.7, plan, true),
    ];
    for (load, known) in [(0.5, 1.27), (0.7, 1.62), (0.9, 2.67)] {
        jobs.push(check_growth("p2c-weighted", load, plan, false));
        jobs.push(check_mean("p2c-weighted", load, known, plan));
    }
    jobs.push(check_mean("p2c", 0.3, 3.78, plan));
    jobs
}
