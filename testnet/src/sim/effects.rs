//! Carrying out what engines want: the network, the disk and the executor of the simulated world.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use starling_engine::{Effect, Effects, Input, Save};
use starling_wire::NodeId;

use super::queue::What;
use super::world::World;

/// The most frames that wait for a link.
const KEPT: usize = 1_024;
/// How long a dial into nothing takes to fail.
const DIAL_FAILS: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn carry_out(&mut self, at: u32, fx: Effects) {
        self.act(at, fx.now);
        let machine = self.machines.at(at);
        if fx.saves.is_empty() && fx.lazy.is_empty() {
            let busy = machine.disk_free;
            if busy <= self.now {
                self.act(at, fx.after);
            } else if !fx.after.is_empty() {
                // It may rest on what is still on its way to the disk.
                let (saves, after) = (Vec::new(), fx.after);
                self.push(busy, at, What::Synced { saves, after });
            }
            return;
        }
        let took = self.sync_time(at);
        let machine = self.machines.at_mut(at);
        let start = machine.disk_free.max(self.now);
        machine.disk_free = start + took;
        let done = machine.disk_free;
        // What is written behind is older than what it is written before, as in the daemon.
        let mut saves = fx.lazy;
        saves.extend(fx.saves);
        let after = fx.after;
        self.push(done, at, What::Synced { saves, after });
    }

    fn sync_time(&mut self, at: u32) -> Duration {
        let machine = self.machines.at(at);
        let (least, most) = (machine.sync.0.as_micros(), machine.sync.1.as_micros());
        let took = if least < most {
            self.rng.random_range(least..=most)
        } else {
            least
        };
        let took = Duration::from_micros(u64::try_from(took).unwrap_or(u64::MAX));
        took.mul_f64(machine.slow_disk)
    }

    pub(super) fn act(&mut self, at: u32, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, bytes, .. } => self.send(at, to, bytes),
                Effect::Dial { peer, .. } => self.dial(at, peer),
                Effect::HangUp(peer) => {
                    if let Some(peer) = self.machines.find(&peer) {
                        self.hang_up(at, peer);
                    }
                }
                Effect::Start {
                    task,
                    epoch,
                    spec,
                    note,
                    lease,
                } => {
                    self.start(at, task, epoch, &spec, note);
                    if let Some(until) = lease {
                        self.lease(at, task, epoch, until);
                    }
                }
                Effect::Lease { task, epoch, until } => self.lease(at, task, epoch, until),
                Effect::StopTask {
                    task,
                    epoch,
                    outcome,
                } => {
                    self.stop_task(at, task, epoch, outcome);
                }
                Effect::Forget(tasks) => {
                    let held = &mut self.machines.at_mut(at).tasks;
                    for (task, epoch) in tasks {
                        let over = held
                            .get(&task)
                            .is_some_and(|runs| runs.epoch == epoch && runs.ended.is_some());
                        if over {
                            held.remove(&task);
                        }
                    }
                }
                Effect::Reply { request, reply } => self.replied(request, reply),
                Effect::Confirm(job) => {
                    self.push(self.now, at, What::Input(Input::Durable(job)));
                }
                Effect::Event(event) => self.told(at, event),
                Effect::Left => self.stop_daemon(at, false),
            }
        }
    }

    fn send(&mut self, from: u32, to: NodeId, bytes: Vec<u8>) {
        let Some(to) = self.machines.find(&to) else {
            return;
        };
        if from == to {
            self.push(self.now, to, What::Frame { from, bytes });
            return;
        }
        if let Some(loses) = &mut self.loses {
            let (a, b) = (self.machines.at(from).node, self.machines.at(to).node);
            if starling_wire::decode_frame(&bytes).is_ok_and(|message| loses(a, b, &message)) {
                return;
            }
        }
        self.tally.count(&bytes);
        let bytes = if self.machines.at(from).lies {
            self.falsify(from, bytes)
        } else {
            bytes
        };
        if !self.network.is_linked(from, to) {
            let peer = self.machines.at(to).node;
            let engine = self.machines.at(from).engine.as_ref();
            let believes = engine.is_some_and(|engine| engine.gossip().is_linked(&peer));
            if believes && self.network.passes(from, to) && self.network.passes(to, from) {
                // It went down while nothing could tell: whoever is there now says so.
                let delay = self.network.one_way(from, to, &mut self.rng);
                return self.push(self.now + delay * 2, from, What::Reset(to));
            }
            return self.keep(from, to, bytes);
        }
        self.carry(from, to, bytes);
    }

    fn carry(&mut self, from: u32, to: u32, bytes: Vec<u8>) {
        let [once, twice] = self
            .network
            .carry(self.now, (from, to), bytes.len(), &mut self.rng);
        if let Some(twice) = twice {
            let bytes = bytes.clone();
            self.push(twice, to, What::Frame { from, bytes });
        }
        if let Some(once) = once {
            self.push(once, to, What::Frame { from, bytes });
        }
    }

    /// Without a link, frames wait for the dial that is under way; a bounded number, as in the daemon.
    fn keep(&mut self, from: u32, to: u32, bytes: Vec<u8>) {
        let kept = self.outboxes.entry((from, to)).or_default();
        if kept.len() < KEPT {
            kept.push(bytes);
        }
    }

    /// A link is up: what waited for it goes.
    pub(super) fn flush(&mut self, from: u32, to: u32) {
        for bytes in self.outboxes.remove(&(from, to)).unwrap_or_default() {
            self.carry(from, to, bytes);
        }
    }

    fn dial(&mut self, from: u32, peer: NodeId) {
        let refused = false;
        let Some(to) = self.machines.find(&peer) else {
            let failed = Input::DialFailed { peer, refused };
            return self.push(self.now + DIAL_FAILS, from, What::Input(failed));
        };
        let open = self.network.passes(from, to) && self.network.passes(to, from);
        if open && !self.network.is_hidden(to) {
            let delay = self.network.one_way(from, to, &mut self.rng);
            // It arrives whether or not a daemon is there to answer.
            self.push(self.now + delay, from, What::DialArrives(to));
        } else {
            let failed = Input::DialFailed { peer, refused };
            self.push(self.now + DIAL_FAILS, from, What::Input(failed));
        }
    }

    pub(super) fn dial_arrives(&mut self, from: u32, to: u32) {
        let delay = self.network.one_way(to, from, &mut self.rng);
        let peer = self.machines.at(to).node;
        if self.machines.at(to).engine.is_none() {
            let failed = Input::DialFailed {
                peer,
                refused: true,
            };
            self.push(self.now + delay, from, What::Input(failed));
        } else if self.network.link(from, to) {
            let dialler = self.machines.at(from).node;
            self.push(self.now + delay, from, What::Input(Input::LinkUp(peer)));
            self.push(self.now, to, What::Input(Input::LinkUp(dialler)));
        }
    }

    fn hang_up(&mut self, at: u32, peer: u32) {
        if self.network.unlink(at, peer) {
            let delay = self.network.one_way(at, peer, &mut self.rng);
            let (me, other) = (self.machines.at(at).node, self.machines.at(peer).node);
            self.push(self.now, at, What::Input(Input::LinkDown(other)));
            self.push(self.now + delay, peer, What::Input(Input::LinkDown(me)));
        }
    }
}

