//! One run, reduced to what reports show of it.

use std::time::Duration;

use serde::Serialize;

use super::measures::{Measures, measure_and_responses};
use super::stats::quantile;
use crate::case::{Case, FaultKind};
use crate::outcome::{Moment, Outcome};

/// One policy's run of one case.
#[derive(Clone, Debug)]
pub struct Run {
    /// The policy.
    pub policy: String,
    /// The case's seed.
    pub seed: u64,
    /// About the case.
    pub facts: Facts,
    /// The numbers.
    pub measures: Measures,
    /// The responses of measured tasks that ended.
    pub response: Distribution,
    /// The run over time.
    pub course: Vec<Moment>,
    /// When it ended.
    pub end: Duration,
    /// Events handled.
    pub events: u64,
    /// Of all events: equal runs have equal ones.
    pub digest: String,
    /// What did not hold and should have.
    pub violations: Vec<String>,
}

/// What a case is about, whoever schedules it; nothing of the machine that ran it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Facts {
    /// The case's name.
    pub name: String,
    /// How many machines the fleet has.
    pub machines: usize,
    /// Their cores.
    pub cores: f64,
    /// How many jobs there are.
    pub jobs: usize,
    /// How many tasks they have.
    pub tasks: usize,
    /// Jobs submitted earlier are not measured; seconds.
    pub warmup: f64,
    /// Jobs submitted later are not measured; seconds.
    pub measured_until: f64,
    /// The run ends here at the latest; seconds.
    pub end: f64,
    /// What goes wrong, by time.
    pub faults: Vec<Mark>,
}

/// A fault on the plots.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// When; seconds.
    pub at: f64,
    /// What, in a few words.
    pub what: String,
}

/// Quantiles of a sample at every 5 thousandths, and at 999.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// Thousandths of the sample, ascending.
    pub per_mille: Vec<usize>,
    /// The value that so many do not exceed; as many as there are thousandths.
    pub value: Vec<f64>,
}

impl Run {
    /// Measures an outcome of a case, and keeps what reports show.
    pub fn new(case: &Case, outcome: Outcome) -> Self {
        let (measures, responses) = measure_and_responses(case, &outcome);
        Self {
            facts: Facts::of(case),
            measures,
            response: Distribution::of(&responses),
            policy: outcome.policy,
            seed: outcome.seed,
            course: outcome.course,
            end: outcome.end,
            events: outcome.events,
            digest: outcome.digest,
            violations: outcome.violations,
        }
    }

    /// The mean response, in seconds, of the tasks that ended after `from` and until `until`,
    /// measured or not, as far as the course tells moments apart; none if none ended. To see whether
    /// a run has recovered from a fault, compare it with the same stretch of a run without.
    pub fn response_between(&self, from: Duration, until: Duration) -> Option<f64> {
        let (mut sum, mut ended) = (0.0, 0.0);
        for moment in &self.course {
            if moment.at > from && moment.at <= until && moment.ended > 0 {
                sum += moment.response * f64::from(moment.ended);
                ended += f64::from(moment.ended);
            }
        }
        (ended > 0.0).then(|| sum / ended)
    }
}

impl Distribution {
    /// Of an ascending sample; empty of an empty one.
    pub fn of(ascending: &[f64]) -> Self {
        let points = (0..1_000).step_by(5).chain([999, 1_000]);
        let (per_mille, value) = points
            .filter_map(|point| Some((point, quantile(ascending, point)?)))
            .unzip();
        Self { per_mille, value }
    }
}

impl Facts {
    fn of(case: &Case) -> Self {
        let mark = |fault: &crate::case::Fault| Mark {
            at: fault.at.as_secs_f64(),
            what: words(&fault.what),
        };
        Self {
            name: case.name.clone(),
            machines: case.machines.len(),
            cores: case.cores(),
            jobs: case.jobs.len(),
            tasks: case.task_count(),
            warmup: case.warmup.as_secs_f64(),
            measured_until: case.measured_until.as_secs_f64(),
            end: case.end.as_secs_f64(),
            faults: case.faults.iter().map(mark).collect(),
        }
    }
}

/// A fault in a few words.
fn words(fault: &FaultKind) -> String {
    let some = |machines: &[u32]| match machines {
        [one] => format!("n{one}"),
        many => format!("{} machines", many.len()),
    };
    match fault {
        FaultKind::Crash { machines, tasks } => {
            let with = if *tasks { "" } else { " (tasks live on)" };
            format!("crash of {}{with}", some(machines))
        }
        FaultKind::Boot { machines } => format!("boot of {}", some(machines)),
        FaultKind::Leave { machines } => format!("leave of {}", some(machines)),
        FaultKind::Pause { machines, length } => {
            format!("pause of {} for {} s", some(machines), length.as_secs_f64())
        }
        FaultKind::Cut { from, to, one_way } => {
            let way = if *one_way { "to" } else { "from" };
            format!("cut of {} {way} {}", some(from), some(to))
        }
        FaultKind::Heal => "cuts healed".to_owned(),
        FaultKind::Loss(share) => format!("loss of {} %", share * 100.0),
        FaultKind::SlowDisk { machines, factor } => {
            format!("disks of {} slower by {factor}", some(machines))
        }
        FaultKind::Lie { machines, on: true } => format!("{} begin to lie", some(machines)),
        FaultKind::Lie { machines, .. } => format!("{} cease to lie", some(machines)),
        FaultKind::Foreign { machines, cpu } => {
            format!("foreign {cpu} millicores on {}", some(machines))
        }
        FaultKind::CentreDies => "the centre dies".to_owned(),
        FaultKind::CentreReturns => "the centre returns".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::run;
    use super::*;

    #[test]
    fn the_response_of_a_stretch_is_weighted() {
        let (case, outcome) = run("some", 3, 1.0, true);
        let mut run = Run::new(&case, outcome);
        run.course.truncate(4);
        for (moment, (ended, response)) in
            run.course
                .iter_mut()
                .zip([(9, 9.0), (1, 1.0), (3, 2.0), (0, f64::NAN)])
        {
            (moment.ended, moment.response) = (ended, response);
        }
        let between = |from, until| {
            run.response_between(Duration::from_secs(from), Duration::from_secs(until))
        };
        assert_eq!(between(1, 4), Some(1.75));
        assert_eq!((between(3, 4), between(4, 9)), (None, None));
    }

    #[test]
    fn a_run_keeps_the_distribution_and_the_faults() {
        let (case, outcome) = run("some", 3, 1.0, true);
        let run = Run::new(&case, outcome);
        let at = run.response.per_mille.iter().position(|p| *p == 990);
        let p99 = at.map(|at| run.response.value[at]);
        assert_eq!(p99, run.measures.get("response_p99"));
        assert_eq!(
            run.response.value.last().copied(),
            run.measures.get("response_max")
        );
        assert!(run.response.value.is_sorted());
        let faults: Vec<_> = run.facts.faults.iter().map(|m| m.what.as_str()).collect();
        assert_eq!(
            faults,
            ["cut of 50 machines from 50 machines", "cuts healed"]
        );
        assert_eq!(Distribution::of(&[]), Distribution::default());
    }
}
