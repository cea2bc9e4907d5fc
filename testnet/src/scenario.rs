//! Scenario files: cluster, network, workload, faults and what must hold, in TOML. The schema is in
//! `scenarios/README.md`.
//!
//! [`load`] reads and checks everything that can be checked without a seed, including the files
//! that the scenario names; [`Scenario::case`] draws a [`Case`] from a seed. A complaint names the
//! file, the line and the key, and says what would be right.
//!
//! | file | subject |
//! | --- | --- |
//! | `reader`, `amount`, `error` | TOML with places, amounts with units, complaints |
//! | `sheet` | tables that a scenario names, plain or compressed |
//! | `dice` | chance by seed and purpose |
//! | `cluster`, `network` | machines and what lies between them |
//! | `truth`, `generator`, `measured` | speeds and contention: written, drawn, from files |
//! | `fault`, `churn`, `timeline` | what goes wrong, and the order that comes of it |
//! | `expect`, `settings` | what must hold; words for the simulator |
//!
//! The workload is in [`crate::workload`].

pub(crate) mod amount;
mod churn;
pub(crate) mod cluster;
pub(crate) mod dice;
pub(crate) mod error;
mod expect;
mod fault;
mod generator;
mod measured;
mod network;
pub(crate) mod reader;
mod settings;
pub(crate) mod sheet;
#[cfg(test)]
mod tests;
mod timeline;
pub(crate) mod truth;

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::case::{Beliefs, Case, Network};
use crate::truth::Truth;
use crate::workload::{Drawn, Scene, Workload};
use churn::Churn;
use cluster::{Cluster, Fleet};
use fault::FaultSpec;
use reader::Table;
use truth::TruthSpec;

use settings::Settings;

pub use cluster::MOST_MACHINES;
pub use error::{At, Complaint, ScenarioError, Within};
pub use expect::{BESIDES, Expect, Expectation, Op};

/// A scenario that was read and checked.
#[derive(Clone, Debug)]
pub struct Scenario {
    name: String,
    about: String,
    seeds: RangeInclusive<u64>,
    policies: Vec<(At, String)>,
    cluster: Cluster,
    /// Another number of machines than the scenario's own.
    nodes: Option<u32>,
    truth: TruthSpec,
    beliefs: Beliefs,
    network: Network,
    gossip_period: Duration,
    workload: Workload,
    faults: Vec<FaultSpec>,
    churn: Churn,
    expect: Expect,
    settings: Settings,
}

/// Reads and checks a scenario file. Files that it names are looked for beside it.
///
/// # Errors
///
/// Whatever is wrong with it, with file, line and key.
pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let at = At {
            file: Arc::from(file.as_str()),
            line: 1,
            key: String::new(),
        };
        at.error(
            format!("it cannot be read: {error}"),
            "name a scenario file, for example scenarios/three-pis.toml",
        )
    })?;
    parse(&text, &file, path.parent().unwrap_or_else(|| Path::new("")))
}

/// Reads and checks the text of a scenario; complaints call it `file`, and files that it names are
/// looked for below `base`.
///
/// # Errors
///
/// As [`load`].
pub fn parse(text: &str, file: &str, base: &Path) -> Result<Scenario, ScenarioError> {
    let scenario = reader::with_root(text, file, |root| Scenario::read(root, base))?;
    // Names in faults are looked up among the machines that they will meet.
    let fleet = scenario.fleet(*scenario.seeds.start())?;
    scenario.check_faults(&fleet)?;
    Ok(scenario)
}

const KEYS: [&str; 14] = [
    "name", "about", "seed", "seeds", "policies", "cluster", "truth", "beliefs", "network",
    "workload", "fault", "churn", "expect", "sim",
];

