//! Why a task is where it is, or what it waits for.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{NodeRef, TaskState};

/// The reasons for a task's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyView {
    /// `JOB.INDEX`.
    pub task: String,
    /// How far it is.
    pub state: TaskState,
    /// When its last placement round was decided, in milliseconds since 1970; absent before the
    /// first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at_ms: Option<u64>,
    /// How many tasks of the job that round placed together.
    pub batch: u32,
    /// What a pending task waits for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The nodes that were looked at, best first.
    pub candidates: Vec<CandidateView>,
    /// How long it ran, in milliseconds, by its host's clock; absent until it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_ms: Option<u64>,
    /// Earlier placements, oldest first, as far as they are remembered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryLine>,
}

/// One node that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CandidateView {
    /// Which.
    pub node: NodeRef,
    /// Its score by the record that was known, greater is better; absent when it was ruled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_score: Option<f64>,
    /// The parts that score is the sum of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cached_parts: Vec<ScorePart>,
    /// How old that record was, in milliseconds.
    pub record_age_ms: u64,
    /// Its score by its own answer, if it was asked and answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_score: Option<f64>,
    /// The parts that score is the sum of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub live_parts: Vec<ScorePart>,
    /// What was expected of the task there, by its own answer if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<PredictedView>,
    /// How many such tasks it said it would take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<u32>,
    /// What became of it.
    pub verdict: VerdictView,
    /// Why it refused or was ruled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is expected of a task on a node, from what was learned of its class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PredictedView {
    /// How fast it is there alone, compared with its best platform, 0 to 1.
    pub speed: f64,
    /// What the speed was derived from.
    pub speed_from: OriginView,
    /// How many times as long it takes beside those who run there, at least 1.
    pub slowdown: f64,
    /// What the slowdown was derived from; absent if nothing is known of what disturbs what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowdown_from: Option<OriginView>,
    /// What those who run there lose by it, summed, as shares of their speeds.
    pub harm: f64,
    /// How many seconds it takes, all in all; absent if only ratios are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// By which factor, up or down, eight in ten are within that time.
    pub within: f64,
}

/// What a prediction was derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OriginView {
    /// The class was measured under this condition.
    Measured,
    /// The class was measured under other conditions, and others that resemble it under this one.
    Neighbours,
    /// What is usual among all classes.
    Population,
}

impl fmt::Display for OriginView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Measured => "measured",
            Self::Neighbours => "neighbours",
            Self::Population => "population",
        })
    }
}

/// One summand of a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScorePart {
    /// What it stands for.
    pub name: String,
    /// Its weighted contribution.
    pub value: f64,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum VerdictView {
    /// It got the task.
    #[serde(rename = "chosen")]
    Chosen,
    /// It had room, but another fitted better.
    #[serde(rename = "outranked")]
    Outranked,
    /// It ranked too low to be asked.
    #[serde(rename = "not asked")]
    NotAsked,
    /// It was asked and had no room, or refused the claim.
    #[serde(rename = "refused")]
    Refused,
    /// It was asked and did not answer in time.
    #[serde(rename = "silent")]
    Silent,
    /// It cannot take the task.
    #[serde(rename = "ruled out")]
    RuledOut,
}

impl fmt::Display for VerdictView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chosen => "chosen",
            Self::Outranked => "outranked",
            Self::NotAsked => "not asked",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::RuledOut => "ruled out",
        })
    }
}

/// One earlier placement of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryLine {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What happened, in words.
    pub text: String,
}
