//! What a task needs, what a node offers, and which node suits a task: pure functions and small
//! values, without clocks, I/O or network types.
//!
//! The way of a placement through this crate: [`Need`] and [`NodeFacts`] meet in
//! [`feasible`](feasible::feasible); what is left is drawn and ranked by
//! [`plan`](plan::plan) with a [`Fit`](fit::Fit); the two or more best are asked for live answers;
//! [`share`](plan::share) deals the tasks out by those answers; and [`Decision`](decision::Decision)
//! keeps the reasons.

pub mod classes;
mod compact;
pub mod constraint;
pub mod decision;
pub mod feasible;
pub mod fit;
pub mod learn;
pub mod plan;
pub mod policy;
pub mod resources;
pub mod sample;

pub use classes::{ClassId, Classes, Company, Contention, Known, Mix, PRIOR, Speed};
pub use constraint::{CONTAINERS_LABEL, Constraint, ConstraintError, Operator};
pub use decision::{Candidate, Decision, Verdict};
pub use feasible::{Miss, Need, NodeFacts, NodeLoad, could_ever, feasible};
pub use fit::{Fit, FitScore, LearnedFit, MeasuredFit, Part, Predicted};
pub use learn::{Column, Learned, Origin};
pub use plan::{Answer, Plan, Rule, plan, share};
pub use policy::{Policy, PolicyError};
pub use resources::{Excess, Pressure, RESOURCES, Resources};
