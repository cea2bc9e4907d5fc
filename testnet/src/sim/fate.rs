//! Keeping book of a case's jobs: who took them, where their tasks ran, and how they ended.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use starling_engine::{CommandError, Event, EventKind, Reply, RequestId};
use starling_gossip::MemberState;
use starling_wire::{JobId, JobSpec, Outcome, Restart, TaskId, Time};

use super::machine::Machine;
use super::world::World;
use crate::case::Case;
use crate::outcome::{Moment, TaskFate};

/// Views of so many machines are looked at for their age.
const SAMPLED: usize = 16;
/// The first request of the agenda; those of tests are below.
const REQUESTS: RequestId = 1 << 32;
/// How often a task is tried that cannot run where it was put.
const ATTEMPTS: u32 = 1_000;

/// A job of the case as its user sees it.
#[derive(Clone, Copy, Debug, Default)]
struct JobFate {
    id: Option<JobId>,
    /// The machine that acknowledged it, by its index in the world.
    taker: u32,
    /// Who told its end first.
    finished: Option<u32>,
}

/// The book.
#[derive(Default)]
pub(crate) struct Fates {
    /// When the workload begins.
    pub(super) origin: Time,
    pub(super) tasks: Vec<TaskFate>,
    pub(super) course: Vec<Moment>,
    /// Where each job's tasks begin in `tasks`.
    first: Vec<u32>,
    jobs: Vec<JobFate>,
    by_id: HashMap<JobId, u32>,
    requests: BTreeMap<RequestId, (u32, u32, u32)>,
    next_request: RequestId,
    /// Tasks of which several copies run, and since when.
    copies: BTreeMap<(u32, u32), (u32, Time)>,
    duplicate: Duration,
    /// Indices in the case, by index in the world.
    named: Vec<u32>,
    submitted: u32,
    ended: u32,
    ended_lately: u32,
    response_lately: f64,
    messages_before: u64,
}

impl Fates {
    pub(super) fn of(case: &Case, origin: Time, order: &[u32]) -> Self {
        let mut platforms: Vec<u16> = case.machines.iter().map(|m| m.platform).collect();
        platforms.sort_unstable();
        platforms.dedup();
        let mut tasks = Vec::with_capacity(case.task_count());
        let mut first = Vec::with_capacity(case.jobs.len());
        for (index, job) in (0..).zip(&case.jobs) {
            first.push(u32::try_from(tasks.len()).unwrap_or(u32::MAX));
            let best = case.truth.ideal(job.class, platforms.iter().copied());
            for (at, work) in (0..).zip(&job.tasks) {
                let ideal = if *work == crate::case::SERVICE || best <= 0.0 {
                    *work
                } else {
                    work.div_f64(best)
                };
                tasks.push(TaskFate {
                    job: index,
                    index: at,
                    submitted: job.at,
                    started: None,
                    ended: None,
                    machine: None,
                    starts: 0,
                    ideal,
                });
            }
        }
        let mut named = vec![0; order.len()];
        for (name, at) in (0..).zip(order) {
            named[*at as usize] = name;
        }
        Self {
            origin,
            tasks,
            first,
            jobs: vec![JobFate::default(); case.jobs.len()],
            next_request: REQUESTS,
            named,
            ..Self::default()
        }
    }

    pub(super) fn submitted(&mut self, job: u32, machine: u32, tries: u32) -> RequestId {
        self.next_request += 1;
        self.requests
            .insert(self.next_request, (job, machine, tries));
        self.next_request
    }

    /// A job has come, whether or not somebody takes it at once.
    pub(super) fn came(&mut self, job: u32) {
        self.submitted += self.tasks_of(job);
    }

    /// A request whose answer nobody waits for.
    pub(super) const fn unheeded(&mut self) -> RequestId {
        self.next_request += 1;
        self.next_request
    }

    pub(super) fn is_acknowledged(&self, job: u32) -> bool {
        self.jobs
            .get(job as usize)
            .is_some_and(|job| job.id.is_some())
    }

