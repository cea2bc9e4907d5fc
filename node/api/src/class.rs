//! What the cluster has learned of each class of workloads.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::NodeRef;

/// A class and what is known of it, as the answering node holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClassView {
    /// Its name: given with the job, or derived from the program and the job's name.
    pub name: String,
    /// How many nodes measured it.
    pub observers: u32,
    /// What was measured, by column.
    pub cells: Vec<CellView>,
}

/// What is known of a class under one condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CellView {
    /// The condition: `platform:NAME` (how long its tasks run there), `pressed:RESOURCE/LEVEL` (how
    /// much longer they run while that resource of their host is pressed hardest and all together at
    /// a level, in quarters of the greatest pressure), or `exerts:RESOURCE` (by how much one task of
    /// it lengthens what needs that resource alone).
    pub column: String,
    /// Seconds for a platform, a factor under pressure, a share for what is exerted: the median over observers of their means.
    pub value: f64,
    /// Below this one value in ten is expected.
    pub low: f64,
    /// Above this one value in ten is expected.
    pub high: f64,
    /// How many measurements it rests on: at most 64 of each observer, halved each week.
    pub count: f64,
    /// How far it is relied on rather than on what is usual, 0 to 1.
    pub confidence: f64,
    /// How long ago the last was measured, in milliseconds.
    pub age_ms: u64,
    /// What each observer measured, the freshest first.
    pub observers: Vec<ObserverView>,
}

/// What one node measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ObserverView {
    /// Which node.
    pub node: NodeRef,
    /// Its mean, in the cell's unit.
    pub value: f64,
    /// Of how many measurements.
    pub count: u32,
    /// How long ago the last was measured, in milliseconds.
    pub age_ms: u64,
}

/// How a class fares beside another, as the answering node believes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InterferenceView {
    /// The class that suffers.
    pub class: String,
    /// The class beside it.
    pub beside: String,
    /// How many times as long a task of the one takes beside one of the other, at least 1.
    pub slowdown: f64,
    /// Below this one value in ten is expected.
    pub low: f64,
    /// Above this one value in ten is expected.
    pub high: f64,
    /// The resource by which it suffers most.
    pub by: String,
    /// How many times as long it took where such pressure was measured, whoever pressed; absent if
    /// that never happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    /// How many measurements of its slowdowns the prediction rests on.
    pub suffered: f64,
    /// How many measurements of what the other exerts.
    pub exerted: f64,
    /// How far those are relied on rather than on what is usual, 0 to 1.
    pub confidence: f64,
}
