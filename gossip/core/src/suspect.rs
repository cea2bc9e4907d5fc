//! Suspicion (SWIM, Das et al. 2002) with Lifeguard's shorter time-out once others agree (Dadgar et
//! al. 2018). Two kinds of evidence: silence, which needs its time, and a port that refuses
//! connections, which is nearly proof: it must refuse again at the end of a short grace and to
//! somebody else too. A suspicion ends with any sign of life, and then leaves no trace.

use std::time::Duration;

use starling_wire::gossip::{Claim, GossipMessage, Rumour};
use starling_wire::{NodeId, Time};

use crate::timers::Timer;
use crate::view::MemberState;
use crate::{Gossip, Output};

/// After the first refusal: so soon the port is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// An accusation by another counts for so long.
const ACCUSED: Duration = Duration::from_secs(10);
/// Somebody's word outweighs a refusing port for so long: the address may be wrong.
const OUTWEIGHED: Duration = Duration::from_secs(5);
/// With so many others accusing already, one more says nothing new.
const ENOUGH: usize = 2;

/// This node's own reason to believe that a member is gone.
#[derive(Debug)]
pub(crate) struct Suspicion {
    pub(crate) start: Time,
    /// When its port first refused.
    pub(crate) refused: Option<Time>,
    /// Whether it still refused at the end of the grace.
    again: bool,
}

impl Gossip {
    /// A member did not answer: it is suspected, and everybody told.
    pub(crate) fn accuse(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        if self.view.state(&node) != Some(MemberState::Alive) {
            return;
        }
        self.begin(now, node, out);
        if self.accusers(now, &node).0 < ENOUGH {
            self.say(now, node, Claim::Silent);
        }
        if self.links.linked().len() > self.config.tell_all {
            // Those who hear the rumour probe by themselves; here not all do.
            for helper in self.random_linked(self.config.indirect, &node) {
                let ask = GossipMessage::PingFor { target: node };
                self.send(now, helper, ask, true, out);
            }
        }
        self.sweep(now, out);
        self.judge(now, node, out);
    }

    /// The port of a member refused a connection.
    pub(crate) fn on_refused(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        let Some(entry) = self.view.get(&node) else {
            return;
        };
        let vouched = entry.soft.vouched;
        if !entry.state.is_live() || vouched.is_some_and(|at| now.since(at) < OUTWEIGHED) {
            return;
        }
        if entry.state == MemberState::Alive {
            self.begin(now, node, out);
        }
        let grace = self.config.refused_grace;
        let Some(suspicion) = self.detect.suspicions.get_mut(&node) else {
            return;
        };
        match suspicion.refused {
            Some(first) if now >= first + grace => suspicion.again = true,
            Some(_) => {}
            None => {
                suspicion.refused = Some(now);
                self.timers
                    .set(Timer::Refused(node), now + RETRY.min(grace));
                if self.accusers(now, &node).1 < ENOUGH {
                    self.say(now, node, Claim::Refused);
                }
            }
        }
        self.judge(now, node, out);
    }

    /// A port that refused is tried again.
    pub(crate) fn on_refused_timer(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        let Some(suspicion) = self.detect.suspicions.get(&node) else {
            return;
        };
        let Some(first) = suspicion.refused else {
            return;
        };
        let end = first + self.config.refused_grace;
        let next = if now < end { end } else { now + RETRY };
        self.timers.set(Timer::Refused(node), next);
        self.dial_now(now, node, out);
    }

    /// Decides whether a suspicion is a death by now, or when it will be.
    pub(crate) fn judge(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        let Some(suspicion) = self.detect.suspicions.get(&node) else {
            return;
        };
        let (accusers, refused) = self.accusers(now, &node);
        let timeout = if accusers == 0 {
            self.config.suspicion_alone
        } else {
            self.config.suspicion_confirmed
        };
        let due = suspicion.start + self.health.scale(timeout);
        // This node, and those it suspects itself, cannot be asked.
        let nobody_else = self.view.live().len() <= 1 + self.detect.suspicions.len();
        let refuses = suspicion.again && (refused > 0 || nobody_else);
        if refuses || now >= due {
            self.bury(now, node, MemberState::Dead, out);
            self.say(now, node, Claim::Dead);
        } else {
            self.timers.set(Timer::Suspicion(node), due);
        }
    }

