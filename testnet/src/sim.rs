//! Engines in virtual time: one event queue, no thread, no clock, no I/O. The same seed gives the
//! same run to the last byte, and [`World::digest`] says so.

mod effects;
mod machine;
mod network;
mod queue;
mod world;

pub use machine::{Machine, Runs, SimSigner};
pub use network::Network;
pub use world::{Loses, Options, World};
