//! The learned classification: what a class would take on a platform, beside another class or at
//! another size, from a few measurements of it and many of others.
//!
//! A matrix has a row per class and a column per thing measured; a cell is the natural logarithm of
//! a time or a speed, so that a factor is a difference. Few cells are known. Three things predict
//! the others ([`Model`]):
//!
//! * the *floor*, an additive model (class + column) with ridge, which is most of what there is to
//!   know and which the rest must not fall behind;
//! * the *conditional Gaussian*: the well-measured rows give a mean and a covariance, and a row with
//!   a few cells is inferred from them, its own level unknown;
//! * the *nearest rows*: the same Gaussian, narrower, around each reference row, which weighs as
//!   much as it explains the cells (kernels shrunk towards the mean as in West, "Approximating
//!   posterior distributions by mixtures", 1993).
//!
//! How strongly each is believed is chosen by the likelihood of cells that were held out, and the
//! width of what is predicted is corrected by the same cells. [`TwoWay`] also reads the matrix by
//! columns, so that a new column (a platform, a neighbour) is inferred like a new class: for pairs
//! that is one vector of sensitivity and one of pressure per class, never one "noisiness".
//!
//! All sums have a fixed order and no kernel is chosen by the processor (nalgebra without `std` has
//! none; roots, logarithms and exponentials are libm's), so equal cells predict equally anywhere.

mod contention;
mod error;
mod features;
mod fill;
mod floor;
mod gauss;
mod learned;
mod matrix;
mod model;
mod search;
mod twoway;

#[cfg(test)]
mod tests;

pub use contention::{Profile, Sensed};
pub use error::LearnError;
pub use features::Features;
pub use learned::{Column, Learned};
pub use matrix::Matrix;
pub use model::{Effort, Estimate, Model, Seen};
pub use twoway::{Origin, Prediction, TwoWay};

/// Half of the width of an interval that holds 80% of a normal distribution, in standard deviations.
pub const EIGHTY: f64 = 1.281_551_565_544_6;
