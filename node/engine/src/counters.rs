//! What placement took, counted since the engine's start.

/// Counters of one node, as an owner and as a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rounds of placement that were decided.
    pub rounds: u64,
    /// Nodes asked for room.
    pub probes: u64,
    /// Nodes told that tasks wait for room there.
    pub waits: u64,
    /// Tasks that were bound to a node which offered room.
    pub pulled: u64,
    /// Tasks that a host refused, and that went to the node it named.
    pub bounced: u64,
    /// Tasks that a host refused.
    pub refused: u64,
    /// Offers of room that this host made to owners that had not asked.
    pub stealing_offers: u64,
}
