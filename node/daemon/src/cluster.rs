//! The cluster, as any of its nodes answers for it: what this node does not hold is asked of the
//! others, over the same links that carry gossip.

mod backend;
mod classes;
mod follow;
mod metrics;
mod peer;
mod serve;
pub(crate) mod views;

pub(crate) use backend::Cluster;
pub(crate) use follow::Local;
pub(crate) use serve::serve;
