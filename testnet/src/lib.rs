//! Starling's testnet: the production engine in virtual time, rivals beside it, and real daemons
//! under test.
//!
//! A [`case::Case`] is one run as every policy gets it. [`sim`] gives it to production engines,
//! driven from one seeded event queue over a network that delays, loses and partitions, on machines
//! that die and come back, and checks what must always hold. Whatever happened is an
//! [`outcome::Outcome`].

// The simulator's world is virtual, but the benchmark beside it times real processes.
#![allow(clippy::disallowed_methods)]

pub mod case;
pub mod fuzz;
pub mod learn;
pub mod model;
pub mod outcome;
pub mod play;
pub mod report;
pub mod scenario;
pub mod shrink;
pub mod sim;
pub mod truth;
pub mod validate;
pub mod workload;
