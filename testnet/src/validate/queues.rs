//! M/M/1 queues: single servers, exponential work of mean 1, Poisson arrivals, no latency. Mean
//! response against closed forms: one random queue, the shortest of `d` (Vvedenskaya and others
//! 1996, Mitzenmacher 1996: the limit of many servers), and one central queue (Erlang C).
//!
//! At load 0.99 five hundred queues are not many: the limit for the shortest of three or five is 3%
//! too low. There the first correction is added ([`super::finite`]), and the limit itself is held
//! against two thousand queues.
//!
//! Runs begin near their stationary state, where it is known, because a queue at load 0.99 forgets
//! its beginning only after ten thousands of service times. From each measured mean the part is
//! taken out that the load as drawn, which is not exactly the nominal one, explains to first order
//! (a control variate: its mean is zero, so nothing is shifted).

use super::finite::correction;
use super::stats::Sample;
use super::workload::Spec;
use super::{Check, Job, Size};
use crate::model;

const GROUP: &str = "M/M/1";
const TOLERANCE: f64 = 0.02;

/// The probability that a queue has at least `i` tasks, for i = 1, 2 and so on, where each task goes
/// to the shortest of `d` random queues of very many.
pub(super) fn tails(load: f64, d: f64) -> impl Iterator<Item = f64> {
    let mut exponent = 0.0;
    std::iter::from_fn(move || {
        exponent = exponent * d + 1.0;
        Some(libm::pow(load, exponent))
    })
}

/// The mean response of the shortest of `d`: `(1/rho) sum of s_i`. `d` = 1 gives `1/(1-rho)`.
fn choices(load: f64, d: f64) -> f64 {
    let mut sum = 0.0;
    for tail in tails(load, d) {
        if tail < 1e-15 {
            break;
        }
        sum += tail;
    }
    sum / load
}

/// The mean response of M/M/n: `1 + C/(n (1-rho))`, with Erlang's C from the recursion of his B.
fn central(load: f64, n: usize) -> f64 {
    let offered = load * n as f64;
    let blocked = (1..=n).fold(1.0, |b, k| offered * b / (k as f64 + offered * b));
    let waits = blocked / (1.0 - load * (1.0 - blocked));
    1.0 + waits / (n as f64 * (1.0 - load))
}

/// What is known of a policy at a load on so many servers.
#[derive(Clone, Copy)]
enum Known {
    Choices(f64),
    /// The same with the first correction for finitely many.
    Finite(f64),
    Central,
    /// Without a closed form: numbers measured elsewhere.
    Table(f64),
}

impl Known {
    fn mean(self, load: f64, n: usize) -> f64 {
        match self {
            Self::Choices(d) => choices(load, d),
            Self::Finite(d) => choices(load, d) + correction(load, d, true) / n as f64,
            Self::Central => central(load, n),
            Self::Table(mean) => mean,
        }
    }

    /// How the mean grows with the load; near enough where no form is known.
    fn slope(self, load: f64, n: usize) -> f64 {
        let form = match self {
            Self::Table(_) => Self::Central,
            Self::Finite(d) => Self::Choices(d),
            known => known,
        };
        let step = (1.0 - load) / 100.0;
        (form.mean(load + step, n) - form.mean(load - step, n)) / (2.0 * step)
    }

    const fn source(self) -> &'static str {
        match self {
            Self::Choices(1.0) => "1/(1-rho)",
            Self::Choices(_) => "limit of many queues",
            Self::Finite(_) => "the limit and its 1/n correction",
            Self::Central => "Erlang C",
            Self::Table(_) => "measured table",
        }
    }

    /// How long the queues are at the beginning, and so many tasks that are submitted then.
    fn begin(self, load: f64, n: usize) -> (Vec<usize>, usize) {
        match self {
            Self::Choices(d) | Self::Finite(d) => {
                let length = |machine: usize| {
                    let level = (machine as f64 + 0.5) / n as f64;
                    tails(load, d).take_while(|tail| *tail > level).count()
                };
                ((0..n).map(length).collect(), 0)
            }
            Self::Central | Self::Table(_) => {
                let inside = load * n as f64 * self.mean(load, n);
                (Vec::new(), inside as usize)
            }
        }
    }
}

/// How much is run.
#[derive(Clone, Copy)]
struct Plan {
    n: usize,
    seeds: u64,
    /// Service times before the measurement, and in it.
    warm: f64,
    time: f64,
}

