//! Making a failing scenario smaller: parts are left out and numbers halved as long as it still
//! fails (delta debugging, Zeller and Hildebrandt 2002, one part at a time).

use std::path::Path;

use toml::{Table, Value};

use crate::play::{Player, judge};
use crate::scenario::{Scenario, ScenarioError, parse};

/// The smallest scenario that was found to fail.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The scenario.
    pub text: String,
    /// What does not hold in it.
    pub complaint: String,
    /// How many runs it took.
    pub runs: u32,
}

/// The most runs that are tried.
const MOST_RUNS: u32 = 400;

struct Shrinker<'a> {
    seed: Option<u64>,
    player: Player,
    says: &'a dyn Fn(&str),
    runs: u32,
}

/// Shrinks the scenario `text`, whose files are found from `base`. None if it does not fail.
///
/// # Errors
///
/// If the scenario is not one to begin with.
pub fn shrink(
    text: &str,
    base: &Path,
    seed: Option<u64>,
    player: Player,
    says: &dyn Fn(&str),
) -> Result<Option<Shrunk>, ScenarioError> {
    let mut shrinker = Shrinker {
        seed,
        player,
        says,
        runs: 0,
    };
    let scenario = parse(text, "scenario", base)?;
    let Some(mut complaint) = shrinker.fails(&scenario)? else {
        return Ok(None);
    };
    // It parsed as a scenario, so it is TOML.
    let Ok(mut best) = text.parse::<Table>() else {
        return Ok(None);
    };
    loop {
        let mut smaller = false;
        for candidate in steps(&best) {
            if shrinker.runs >= MOST_RUNS {
                break;
            }
            let text = toml::to_string(&candidate).unwrap_or_default();
            let Ok(scenario) = parse(&text, "scenario", base) else {
                continue;
            };
            if let Ok(Some(found)) = shrinker.fails(&scenario) {
                best = candidate;
                complaint = found;
                smaller = true;
                break;
            }
        }
        if !smaller || shrinker.runs >= MOST_RUNS {
            break;
        }
    }
    Ok(Some(Shrunk {
        text: toml::to_string(&best).unwrap_or_default(),
        complaint,
        runs: shrinker.runs,
    }))
}

impl Shrinker<'_> {
    /// What does not hold, if anything.
    fn fails(&mut self, scenario: &Scenario) -> Result<Option<String>, ScenarioError> {
        self.runs += 1;
        let nodes = scenario.nodes();
        (self.says)(&format!("run {}: {nodes} machines", self.runs));
        let seed = self.seed.unwrap_or_else(|| *scenario.seeds().start());
        let case = scenario.case(seed)?;
        let outcome = self.player.run(&case, "shrink", &|_| true, None);
        let played = judge(scenario, self.player, &case, outcome);
        let complaints = played.run.violations.into_iter().chain(played.missed);
        Ok(complaints.into_iter().next())
    }
}

/// Scenarios that are one step smaller, the largest steps first.
fn steps(table: &Table) -> Vec<Table> {
    let mut steps = Vec::new();
    let faults = table.get("fault").and_then(Value::as_array);
    let faults = faults.map_or(0, Vec::len);
    if faults > 1 {
        for half in [0..faults / 2, faults / 2..faults] {
            steps.push(without_faults(table, |at| half.contains(&at)));
        }
    }
    if table.contains_key("churn") {
        let mut smaller = table.clone();
        smaller.remove("churn");
        steps.push(smaller);
    }
    for path in [
        ["cluster", "nodes"],
        ["workload", "limit"],
        ["workload", "rate"],
    ] {
        steps.extend(halved(table, path));
    }
    for fault in 0..faults {
        steps.push(without_faults(table, |at| at == fault));
    }
    steps
}

fn without_faults(table: &Table, leave_out: impl Fn(usize) -> bool) -> Table {
    let mut smaller = table.clone();
    if let Some(Value::Array(faults)) = smaller.get_mut("fault") {
        let mut at = 0;
        faults.retain(|_| {
            at += 1;
            !leave_out(at - 1)
        });
        if faults.is_empty() {
            smaller.remove("fault");
        }
    }
    smaller
}

/// The table with one number halved, if it is there and large enough.
fn halved(table: &Table, [outer, inner]: [&str; 2]) -> Option<Table> {
    let mut smaller = table.clone();
    let value = smaller.get_mut(outer)?.as_table_mut()?.get_mut(inner)?;
    match value {
        Value::Integer(number) if *number > 2 => *number /= 2,
        Value::Float(number) if *number > 0.01 => *number /= 2.0,
        _ => return None,
    }
    Some(smaller)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use starling_placement::Policy;

    const SCENARIO: &str = r#"
name = "shrinks"
[cluster]
nodes = 8
[[cluster.machines]]
share = 1
name = "n"
cpu = 1
memory = "1GiB"
[workload]
rate = 4
duration = { fixed = "1s" }
need = { cpu = 1 }
length = "10s"
limit = 16
[sim]
form = "5s"
[[fault]]
at = "2s"
kind = "loss"
loss = 0.01
for = "1s"
[[fault]]
at = "4s"
kind = "loss"
loss = 0.02
for = "1s"
[expect]
response_mean_below = "100ms"
"#;

    #[test]
    fn what_fails_becomes_smaller_and_what_does_not_is_left_alone() {
        let player = Player::Starling(Policy::default());
        let base = Path::new(".");
        let shrunk = shrink(SCENARIO, base, Some(1), player, &|_| {})
            .unwrap()
            .unwrap();
        assert!(!shrunk.text.contains("fault"), "{}", shrunk.text);
        let smaller = parse(&shrunk.text, "scenario", base).unwrap();
        assert!(smaller.nodes() <= 2);
        assert!(shrunk.complaint.contains("response_mean"));

        let holds = SCENARIO.replace("100ms", "10s");
        let nothing = shrink(&holds, base, Some(1), player, &|_| {}).unwrap();
        assert!(nothing.is_none());
    }
}
