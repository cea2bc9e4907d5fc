//! What gossip has done so far, for people and for tests. Counters only grow.

/// Counts since the machine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes of frames handed out to be sent, with their length prefix.
    pub bytes_sent: u64,
    /// Bytes of frames taken, as their receiver stated.
    pub bytes_received: u64,
    /// Messages handed out to be sent.
    pub messages_sent: u64,
    /// Messages taken.
    pub messages_received: u64,
    /// Exchanges opened.
    pub exchanges: u64,
    /// Records taken because they were newer than what was held.
    pub records_taken: u64,
    /// Records and static parts refused: undecodable, out of range or wrongly signed.
    pub quarantined: u64,
    /// Observations taken because they were fresher than what was held.
    pub observations_taken: u64,
    /// Observations refused: undecodable, out of range, wrongly signed or from the future; measured
    /// here or sent by a peer.
    pub observations_refused: u64,
    /// Own observations told.
    pub observations_told: u64,
    /// Exchanges put off, and answers shortened or left out, for want of budget.
    pub budget_drops: u64,
    /// Suspicions begun by this node's own evidence.
    pub suspicions: u64,
    /// Suspicions of this node that proved wrong: it was heard, vouched for or refuted.
    pub refutations: u64,
    /// Members declared dead, by this node or on another's word.
    pub deaths: u64,
    /// Dead or left members that came back with a greater incarnation.
    pub returns: u64,
    /// How often this node learned that it was called dead while it lived.
    pub false_deaths: u64,
    /// How often this process was found to have been starved.
    pub stalls: u64,
    /// Members dropped because the view was full.
    pub evictions: u64,
}
