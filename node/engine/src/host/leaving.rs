//! Draining, and leaving in order.

use std::time::Duration;

use starling_wire::{Outcome, TaskId, Time};

use super::Host;
use crate::effect::{Event, EventKind};
use crate::engine::Ctx;
use crate::saved;

impl Host {
    pub(crate) fn drain(&mut self, on: bool, deadline: Option<Duration>, ctx: &mut Ctx<'_>) {
        self.draining = on;
        self.drain_deadline = deadline.filter(|_| on).map(|deadline| ctx.now + deadline);
        self.freed = !on;
        ctx.fx
            .saves
            .extend(saved::save_draining(on, self.drain_deadline));
        let kind = if on {
            EventKind::Draining
        } else {
            EventKind::Undrained
        };
        let node = Some(ctx.me);
        ctx.event(Event {
            kind,
            job: None,
            task: None,
            node,
            detail: String::new(),
        });
    }

    /// Moves every task off; [`Host::has_left`] tells when that is done.
    pub(crate) fn leave(&mut self, ctx: &mut Ctx<'_>) {
        if self.leaving.is_none() {
            self.leaving = Some(ctx.now + ctx.config.leave_deadline);
            self.draining = true;
            self.evict_all(ctx);
        }
    }

    pub(crate) const fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Whether a leave has just come to its end: all tasks are over and noted, and other owners have
    /// been `told` all, or time is up. True once.
    pub(crate) fn has_left(&mut self, told: bool, now: Time) -> bool {
        let done = !self.left
            && self
                .leaving
                .is_some_and(|deadline| (told && self.held.is_empty()) || now >= deadline);
        self.left |= done;
        done
    }

    pub(super) fn drain_tick(&mut self, ctx: &mut Ctx<'_>) {
        if self
            .drain_deadline
            .is_some_and(|deadline| deadline <= ctx.now)
        {
            self.drain_deadline = None;
            ctx.fx
                .saves
                .extend(saved::save_draining(self.draining, None));
            self.evict_all(ctx);
        }
    }

    fn evict_all(&mut self, ctx: &mut Ctx<'_>) {
        let tasks: Vec<TaskId> = self.held.keys().copied().collect();
        for task in tasks {
            self.stop(task, Outcome::Evicted, ctx);
        }
    }
}
