//! From a node to the queue that leads to it. This is all that a sender touches: a read lock, a queue's
//! lock, and a wake-up of the task that writes. The driver changes the routes; because pushing happens
//! under the read lock, no frame can land in a queue that the driver has just taken off its route.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use starling_wire::NodeId;
use tokio::time::Instant;

use crate::link::MAX_FRAME;
use crate::outbox::Outbox;
use crate::stats::Counters;

/// How long a frame may wait for a link.
pub(crate) const HOLD: Duration = Duration::from_secs(2);

/// How long after a failed dial frames to that peer are dropped instead of causing another dial. The
/// engine's own dials are not held back by this.
const COOL_DOWN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
enum Mode {
    /// A link drains the queue.
    Linked,
    /// A link is on its way.
    Waiting,
    /// There is neither; addresses are known, and a frame may cause a dial after this time.
    Idle(Instant),
}

struct Route {
    outbox: Arc<Outbox>,
    mode: Mode,
}

/// The routes to all peers that have a link or a known address.
pub(crate) struct Router {
    routes: RwLock<HashMap<NodeId, Route>>,
    stats: Arc<Counters>,
}

impl Router {
    pub(crate) fn new(stats: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            routes: RwLock::default(),
            stats,
        })
    }

    /// Queues a frame or drops and counts it; tells whether the driver should dial the peer.
    pub(crate) fn send(&self, to: NodeId, urgent: bool, frame: Vec<u8>) -> bool {
        let drop_it = || {
            self.stats.class(urgent).frames_dropped.add(1);
            false
        };
        if frame.len() > MAX_FRAME {
            tracing::warn!(peer = %to.short(), bytes = frame.len(), "frame too large, dropped");
            return drop_it();
        }
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let Some(route) = routes.get(&to) else {
            return drop_it();
        };
        match route.mode {
            Mode::Linked | Mode::Waiting => {
                route.outbox.push(urgent, frame);
                false
            }
            Mode::Idle(not_before) if Instant::now() < not_before => drop_it(),
            Mode::Idle(_) => {
                route.outbox.push(urgent, frame);
                route.outbox.ask_once()
            }
        }
    }

    /// Sends over this link's queue from now on; it inherits what waited.
    pub(crate) fn link(&self, node: NodeId, outbox: &Arc<Outbox>) {
        let route = Route {
            outbox: outbox.clone(),
            mode: Mode::Linked,
        };
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = routes.insert(node, route)
            && !Arc::ptr_eq(&old.outbox, outbox)
        {
            outbox.absorb(&old.outbox, HOLD);
        }
    }

    /// Keeps frames for a while, because a link is on its way.
    pub(crate) fn wait(&self, node: NodeId) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        match routes.get_mut(&node) {
            Some(Route {
                mode: Mode::Linked, ..
            })
            | None => {
                let outbox = Outbox::new(self.stats.clone());
                routes.insert(
                    node,
                    Route {
                        outbox,
                        mode: Mode::Waiting,
                    },
                );
            }
            Some(route) => route.mode = Mode::Waiting,
        }
    }

    /// Drops what waits; there is no link, and after a failure none is made on demand for a while.
    pub(crate) fn idle(&self, node: NodeId, failed: bool) {
        let not_before = Instant::now() + if failed { COOL_DOWN } else { Duration::ZERO };
        let outbox = Outbox::new(self.stats.clone());
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.insert(
            node,
            Route {
                outbox,
                mode: Mode::Idle(not_before),
            },
        );
    }

    /// Drops what waits and the route.
    pub(crate) fn forget(&self, node: NodeId) {
        self.routes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&node);
    }
}
