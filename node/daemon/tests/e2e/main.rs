//! The program as its users meet it: real daemons on loopback, the real command line, real kills.
//! Every wait looks at a state until it holds, within a deadline; nothing waits for a time to pass.
// The clock is for deadlines only.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod admission;
mod apart;
mod api;
mod bad_input;
mod classes;
mod cluster;
mod containers;
mod crash;
mod demo;
mod disk;
mod failover;
mod garbage;
mod leases;
mod leaving;
mod logs;
mod tasks;
mod views;
mod world;