    fn tasks_of(&self, job: u32) -> u32 {
        let begin = self.first[job as usize];
        let end = self.first.get(job as usize + 1).copied();
        end.unwrap_or_else(|| u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)) - begin
    }

    fn task(&mut self, job: u32, index: u32) -> Option<&mut TaskFate> {
        let begin = *self.first.get(job as usize)?;
        self.tasks.get_mut((begin + index) as usize)
    }

    /// Whether every task of the case that ever ends has ended.
    pub(super) fn is_done(&self) -> bool {
        self.ended as usize == self.tasks.len()
    }

    pub(super) fn duplicate_seconds(&self, now: Time) -> f64 {
        let open: Duration = self
            .copies
            .values()
            .filter(|(copies, _)| *copies > 1)
            .map(|(_, since)| now.since(*since))
            .sum();
        (self.duplicate + open).as_secs_f64()
    }

    /// One copy more or less of a task runs.
    fn copy(&mut self, key: (u32, u32), more: bool, now: Time) {
        let (copies, since) = self.copies.entry(key).or_insert((0, now));
        if *copies > 1 {
            self.duplicate += now.since(*since);
        }
        *since = now;
        *copies = if more {
            *copies + 1
        } else {
            copies.saturating_sub(1)
        };
        if *copies == 0 {
            self.copies.remove(&key);
        }
    }
}

/// Under which key an engine saves a job.
fn job_key(id: JobId) -> Vec<u8> {
    [b"j/".as_slice(), &id.0.to_be_bytes()].concat()
}

impl World {
    /// The job as a user submits it, with its class.
    pub(super) fn spec_of(&self, index: u32) -> Option<JobSpec> {
        let job = self.jobs.get(index as usize)?;
        Some(JobSpec {
            class: self
                .truth
                .classes
                .get(usize::from(job.class))
                .cloned()
                .unwrap_or_default(),
            count: u32::try_from(job.tasks.len()).unwrap_or(u32::MAX),
            command: vec!["case".to_owned(), index.to_string()],
            need: job.need,
            restart: Restart::OnFailure,
            attempts: ATTEMPTS,
            grace_ms: 5_000,
            ..JobSpec::default()
        })
    }

    pub(super) fn fate_started(&mut self, at: u32, task: TaskId, begins: Time) {
        let runs = self.machines.at(at).tasks.get(&task);
        let Some(job) = runs.and_then(|runs| runs.job) else {
            return;
        };
        let started = begins.since(self.fates.origin);
        let machine = self.fates.named[at as usize];
        if let Some(fate) = self.fates.task(job, task.index) {
            fate.started = Some(started);
            fate.machine = Some(machine);
            fate.starts += 1;
        }
        self.fates.copy((job, task.index), true, self.now);
    }

    pub(super) fn fate_ended(&mut self, at: u32, task: TaskId, outcome: &Outcome) {
        let runs = self.machines.at(at).tasks.get(&task);
        let Some(job) = runs.and_then(|runs| runs.job) else {
            return;
        };
        self.fates.copy((job, task.index), false, self.now);
        if !outcome.is_success() {
            return;
        }
        let ended = self.now.since(self.fates.origin);
        if let Some(fate) = self.fates.task(job, task.index)
            && fate.ended.is_none()
        {
            fate.ended = Some(ended);
            let response = ended.saturating_sub(fate.submitted).as_secs_f64();
            self.fates.ended += 1;
            self.fates.ended_lately += 1;
            self.fates.response_lately += response;
        }
    }

    /// A machine dies with its tasks.
    pub(super) fn fates_lost(&mut self, at: u32) {
        let running: Vec<(u32, u32)> = self
            .machines
            .at(at)
            .tasks
            .iter()
            .filter(|(_, runs)| runs.ended.is_none())
            .filter_map(|(task, runs)| Some((runs.job?, task.index)))
            .collect();
        for key in running {
            self.fates.copy(key, false, self.now);
        }
    }

