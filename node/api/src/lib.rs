//! The JSON types of Starling's HTTP API and a thin client for it, shared by the daemon, the
//! command line and the testnet, so that a field has one name, one unit and one description.
//!
//! Requests refuse unknown fields, answers ignore them: an older client understands a newer daemon.
//! Times are milliseconds since 1970 (`_at_ms`), sizes bytes, CPU millicores.

mod class;
mod client;
mod connect;
mod error;
mod event;
mod job;
mod log;
mod node;
pub mod quantity;
mod request;
mod sse;
mod why;

pub use class::{CellView, ClassView, InterferenceView, ObserverView};
pub use client::{Client, EventQuery, LogQuery};
pub use connect::{ClientError, SOCKET_FILE, Target, socket_path};
pub use error::{ApiError, Detail, codes};
pub use event::{Event, EventKind};
pub use job::{JobDetail, JobState, JobSummary, Stopped, Submitted, TaskState, TaskView};
pub use log::{LogChunk, LogStream};
pub use node::{
    Amount, Answer, ContainersView, Drain, Health, NodeRef, NodeState, NodeView, PressureView,
    TokenView,
};
pub use quantity::Quantity;
pub use request::{JobRequest, PartitionPolicy, PullPolicy, RestartPolicy};
pub use sse::Streamed;
pub use why::{
    CandidateView, HistoryLine, OriginView, PredictedView, ScorePart, VerdictView, WhyView,
};

/// The file in a data directory that holds the bearer token of the TCP API, mode 0600.
pub const TOKEN_FILE: &str = "api.token";
