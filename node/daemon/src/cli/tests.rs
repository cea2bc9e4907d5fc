//! The command line: what it understands, what it shows for given answers, and what it does to a
//! daemon.

#![allow(clippy::unwrap_used)]

mod asking;
mod parsing;
mod showing;
