//! Starling's daemon and command line, as a library: the binary only calls [`main`], and tests and
//! the testnet reuse the parts.

// The daemon lives in the real world; the packages that decide do not.
#![allow(clippy::disallowed_methods)]

pub mod cli;
mod cluster;
mod demo;
pub mod fleet;
mod hidden;
pub mod http;
mod node;
mod up;
pub mod wires;

pub use cli::main;
