//! Tasks whose time is up are stopped by the node that runs them.

use starling_wire::{Outcome, TaskId};

use super::{Host, Stage};
use crate::engine::Ctx;

impl Host {
    /// A task has begun to run: if its job gives it a time, it ends when that is up.
    pub(super) fn limit_time(&mut self, task: TaskId) {
        let spec = self.ties.get(&task.job).and_then(|tie| tie.spec.as_ref());
        let limit = spec.and_then(|spec| spec.timeout_ms);
        if let (Some(limit), Some(held)) = (limit, self.held.get(&task)) {
            let limit = std::time::Duration::from_millis(limit);
            self.timeouts.insert((held.since + limit, task, held.epoch));
        }
    }

    pub(super) fn timeout_tick(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(&(at, task, epoch)) = self.timeouts.first()
            && at <= ctx.now
        {
            self.timeouts.pop_first();
            let held = self.held.get(&task);
            if held.is_some_and(|held| held.epoch == epoch && held.stage == Stage::Running) {
                self.stop(task, Outcome::TimedOut, ctx);
            }
        }
    }
}
