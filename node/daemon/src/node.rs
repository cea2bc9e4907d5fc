//! One machine's node: the engine, driven by the network, the executor, the disk and the clock.

pub(crate) mod clock;
pub(crate) mod driver;
pub(crate) mod handle;
pub(crate) mod identity;
mod journal;

pub(crate) use journal::{Journal, report};
pub(crate) mod token;
