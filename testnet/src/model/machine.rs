//! What happens on machines: tasks come, wait in order, start, slow each other down and end; and
//! machines die, leave and come back.

use super::events::Event;
use super::fleet::{HOLD, Run};
use super::tasks::State;
use super::world::{NOTICE, World};

impl World<'_> {
    /// A task reaches a machine, which takes or refuses it.
    pub(super) fn arrive(&mut self, machine: u32, task: u32) {
        if !self.fleet.host(machine).up {
            self.retry(task);
            return;
        }
        let need = self.job(task).need;
        if !need.fits(&self.fleet.host(machine).capacity) || !self.suits(machine, task) {
            self.refuse(task, machine);
            return;
        }
        let queued = self.tasks.get_mut(task);
        queued.state = State::Queued;
        queued.machine = Some(machine);
        self.fleet.load(machine, &need);
        self.fleet.host_mut(machine).queue.push_back(task);
        self.drain(machine);
    }

    /// Whether a task's class can run on a machine beside what runs there, and they beside it.
    pub(super) fn suits(&self, machine: u32, task: u32) -> bool {
        let host = self.fleet.host(machine);
        let class = self.job(task).class;
        let truth = &self.case.truth;
        if truth.alone(class, host.platform) <= 0.0 {
            return false;
        }
        self.steady
            || host.residents().all(|other| {
                truth.keeps(class, host.platform, [other]) > 0.0
                    && truth.keeps(other, host.platform, [class]) > 0.0
            })
    }

    /// Starts what waits at a machine while the first in the queue has room.
    pub(super) fn drain(&mut self, machine: u32) {
        while let Some(entry) = self.fleet.host(machine).queue.front().copied() {
            let held = entry & HOLD != 0;
            let job = if held {
                entry & !HOLD
            } else {
                self.tasks.get(entry).job
            };
            let need = self.case.jobs[job as usize].need;
            let host = self.fleet.host(machine);
            if !host.up || !host.room(&need) {
                return;
            }
            self.fleet.host_mut(machine).queue.pop_front();
            if held {
                self.fleet.take(machine, &need);
                self.fleet.host_mut(machine).pulls.push(job);
                self.events.now(Event::Reached { machine, job });
            } else if self.suits(machine, entry) {
                self.start(machine, entry);
            } else {
                self.fleet.unload(machine, &need);
                self.refuse(entry, machine);
            }
        }
    }

    /// Starts a task that has room and is counted in the load.
    pub(super) fn start(&mut self, machine: u32, task: u32) {
        let job = self.job(task);
        let (class, platform) = (job.class, self.fleet.host(machine).platform);
        let (number, index) = (self.tasks.get(task).job, self.tasks.index(task));
        let noise = self.case.truth.luck(self.case.seed, number, index);
        let left = self.tasks.work(self.case, task);
        let now = self.now;
        let started = self.tasks.get_mut(task);
        started.state = State::Running;
        started.machine = Some(machine);
        started.started = Some(now);
        started.starts += 1;
        let start = started.starts;
        self.running += 1;
        self.fleet.take(machine, &job.need);
        let rate = self.case.truth.alone(class, platform) * noise;
        self.fleet.host_mut(machine).running.push(Run {
            task,
            class,
            noise,
            left,
            rate,
            since: now,
        });
        if !self.steady {
            self.changed(machine);
        } else if let Some(end) = after(now, left / rate) {
            let what = Event::End {
                machine,
                task,
                start,
            };
            self.events.at(end, what);
        }
    }

    /// What runs at a machine has changed: work is brought up to date and the next end found.
    fn changed(&mut self, machine: u32) {
        let now = self.now;
        let truth = &self.case.truth;
        let host = self.fleet.host_mut(machine);
        let platform = host.platform;
        host.version += 1;
        let version = host.version;
        let mut soonest = f64::INFINITY;
        for at in 0..host.running.len() {
            let others = (0..host.running.len()).filter(|other| *other != at);
            let others = others.map(|other| host.running[other].class);
            let rate = truth.rate(host.running[at].class, platform, others);
            let run = &mut host.running[at];
            run.left = (run.left - (now - run.since) as f64 * run.rate).max(0.0);
            run.since = now;
            run.rate = rate * run.noise;
            soonest = soonest.min(run.left / run.rate);
        }
        if let Some(end) = after(now, soonest) {
            self.events.at(end, Event::Next { machine, version });
        }
    }

    /// The task that was to end next ends, unless the machine has changed since.
    pub(super) fn next_end(&mut self, machine: u32, version: u32) -> Option<u32> {
        let host = self.fleet.host(machine);
        if host.version != version {
            return None;
        }
        let end = |run: &Run| run.left / run.rate - (self.now - run.since) as f64;
        let soonest = host.running.iter().min_by(|a, b| end(a).total_cmp(&end(b)));
        let task = soonest?.task;
        self.end(machine, task);
        Some(task)
    }

    /// The task that was started so many times ends, unless it was lost meanwhile.
    pub(super) fn steady_end(&mut self, machine: u32, task: u32, start: u32) -> Option<u32> {
        let ending = self.tasks.get(task);
        if ending.state != State::Running || ending.starts != start {
            return None;
        }
        self.end(machine, task);
        Some(task)
    }

    fn end(&mut self, machine: u32, task: u32) {
        let job = self.job(task);
        let need = job.need;
        let now = self.now;
        let host = self.fleet.host_mut(machine);
        host.running.retain(|run| run.task != task);
        self.fleet.free(machine, &need);
        self.fleet.unload(machine, &need);
        let ended = self.tasks.get_mut(task);
        ended.state = State::Ended;
        ended.ended = Some(now);
        self.running -= 1;
        self.ended += 1;
        self.recent.0 += 1;
        self.recent.1 += now.saturating_sub(super::net::nanos(job.at)) as f64 / 1e9;
        if self.tasks.scheduler(task) != machine {
            // The report to its scheduler.
            self.count(1);
        }
        if !self.steady {
            self.changed(machine);
        }
        self.drain(machine);
    }

    /// A machine dies, and its tasks with it if the whole machine does; its queue in any case.
    pub(super) fn crash(&mut self, machine: u32, tasks: bool) {
        let host = self.fleet.host(machine);
        if !host.up && (!tasks || host.running.is_empty()) {
            return;
        }
        self.go_down(machine, tasks, NOTICE);
        let life = self.fleet.host(machine).life;
        let noticed = Event::Noticed { machine, life };
        self.events.at(self.now + NOTICE, noticed);
    }

    /// A machine leaves in order: what waits there is placed anew at once, what runs ends there.
    pub(super) fn leave(&mut self, machine: u32) {
        if self.fleet.host(machine).up {
            self.go_down(machine, false, 0);
            self.fleet.part(machine);
        }
    }

    fn go_down(&mut self, machine: u32, tasks: bool, notice: u64) {
        let case = self.case;
        let host = self.fleet.host_mut(machine);
        host.up = false;
        host.life += 1;
        let queue = std::mem::take(&mut host.queue);
        let pulls = std::mem::take(&mut host.pulls);
        let running = if tasks {
            host.version += 1;
            std::mem::take(&mut host.running)
        } else {
            Vec::new()
        };
        for job in pulls {
            let need = &case.jobs[job as usize].need;
            self.fleet.free(machine, need);
            self.fleet.unload(machine, need);
            self.after(notice, Event::HoldLost { job });
        }
        for entry in queue {
            if entry & HOLD != 0 {
                let job = entry & !HOLD;
                self.fleet.unload(machine, &case.jobs[job as usize].need);
                self.after(notice, Event::HoldLost { job });
            } else {
                self.fleet.unload(machine, &self.job(entry).need);
                self.lose(entry, notice);
            }
        }
        for run in running {
            self.running -= 1;
            self.lose(run.task, notice);
        }
        if tasks {
            self.fleet.clear(machine);
        }
    }

    fn lose(&mut self, task: u32, notice: u64) {
        let lost = self.tasks.get_mut(task);
        lost.state = State::Pending;
        lost.refusals = 0;
        self.after(notice, Event::Retry { task });
    }
}

/// The moment so many nanoseconds later, none if that is never. Rounded up, and at least 1, so that
/// time goes on.
fn after(now: u64, nanos: f64) -> Option<u64> {
    if nanos < u64::MAX as f64 / 4.0 {
        now.checked_add(libm::ceil(nanos).max(1.0) as u64)
    } else {
        None
    }
}
