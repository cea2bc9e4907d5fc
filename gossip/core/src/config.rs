//! The numbers of the protocol. The defaults fit a LAN: SWIM's probe period and time-outs (Das et
//! al. 2002), shortened until a cut-off node is found within 2.5 s.

use std::time::Duration;

/// The most of anything that a node may list in its static part: labels.
pub(crate) const MAX_LABELS: usize = 64;
/// The most addresses in a static part.
pub(crate) const MAX_ADDRS: usize = 16;
/// The most bytes of one text in a static part.
pub(crate) const MAX_TEXT: usize = 512;

/// How gossip behaves; every node of a cluster should use the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GossipConfig {
    /// Between two exchanges that a node opens; jittered by a tenth.
    pub period: Duration,
    /// How long a watched node may be silent before it is pinged.
    pub watch_after: Duration,
    /// The same for neighbours in the ring in a cluster beyond `link_limit`: a killed node is found by
    /// its links. Hosts of this node's jobs are watched twice `watch_after` there.
    pub watch_far: Duration,
    /// How long a ping may stay unanswered.
    pub ping_timeout: Duration,
    /// From a suspicion that nobody confirms to death.
    pub suspicion_alone: Duration,
    /// From a suspicion that another node confirms to death.
    pub suspicion_confirmed: Duration,
    /// How long a port must refuse connections before its node is dead.
    pub refused_grace: Duration,
    /// After how long an unchanged record is signed anew; later where all members' records together
    /// would take more than a quarter of the budget.
    pub idle_refresh: Duration,
    /// At least so long between two versions of a record after a great change of load.
    pub load_urgent: Duration,
    /// At least so long between two versions of a record after a small change of load.
    pub load_small: Duration,
    /// The first pause of the dial loop.
    pub dial_first: Duration,
    /// The longest pause of the dial loop.
    pub dial_longest: Duration,
    /// After how long a dial without outcome counts as failed.
    pub dial_timeout: Duration,
    /// How long the node with the greater id waits before it dials a new member.
    pub dial_courtesy: Duration,
    /// How late a tick must be for the process to count as starved.
    pub stall: Duration,
    /// Between two address books handed out to be saved.
    pub book_period: Duration,
    /// The most members held, this node included.
    pub view_limit: usize,
    /// The most observations held, about 1 KiB each; with 0 none are taken, made or told.
    pub table_limit: usize,
    /// At least so long between two batches of observations handed out to be saved.
    pub save_period: Duration,
    /// The most entries of the address book.
    pub book_limit: usize,
    /// Bytes per second for gossip, both directions together.
    pub byte_budget: u32,
    /// Up to so many live members each is linked to each.
    pub link_limit: usize,
    /// How many neighbours in the ring of ids a node watches, half of them on each side.
    pub ring_watch: usize,
    /// How many neighbours in the ring a node keeps links to in a cluster beyond `link_limit`.
    pub ring_links: usize,
    /// How many others are asked to probe a silent node.
    pub indirect: usize,
    /// Up to so many linked members are told urgent news at once; beyond, `fan_out` of them.
    pub tell_all: usize,
    /// How many random members are told urgent news in a large cluster.
    pub fan_out: usize,
}

impl Default for GossipConfig {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(1),
            watch_after: Duration::from_millis(500),
            watch_far: Duration::from_secs(5),
            ping_timeout: Duration::from_millis(400),
            suspicion_alone: Duration::from_millis(1_200),
            suspicion_confirmed: Duration::from_millis(900),
            refused_grace: Duration::from_millis(500),
            idle_refresh: Duration::from_secs(30),
            load_urgent: Duration::from_secs(1),
            load_small: Duration::from_secs(10),
            dial_first: Duration::from_secs(1),
            dial_longest: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(5),
            dial_courtesy: Duration::from_millis(300),
            stall: Duration::from_millis(150),
            book_period: Duration::from_secs(5),
            view_limit: 512,
            table_limit: 8_192,
            save_period: Duration::from_secs(10),
            book_limit: 512,
            byte_budget: 4096,
            link_limit: 64,
            ring_watch: 2,
            ring_links: 8,
            indirect: 3,
            tell_all: 24,
            fan_out: 8,
        }
    }
}
