//! Starling's testnet: the production engine in virtual time, and real daemons under test.
//!
//! [`sim`] drives many engines from one seeded event queue, over a network that delays, loses and
//! partitions, on machines that die and come back; it checks what must always hold.

// The simulator's world is virtual, but the benchmark beside it times real processes.
#![allow(clippy::disallowed_methods)]

pub mod sim;
