//! All tasks of a case in one dense table, numbered by job and index.

use std::time::Duration;

use super::net::nanos;
use crate::case::{Case, SERVICE};
use crate::outcome::TaskFate;

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its job has not come yet.
    Future,
    /// With its scheduler, or on its way.
    Pending,
    /// In a machine's queue.
    Queued,
    Running,
    Ended,
}

/// A task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) job: u32,
    pub(super) state: State,
    /// Where it is queued or runs, or did last.
    pub(super) machine: Option<u32>,
    pub(super) started: Option<u64>,
    pub(super) ended: Option<u64>,
    pub(super) starts: u32,
    /// How often machines refused it since it was last lost.
    pub(super) refusals: u32,
}

/// The table.
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) all: Vec<Task>,
    /// The first task of each job.
    pub(super) first: Vec<u32>,
    /// Which machine, or the centre, schedules each job.
    pub(super) scheduler: Vec<u32>,
}

impl Tasks {
    pub(super) fn new(case: &Case) -> Self {
        let mut all = Vec::with_capacity(case.task_count());
        let mut first = Vec::with_capacity(case.jobs.len());
        for (job, what) in case.jobs.iter().enumerate() {
            first.push(all.len() as u32);
            let task = Task {
                job: job as u32,
                state: State::Future,
                machine: None,
                started: None,
                ended: None,
                starts: 0,
                refusals: 0,
            };
            all.extend(what.tasks.iter().map(|_| task));
        }
        Self {
            all,
            first,
            scheduler: case.jobs.iter().map(|job| job.home).collect(),
        }
    }

    pub(super) fn get(&self, task: u32) -> &Task {
        &self.all[task as usize]
    }

    pub(super) fn get_mut(&mut self, task: u32) -> &mut Task {
        &mut self.all[task as usize]
    }

    /// Its place in its job.
    pub(super) fn index(&self, task: u32) -> u32 {
        task - self.first[self.get(task).job as usize]
    }

    /// Who schedules it.
    pub(super) fn scheduler(&self, task: u32) -> u32 {
        self.scheduler[self.get(task).job as usize]
    }

    /// Its work in nanoseconds at rate 1; infinite for a service.
    pub(super) fn work(&self, case: &Case, task: u32) -> f64 {
        let job = &case.jobs[self.get(task).job as usize];
        match job.tasks[self.index(task) as usize] {
            SERVICE => f64::INFINITY,
            work => nanos(work) as f64,
        }
    }

    /// What became of all.
    pub(super) fn fates(&self, case: &Case) -> Vec<TaskFate> {
        let used: Vec<u16> = (0..case.truth.platforms.len() as u16)
            .filter(|platform| case.machines.iter().any(|m| m.platform == *platform))
            .collect();
        let best: Vec<f64> = (0..case.truth.classes.len() as u16)
            .map(|class| case.truth.ideal(class, used.iter().copied()))
            .collect();
        let mut fates = Vec::with_capacity(self.all.len());
        for (task, what) in self.all.iter().enumerate() {
            let job = &case.jobs[what.job as usize];
            let index = task as u32 - self.first[what.job as usize];
            let best = best[usize::from(job.class)];
            fates.push(TaskFate {
                job: what.job,
                index,
                submitted: job.at,
                started: what.started.map(Duration::from_nanos),
                ended: what.ended.map(Duration::from_nanos),
                machine: what.machine,
                starts: what.starts,
                ideal: ideal(job.tasks[index as usize], best),
            });
        }
        fates
    }
}

/// How long some work takes at a rate; a service, or what can run nowhere, takes for ever.
fn ideal(work: Duration, rate: f64) -> Duration {
    if work == SERVICE {
        return work;
    }
    Duration::try_from_secs_f64(work.as_secs_f64() / rate).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ideals_follow_the_rate() {
        let second = Duration::from_secs(1);
        assert_eq!(ideal(second, 4.0), second / 4);
        assert_eq!(ideal(second, 0.0), Duration::MAX);
        assert_eq!(ideal(SERVICE, 4.0), SERVICE);
    }
}
