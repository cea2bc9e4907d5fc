//! The state of a run and what a policy can do in it: sample members, ask machines, send tasks,
//! hold room, and send its own messages.

use rand_chacha::ChaCha12Rng;
use starling_placement::Resources;

use super::chance::{Purpose, below, stream};
use super::events::{Event, Events, Note};
use super::fleet::{Fleet, HOLD};
use super::net::{CENTRE, Net};
use super::tasks::{State, Tasks};
use crate::case::{Case, Job};
use crate::outcome::Messages;
use crate::truth::Contention;

/// How long it takes to notice that a machine does not answer, and to place anew what it had.
pub(super) const NOTICE: u64 = 1_000_000_000;
/// Bytes of a message without a wire format, and the least of any.
pub(super) const MESSAGE: u64 = 64;
/// Bytes of a machine's entry in a table or a snapshot: its index, its load and its age.
pub(super) const ENTRY: u64 = 16;
/// After so many refusals a task waits a little before each further attempt.
const PATIENCE: u32 = 8;

/// A machine's answer to a live question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) machine: u32,
    /// The queue score unless the policy looks at something else; infinite from the dead.
    pub(super) load: f32,
    /// What else the policy wanted to know.
    pub(super) other: f32,
}

/// A question to several machines.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    /// What it is about: a task or a job, as the policy likes.
    pub(super) about: u32,
    pub(super) from: u32,
    pub(super) left: u32,
    /// Whom it goes to; later their answers, in the order in which they came.
    pub(super) machines: Vec<u32>,
    pub(super) answers: Vec<Answer>,
}

/// A run.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) case: &'a Case,
    /// In nanoseconds.
    pub(super) now: u64,
    pub(super) rng: ChaCha12Rng,
    pub(super) fleet: Fleet,
    pub(super) tasks: Tasks,
    pub(super) events: Events,
    pub(super) net: Net<'a>,
    pub(super) messages: Messages,
    pub(super) centre_up: bool,
    pub(super) asks: Vec<Ask>,
    pub(super) free_asks: Vec<u32>,
    /// Tasks keep their speed whatever runs beside them.
    pub(super) steady: bool,
    pub(super) running: u32,
    pub(super) submitted: u32,
    pub(super) ended: u32,
    /// Tasks that will end some time: all but services.
    pub(super) finite: u32,
    /// Ended since the last moment, and the sum of their responses in seconds.
    pub(super) recent: (u32, f64),
    mark: Vec<u32>,
    epoch: u32,
}

impl<'a> World<'a> {
    pub(super) fn new(case: &'a Case) -> Self {
        let service = crate::case::SERVICE;
        let tasks = case.jobs.iter().flat_map(|job| &job.tasks);
        Self {
            case,
            now: 0,
            rng: stream(case.seed, Purpose::Policy),
            fleet: Fleet::new(case),
            tasks: Tasks::new(case),
            events: Events::default(),
            net: Net::new(case),
            messages: Messages::default(),
            centre_up: true,
            asks: Vec::new(),
            free_asks: Vec::new(),
            steady: case.truth.contention == Contention::None,
            running: 0,
            submitted: 0,
            ended: 0,
            finite: tasks.filter(|work| **work != service).count() as u32,
            recent: (0, 0.0),
            mark: vec![0; case.machines.len()],
            epoch: 0,
        }
    }