impl Scenario {
    fn read(root: Table<'_>, base: &Path) -> Result<Self, ScenarioError> {
        let root = root.only(&KEYS)?;
        let text = |key: &str| {
            root.get(key)
                .map_or(Ok(""), |value| value.text("a text"))
                .map(str::to_owned)
        };
        let truth = TruthSpec::read(&root, base)?;
        let cluster = Cluster::read(&root, &truth, base)?;
        let (network, gossip_period) = network::read(&root, &cluster, base)?;
        let name = root.need("name", "a name, for example name = \"three Pis\"")?;
        let policies = root
            .get("policies")
            .map_or(Ok(Vec::new()), |value| value.texts("the name of a policy"))?;
        Ok(Self {
            name: name.text("a text")?.to_owned(),
            about: text("about")?,
            seeds: seeds(&root)?,
            policies,
            nodes: None,
            beliefs: truth::beliefs(&root)?,
            network,
            gossip_period,
            workload: Workload::read(&root, &truth.classes(), &cluster.platforms, base)?,
            faults: fault::read(&root)?,
            churn: Churn::read(&root, base)?,
            expect: Expect::read(&root)?,
            settings: Settings::read(&root)?,
            cluster,
            truth,
        })
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it shows, in a sentence or two; may be empty.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The policies to compare; empty if the scenario names none.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|(_, name)| name.as_str())
    }

    /// Checks the policies' names by `known`, which says why a name is none and what would be
    /// right: `there is no policy `p3c`; known are ..`.
    ///
    /// # Errors
    ///
    /// The first name that `known` refuses, with its place.
    pub fn check_policies(
        &self,
        known: impl Fn(&str) -> Result<(), String>,
    ) -> Result<(), ScenarioError> {
        for (at, name) in &self.policies {
            if let Err(why) = known(name) {
                let (problem, remedy) = why
                    .split_once("; ")
                    .map_or((why.as_str(), "name a policy that there is"), |both| both);
                return Err(at.error(problem, remedy));
            }
        }
        Ok(())
    }

    /// The seeds to run, one after the other.
    pub fn seeds(&self) -> RangeInclusive<u64> {
        self.seeds.clone()
    }

    /// What must hold at the end.
    pub const fn expect(&self) -> &Expect {
        &self.expect
    }

    /// Names of the groups of jobs, by [`crate::case::Job::group`].
    pub fn groups(&self) -> Vec<String> {
        self.workload.groups()
    }

    /// Names of the zones, by [`crate::case::Machine::zone`].
    pub fn zones(&self) -> &[String] {
        &self.cluster.zones
    }

    /// How many machines a case has.
    pub fn nodes(&self) -> u32 {
        self.nodes.unwrap_or_else(|| self.cluster.size())
    }

    /// The same with another number of machines: each group keeps its part. A load is kept, a rate
    /// is not scaled.
    ///
    /// # Errors
    ///
    /// No machine, more than [`MOST_MACHINES`], or a fault that names a machine that is then not
    /// there.
    pub fn with_nodes(&self, nodes: u32) -> Result<Self, ScenarioError> {
        if nodes == 0 || nodes > MOST_MACHINES {
            return Err(self.cluster.at().error(
                format!("{nodes} machines are no cluster"),
                format!("ask for 1 to {MOST_MACHINES} machines"),
            ));
        }
        let scenario = Self {
            nodes: Some(nodes),
            ..self.clone()
        };
        let fleet = scenario.fleet(*scenario.seeds.start())?;
        scenario.check_faults(&fleet)?;
        Ok(scenario)
    }

    /// Draws the case of a seed. The same seed gives the same case on every machine.
    ///
    /// # Errors
    ///
    /// What only the draw shows: too many tasks, a load that cannot be computed.
    pub fn case(&self, seed: u64) -> Result<Case, ScenarioError> {
        let fleet = self.fleet(seed)?;
        let truth = self.truth.draw(seed, &self.cluster.platforms);
        let drawn = self.workload.draw(Scene {
            fleet: &fleet,
            truth: &truth,
            seed,
        })?;
        let faults = timeline::draw(
            &self.faults,
            &self.churn,
            &fleet,
            self.network.loss,
            seed,
            drawn.submitted_until,
        )?;
        let last_fault = faults.last().map_or(Duration::ZERO, |fault| fault.at);
        let drain = self
            .settings
            .drain
            .unwrap_or_else(|| default_drain(&drawn, &truth));
        Ok(Case {
            name: self.name.clone(),
            seed,
            truth: Arc::new(truth),
            beliefs: self.beliefs,
            network: self.network.clone(),
            gossip_period: self.gossip_period,
            warmup: drawn.warmup,
            measured_until: drawn.measured_until,
            end: drawn.submitted_until.max(last_fault).saturating_add(drain),
            machines: fleet.machines,
            jobs: drawn.jobs,
            faults,
            sim: self.settings.sim.clone(),
        })
    }

    fn fleet(&self, seed: u64) -> Result<Fleet, ScenarioError> {
        self.cluster.draw(self.nodes, seed)
    }

    fn check_faults(&self, fleet: &Fleet) -> Result<(), ScenarioError> {
        timeline::check(&self.faults, &self.churn, fleet)
    }
}

/// Half as long again as jobs came, and long enough for the longest task at the slowest speed.
fn default_drain(drawn: &Drawn, truth: &Truth) -> Duration {
    let slowest = truth
        .speed
        .iter()
        .flatten()
        .copied()
        .filter(|speed| *speed > 0.0)
        .fold(1.0, f64::min);
    let longest = drawn.longest.as_secs_f64() / slowest * 2.0;
    let drain = 30.0 + drawn.submitted_until.as_secs_f64() / 2.0 + longest;
    amount::seconds(drain).unwrap_or(Duration::from_secs(86_400))
}

/// The keys `seed` and `seeds`.
fn seeds(root: &Table<'_>) -> Result<RangeInclusive<u64>, ScenarioError> {
    const RIGHT: &str = "write two numbers, for example \"1..6\" for 1, 2, 3, 4, 5";
    match root.one_of(&["seed", "seeds"])? {
        None => Ok(1..=1),
        Some(("seed", value)) => {
            let seed = value.count(0, u64::from(u32::MAX))?;
            Ok(seed..=seed)
        }
        Some((_, value)) => {
            let text = value.text("two numbers, for example \"1..6\"")?;
            seed_range(text).ok_or_else(|| value.wrong("is not a range of seeds", RIGHT))
        }
    }
}

/// Reads `1..6` as the seeds 1 to 5, as Rust does; nothing if it is not such a range.
pub fn seed_range(text: &str) -> Option<RangeInclusive<u64>> {
    let (from, to) = text.split_once("..")?;
    let from: u64 = from.trim().parse().ok()?;
    let to: u64 = to.trim().parse().ok()?;
    (from < to).then(|| from..=to - 1)
}
