//! Telling and hearing rumours. Urgent ones go at once to all linked members of a small cluster and
//! to a random few of a large one, several in one message; each rumour heard is checked against
//! what this node knows first hand, for hearsay never outweighs a frame just received.

use rand::RngExt;
use starling_wire::gossip::{Claim, GossipMessage, MAX_RUMOURS, Rumour};
use starling_wire::{NodeId, Time};

use crate::view::MemberState;
use crate::{Gossip, Output};

impl Gossip {
    /// Spreads this node's own claim about a member's present incarnation.
    pub(crate) fn say(&mut self, now: Time, node: NodeId, claim: Claim) {
        let Some(entry) = self.view.get(&node) else {
            return;
        };
        let rumour = Rumour {
            node,
            incarnation: entry.record().incarnation,
            claim,
            by: self.me,
        };
        self.pass_on(now, rumour, true);
        self.news.push(rumour);
    }

    /// Sends the urgent rumours of this input.
    pub(crate) fn flush_news(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.news.is_empty() {
            return;
        }
        let news = std::mem::take(&mut self.news);
        let mut targets = self.news_targets();
        for rumour in &news {
            // The accused must hear of it to refute it.
            if self.links.is_linked(&rumour.node) && !targets.contains(&rumour.node) {
                targets.push(rumour.node);
            }
        }
        for target in targets {
            self.send_rumours(now, target, news.clone(), out);
        }
    }

    pub(crate) fn send_rumours(
        &mut self,
        now: Time,
        to: NodeId,
        rumours: Vec<Rumour>,
        out: &mut Vec<Output>,
    ) {
        for part in rumours.chunks(MAX_RUMOURS) {
            self.send(now, to, GossipMessage::Rumours(part.to_vec()), true, out);
        }
    }

    /// Takes rumours in; unknown nodes and stale incarnations leave no trace.
    pub(crate) fn on_rumours(
        &mut self,
        now: Time,
        from: NodeId,
        rumours: Vec<Rumour>,
        out: &mut Vec<Output>,
    ) {
        for rumour in rumours.into_iter().take(MAX_RUMOURS) {
            self.on_rumour(now, from, rumour, out);
        }
    }

    fn on_rumour(&mut self, now: Time, from: NodeId, rumour: Rumour, out: &mut Vec<Output>) {
        if rumour.node == self.me {
            let dead = matches!(rumour.claim, Claim::Dead | Claim::Left);
            if dead && rumour.incarnation == self.own.incarnation {
                self.counters.false_deaths += 1;
            }
            return self.refute(now, rumour.incarnation, from, out);
        }
        let Some(entry) = self.view.get(&rumour.node) else {
            return;
        };
        if rumour.by == self.me {
            return;
        }
        if rumour.incarnation < entry.record().incarnation {
            return self.correct(now, from, rumour.node, out);
        }
        if !entry.state.is_live() {
            return;
        }
        match rumour.claim {
            Claim::Silent | Claim::Refused => self.on_accusation(now, rumour, out),
            Claim::Dead => self.on_obituary(now, from, rumour, MemberState::Dead, out),
            Claim::Left => self.on_obituary(now, from, rumour, MemberState::Left, out),
        }
    }

    /// Somebody accuses a live member: this node tries it too, unless it knows better.
    fn on_accusation(&mut self, now: Time, rumour: Rumour, out: &mut Vec<Output>) {
        let node = rumour.node;
        if rumour.by == node {
            return;
        }
        if rumour.claim == Claim::Silent && self.has_just_heard(now, &node) {
            return self.vouch(now, node, rumour.by, out);
        }
        if !self.note_accuser(now, &rumour) {
            return;
        }
        self.pass_on(now, rumour, false);
        if self.detect.suspicions.contains_key(&node) {
            return self.judge(now, node, out);
        }
        let concerned = self.links.full || self.is_protected(&node);
        if self.links.is_linked(&node) || concerned && rumour.claim == Claim::Silent {
            self.start_ping(now, node, true, Some(rumour.by), out);
        } else if concerned {
            self.dial_now(now, node, out);
        }
    }

