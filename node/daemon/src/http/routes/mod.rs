//! One function per endpoint: read the request, ask the backend, answer.

#![allow(
    unused_qualifications,
    reason = "utoipa's macro qualifies the types of parameters"
)]

pub(super) mod classes;
pub(super) mod events;
pub(super) mod jobs;
pub(super) mod node_wide;
pub(super) mod nodes;
pub(super) mod tasks;
