//! The engine: everything that decides on a node, as one deterministic state machine.
//!
//! It has no clock, no socket, no thread and no file. The daemon feeds it from libp2p, the
//! operating system and the disk; the simulator feeds ten thousand of them from one seeded queue.
//! The same compiled code runs in both, so what a simulated run shows holds for the daemon.
//!
//! Reading order, along a job's way: a [`Command::Submit`] enters in [`engine`], becomes a [`Job`]
//! in `owner::submit`, is placed by `owner::place` (probe, choose, claim), is accepted and started
//! by `host`, and comes back as reports to `owner::report`, until every task has ended.

pub mod config;
pub mod counters;
pub mod effect;
pub mod engine;
mod host;
pub mod input;
pub mod job;
pub mod lease;
mod owner;
mod saved;

pub use config::Config;
pub use counters::Counters;
pub use effect::{CommandError, Effect, Effects, Event, EventKind, NearMiss, Reply, Save};
pub use engine::Engine;
pub use host::HeldView;
pub use input::{Command, HeldTask, HostSample, Input, RequestId, Target, TaskEvent};
pub use job::{Counts, Job, JobState, Task, TaskState};
pub use owner::Predictions;
pub use saved::{Saved, SavedError};
