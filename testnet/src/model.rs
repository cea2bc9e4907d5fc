//! An event-driven model of a fleet under a scheduling policy: the rivals of Starling's own
//! placement, on the same [`Case`]s (common random numbers).
//!
//! Machines run tasks at the true rate times each run's own noise, several at a time as far as their
//! capacity allows; what does not fit waits in one first-in-first-out queue for each machine. Every
//! machine schedules the jobs that are submitted there, unless the policy is central. Messages take
//! the network's latency; a machine's messages to itself are free. A policy that does not know that
//! a class cannot run somewhere, alone or beside what is there, has its task refused and places it
//! anew. What a dead machine had is placed anew a second later, when its absence is noticed;
//! decisions that its scheduler had begun are finished all the same. What of a case the model leaves
//! out, [`unsupported`] lists.

use crate::case::{Case, FaultKind, Network};
use crate::outcome::Outcome;
use events::Event;
use net::{CENTRE, nanos};
use policy::Policy;
use tasks::State;
use world::{Answer, NOTICE, World};

mod beliefs;
pub(crate) mod chance;
mod course;
mod events;
mod faults;
mod fleet;
mod machine;
mod net;
mod policy;
pub(crate) mod table;
mod tasks;
#[cfg(test)]
mod tests;
mod world;

pub(crate) use policy::pause;
pub use policy::{PolicyName, names, parse};

/// How many events pass between two words about progress.
const PROGRESS: u64 = 1 << 17;

/// Runs a case under a policy. `progress` hears the share of the work that is done, 0 to 1, now and
/// then.
pub fn run(case: &Case, policy: PolicyName, progress: Option<&dyn Fn(f64)>) -> Outcome {
    run_from(case, policy, 0, progress)
}

/// Runs a case whose first `standing` jobs are not scheduled: they are at their home machines when
/// the run begins. Central policies do not know of them.
pub fn run_from(
    case: &Case,
    policy: PolicyName,
    standing: usize,
    progress: Option<&dyn Fn(f64)>,
) -> Outcome {
    let mut model = Model {
        policy: policy.make(case),
        world: World::new(case),
        digest: course::Digest::new(case.seed),
        course: course::Course::new(case),
        jobs: 0,
        faults: 0,
        events: 0,
    };
    model.begin(standing);
    model.run(progress);
    model.finish(policy)
}

/// What of a case the model leaves out, in words.
pub fn unsupported(case: &Case) -> Vec<String> {
    let mut out = Vec::new();
    let mut note = |is: bool, what: &str| {
        if is && !out.iter().any(|known| known == what) {
            out.push(what.to_owned());
        }
    };
    let net = &case.network;
    let plain = Network {
        latency: net.latency.clone(),
        ..Network::default()
    };
    note(*net != plain, "loss, duplication, reordering, bandwidth");
    for fault in &case.faults {
        match fault.what {
            FaultKind::Pause { .. } => note(true, "pauses of daemons"),
            FaultKind::Cut { .. } | FaultKind::Heal => note(true, "cuts of the network"),
            FaultKind::Loss(_) => note(true, "changes of loss"),
            FaultKind::SlowDisk { .. } => note(true, "slow disks"),
            FaultKind::Foreign { .. } => note(true, "programs of others"),
            _ => {}
        }
    }
    for machine in &case.machines {
        note(machine.nat, "machines that nobody can dial");
        note(machine.foreign_cpu > 0, "programs of others");
        note(machine.clock_rate != 1.0, "clocks that drift");
        note(!machine.clock_ahead.is_zero(), "clocks that are ahead");
    }
    out
}

struct Model<'a> {
    policy: Box<dyn Policy>,
    world: World<'a>,
    digest: course::Digest,
    course: course::Course,
    /// Jobs and faults that have come.
    jobs: usize,
    faults: usize,
    events: u64,
}

