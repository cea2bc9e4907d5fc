//! Reports to owners: each placement is told of until its owner has taken note.

use rand::RngExt;
use starling_gossip::MemberState;
use starling_placement::{NodeLoad, Resources};
use starling_wire::jobs::{JobMessage, MAX_TASKS, Phase, Report};
use starling_wire::{Epoch, NodeId, Outcome, TaskId};

use super::claims::LOOKED_AT;
use super::{Held, Host, Stage};
use crate::engine::Ctx;

impl Host {
    /// Sends what has piled up, one message per owner as far as it fits, and offers freed room to
    /// those who wait.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>) {
        // Offers first: the load that goes with reports must not show the same room again.
        if std::mem::take(&mut self.freed) {
            self.offer_room(ctx);
        }
        if !self.unsent.is_empty() {
            self.send_reports(ctx);
        }
    }

    fn send_reports(&mut self, ctx: &mut Ctx<'_>) {
        let load = self.load_untaken(&ctx.gossip.my_fixed().capacity);
        let mut batch: Vec<Report> = Vec::new();
        let mut batch_owner = None;
        let mut batch_heir = false;
        let send = |owner: Option<NodeId>, heir, items: &mut Vec<Report>, ctx: &mut Ctx<'_>| {
            if let Some(owner) = owner
                && !items.is_empty()
            {
                let items = std::mem::take(items);
                ctx.send(owner, JobMessage::Reports { items, load, heir });
            }
        };
        for (owner, task) in std::mem::take(&mut self.unsent) {
            let Some(held) = self.held.get_mut(&task) else {
                continue;
            };
            let heir = self.orphans.contains(&task.job);
            let same = batch_owner == Some(owner) && batch_heir == heir;
            if !same || batch.len() == MAX_TASKS {
                send(batch_owner, batch_heir, &mut batch, ctx);
                batch_owner = Some(owner);
                batch_heir = heir;
            }
            batch.push(report(task, held));
            if !std::mem::replace(&mut held.resending, true) {
                self.resend.insert((ctx.now + ctx.config.resend, task));
            }
        }
        send(batch_owner, batch_heir, &mut batch, ctx);
    }

    /// Tells waiting owners of room, the longest waiting first; room told to one is not told to the
    /// next until the first had time to claim it.
    fn offer_room(&mut self, ctx: &mut Ctx<'_>) {
        let capacity = ctx.gossip.my_fixed().capacity;
        let load = self.load(&capacity);
        let mut left = self
            .offered
            .values()
            .fold(load.free, |free, to| free.minus(to));
        let mut offered = false;
        for _ in 0..self.waiters.len() {
            let Some(waiter) = self.waiters.pop_front() else {
                break;
            };
            if ctx.alive(&waiter.owner).is_none() {
                continue;
            }
            if self.offered.contains_key(&waiter.owner) {
                // It has not answered the last offer yet.
                self.waiters.push_back(waiter);
                continue;
            }
            let room = if self.draining {
                0
            } else {
                left.room_for(&waiter.need, 64)
            };
            if room == 0 {
                self.waiters.push_back(waiter);
                continue;
            }
            let load = NodeLoad { free: left, ..load };
            let mut taken = Resources::default();
            for _ in 0..room {
                taken = taken.plus(&waiter.need);
            }
            left = left.minus(&taken);
            self.offered.insert(waiter.owner, taken);
            ctx.send(
                waiter.owner,
                JobMessage::Room {
                    request: 0,
                    room,
                    load,
                },
            );
            offered = true;
        }
        if offered {
            self.offer_again = Some(ctx.now + ctx.config.probe_timeout);
        }
        if !offered && ctx.config.policy.stealing && !self.draining && left.cpu > 0 {
            self.steal(load, ctx);
        }
    }

    /// Nobody waits in this node's line: offers its room to an owner that the view shows with tasks
    /// that wait, of a random few that are looked at.
    fn steal(&mut self, load: NodeLoad, ctx: &mut Ctx<'_>) {
        let start = NodeId(ctx.rng.random());
        let needy = ctx
            .gossip
            .members_from(&start)
            .take(LOOKED_AT)
            .find(|m| m.state == MemberState::Alive && m.node != ctx.me && m.load.waiting > 0)
            .map(|member| member.node);
        if let Some(owner) = needy {
            self.counters.stealing_offers += 1;
            let (request, room) = (0, 1);
            ctx.send(
                owner,
                JobMessage::Room {
                    request,
                    room,
                    load,
                },
            );
        }
    }

    /// A report may have been lost: tell it again, unless nobody is there to hear it.
    pub(super) fn report_again(&mut self, task: TaskId, ctx: &mut Ctx<'_>) {
        let owner = self.held.get(&task).map(|held| held.owner);
        if owner.is_some_and(|owner| ctx.alive(&owner).is_none()) {
            self.seek_heir(task, ctx);
        } else {
            self.turn_to_next(task, ctx);
        }
        let Some(held) = self.held.get_mut(&task) else {
            return;
        };
        held.resending = false;
        if held.noted && !held.is_over() {
            return;
        }
        if held.stage != Stage::Starting && ctx.alive(&held.owner).is_some() {
            self.unsent.insert((held.owner, task));
        } else if held
            .ended
            .is_some_and(|ended| ended + ctx.config.retention <= ctx.now)
        {
            // As long as a result is kept by its owner it was kept here; nobody came for it.
            self.forget(task, ctx);
        } else {
            held.resending = true;
            self.resend.insert((ctx.now + ctx.config.resend, task));
        }
    }

    /// This node was doubted: all owners hear of all that is held for them.
    pub(crate) fn report_all(&mut self) {
        for (task, held) in &mut self.held {
            if !matches!(held.stage, Stage::Starting | Stage::Leasing) {
                held.noted = false;
                self.unsent.insert((held.owner, *task));
            }
        }
    }

    /// An owner is back, or new: it hears of all that is held for it.
    pub(crate) fn owner_alive(&mut self, owner: NodeId, _ctx: &mut Ctx<'_>) {
        self.orphans.retain(|job| {
            let tie = self.ties.get(job);
            tie.is_some_and(|tie| !tie.owners.contains(&owner))
        });
        for (task, held) in &mut self.held {
            if held.owner == owner && held.stage != Stage::Starting {
                held.noted = false;
                self.unsent.insert((owner, *task));
            }
        }
    }

    pub(super) fn noted(
        &mut self,
        from: NodeId,
        items: Vec<(TaskId, Epoch, bool)>,
        ctx: &mut Ctx<'_>,
    ) {
        for (task, epoch, end) in items.into_iter().take(MAX_TASKS) {
            if !self.is_owner(from, task) {
                continue;
            }
            let Some(held) = self.current(task, epoch) else {
                continue;
            };
            if !end {
                held.noted = held.owner == from;
            } else if held.is_over() {
                self.forget(task, ctx);
            }
        }
    }

    /// The owner believes that these are held here: say how each is.
    pub(super) fn audit(&mut self, from: NodeId, tasks: Vec<(TaskId, Epoch)>, ctx: &mut Ctx<'_>) {
        let mut lost = Vec::new();
        for (task, epoch) in tasks.into_iter().take(MAX_TASKS) {
            let owned = self.is_owner(from, task);
            match self.current(task, epoch) {
                Some(_) if owned => {
                    self.unsent.insert((from, task));
                }
                Some(_) => {}
                None => {
                    self.bury(from, task, epoch);
                    let phase = Phase::Ended {
                        outcome: Outcome::Lost,
                        ran_us: 0,
                    };
                    lost.push(Report { task, epoch, phase });
                }
            }
        }
        if !lost.is_empty() {
            let load = self.load_untaken(&ctx.gossip.my_fixed().capacity);
            let (items, heir) = (lost, false);
            ctx.send(from, JobMessage::Reports { items, load, heir });
        }
    }
}

fn report(task: TaskId, held: &Held) -> Report {
    let phase = match &held.stage {
        Stage::Ended(outcome) => {
            let ran = held.ended.unwrap_or(held.since).since(held.since);
            let ran_us = u64::try_from(ran.as_micros()).unwrap_or(u64::MAX);
            Phase::Ended {
                outcome: outcome.clone(),
                ran_us,
            }
        }
        Stage::Leasing => Phase::Waiting,
        _ => Phase::Running,
    };
    Report {
        task,
        epoch: held.epoch,
        phase,
    }
}
