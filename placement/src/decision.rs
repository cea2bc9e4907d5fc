//! Decisions with their reasons: what `starling why` shows.

use serde::{Deserialize, Serialize};

use crate::fit::{FitScore, Predicted};

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It got the task.
    Chosen,
    /// It had room, but another fitted better.
    Outranked,
    /// Ranked too low to be asked.
    NotAsked,
    /// It was asked and had no room, or refused the claim: why.
    Refused(String),
    /// It was asked and did not answer in time.
    Silent,
    /// It cannot take the task, as far as the view knows: why.
    RuledOut(String),
}

/// One node that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate<K> {
    /// Which.
    pub node: K,
    /// Its cached score in parts; empty when it was ruled out.
    pub cached: FitScore,
    /// How old the cached record was, in milliseconds.
    pub age_ms: u64,
    /// Its score by its live answer, if it was asked and answered.
    pub live: Option<FitScore>,
    /// How many such tasks it said it would take.
    pub room: Option<u32>,
    /// What became of it.
    pub verdict: Verdict,
}

/// How a task's place was found, or why it has none yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision<K> {
    /// When the round was decided, in microseconds of the owner's time.
    pub at_us: u64,
    /// How many tasks the round placed together.
    pub batch: u32,
    /// The nodes that were looked at, at most a few dozen.
    pub candidates: Vec<Candidate<K>>,
}

impl<K: Copy> Decision<K> {
    /// The node that was chosen, if any was.
    pub fn chosen(&self) -> Option<K> {
        self.candidates
            .iter()
            .find(|candidate| candidate.verdict == Verdict::Chosen)
            .map(|candidate| candidate.node)
    }
}

impl<K: Copy + PartialEq> Decision<K> {
    /// What was expected of a task on a node: by its own answer if it was asked, or by its record.
    pub fn predicted(&self, node: K) -> Option<&Predicted> {
        let mut candidates = self.candidates.iter();
        let candidate = candidates.find(|candidate| candidate.node == node)?;
        let score = candidate.live.as_ref().unwrap_or(&candidate.cached);
        score.predicted.as_ref()
    }
}
