//! Carrying out what engines want: the network, the disk and the executor of the simulated world.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use starling_engine::{Effect, Effects, Input, Save, TaskEvent};
use starling_wire::{JobSpec, NodeId, Outcome, TaskId};

use super::machine::{Runs, script};
use super::queue::What;
use super::world::World;

impl World {
    pub(super) fn carry_out(&mut self, node: NodeId, fx: Effects) {
        self.act(node, fx.now);
        if fx.saves.is_empty() && fx.lazy.is_empty() {
            let busy = self
                .machines
                .get(&node)
                .map_or(self.now, |machine| machine.disk_free);
            if busy <= self.now {
                self.act(node, fx.after);
            } else if !fx.after.is_empty() {
                // It may rest on what is still on its way to the disk.
                let (saves, after) = (Vec::new(), fx.after);
                self.push(busy, node, What::Synced { saves, after });
            }
            return;
        }
        let (least, most) = (
            self.options.sync.0.as_micros(),
            self.options.sync.1.as_micros(),
        );
        let took = self.rng.random_range(least..=most);
        let took = Duration::from_micros(u64::try_from(took).unwrap_or(u64::MAX));
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        let start = machine.disk_free.max(self.now);
        machine.disk_free = start + took;
        let at = machine.disk_free;
        // What is written behind is older than what it is written before, as in the daemon.
        let mut saves = fx.lazy;
        saves.extend(fx.saves);
        self.push(
            at,
            node,
            What::Synced {
                saves,
                after: fx.after,
            },
        );
    }

    pub(super) fn act(&mut self, node: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, bytes, .. } => self.send(node, to, bytes),
                Effect::Dial { peer, .. } => {
                    let delay = self.network.one_way(&mut self.rng);
                    if self.network.passes(node, peer) && self.network.passes(peer, node) {
                        self.push(self.now + delay, node, What::DialArrives(peer));
                    } else {
                        let failed = Input::DialFailed {
                            peer,
                            refused: false,
                        };
                        let at = self.now + Duration::from_secs(2);
                        self.push(at, node, What::Input(failed));
                    }
                }
                Effect::HangUp(peer) => self.hang_up(node, peer),
                Effect::Start {
                    task,
                    epoch,
                    spec,
                    note,
                } => self.start(node, task, epoch, &spec, note),
                Effect::StopTask {
                    task,
                    epoch,
                    outcome,
                } => {
                    self.stop_task(node, task, epoch, outcome);
                }
                Effect::Forget(tasks) => {
                    let Some(machine) = self.machines.get_mut(&node) else {
                        continue;
                    };
                    for (task, epoch) in tasks {
                        let over = |runs: &Runs| runs.epoch == epoch && runs.ended.is_some();
                        if machine.tasks.get(&task).is_some_and(over) {
                            machine.tasks.remove(&task);
                        }
                    }
                }
                Effect::Reply { request, reply } => {
                    self.replies.insert(request, reply);
                }
                Effect::Confirm(job) => {
                    self.push(self.now, node, What::Input(Input::Durable(job)));
                }
                Effect::Event(event) => self.events.push((self.now, node, event)),
                Effect::Left => self.kill(node, false),
            }
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, bytes: Vec<u8>) {
        if from == to {
            self.push(self.now, to, What::Input(Input::Frame { from, bytes }));
            return;
        }
        if let Some(loses) = &mut self.loses
            && starling_wire::decode_frame(&bytes).is_ok_and(|message| loses(from, to, &message))
        {
            return;
        }
        for at in self.network.carry(self.now, from, to, &mut self.rng) {
            let bytes = bytes.clone();
            self.push(at, to, What::Input(Input::Frame { from, bytes }));
        }
    }

    pub(super) fn dial_arrives(&mut self, from: NodeId, to: NodeId) {
        let up = self
            .machines
            .get(&to)
            .is_some_and(|machine| machine.engine.is_some());
        let delay = self.network.one_way(&mut self.rng);
        if !up {
            let failed = Input::DialFailed {
                peer: to,
                refused: true,
            };
            self.push(self.now + delay, from, What::Input(failed));
        } else if self.network.link(from, to) {
            self.push(self.now + delay, from, What::Input(Input::LinkUp(to)));
            self.push(self.now, to, What::Input(Input::LinkUp(from)));
        }
    }

    fn hang_up(&mut self, node: NodeId, peer: NodeId) {
        if self.network.unlink(node, peer) {
            let delay = self.network.one_way(&mut self.rng);
            self.push(self.now, node, What::Input(Input::LinkDown(peer)));
            self.push(self.now + delay, peer, What::Input(Input::LinkDown(node)));
        }
    }

    fn start(&mut self, node: NodeId, task: TaskId, epoch: u64, spec: &JobSpec, note: Vec<u8>) {
        let spawn = Duration::from_micros(self.rng.random_range(300..1_500));
        let (length, outcome) = script(spec);
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        if machine
            .tasks
            .get(&task)
            .is_some_and(|runs| runs.epoch >= epoch)
        {
            return;
        }
        let ends = self.now + spawn + length;
        machine.tasks.insert(
            task,
            Runs {
                epoch,
                ends,
                outcome,
                note,
                ended: None,
            },
        );
        self.starts.entry(task).or_default().push((self.now, node));
        let started = Input::Task(TaskEvent::Started { task, epoch });
        self.push(self.now + spawn, node, What::Input(started));
        self.push(ends, node, What::TaskEnds(task, epoch));
    }

    fn stop_task(&mut self, node: NodeId, task: TaskId, epoch: u64, outcome: Outcome) {
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        let soon = self.now + Duration::from_millis(5);
        match machine.tasks.get_mut(&task) {
            Some(runs) if runs.epoch == epoch && runs.ended.is_none() => {
                runs.ends = soon;
                runs.outcome = outcome;
                self.push(soon, node, What::TaskEnds(task, epoch));
            }
            _ => {
                let ended = TaskEvent::Ended {
                    task,
                    epoch,
                    outcome: Outcome::Lost,
                };
                self.push(soon, node, What::Input(Input::Task(ended)));
            }
        }
    }

    pub(super) fn task_ends(&mut self, node: NodeId, task: TaskId, epoch: u64) {
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        let Some(runs) = machine.tasks.get_mut(&task) else {
            return;
        };
        if runs.epoch != epoch || runs.ended.is_some() || runs.ends > self.now {
            return;
        }
        runs.ended = Some(runs.outcome.clone());
        let outcome = runs.outcome.clone();
        let ended = Input::Task(TaskEvent::Ended {
            task,
            epoch,
            outcome,
        });
        self.push(self.now, node, What::Input(ended));
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