/// The mean response of a policy by seed.
fn measure(policy: model::PolicyName, known: Known, load: f64, plan: Plan) -> Sample {
    let Plan {
        n,
        seeds,
        warm,
        time,
    } = plan;
    let (queues, at_once) = known.begin(load, n);
    let standing: usize = queues.iter().sum();
    // The response to a wrong load builds up at about half the time passed, up to the slope.
    let slope = known.slope(load, n);
    let control = 1.0 / (1.0 / slope + 2.0 / (warm + time));
    let one = |seed: u64| {
        let arrivals = (load * n as f64 * (warm + time)) as usize;
        let mut case = Spec::single(n, load, arrivals + at_once).case(seed, &queues);
        // The first arrivals make the beginning where no queues stand.
        for job in &mut case.jobs[standing..standing + at_once] {
            job.at = std::time::Duration::ZERO;
        }
        let begun = case.jobs[standing..]
            .get(at_once)
            .map_or(0.0, |j| j.at.as_secs_f64());
        let outcome = model::run_from(&case, policy, standing, None);
        let (mut sum, mut count, mut work) = (0.0, 0.0, 0.0);
        let mut last = 0.0;
        for (fate, job) in outcome.tasks.iter().zip(&case.jobs) {
            let at = job.at.as_secs_f64();
            if at >= begun + warm
                && let Some(ended) = fate.ended
            {
                sum += ended.as_secs_f64() - at;
                count += 1.0;
                work += job.tasks[0].as_secs_f64();
                last = at;
            }
        }
        let drawn = work / (n as f64 * (last - begun - warm));
        sum / count - control * (drawn - load)
    };
    (1..=seeds).map(one).collect()
}

/// What is known of the shortest of all queues, n = 500.
const SHORTEST: [(f64, f64); 5] = [
    (0.5, 1.00),
    (0.7, 1.00),
    (0.9, 1.00),
    (0.95, 1.02),
    (0.99, 1.28),
];

/// The comparisons.
pub(super) fn jobs(size: Size) -> Vec<Job> {
    const CHOICES: [(&str, f64); 4] = [("random", 1.0), ("p2c", 2.0), ("p3", 3.0), ("p5", 5.0)];
    let loads: &[f64] = match size {
        Size::Small => &[0.5],
        Size::Full => &[0.5, 0.7, 0.8, 0.9, 0.95, 0.99],
    };
    let mut jobs = Vec::new();
    for load in loads.iter().copied() {
        let plan = plan(size, load);
        for (name, d) in CHOICES {
            let few = load > 0.98 && d > 1.0;
            let known = if few {
                Known::Finite(d)
            } else {
                Known::Choices(d)
            };
            jobs.extend(job(name, known, load, plan));
            if few {
                let many = Plan {
                    n: 2_000,
                    seeds: 6,
                    warm: 300.0,
                    time: 900.0,
                };
                jobs.extend(job(name, Known::Choices(d), load, many));
            }
        }
        if let Some((_, mean)) = SHORTEST.iter().find(|(at, _)| *at == load) {
            jobs.extend(job("jsq", Known::Table(*mean), load, plan));
        }
        jobs.extend(job("central", Known::Central, load, plan));
    }
    jobs
}

fn job(name: &'static str, known: Known, load: f64, plan: Plan) -> Option<Job> {
    let policy = model::parse(name).ok()?;
    let what = format!("{name}, load {load}, n = {}", plan.n);
    Some(Job {
        name: format!("{GROUP}: {what}"),
        cost: plan.seeds as f64 * (plan.warm + plan.time) * plan.n as f64,
        run: Box::new(move || {
            let sample = measure(policy, known, load, plan);
            let mean = known.mean(load, plan.n);
            let what = what.clone();
            vec![Check::near(
                GROUP,
                what,
                mean,
                &sample,
                TOLERANCE,
                known.source(),
            )]
        }),
    })
}

fn plan(size: Size, load: f64) -> Plan {
    if size == Size::Small {
        return Plan {
            n: 200,
            seeds: 3,
            warm: 10.0,
            time: 150.0,
        };
    }
    let (seeds, warm, time) = match load {
        l if l > 0.98 => (15, 400.0, 1_600.0),
        l if l > 0.92 => (6, 200.0, 1_800.0),
        _ => (4, 100.0, 1_500.0),
    };
    Plan {
        n: 500,
        seeds,
        warm,
        time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms_have_their_published_values() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 6e-5 * b.max(1.0), "{a} {b}");
        near(choices(0.9, 1.0), 10.0);
        near(choices(0.9, 2.0), 2.6141);
        near(choices(0.99, 2.0), 5.4320);
        near(choices(0.95, 3.0), 2.5351);
        near(choices(0.99, 5.0), 2.9017);
        near(central(0.99, 500), 1.1498);
        near(central(0.95, 500), 1.0071);
        // M/M/1 and M/M/2 by hand.
        near(central(0.5, 1), 2.0);
        near(central(0.5, 2), 4.0 / 3.0);
    }
}
