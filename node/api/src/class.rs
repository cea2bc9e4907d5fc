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
    /// The condition: `platform:NAME` (how long its tasks run there), or `pressed:RESOURCE/LEVEL`
    /// (how much longer they run while a resource of their host is pressed, in quarters).
    pub column: String,
    /// Seconds for a platform, a factor otherwise: the median over observers of their means.
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
