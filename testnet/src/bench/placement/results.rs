//! What came of a row: its runs, their means with intervals over seeds, and the verdicts.

use serde::Serialize;
use starling_testnet::report::stats::{Estimate, paired};

use super::measure::Measured;
use super::row::{Against, Aim, Cell, Row};

/// The runs of a policy in a setting.
pub(super) struct Runs {
    pub(super) setting: String,
    pub(super) policy: &'static str,
    /// In the order of the seeds.
    pub(super) runs: Vec<Measured>,
}

/// All runs of a row.
#[derive(Default)]
pub(super) struct Results(pub(super) Vec<Runs>);

/// What became of an aim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Met,
    Missed,
    /// There is no number, because a run is missing or nothing of it ended.
    Open,
}

/// An aim and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Judged {
    /// What was asked.
    pub(super) aim: String,
    pub(super) verdict: Verdict,
    /// The mean is on one side of the bound and an end of its interval on the other.
    pub(super) close: bool,
    pub(super) found: Option<Estimate>,
}

impl Results {
    /// Adds a run.
    pub(super) fn add(&mut self, setting: &str, policy: &'static str, measured: Measured) {
        let known = self
            .0
            .iter_mut()
            .find(|runs| runs.setting == setting && runs.policy == policy);
        if let Some(runs) = known {
            runs.runs.push(measured);
        } else {
            self.0.push(Runs {
                setting: setting.to_owned(),
                policy,
                runs: vec![measured],
            });
        }
    }

    /// A cell's value by seed.
    fn values(&self, cell: &Cell) -> Vec<(u64, f64)> {
        let runs = self
            .0
            .iter()
            .find(|runs| runs.setting == cell.setting && runs.policy == cell.policy);
        let runs = runs.map_or(&[][..], |runs| &runs.runs);
        let value = |run: &Measured| Some((run.seed, *run.values.get(cell.measure)?));
        runs.iter().filter_map(value).collect()
    }

    /// A cell's mean with its interval over seeds.
    pub(super) fn estimate(&self, cell: &Cell) -> Option<Estimate> {
        let values = self.values(cell).into_iter().map(|(_, value)| value);
        Estimate::of(&values.collect::<Vec<_>>())
    }

    /// What became of an aim.
    pub(super) fn judge(&self, aim: &Aim) -> Judged {
        let found = match &aim.against {
            Against::Alone => self.estimate(&aim.what),
            Against::Over(other) => self.pair(&aim.what, other).and_then(|pair| pair.ratio),
            Against::Less(other) => self.pair(&aim.what, other).map(|pair| pair.difference),
        };
        let verdict = match found {
            None => Verdict::Open,
            Some(found) if aim.bound.holds(found.mean) => Verdict::Met,
            Some(_) => Verdict::Missed,
        };
        let close = found.is_some_and(|found| {
            let (low, high) = found.ends();
            let at = aim.bound.holds(found.mean);
            aim.bound.holds(low) != at || aim.bound.holds(high) != at
        });
        Judged {
            aim: aim.words(),
            verdict,
            close,
            found,
        }
    }

    /// Two cells over the seeds that both have; where one setting runs fewer seeds, over those.
    fn pair(&self, ours: &Cell, theirs: &Cell) -> Option<starling_testnet::report::stats::Paired> {
        let theirs = self.values(theirs);
        let with = |(seed, value): (u64, f64)| {
            let other = theirs.iter().find(|(other, _)| *other == seed)?;
            Some((value, other.1))
        };
        let pairs: Vec<_> = self.values(ours).into_iter().filter_map(with).collect();
        paired(&pairs)
    }

    /// All aims of a row.
    pub(super) fn judge_all(&self, row: &Row) -> Vec<Judged> {
        row.aims.iter().map(|aim| self.judge(aim)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::row::{Bound, cell};
    use super::*;

    fn measured(seed: u64, value: f64) -> Measured {
        Measured {
            seed,
            values: BTreeMap::from([("x", value)]),
            violations: Vec::new(),
            digest: String::new(),
        }
    }

    #[test]
    fn aims_are_judged_over_the_seeds_that_both_have() {
        let mut results = Results::default();
        for seed in 1..4 {
            results.add("s", "ours", measured(seed, seed as f64 * 1.2));
        }
        for seed in 2..6 {
            results.add("s", "theirs", measured(seed, seed as f64));
        }
        let (ours, theirs) = (cell("s", "ours", "x"), cell("s", "theirs", "x"));
        let over = |most| {
            let aim = Aim::over(ours.clone(), theirs.clone(), Bound::AtMost(most));
            results.judge(&aim)
        };
        let found = over(1.3).found.unwrap();
        assert_eq!(found.n, 2);
        assert!((found.mean - 1.2).abs() < 1e-12);
        assert_eq!(over(1.3).verdict, Verdict::Met);
        assert_eq!(over(1.1).verdict, Verdict::Missed);
        let alone = results.judge(&Aim::alone(ours, Bound::AtLeast(2.3)));
        assert_eq!((alone.verdict, alone.close), (Verdict::Met, true));
        let none = cell("s", "nobody", "x");
        let open = results.judge(&Aim::less(theirs, none, Bound::AtMost(0.0)));
        assert_eq!(open.verdict, Verdict::Open);
    }
}
