//! Which of several links to one peer is *the* link. Two nodes that dial each other at the same time
//! get two connections; both must settle on the same one without losing a frame and without telling
//! their owner more than one `Up`. This is the decision only, without I/O; the driver carries out the
//! [`Act`]s.
//!
//! - The first proven link is used at once. When a better one is proven (better: dialed by the node
//!   with the lower id, then the newer), sending changes over, and `MOVED` is said on the old one. When
//!   both sides have said it, the old link is *retired*: the one that was dialed closes its half, the
//!   dialer then sees the end of it after the last frame. So nothing is cut off that is under way.
//! - The rule would choose wrongly between a link that died unnoticed (power cut, changed network) and
//!   the one that its peer has made since. Hence the proof carries `alone`: the dialer knows of no other
//!   link. Links proven here *before* the challenge went out were then known to the dialer (it learns of
//!   a link before we count it as proven), so they are dead there; they end here, `Down` is said, and
//!   the new link comes `Up`. A link proven after the challenge is a simultaneous dial, not a dead one.

use libp2p::swarm::ConnectionId;

/// What the driver is to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Report the peer as up.
    Up,
    /// Let the link read and write.
    Open(ConnectionId),
    /// Send over this link from now on.
    Activate(ConnectionId),
    /// Say `MOVED` on this link.
    Move(ConnectionId),
    /// Both sides have moved away from this link: close our half if we did not dial it.
    Retire(ConnectionId),
    /// There is no link to send over; keep frames.
    Park,
    /// End this link once its queue is written.
    Drain(ConnectionId),
    /// End this link now.
    Abort(ConnectionId),
    /// Report the peer as down.
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The connection stands, the proof is under way.
    Proving,
    /// The proof was given.
    Proven { at: u64 },
    /// Told to end, not ended yet.
    Dying,
}

#[derive(Debug)]
struct Link {
    id: ConnectionId,
    /// Whether we dialed it.
    ours: bool,
    state: State,
    /// Whether it reads, so that frames may still come from it.
    opened: bool,
    moved_out: bool,
    moved_in: bool,
    retired: bool,
}

impl Link {
    const fn proven(&self) -> bool {
        matches!(self.state, State::Proven { .. })
    }

    /// Whether the peer counts as up because of this link.
    fn holds(&self) -> bool {
        self.opened && ((self.proven() && !self.retired) || self.state == State::Dying)
    }
}

/// The links to one peer.
#[derive(Debug)]
pub(crate) struct Table {
    /// Whether our id is lower than the peer's.
    lower: bool,
    links: Vec<Link>,
    active: Option<ConnectionId>,
    up: bool,
    /// What was open must end, and `Down` be said, before anything else opens.
    draining: bool,
}

impl Table {
    pub(crate) const fn new(lower: bool) -> Self {
        Self {
            lower,
            links: Vec::new(),
            active: None,
            up: false,
            draining: false,
        }
    }

    /// A connection stands and its proof begins.
    pub(crate) fn add(&mut self, id: ConnectionId, ours: bool) {
        let state = State::Proving;
        let (opened, moved_out, moved_in, retired) = (false, false, false, false);
        self.links.push(Link {
            id,
            ours,
            state,
            opened,
            moved_out,
            moved_in,
            retired,
        });
    }

    /// The link's proof was given at `at`. Links proven before `supersedes` are dead at the peer.
    pub(crate) fn proven(
        &mut self,
        id: ConnectionId,
        at: u64,
        supersedes: Option<u64>,
    ) -> Vec<Act> {
        let mut acts = Vec::new();
        for link in &mut self.links {
            let dead = matches!((link.state, supersedes), (State::Proven { at }, Some(before)) if at < before);
            if link.id == id && link.state == State::Proving {
                link.state = State::Proven { at };
            } else if dead {
                link.state = State::Dying;
                acts.push(Act::Abort(link.id));
            }
        }
        self.settle(acts)
    }

    /// The peer has said `MOVED` on the link, or has taken it back.
    pub(crate) fn moved(&mut self, id: ConnectionId, moved: bool) -> Vec<Act> {
        if let Some(link) = self.find(id) {
            link.moved_in = moved;
        }
        self.settle(Vec::new())
    }

    /// The link is gone and will deliver nothing more.
    pub(crate) fn ended(&mut self, id: ConnectionId) -> Vec<Act> {
        self.links.retain(|link| link.id != id);
        self.settle(Vec::new())
    }

    /// All links are to end.
    pub(crate) fn hang_up(&mut self) -> Vec<Act> {
        let mut acts = Vec::new();
        for link in &mut self.links {
            if link.state != State::Dying {
                acts.push(if link.opened {
                    Act::Drain(link.id)
                } else {
                    Act::Abort(link.id)
                });
                link.state = State::Dying;
            }
        }
        self.settle(acts)
    }

    /// Whether a link is up and not about to end.
    pub(crate) const fn is_usable(&self) -> bool {
        self.up && !self.draining
    }

    /// Whether the peer was reported as up.
    pub(crate) const fn is_up(&self) -> bool {
        self.up
    }

    /// Whether there is no connection in any state.
    pub(crate) const fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The link to send over.
    pub(crate) const fn active(&self) -> Option<ConnectionId> {
        self.active
    }

    /// Whether the link's proof is still under way.
    pub(crate) fn is_proving(&self, id: ConnectionId) -> bool {
        self.links
            .iter()
            .any(|link| link.id == id && link.state == State::Proving)
    }

    /// Whether both sides have moved away from the link.
    pub(crate) fn is_retired(&self, id: ConnectionId) -> bool {
        self.links.iter().any(|link| link.id == id && link.retired)
    }

