//! What a scenario's runs amount to: numbers with intervals over seeds, as a table for the
//! terminal, JSON and CSV for programs, and one HTML page with plots for people.
//!
//! A [`Run`] is reduced from a case and its outcome as soon as that is there (an outcome of many
//! tasks is large, a run is not); a [`Report`] holds the runs by policy and seed.

mod curves;
mod data;
mod figures;
mod html;
mod ink;
mod load;
mod measures;
mod names;
mod parallel;
mod plot;
pub mod progress;
mod run;
#[cfg(test)]
mod sample;
pub mod stats;
mod table;
mod write;

pub use measures::{Measures, measure};
pub use names::{Name, named, names};
pub use parallel::parallel;
pub use plot::PlotError;
pub use run::{Distribution, Facts, Mark, Run};
pub use write::ReportError;

use stats::{Estimate, Paired, paired};

/// Several policies over the same cases, by seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The scenario's file as it was read.
    pub scenario: String,
    /// The command that repeats all this.
    pub command: String,
    /// What the cases have in common; of the first run, where the seeds differ.
    pub facts: Facts,
    /// In the order in which they first came.
    pub policies: Vec<Policy>,
}

/// A policy's runs.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// In the order in which they came, one per seed.
    pub runs: Vec<Run>,
}

impl Report {
    /// From runs in any number; policies keep the order of their first runs.
    pub fn new(scenario: String, command: String, runs: Vec<Run>) -> Self {
        let facts = runs.first().map(|run| run.facts.clone());
        let mut policies: Vec<Policy> = Vec::new();
        for run in runs {
            if let Some(known) = policies.iter_mut().find(|p| p.name == run.policy) {
                known.runs.push(run);
            } else {
                let (name, runs) = (run.policy.clone(), vec![run]);
                policies.push(Policy { name, runs });
            }
        }
        Self {
            scenario,
            command,
            facts: facts.unwrap_or_default(),
            policies,
        }
    }

    /// The policy of a name.
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.name == name)
    }

    /// A measure of one policy against another's over the seeds that both ran and have it in; none
    /// if there is no such seed.
    pub fn compare(&self, measure: &str, ours: &str, theirs: &str) -> Option<Paired> {
        let (ours, theirs) = (self.policy(ours)?, self.policy(theirs)?);
        let pairs = ours.runs.iter().filter_map(|run| {
            let other = theirs.runs.iter().find(|other| other.seed == run.seed)?;
            Some((run.measures.get(measure)?, other.measures.get(measure)?))
        });
        paired(&pairs.collect::<Vec<_>>())
    }

    /// All seeds, ascending.
    pub fn seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<u64> = self.runs().map(|run| run.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    /// All runs, by policy and then as they came.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.policies.iter().flat_map(|policy| &policy.runs)
    }

    /// Whether jobs have several tasks, so that a job's response is not its task's.
    const fn jobs_matter(&self) -> bool {
        self.facts.jobs != self.facts.tasks
    }

    /// The number of machines, tasks and seeds, in words.
    fn size(&self) -> String {
        let seeds = self.seeds();
        let seeds = match (seeds.first(), seeds.last(), seeds.len()) {
            (Some(first), Some(last), n) if n > 1 => format!("{n} seeds, {first} to {last}"),
            (Some(only), ..) => format!("seed {only}"),
            (None, ..) => "no run".to_owned(),
        };
        let Facts {
            machines, tasks, ..
        } = self.facts;
        format!("{machines} machines, {tasks} tasks, {seeds}")
    }
}

impl Policy {
    /// A measure over the seeds that have it; none if none has.
    pub fn estimate(&self, measure: &str) -> Option<Estimate> {
        let values = self.runs.iter().filter_map(|run| run.measures.get(measure));
        Estimate::of(&values.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::sample::report;

    #[test]
    fn runs_are_gathered_by_policy_and_compared_by_seed() {
        let report = report();
        let names: Vec<_> = report.policies.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["random", "p2c <live>", "starling"]);
        assert_eq!(report.seeds(), [1, 2, 3]);
        assert_eq!(report.runs().count(), 9);
        let alone = report.policies[0].estimate("response_mean").unwrap();
        assert_eq!(alone.n, 3);
        let ratio = report
            .compare("response_mean", "starling", "random")
            .and_then(|paired| paired.ratio)
            .unwrap();
        assert!(ratio.ends().1 < 1.0, "{ratio}");
        let own = report.compare("response_mean", "random", "random").unwrap();
        assert_eq!(own.difference.half, Some(0.0));
        assert_eq!(report.compare("response_mean", "starling", "nobody"), None);
        assert_eq!(report.compare("no_such", "starling", "random"), None);
        assert!(report.size().ends_with("3 seeds, 1 to 3"));
    }
}
