//! Engines in virtual time: one event queue, no thread, no clock, no I/O. The same seed gives the
//! same run to the last byte, and [`World::digest`] says so.
//!
//! [`run()`] gives a [`Case`](crate::case::Case) to production engines; tests build a [`World`] and
//! meddle with it.

mod agenda;
mod believe;
mod effects;
mod execute;
mod falsify;
mod fate;
mod hands;
mod invariant;
mod machine;
mod network;
mod queue;
mod run;
mod signer;
mod trace;
mod world;

pub use execute::Runs;
pub use machine::{Machine, Machines};
pub use network::Network;
pub use run::{Watch, run};
pub use signer::SimSigner;
pub use trace::Sink;
pub use world::{Loses, Options, World};