pub(super) fn write(disk: &mut BTreeMap<Vec<u8>, Vec<u8>>, saves: Vec<Save>) {
    for save in saves {
        match save.value {
            Some(value) => disk.insert(save.key, value),
            None => disk.remove(&save.key),
        };
    }
}

/// Messages by kind, told from the first bytes of their frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) messages: crate::outcome::Messages,
}

impl Tally {
    /// A frame is its version, then a map of one entry (`g` for gossip, `j` for jobs) whose value
    /// is again a map of one entry, the message's own letter.
    fn count(&mut self, frame: &[u8]) {
        let size = frame.len() as u64;
        let messages = &mut self.messages;
        match frame.get(3) {
            Some(b'g') => {
                messages.spread += 1;
                messages.spread_bytes += size;
            }
            Some(b'j') => {
                messages.placement += 1;
                messages.placement_bytes += size;
                if let Some(b'p' | b'w') = frame.get(6) {
                    messages.live += 1;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_placement::Resources;
    use starling_wire::gossip::GossipMessage;
    use starling_wire::jobs::JobMessage;
    use starling_wire::{Message, encode_frame};

    #[test]
    fn messages_are_told_apart_by_their_first_bytes() {
        let mut tally = Tally::default();
        let need = Resources::default();
        for message in [
            Message::Gossip(GossipMessage::Ping {
                seq: 1,
                rumours: vec![],
            }),
            Message::Jobs(JobMessage::Probe { request: 1, need }),
            Message::Jobs(JobMessage::Wait { need }),
            Message::Jobs(JobMessage::Noted(vec![])),
        ] {
            tally.count(&encode_frame(&message));
        }
        let messages = tally.messages;
        assert_eq!(
            (messages.spread, messages.placement, messages.live),
            (1, 3, 2)
        );
    }
}