    /// A suspected member gave a sign of life.
    pub(crate) fn acquit(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        self.counters.refutations += 1;
        self.drop_case(&node);
        self.rumours.settled(&node);
        self.move_to(now, node, MemberState::Alive, out);
        if self.detect.watch.contains(&node) {
            let due = now + self.silence(&node);
            self.timers.set(Timer::Watch(node), due);
        }
    }

    /// A member is gone: by this node's own judgement or on another's word.
    pub(crate) fn bury(
        &mut self,
        now: Time,
        node: NodeId,
        state: MemberState,
        out: &mut Vec<Output>,
    ) {
        self.drop_case(&node);
        self.counters.deaths += u64::from(state == MemberState::Dead);
        self.move_to(now, node, state, out);
        self.hang_up(node, out);
        self.links.reset(&node);
        self.timers.cancel(Timer::Dial(node));
        let pause = self.config.dial_first;
        self.want(now, node, pause);
        let longest = self.view.gone().find(|gone| !self.is_kept(gone));
        if let Some(longest) = longest.filter(|_| self.view.gone_len() > self.config.view_limit / 4)
        {
            self.forget(&longest);
        }
        self.reconsider(now);
    }

    /// Forgets the probes and suspicions of a node.
    pub(crate) fn drop_case(&mut self, node: &NodeId) {
        self.detect.pings.remove(node);
        self.detect.suspicions.remove(node);
        self.timers.cancel(Timer::Ping(*node));
        self.timers.cancel(Timer::Suspicion(*node));
        self.timers.cancel(Timer::Refused(*node));
    }

    /// Changes a member's state and says so.
    pub(crate) fn move_to(
        &mut self,
        now: Time,
        node: NodeId,
        to: MemberState,
        out: &mut Vec<Output>,
    ) {
        let from = self.view.set_state(&node, to, now);
        if let Some(entry) = self.view.get(&node)
            && from != Some(to)
        {
            out.push(Output::Changed {
                node,
                from,
                to,
                incarnation: entry.record().incarnation,
            });
        }
    }

    /// Another accuses the present incarnation of a live member; whether that is news.
    pub(crate) fn note_accuser(&mut self, now: Time, rumour: &Rumour) -> bool {
        let Some(soft) = self.view.soft_mut(&rumour.node) else {
            return false;
        };
        let soft = soft.rare_mut();
        let refused = rumour.claim == Claim::Refused;
        soft.accusers.retain(|held| now.since(held.at) < ACCUSED);
        if let Some(held) = soft.accusers.iter_mut().find(|held| held.by == rumour.by) {
            let news = refused && !held.refused;
            held.refused |= refused;
            return news;
        }
        let room = soft.accusers.len() < 8;
        if room {
            soft.accusers.push(crate::view::Accuser {
                by: rumour.by,
                refused,
                at: now,
            });
        }
        room
    }

    /// How many others accuse a member at present, and how many of them because it refuses.
    fn accusers(&self, now: Time, node: &NodeId) -> (usize, usize) {
        let held = self.view.get(node).and_then(|entry| entry.soft.rare());
        let present = held.into_iter().flat_map(|rare| &rare.accusers);
        let present = present.filter(|accuser| now.since(accuser.at) < ACCUSED);
        present.fold((0, 0), |(all, refused), accuser| {
            (all + 1, refused + usize::from(accuser.refused))
        })
    }

    fn begin(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        self.counters.suspicions += 1;
        let suspicion = Suspicion {
            start: now,
            refused: None,
            again: false,
        };
        self.detect.suspicions.insert(node, suspicion);
        self.move_to(now, node, MemberState::Suspect, out);
    }
}
