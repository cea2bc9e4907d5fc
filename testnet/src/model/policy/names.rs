//! The rivals' names.

use std::fmt;

use super::{
    Make, Policy, central, choices, dodoor, greedy, jiq, late, prequal, sampled, stale, tarcil,
};
use crate::case::Case;

/// A rival by name; [`parse`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyName(usize);

const NAMES: &[(&str, &str)] = &[
    (
        "random",
        "random machines, different ones for the tasks of a job",
    ),
    (
        "p2c",
        "the shorter queue of two random machines, asked live",
    ),
    (
        "p3",
        "the shortest queue of three random machines, asked live",
    ),
    (
        "p5",
        "the shortest queue of five random machines, asked live",
    ),
    (
        "p2c-weighted",
        "two machines drawn in proportion to capacity and speed, asked live",
    ),
    ("jsq", "the shortest queue of all, asked live without delay"),
    (
        "p2c-stale",
        "the shorter queue of two random machines, by a gossiped table",
    ),
    (
        "per-task",
        "Sparrow's per-task sampling: two probes for each task",
    ),
    (
        "sparrow-batch",
        "Sparrow's batch sampling: a job's probes are shared by its tasks",
    ),
    (
        "sparrow-late",
        "Sparrow's late binding: reservations, pulls, cancellation",
    ),
    (
        "sparrow-late-keep",
        "Sparrow's late binding without cancellation",
    ),
    (
        "central",
        "one central queue; a random machine that has room",
    ),
    (
        "least-loaded",
        "central without any delay: the shortest queue of all",
    ),
    (
        "quasar",
        "central greedy: the machine where the task gains most, by what is believed",
    ),
    ("oracle", "central greedy with the truth"),
    (
        "tarcil",
        "a sample as large as the wanted quality needs; from the abstract and derivation",
    ),
    (
        "dodoor",
        "two choices on a central store's pushed snapshot, as published",
    ),
    (
        "dodoor-corrected",
        "the same, each candidate measured by its own capacity",
    ),
    ("jiq", "a machine that said it is idle, else a random one"),
    (
        "prequal",
        "a pool of asynchronous probes, by requests in flight and latency",
    ),
];

const MAKE: &[Make] = &[
    |_| Box::new(choices::Random::default()),
    |_| Box::new(choices::Choices::uniform(2)),
    |_| Box::new(choices::Choices::uniform(3)),
    |_| Box::new(choices::Choices::uniform(5)),
    |_| Box::new(choices::Choices::weighted(2)),
    |_| Box::new(choices::Shortest::asked()),
    |case| Box::new(stale::Stale::new(case)),
    |_| Box::new(sampled::PerTask::default()),
    |_| Box::new(sampled::Batch::default()),
    |case| Box::new(late::Late::new(case, true)),
    |case| Box::new(late::Late::new(case, false)),
    |case| Box::new(central::Central::any(case)),
    |_| Box::new(choices::Shortest::central()),
    |case| {
        Box::new(central::Central::best(
            case,
            greedy::Greedy::believing(case),
        ))
    },
    |case| Box::new(central::Central::best(case, greedy::Greedy::knowing(case))),
    |case| Box::new(tarcil::Tarcil::new(case)),
    |case| Box::new(dodoor::Dodoor::new(case, false)),
    |case| Box::new(dodoor::Dodoor::new(case, true)),
    |case| Box::new(jiq::Idle::new(case)),
    |case| Box::new(prequal::Prequal::new(case)),
];

const _: () = assert!(NAMES.len() == MAKE.len());

/// All rivals: name and description.
pub fn names() -> &'static [(&'static str, &'static str)] {
    NAMES
}

/// The rival of this name.
///
/// # Errors
/// If there is none: the text lists those that there are, the most similar first.
pub fn parse(name: &str) -> Result<PolicyName, String> {
    if let Some(at) = NAMES.iter().position(|(known, _)| *known == name) {
        return Ok(PolicyName(at));
    }
    let mut known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
    known.sort_by_key(|known| distance(name, known));
    Err(format!(
        "no policy is called {name:?}; there are {}",
        known.join(", ")
    ))
}

impl PolicyName {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        NAMES[self.0].0
    }

    pub(in crate::model) fn make(self, case: &Case) -> Box<dyn Policy> {
        MAKE[self.0](case)
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many letters must be put in, taken out or changed (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest() {
        for (name, what) in names() {
            assert_eq!(parse(name).map(PolicyName::as_str), Ok(*name));
            assert!(!what.is_empty());
        }
        let error = parse("sparow-late").expect_err("misspelt");
        assert!(error.contains("there are sparrow-late, "), "{error}");
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