    pub(super) fn replied(&mut self, request: RequestId, reply: Result<Reply, CommandError>) {
        if request < REQUESTS {
            self.replies.insert(request, reply);
            return;
        }
        let Some((job, machine, tries)) = self.fates.requests.remove(&request) else {
            return;
        };
        match reply {
            Ok(Reply::Submitted { job: id, .. }) => {
                self.fates.by_id.insert(id, job);
                let owner = self.order[machine as usize];
                let fate = &mut self.fates.jobs[job as usize];
                if fate.id.is_none() {
                    fate.id = Some(id);
                    fate.taker = owner;
                }
            }
            Ok(_) => {}
            Err(error) => {
                self.trace
                    .remark(self.now, &format!("job {job} was refused: {error}"));
                let pause = Duration::from_millis(100);
                self.submit_elsewhere(job, machine, tries, pause);
            }
        }
    }

    pub(super) fn told(&mut self, at: u32, event: Event) {
        if event.kind == EventKind::JobFinished
            && let Some(job) = event.job.and_then(|id| self.fates.by_id.get(&id))
        {
            let fate = &mut self.fates.jobs[*job as usize];
            if fate.id == event.job {
                // Each side of a partition comes to an end of its own.
                let again = fate
                    .finished
                    .is_some_and(|by| by == at || !self.agenda.divided);
                fate.finished.get_or_insert(at);
                if again {
                    let text = format!("it tells the end of job {job}, which was told before");
                    self.violated(at, text);
                }
            }
        }
        if self.keeps_history {
            let node = self.machines.at(at).node;
            self.events.push((self.now, node, event));
        }
    }

    /// Acknowledged jobs without an end that are on nobody's record: not on that of whoever took
    /// them, nor on another's, running or on disk.
    pub(super) fn forgotten(&self) -> Vec<(u32, u32)> {
        let mut forgotten = Vec::new();
        for (index, fate) in (0..).zip(&self.fates.jobs) {
            let Some(id) = fate.id.filter(|_| fate.finished.is_none()) else {
                continue;
            };
            let holds = |machine: &Machine| match &machine.engine {
                Some(engine) => engine.job(id).is_some(),
                None => machine.disk.contains_key(&job_key(id)),
            };
            if !holds(self.machines.at(fate.taker)) && !self.machines.iter().any(holds) {
                forgotten.push((index, fate.taker));
            }
        }
        forgotten
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn note_moment(&mut self) {
        let (mut up, mut running) = (0, 0);
        for machine in &self.machines {
            up += u32::from(machine.engine.is_some());
            let alive = machine.tasks.values().filter(|runs| runs.ended.is_none());
            running += u32::try_from(alive.count()).unwrap_or(u32::MAX);
        }
        let fates = &self.fates;
        let messages = self.tally.messages.placement + self.tally.messages.spread;
        let moment = Moment {
            at: self.now.since(fates.origin),
            up,
            running,
            waiting: (fates.submitted - fates.ended).saturating_sub(running),
            view_age: self.view_age(),
            ended: fates.ended_lately,
            response: if fates.ended_lately == 0 {
                f64::NAN
            } else {
                fates.response_lately / f64::from(fates.ended_lately)
            },
            messages: messages - fates.messages_before,
        };
        let fates = &mut self.fates;
        fates.ended_lately = 0;
        fates.response_lately = 0.0;
        fates.messages_before = messages;
        fates.course.push(moment);
        self.look_over();
    }

    /// The mean age of what some machines know of others, in seconds.
    fn view_age(&self) -> f64 {
        let step = (self.machines.len() / SAMPLED).max(1);
        let (mut sum, mut count) = (0.0, 0_u32);
        for machine in self.machines.iter().step_by(step) {
            let Some(engine) = &machine.engine else {
                continue;
            };
            for member in engine.gossip().members() {
                if member.node != machine.node && member.state == MemberState::Alive {
                    sum += member.age.as_secs_f64();
                    count += 1;
                }
            }
        }
        if count == 0 {
            f64::NAN
        } else {
            sum / f64::from(count)
        }
    }
}
