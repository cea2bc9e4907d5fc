//! Workloads: jobs as a scenario describes them, drawn from distributions or from traces.
//!
//! [`Workload`] is the checked table `[workload]`; `draw` makes the jobs of a run from it. When
//! jobs come ([`arrivals`]), how large they are ([`spread`], [`shape`]), what kind of work and at
//! whose door each take chance from streams of their own, so that a change in one leaves the
//! others as they were.

mod arrivals;
mod detail;
mod draw;
mod pick;
mod read;
mod shape;
pub(crate) mod spread;
mod trace;

use std::time::Duration;

use starling_placement::Resources;

use crate::case::Job;
use crate::scenario::error::At;
use arrivals::Arrivals;
use shape::Population;
use spread::Spread;
use trace::Traced;

pub(crate) use draw::Scene;
pub use trace::MOST_TASKS;

/// The checked table `[workload]`.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// Where the table stands.
    at: At,
    /// Where what decides the pace stands.
    pace_at: At,
    pace: Pace,
    source: Source,
    /// Each draw meets the load to the last job, by stretching its time.
    exact: bool,
    /// What each task reserves, unless trace or shape say it.
    need: Option<Resources>,
    need_at: At,
    class: Classes,
    home: Home,
    /// Seconds of work above which a job is long.
    long_above: Option<f64>,
    services: Vec<Service>,
    warmup: Duration,
    /// For how long jobs are measured; until the last one if nothing is said.
    length: Option<Duration>,
    cooldown: Duration,
    /// How many jobs there are at most.
    jobs: usize,
    /// How many tasks there are at most.
    limit: usize,
}

/// How fast jobs come.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// The work offered over what the fleet can do.
    Load(f64),
    /// Jobs per second.
    Rate(f64),
    /// As the arrivals or the trace have it.
    Own,
}

/// Where jobs come from.
#[derive(Clone, Debug)]
enum Source {
    /// There are only services.
    None,
    Drawn {
        arrivals: Arrivals,
        populations: Vec<Population>,
        /// Cores per task, where they differ by job.
        cores: Option<Spread>,
    },
    Traced {
        jobs: Vec<Traced>,
        /// Index into the truth's classes of each job, if the trace says it.
        classes: Option<Vec<u16>>,
        /// Multiplies times.
        time_scale: f64,
        /// Multiplies durations.
        size_scale: f64,
        /// The platform whose speed the durations were measured at.
        measured_on: Option<u16>,
    },
}

/// What kind of work jobs are.
#[derive(Clone, Debug)]
enum Classes {
    /// Each class as often as any.
    Uniform,
    /// In proportion.
    Weighted(Vec<f64>),
    /// As the trace says.
    Traced,
}

/// At whose door jobs arrive.
#[derive(Clone, Debug)]
enum Home {
    Random,
    /// In proportion to CPU.
    Weighted,
    Machine(At, String),
    Zone(At, String),
}

/// A job whose tasks never end by themselves.
#[derive(Clone, Debug)]
struct Service {
    at: Duration,
    tasks: usize,
    need: Resources,
    need_at: At,
    class: u16,
}

/// The jobs of a run.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) jobs: Vec<Job>,
    pub(crate) warmup: Duration,
    pub(crate) measured_until: Duration,
    /// When the last job may come.
    pub(crate) submitted_until: Duration,
    /// The longest work of a task that ends.
    pub(crate) longest: Duration,
}

impl Workload {
    /// Names of the groups of jobs, by [`Job::group`].
    pub(crate) fn groups(&self) -> Vec<String> {
        let mut groups: Vec<&str> = match (&self.source, self.long_above) {
            (Source::None, _) => vec![],
            (_, Some(_)) => vec!["short", "long"],
            (_, None) => vec!["all"],
        };
        if !self.services.is_empty() {
            groups.push("services");
        }
        groups.into_iter().map(str::to_owned).collect()
    }

    /// How many gaps the arrivals of a trace have.
    #[cfg(test)]
    pub(crate) const fn traced_gaps(&self) -> Option<usize> {
        match &self.source {
            Source::Drawn {
                arrivals: Arrivals::Traced { gaps, .. },
                ..
            } => Some(gaps.len()),
            _ => None,
        }
    }
}