    fn find(&mut self, id: ConnectionId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    fn settle(&mut self, mut acts: Vec<Act>) -> Vec<Act> {
        let alive = |link: &&Link| link.opened && link.proven() && !link.retired;
        if self.up && !self.links.iter().any(|link| alive(&link)) {
            self.draining = true;
            if self.active.take().is_some() {
                acts.push(Act::Park);
            }
        }
        if self.up && self.draining && !self.links.iter().any(Link::holds) {
            (self.up, self.draining) = (false, false);
            for link in self.links.iter_mut().filter(|link| link.opened) {
                (link.opened, link.state) = (false, State::Dying);
                acts.push(Act::Abort(link.id));
            }
            acts.push(Act::Down);
        }
        if self.draining || !self.links.iter().any(Link::proven) {
            return acts;
        }
        if !self.up {
            self.up = true;
            acts.push(Act::Up);
        }
        for link in self
            .links
            .iter_mut()
            .filter(|link| link.proven() && !link.opened)
        {
            link.opened = true;
            acts.push(Act::Open(link.id));
        }
        self.choose(&mut acts);
        for link in &mut self.links {
            if link.proven() && link.moved_out && link.moved_in && !link.retired {
                link.retired = true;
                acts.push(Act::Retire(link.id));
            }
        }
        acts
    }

    fn choose(&mut self, acts: &mut Vec<Act>) {
        let rank = |link: &Link| match link.state {
            State::Proven { at } if !link.retired => Some((link.ours == self.lower, at)),
            _ => None,
        };
        let best = self
            .links
            .iter()
            .filter_map(|link| Some((rank(link)?, link.id)))
            .max();
        let Some((_, best)) = best else { return };
        if self.active != Some(best) {
            self.active = Some(best);
            acts.push(Act::Activate(best));
        }
        for link in self
            .links
            .iter_mut()
            .filter(|link| link.proven() && !link.retired)
        {
            let moves = link.id != best;
            if moves && !link.moved_out {
                acts.push(Act::Move(link.id));
            }
            link.moved_out = moves;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Act::*;
    use super::*;

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    #[test]
    fn one_link_goes_up_once_and_down_once() {
        let mut table = Table::new(true);
        table.add(id(1), true);
        assert_eq!(
            table.proven(id(1), 1, None),
            [Up, Open(id(1)), Activate(id(1))]
        );
        assert!(table.is_usable());
        assert_eq!(table.ended(id(1)), [Park, Down]);
        assert!(table.is_empty() && !table.is_up());
    }

    #[test]
    fn simultaneous_dials_settle_on_the_lower_nodes_link_without_a_flap() {
        for first_ours in [true, false] {
            let mut table = Table::new(true);
            let (ours, theirs) = (id(1), id(2));
            table.add(ours, true);
            table.add(theirs, false);
            let (first, second) = if first_ours {
                (ours, theirs)
            } else {
                (theirs, ours)
            };
            assert_eq!(
                table.proven(first, 1, None),
                [Up, Open(first), Activate(first)]
            );
            let acts = table.proven(second, 2, None);
            assert_eq!(table.active(), Some(ours));
            assert!(
                acts.contains(&Move(theirs)) && acts.contains(&Open(second)),
                "{acts:?}"
            );
            assert_eq!(table.moved(theirs, true), [Retire(theirs)]);
            assert!(table.is_retired(theirs));
            assert_eq!(table.ended(theirs), []);
            assert_eq!(table.ended(ours), [Park, Down]);
        }
    }

    #[test]
    fn when_the_better_link_dies_early_the_other_takes_over_without_a_flap() {
        let mut table = Table::new(true);
        table.add(id(1), true);
        table.add(id(2), false);
        table.proven(id(2), 1, None);
        table.proven(id(1), 2, None);
        assert_eq!(table.ended(id(1)), [Activate(id(2))]);
        assert!(table.is_usable());
        assert_eq!(table.moved(id(2), true), []);
        assert_eq!(table.moved(id(2), false), []);
    }

    #[test]
    fn a_peer_that_came_back_replaces_its_dead_link_through_down_and_up() {
        let mut table = Table::new(true);
        table.add(id(1), true);
        table.proven(id(1), 1, None);
        table.add(id(2), false);
        // Challenged at 5, long after link 1 was proven, and the dialer knows of no other link.
        assert_eq!(table.proven(id(2), 6, Some(5)), [Abort(id(1)), Park]);
        assert!(table.is_up() && !table.is_usable());
        assert_eq!(table.ended(id(1)), [Down, Up, Open(id(2)), Activate(id(2))]);
    }

    #[test]
    fn a_dialer_that_is_alone_does_not_kill_a_link_proven_after_its_challenge() {
        let mut table = Table::new(true);
        table.add(id(1), true);
        table.add(id(2), false);
        table.proven(id(1), 6, None);
        let acts = table.proven(id(2), 7, Some(5));
        assert_eq!(acts, [Open(id(2)), Move(id(2))]);
    }

    #[test]
    fn hanging_up_ends_everything_and_then_says_down_once() {
        let mut table = Table::new(false);
        for n in 1..=3 {
            table.add(id(n), n == 1);
        }
        table.proven(id(1), 1, None);
        table.proven(id(2), 2, None);
        let acts = table.hang_up();
        assert_eq!(acts, [Drain(id(1)), Drain(id(2)), Abort(id(3)), Park]);
        assert_eq!(table.hang_up(), []);
        assert_eq!(table.ended(id(2)), []);
        assert_eq!(table.ended(id(1)), [Down]);
        assert_eq!(table.ended(id(3)), []);
        assert!(table.is_empty());
    }
}
