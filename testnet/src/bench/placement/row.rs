//! A row of the table of aims: cases, who plays them, and what should come of it.

use std::path::Path;
use std::time::Duration;

use starling_testnet::case::{Case, Fault, FaultKind};
use starling_testnet::scenario::{self, Scenario};

/// A row: several settings of one experiment.
pub(super) struct Row {
    /// By which `--only` finds it.
    pub(super) name: &'static str,
    /// What is run, in a sentence or two.
    pub(super) about: String,
    /// What the table shows.
    pub(super) columns: Vec<Column>,
    /// Cases and players.
    pub(super) settings: Vec<Setting>,
    /// What should come of it.
    pub(super) aims: Vec<Aim>,
    /// What could not be run and why.
    pub(super) skipped: Vec<String>,
}

/// A column of a row's table.
#[derive(Clone, Copy)]
pub(super) struct Column {
    /// The measure, a name of `report::names` or of [`super::measure`].
    pub(super) measure: &'static str,
    /// Its heading.
    pub(super) head: &'static str,
}

/// One scenario and who plays it.
pub(super) struct Setting {
    /// What tells it from the row's others.
    pub(super) name: String,
    /// As it was written; the JSON repeats it.
    pub(super) text: String,
    /// As it was read.
    pub(super) scenario: Scenario,
    /// Policies.
    pub(super) players: Vec<&'static str>,
    /// The mean service time in seconds, by which responses are divided.
    pub(super) service: f64,
    /// What ends in this stretch of the workload is looked at by itself.
    pub(super) stretch: Option<(Duration, Duration)>,
    /// Of the seeds no more than so many are run.
    pub(super) most_seeds: usize,
    /// The central part dies when half of the time of the jobs is over.
    pub(super) centre_dies: bool,
}

impl Setting {
    /// Reads a scenario; files that it names are looked for below `base`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or with a file that it names.
    pub(super) fn new(
        name: impl Into<String>,
        text: String,
        base: &Path,
        players: &[&'static str],
    ) -> Result<Self, String> {
        let name = name.into();
        let scenario = scenario::parse(&text, "bench placement", base)
            .map_err(|why| format!("{name}: {why}"))?;
        Ok(Self {
            name,
            text,
            scenario,
            players: players.to_vec(),
            service: 1.0,
            stretch: None,
            most_seeds: usize::MAX,
            centre_dies: false,
        })
    }

    /// Sets the mean service time in seconds.
    pub(super) fn service(mut self, seconds: f64) -> Self {
        self.service = seconds;
        self
    }

    /// Looks at what ends between two seconds of the workload by itself.
    pub(super) fn stretch(mut self, from: u64, until: u64) -> Self {
        self.stretch = Some((Duration::from_secs(from), Duration::from_secs(until)));
        self
    }

    /// Lets the central part die halfway through the jobs, for good.
    pub(super) fn without_centre(mut self) -> Self {
        self.centre_dies = true;
        self
    }

    /// The case of a seed.
    ///
    /// # Errors
    ///
    /// What only the draw shows to be wrong.
    pub(super) fn case(&self, seed: u64) -> Result<Case, String> {
        let case = self.scenario.case(seed);
        let mut case = case.map_err(|why| format!("{}: {why}", self.name))?;
        if self.centre_dies {
            let last = case.jobs.last().map_or(Duration::ZERO, |job| job.at);
            case.faults.push(Fault {
                at: last / 2,
                what: FaultKind::CentreDies,
            });
            case.faults.sort_by_key(|fault| fault.at);
        }
        Ok(case)
    }

    /// Runs no more than so many seeds.
    pub(super) fn at_most(mut self, seeds: usize) -> Self {
        self.most_seeds = seeds;
        self
    }
}

/// A measured value: of a policy in a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) setting: String,
    pub(super) policy: &'static str,
    pub(super) measure: &'static str,
}

/// Shorthand for a cell.
pub(super) fn cell(
    setting: impl Into<String>,
    policy: &'static str,
    measure: &'static str,
) -> Cell {
    Cell {
        setting: setting.into(),
        policy,
        measure,
    }
}

/// What a value is compared with before it is judged, seed by seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Against {
    /// Nothing: the value itself counts.
    Alone,
    /// The value over another.
    Over(Cell),
    /// The value less another.
    Less(Cell),
}

/// What is asked of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Between the two.
    Within(f64, f64),
}

/// Something that the issue asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Aim {
    pub(super) what: Cell,
    pub(super) against: Against,
    pub(super) bound: Bound,
}

impl Bound {
    /// Whether a value is as asked.
    pub(super) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::Within(least, most) => value >= least && value <= most,
        }
    }
}

impl Aim {
    /// A value by itself.
    pub(super) fn alone(what: Cell, bound: Bound) -> Self {
        Self {
            what,
            against: Against::Alone,
            bound,
        }
    }

    /// A value as a multiple of another.
    pub(super) fn over(what: Cell, other: Cell, bound: Bound) -> Self {
        Self {
            what,
            against: Against::Over(other),
            bound,
        }
    }

    /// A value less another.
    pub(super) fn less(what: Cell, other: Cell, bound: Bound) -> Self {
        Self {
            what,
            against: Against::Less(other),
            bound,
        }
    }

    /// What is asked, in words.
    pub(super) fn words(&self) -> String {
        let Cell {
            setting,
            policy,
            measure,
        } = &self.what;
        let other = |cell: &Cell| {
            let mut words = cell.policy.to_owned();
            if cell.setting != *setting {
                words += " of ";
                words += &cell.setting;
            }
            if cell.measure != *measure {
                words = format!("{} of {words}", cell.measure);
            }
            words
        };
        let against = match &self.against {
            Against::Alone => String::new(),
            Against::Over(cell) => format!(", over that of {}", other(cell)),
            Against::Less(cell) => format!(", less that of {}", other(cell)),
        };
        let bound = match self.bound {
            Bound::AtMost(most) => format!("at most {most}"),
            Bound::AtLeast(least) => format!("at least {least}"),
            Bound::Within(least, most) => format!("{least} to {most}"),
        };
        format!("{setting}: {measure} of {policy}{against}: {bound}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aims_are_told_in_words() {
        let aim = Aim::over(
            cell("load 0.9", "starling", "response"),
            cell("load 0.5", "p2c", "response"),
            Bound::AtMost(1.5),
        );
        assert_eq!(
            aim.words(),
            "load 0.9: response of starling, over that of p2c of load 0.5: at most 1.5"
        );
        assert!(aim.bound.holds(1.5) && !aim.bound.holds(1.6));
        assert!(Bound::Within(0.9, 1.1).holds(1.0) && !Bound::Within(0.9, 1.1).holds(1.2));
        assert!(Bound::AtLeast(2.0).holds(2.0) && !Bound::AtLeast(2.0).holds(1.0));
    }

    #[test]
    fn a_wrong_scenario_is_told_with_its_setting() {
        let wrong = Setting::new("here", "name = 1".to_owned(), Path::new(""), &["p2c"]);
        assert!(wrong.is_err_and(|why| why.starts_with("here: ")));
    }
}
