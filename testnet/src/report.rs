//! What a scenario's runs amount to: numbers with intervals over seeds, as a table for the
//! terminal, JSON and CSV for programs, and one HTML page with plots for people.

mod measures;
mod names;
#[cfg(test)]
mod sample;
pub mod stats;

pub use measures::{Measures, measure};
pub use names::{Name, named, names};