    /// Somebody says that a live member is gone: believed, unless it was just heard here.
    fn on_obituary(
        &mut self,
        now: Time,
        from: NodeId,
        rumour: Rumour,
        state: MemberState,
        out: &mut Vec<Output>,
    ) {
        let node = rumour.node;
        let suspicion = self.detect.suspicions.get(&node);
        let refused = suspicion.is_some_and(|held| held.refused.is_some());
        let own_word = from == node && rumour.claim == Claim::Left;
        if !own_word && !refused && self.heard_within(now, &node, self.config.watch_after) {
            self.vouch(now, node, from, out);
            // It refutes best by itself.
            if self.links.is_linked(&node) && self.links.may_tell(&node, now) {
                self.send_rumours(now, node, vec![rumour], out);
            }
            return;
        }
        if let Some(soft) = self.view.soft_mut(&node) {
            let rare = soft.rare_mut();
            rare.gone_as = rare.gone_as.max(rumour.incarnation);
        }
        self.pass_on(now, rumour, false);
        self.bury(now, node, state, out);
    }

    /// `from` speaks of an incarnation of `node` that is over: it gets the newer record.
    fn correct(&mut self, now: Time, from: NodeId, node: NodeId, out: &mut Vec<Output>) {
        if !self.links.is_linked(&from) || !self.links.may_tell(&from, now) {
            return;
        }
        let Some(entry) = self.view.get(&node) else {
            return;
        };
        let records = vec![crate::exchange::aged(entry, now)];
        let (wants, rumours) = (Vec::new(), Vec::new());
        let message = GossipMessage::Delta {
            records,
            wants,
            rumours,
        };
        self.send(now, from, message, true, out);
    }

    /// Tells all that this node leaves.
    pub(crate) fn say_goodbye(&mut self, now: Time, out: &mut Vec<Output>) {
        let rumour = Rumour {
            node: self.me,
            incarnation: self.own.incarnation,
            claim: Claim::Left,
            by: self.me,
        };
        let linked: Vec<NodeId> = self.links.linked().iter().copied().collect();
        for peer in linked {
            self.send_rumours(now, peer, vec![rumour], out);
        }
    }

    /// Whom urgent news goes to.
    pub(crate) fn news_targets(&mut self) -> Vec<NodeId> {
        if self.links.linked().len() <= self.config.tell_all {
            return self.links.linked().iter().copied().collect();
        }
        let me = self.me;
        self.random_linked(self.config.fan_out, &me)
    }

    /// Up to `count` random linked members that are alive, other than `except`.
    pub(crate) fn random_linked(&mut self, count: usize, except: &NodeId) -> Vec<NodeId> {
        let alive = |node: &&NodeId| self.view.state(node) == Some(MemberState::Alive);
        let linked = self.links.linked().iter().filter(|node| *node != except);
        if count == 1 && linked.clone().nth(4).is_some() {
            // The usual case: any will do, so most need not be looked up.
            let start = self.rng.random_range(0..self.links.linked().len());
            let mut around = linked.clone().skip(start).chain(linked);
            return around.find(alive).copied().into_iter().collect();
        }
        let mut pool: Vec<NodeId> = linked.filter(alive).copied().collect();
        let count = count.min(pool.len());
        for at in 0..count {
            let other = self.rng.random_range(at..pool.len());
            pool.swap(at, other);
        }
        pool.truncate(count);
        pool
    }

    /// Lets a rumour ride on later messages, about `3 log2 n` times less those told directly.
    fn pass_on(&mut self, now: Time, rumour: Rumour, told: bool) {
        let members = u32::try_from(self.view.live().len()).unwrap_or(u32::MAX);
        let times = 3 * members.saturating_add(1).ilog2().saturating_add(1);
        let directly = if told {
            self.links.linked().len().min(self.config.tell_all)
        } else {
            0
        };
        let directly = u32::try_from(directly).unwrap_or(0);
        self.rumours
            .add(now, rumour, times.saturating_sub(directly).max(2));
    }
}