impl Model<'_> {
    fn begin(&mut self, standing: usize) {
        let case = self.world.case;
        self.policy.begin(&mut self.world);
        for job in &case.jobs[..standing.min(case.jobs.len())] {
            let tasks = self.come();
            for task in tasks {
                self.world.arrive(job.home, task);
            }
        }
    }

    /// The next job comes; its tasks.
    fn come(&mut self) -> std::ops::Range<u32> {
        let world = &mut self.world;
        let job = self.jobs;
        self.jobs += 1;
        let first = world.tasks.first[job];
        let count = world.case.jobs[job].tasks.len() as u32;
        world.tasks.scheduler[job] = if self.policy.central() {
            CENTRE
        } else {
            world.home(job as u32)
        };
        for task in first..first + count {
            world.tasks.get_mut(task).state = State::Pending;
        }
        world.submitted += count;
        first..first + count
    }

    fn run(&mut self, progress: Option<&dyn Fn(f64)>) {
        let case = self.world.case;
        let end = nanos(case.end);
        loop {
            while let Some(event) = self.world.events.pop_now() {
                self.handle(event);
            }
            let services = self.world.tasks.all.len() as u32 > self.world.finite;
            if !services && self.world.ended == self.world.finite {
                return;
            }
            let job = case
                .jobs
                .get(self.jobs)
                .map_or(u64::MAX, |job| nanos(job.at));
            let fault = case.faults.get(self.faults);
            let fault = fault.map_or(u64::MAX, |fault| nanos(fault.at));
            let moment = self.course.due();
            let event = self.world.events.due().unwrap_or(u64::MAX);
            let next = job.min(fault).min(moment).min(event);
            if next > end || (next == moment && job.min(fault).min(event) == u64::MAX) {
                // Nothing more happens before the end, or ever.
                if case.end < std::time::Duration::MAX {
                    self.world.now = end;
                }
                return;
            }
            self.world.now = next;
            if moment == next {
                let age = self.policy.view_age(&self.world);
                self.course.note(&mut self.world, age);
            } else if fault == next {
                let fault = &case.faults[self.faults];
                self.faults += 1;
                self.count([13, self.faults as u32, 0, 0]);
                self.go_wrong(fault);
            } else if job == next {
                self.count([14, self.jobs as u32, 0, 0]);
                let tasks = self.come();
                if !tasks.is_empty() {
                    self.policy.submit(&mut self.world, tasks);
                }
            } else if let Some((_, event)) = self.world.events.pop() {
                self.handle(event);
            }
            if let Some(progress) = progress
                && self.events.is_multiple_of(PROGRESS)
            {
                let all = self.world.finite.max(1);
                progress(f64::from(self.world.ended) / f64::from(all));
            }
        }
    }

    fn count(&mut self, words: [u32; 4]) {
        self.events += 1;
        self.digest.words(self.world.now, words);
    }

    fn handle(&mut self, event: Event) {
        self.events += 1;
        self.digest.add(self.world.now, &event);
        let world = &mut self.world;
        let policy = &mut self.policy;
        match event {
            Event::End {
                machine,
                task,
                start,
            } => {
                if let Some(task) = world.steady_end(machine, task, start) {
                    policy.ended(world, task, machine);
                }
            }
            Event::Next { machine, version } => {
                if let Some(task) = world.next_end(machine, version) {
                    policy.ended(world, task, machine);
                }
            }
            Event::Claim { task, machine } => world.arrive(machine, task),
            Event::Refused { task, machine } => policy.refused(world, task, machine),
            Event::Retry { task } => policy.submit(world, task..task + 1),
            Event::Round { ask } => self.round(ask),
            Event::Question { ask, machine } => self.question(ask, machine),
            Event::Answer {
                ask,
                machine,
                load,
                other,
            } => self.answer(
                ask,
                Answer {
                    machine,
                    load,
                    other,
                },
            ),
            Event::Reached { machine, job } => policy.reached(world, machine, job),
            Event::HoldLost { job } => policy.hold_lost(world, job),
            Event::Noticed { machine, life } => {
                let host = world.fleet.host(machine);
                if !host.up && host.life == life {
                    world.fleet.part(machine);
                    policy.gone(world, machine);
                }
            }
            Event::Note(note) => policy.note(world, note),
        }
    }

    /// A machine's answer to what an ask is about; none from the dead.
    fn look(&self, ask: u32, machine: u32) -> Option<Answer> {
        let world = &self.world;
        world.fleet.host(machine).up.then(|| {
            let about = world.asks[ask as usize].about;
            let (load, other) = self.policy.look(world, machine, about);
            Answer {
                machine,
                load,
                other,
            }
        })
    }

    fn round(&mut self, ask: u32) {
        let count = self.world.asks[ask as usize].machines.len();
        if count == 0 {
            self.answered(ask);
            return;
        }
        for at in 0..count {
            let machine = self.world.asks[ask as usize].machines[at];
            self.question(ask, machine);
        }
    }

    fn question(&mut self, ask: u32, machine: u32) {
        let answer = self.look(ask, machine);
        let from = self.world.asks[ask as usize].from;
        let world = &mut self.world;
        match answer {
            Some(answer) if world.net.instant => self.answer(ask, answer),
            Some(answer) => {
                let delay = world.net.delay(machine, from);
                world.after(
                    delay,
                    Event::Answer {
                        ask,
                        machine,
                        load: answer.load,
                        other: answer.other,
                    },
                );
            }
            None => {
                // Nobody answers, which is noticed after a while.
                let event = Event::Answer {
                    ask,
                    machine,
                    load: f32::INFINITY,
                    other: 0.0,
                };
                world.events.at(world.now + NOTICE, event);
            }
        }
    }

    fn answer(&mut self, ask: u32, answer: Answer) {
        let asked = &mut self.world.asks[ask as usize];
        asked.answers.push(answer);
        asked.left -= 1;
        if asked.left == 0 {
            self.answered(ask);
        }
    }

    fn answered(&mut self, ask: u32) {
        let asked = &mut self.world.asks[ask as usize];
        let (about, from) = (asked.about, asked.from);
        let answers = std::mem::take(&mut asked.answers);
        self.policy.answered(&mut self.world, about, from, &answers);
        self.world.asks[ask as usize].answers = answers;
        self.world.free_asks.push(ask);
    }

    fn finish(mut self, policy: PolicyName) -> Outcome {
        let age = self.policy.view_age(&self.world);
        self.course.note(&mut self.world, age);
        let world = &self.world;
        Outcome {
            policy: policy.to_string(),
            seed: world.case.seed,
            tasks: world.tasks.fates(world.case),
            messages: world.messages,
            course: self.course.moments,
            end: std::time::Duration::from_nanos(world.now),
            converged: None,
            duplicate_seconds: 0.0,
            events: self.events,
            digest: self.digest.finish(),
            violations: faults::violations(world),
        }
    }
}
