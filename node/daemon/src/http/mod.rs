//! The HTTP API: JSON under `/v1`, its description at `/openapi.json`, changes and logs as
//! server-sent events.
//!
//! ```text
//!   api.sock ──┐                  ┌ guard: Host, Origin, token ┐
//!              ├─ listen: accept ─┤                            ├─ routes ─ erased ─ Backend
//!   TCP addr ──┘                  └ limits: time, size         ┘
//! ```
//!
//! The Unix socket's file mode is its access control; TCP asks for a bearer token as well. Neither
//! can be driven by a web page: see [`guard`].

pub mod backend;
mod erased;
mod extract;
mod guard;
mod listen;
mod reply;
mod router;
mod routes;
mod sse;
pub mod submit;
mod token;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

pub use backend::{Backend, ItemStream, JobRef, StopTarget, TaskRef, resolve_node};
pub use listen::{HttpConfig, HttpError, Listeners};
pub use router::openapi;
pub use submit::{request_from_spec, spec_from_request};
