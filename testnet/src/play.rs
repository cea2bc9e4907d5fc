//! Playing a scenario: each policy over each seed, on the same cases, judged by what the scenario
//! says must hold.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use starling_placement::Policy;

use crate::case::Case;
use crate::model::{self, PolicyName};
use crate::outcome::Outcome;
use crate::report::{Run, parallel, progress::Progress};
use crate::scenario::{Scenario, ScenarioError};
use crate::sim::{self, Sink, Watch};

/// Who schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Player {
    /// The production engine, with these parts of its placement rule in force.
    Starling(Policy),
    /// A rival in the queueing model.
    Rival(PolicyName),
}

/// The name of the production engine among policies.
pub const STARLING: &str = "starling";

impl Player {
    /// Reads `starling`, `starling:-classes,-bounce`, or a rival's name.
    ///
    /// # Errors
    ///
    /// What is wrong, and after a semicolon what would be right.
    pub fn parse(name: &str) -> Result<Self, String> {
        let (base, parts) = name.split_once(':').unwrap_or((name, ""));
        if base == STARLING {
            let policy = parts.parse::<Policy>();
            return policy
                .map(Self::Starling)
                .map_err(|error| error.to_string());
        }
        let own =
            "`starling` (the production engine), `starling:-PART` (without a part of its rule)";
        model::parse(name)
            .map(Self::Rival)
            .map_err(|error| format!("{error}, {own}"))
    }

    /// Runs a case. `progress` hears the share that is done and says whether to go on.
    pub fn run(
        self,
        case: &Case,
        name: &str,
        progress: &dyn Fn(f64) -> bool,
        trace: Option<Sink>,
    ) -> Outcome {
        match self {
            Self::Starling(policy) => {
                let watch = Watch {
                    progress: Some(progress),
                    trace,
                };
                sim::run(case, name, policy, watch)
            }
            Self::Rival(rival) => {
                let tell = |share: f64| {
                    progress(share);
                };
                let mut outcome = model::run(case, rival, Some(&tell));
                name.clone_into(&mut outcome.policy);
                outcome
            }
        }
    }
}

/// A run and what it should have met and did not.
#[derive(Clone, Debug)]
pub struct Played {
    /// The run.
    pub run: Run,
    /// What the scenario expects and this run did not bring, in words; the model's rivals are held
    /// to nothing.
    pub missed: Vec<String>,
}

/// How to play.
pub struct Plan<'a> {
    /// Whose cases.
    pub scenario: &'a Scenario,
    /// Who plays, by name.
    pub players: Vec<(String, Player)>,
    /// Over which seeds.
    pub seeds: Vec<u64>,
    /// On how many threads.
    pub threads: usize,
    /// Where every event of the first run goes, line by line.
    pub trace: Mutex<Option<Sink>>,
}

/// Plays all policies over all seeds. Runs that were not begun when `stop` became true, or were cut
/// short by it, are left out.
///
/// # Errors
///
/// If a case cannot be drawn.
pub fn play(
    plan: &Plan<'_>,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<Vec<Played>, ScenarioError> {
    let mut cases = Vec::new();
    for seed in &plan.seeds {
        cases.push(plan.scenario.case(*seed)?);
    }
    let mut jobs = Vec::new();
    for (name, player) in &plan.players {
        for case in &cases {
            jobs.push((name, *player, case));
        }
    }
    let runs = parallel(
        jobs,
        plan.threads,
        stop,
        progress,
        |at, (name, player, case)| {
            let mut traced = plan.trace.lock().unwrap_or_else(PoisonError::into_inner);
            let sink = if at == 0 { traced.take() } else { None };
            drop(traced);
            let go_on = |share: f64| {
                let percent = share * 100.0;
                progress.says(&format!("{name}, seed {}: {percent:.0}%", case.seed));
                !stop.load(Ordering::Relaxed)
            };
            let outcome = player.run(case, name, &go_on, sink);
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            Some(judge(plan.scenario, player, case, outcome))
        },
    );
    Ok(runs.into_iter().flatten().flatten().collect())
}

/// Measures an outcome and compares it with what the scenario expects.
pub fn judge(scenario: &Scenario, player: Player, case: &Case, outcome: Outcome) -> Played {
    let besides = [
        outcome.converged.map(|is| f64::from(u8::from(is))),
        Some(outcome.duplicate_seconds),
    ];
    let run = Run::new(case, outcome);
    let mut missed = Vec::new();
    if matches!(player, Player::Starling(_)) {
        for expected in &scenario.expect().metrics {
            let found = match expected.metric.as_str() {
                "converged" => besides[0],
                "duplicate_seconds" => besides[1],
                metric => run.measures.get(metric),
            };
            let holds = found.is_some_and(|found| expected.op.holds(found, expected.value));
            if !holds {
                let found = found.map_or_else(|| "nothing".to_owned(), |found| format!("{found}"));
                missed.push(format!(
                    "{} is {found}, expected {} {}",
                    expected.metric,
                    expected.op.words(),
                    expected.value
                ));
            }
        }
    }
    Played { run, missed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_are_known_by_name() {
        assert_eq!(
            Player::parse("starling"),
            Ok(Player::Starling(Policy::default()))
        );
        assert!(matches!(Player::parse("p2c"), Ok(Player::Rival(_))));
        assert!(
            Player::parse("starling:-classes")
                .is_ok_and(|p| p != Player::Starling(Policy::default()))
        );
        for wrong in ["starling:-speed", "p2d", "quasar:-live"] {
            assert!(
                Player::parse(wrong).is_err_and(|text| text.contains(';')),
                "{wrong}"
            );
        }
    }
}
