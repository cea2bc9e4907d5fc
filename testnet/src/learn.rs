//! The learned classification under test: predictions for anybody's data ([`predict`]), and the
//! protocols of the data report, with rivals beside it ([`eval`]).

pub mod eval;
pub mod files;
pub mod predict;

mod chance;
mod cost;
mod data;
mod pairs;
mod platforms;
mod rivals;
mod score;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
