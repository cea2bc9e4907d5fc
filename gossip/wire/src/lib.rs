//! The vocabulary that every Starling crate shares: identities, time, signed records, job
//! descriptions, the messages nodes send one another and the one codec that turns them into bytes.
//!
//! Nothing here does I/O or reads a clock. Everything that a peer can send is length-limited,
//! range-checked on decoding and free of panics; unknown fields are ignored, so neighbouring
//! versions understand one another.

pub mod codec;
pub mod container;
pub mod copies;
pub mod gossip;
pub mod ids;
pub mod job;
pub mod jobs;
pub mod observation;
pub mod record;
pub mod sign;
pub mod time;

pub use codec::{CodecError, MAX_FRAME, Message, decode, decode_frame, encode, encode_frame};
pub use container::{Container, Port, Pull, Transport, Volume};
pub use ids::{IdError, JobId, NodeId, TaskId};
pub use job::{Epoch, JobSpec, Outcome, Restart, SpecError};
pub use observation::{
    Freshness, Observation, ObservationError, OpenObservation, SignedObservation,
};
pub use record::{
    Aged, ContainerEngine, Load, NodeStatic, OpenRecord, Record, RecordError, SignedRecord,
    StaticHash, StaticPart,
};
pub use sign::{Ed25519, Signature, Signer};
pub use time::Time;