    /// The job of a task.
    pub(super) fn job(&self, task: u32) -> &'a Job {
        &self.case.jobs[self.tasks.get(task).job as usize]
    }

    /// What a machine says about its queue.
    pub(super) fn said(&self, machine: u32) -> f32 {
        self.fleet.said[machine as usize]
    }

    /// Whether a machine could hold the need if it were empty: every scheduler knows capacities.
    pub(super) fn holds(&self, machine: u32, need: &Resources) -> bool {
        self.fleet.any_fits || need.fits(&self.fleet.host(machine).capacity)
    }

    /// A random member that could hold the need.
    pub(super) fn pick(&mut self, need: &Resources) -> Option<u32> {
        let n = self.fleet.members.len();
        if n == 0 {
            return None;
        }
        for _ in 0..8 {
            let machine = self.fleet.members[below(&mut self.rng, n)];
            if self.holds(machine, need) {
                return Some(machine);
            }
        }
        // Few can: choose evenly among them.
        let able = |world: &Self| {
            let members = world.fleet.members.iter().copied();
            members
                .filter(|m| world.holds(*m, need))
                .collect::<Vec<_>>()
        };
        let able = able(self);
        let at = below(&mut self.rng, able.len());
        able.get(at).copied()
    }

    /// Up to `k` different random members that could hold the need, into `out`.
    pub(super) fn pick_some(&mut self, need: &Resources, k: usize, out: &mut Vec<u32>) {
        out.clear();
        let n = self.fleet.members.len();
        if k == 1 {
            out.extend(self.pick(need));
            return;
        }
        self.epoch = self.epoch.wrapping_add(1);
        if k * 2 <= n {
            let mut tries = 0;
            while out.len() < k && tries < 8 * k {
                tries += 1;
                let machine = self.fleet.members[below(&mut self.rng, n)];
                if self.mark[machine as usize] != self.epoch && self.holds(machine, need) {
                    self.mark[machine as usize] = self.epoch;
                    out.push(machine);
                }
            }
            if out.len() == k {
                return;
            }
            out.clear();
        }
        let members = self.fleet.members.iter().copied();
        out.extend(members.filter(|machine| self.holds(*machine, need)));
        let k = k.min(out.len());
        for i in 0..k {
            let other = i + below(&mut self.rng, out.len() - i);
            out.swap(i, other);
        }
        out.truncate(k);
    }

    /// Asks machines; the answers come together to [`super::policy::Policy::answered`].
    pub(super) fn ask(&mut self, about: u32, from: u32, machines: &[u32]) {
        let id = self.free_asks.pop().unwrap_or(self.asks.len() as u32);
        if id as usize == self.asks.len() {
            self.asks.push(Ask::default());
        }
        let ask = &mut self.asks[id as usize];
        ask.about = about;
        ask.from = from;
        ask.left = machines.len() as u32;
        ask.machines.clear();
        ask.machines.extend_from_slice(machines);
        ask.answers.clear();
        self.count_live(from, machines);
        if self.net.instant || machines.is_empty() {
            self.events.now(Event::Round { ask: id });
            return;
        }
        for machine in machines.iter().copied() {
            let at = self.now + self.net.delay(from, machine);
            self.events.at(at, Event::Question { ask: id, machine });
        }
    }

    /// Counts a live question to each of these machines, and its answer.
    pub(super) fn count_live(&mut self, from: u32, machines: &[u32]) {
        let others = machines.iter().filter(|machine| **machine != from).count() as u64;
        self.messages.live += others;
        self.count(2 * others);
    }

    /// Counts messages of placement.
    pub(super) fn count(&mut self, messages: u64) {
        self.messages.placement += messages;
        self.messages.placement_bytes += MESSAGE * messages;
    }

    /// Counts messages that spread load, and all their bytes.
    pub(super) fn count_spread(&mut self, messages: u64, bytes: u64) {
        self.messages.spread += messages;
        self.messages.spread_bytes += bytes;
    }

    /// Sends a task to a machine.
    pub(super) fn claim(&mut self, task: u32, machine: u32) {
        let from = self.tasks.scheduler(task);
        if from != machine {
            self.count(1);
        }
        let delay = self.net.delay(from, machine);
        self.after(delay, Event::Claim { task, machine });
    }

    /// Sends a task to a machine at once and without a message.
    pub(super) fn claim_at_once(&mut self, task: u32, machine: u32) {
        self.events.now(Event::Claim { task, machine });
    }

    /// Gives a task back to the policy after the time it takes to notice that something is wrong.
    pub(super) fn retry(&mut self, task: u32) {
        self.tasks.get_mut(task).state = State::Pending;
        self.events.at(self.now + NOTICE, Event::Retry { task });
    }

    /// A message of the policy's own; it is the policy's to count.
    pub(super) fn send(&mut self, from: u32, to: u32, note: Note) {
        let delay = self.net.delay(from, to);
        self.after(delay, Event::Note(note));
    }

    /// Wakes the policy after some nanoseconds.
    pub(super) fn timer(&mut self, delay: u64, note: Note) {
        self.events.at(self.now + delay, Event::Note(note));
    }

    pub(super) fn after(&mut self, delay: u64, event: Event) {
        if delay == 0 {
            self.events.now(event);
        } else {
            self.events.at(self.now + delay, event);
        }
    }

    /// A machine says no to a task, which goes back to its scheduler.
    pub(super) fn refuse(&mut self, task: u32, machine: u32) {
        let scheduler = self.tasks.scheduler(task);
        if scheduler != machine {
            self.count(1);
        }
        let refused = self.tasks.get_mut(task);
        refused.state = State::Pending;
        refused.refusals += 1;
        let wait = match refused.refusals.checked_sub(PATIENCE) {
            Some(over) => 10_000_000 << over.min(7),
            None => 0,
        };
        let delay = wait + self.net.delay(machine, scheduler);
        self.after(delay, Event::Refused { task, machine });
    }

    /// Puts a job's reservation into a machine's queue; false if the machine is down.
    pub(super) fn reserve(&mut self, machine: u32, job: u32) -> bool {
        if !self.fleet.host(machine).up {
            return false;
        }
        let need = self.case.jobs[job as usize].need;
        self.fleet.load(machine, &need);
        self.fleet.host_mut(machine).queue.push_back(job | HOLD);
        self.drain(machine);
        true
    }

    /// Takes a job's reservation out of a machine's queue, if it still waits there.
    pub(super) fn unreserve(&mut self, machine: u32, job: u32) {
        let queue = &mut self.fleet.host_mut(machine).queue;
        let Some(at) = queue.iter().position(|entry| *entry == job | HOLD) else {
            return;
        };
        queue.remove(at);
        let need = self.case.jobs[job as usize].need;
        self.fleet.unload(machine, &need);
        self.drain(machine);
    }

    /// Starts a task in the room that a machine holds for its job.
    pub(super) fn fill(&mut self, machine: u32, job: u32, task: u32) {
        let pulls = &mut self.fleet.host_mut(machine).pulls;
        let Some(at) = pulls.iter().position(|held| *held == job) else {
            // The machine died meanwhile.
            self.retry(task);
            return;
        };
        pulls.swap_remove(at);
        let need = self.case.jobs[job as usize].need;
        if self.suits(machine, task) {
            self.fleet.free(machine, &need);
            self.start(machine, task);
        } else {
            self.fleet.free(machine, &need);
            self.fleet.unload(machine, &need);
            self.refuse(task, machine);
            self.drain(machine);
        }
    }

    /// Gives up the room that a machine holds for a job.
    pub(super) fn release(&mut self, machine: u32, job: u32) {
        let pulls = &mut self.fleet.host_mut(machine).pulls;
        let Some(at) = pulls.iter().position(|held| *held == job) else {
            return;
        };
        pulls.swap_remove(at);
        let need = self.case.jobs[job as usize].need;
        self.fleet.free(machine, &need);
        self.fleet.unload(machine, &need);
        self.drain(machine);
    }

    /// Where a job is scheduled: its home, or the next machine that is there if its home is not.
    pub(super) fn home(&self, job: u32) -> u32 {
        let n = self.case.machines.len() as u32;
        let home = self.case.jobs[job as usize].home;
        (0..n)
            .map(|step| (home % n + step) % n)
            .find(|machine| self.fleet.host(*machine).up)
            .unwrap_or(CENTRE)
    }
}
