//! The host's side: this node's room, the tasks it holds, and its reports to their owners.
//!
//! A host decides about its own room alone, one claim at a time, so that no two owners can
//! oversubscribe it. It reports each placement until the owner has taken note; a task and its epoch
//! make every message safe to repeat.

mod claims;
mod heirs;
mod leases;
mod leaving;
mod load;
mod pressed;
mod reports;
mod timeouts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use starling_placement::{ClassId, Resources};
use starling_wire::codec;
use starling_wire::jobs::JobMessage;
use starling_wire::{Epoch, JobId, JobSpec, Load, NodeId, Outcome, TaskId, Time};

use crate::counters::Counters;
use crate::effect::Effect;
use crate::engine::Ctx;
use crate::input::{HeldTask, HostSample, TaskEvent};
use crate::job::bounded;
use crate::saved::{self, HeldRow};
use heirs::Tie;
use leases::Leases;

use pressed::Pressed;
pub(crate) use pressed::{Measured, Measurement};

/// The most stopped placements that are remembered so that a late claim does not start them.
const MAX_GRAVES: usize = 16_384;
/// The most owners that may wait for room.
const MAX_WAITERS: usize = 1_024;
/// The most of them that may be of one owner.
const MAX_WAITERS_OF_ONE: usize = 256;
/// The most bytes of a note that came back from the executor.
const MAX_NOTE: usize = 1_024;
/// The most placements held, ended and unnoted ones included.
const MAX_HELD: usize = 100_000;

/// How far a held placement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It waits until a majority of its owners leases it to this node.
    Leasing,
    /// Handed to the executor.
    Starting,
    /// Its process runs.
    Running,
    /// It is being stopped.
    Stopping,
    /// Over, and its owner may not know yet.
    Ended(Outcome),
}

/// A class by name and by its compact name.
#[derive(Clone, Debug)]
struct Class {
    id: ClassId,
    name: String,
}

impl Class {
    fn new(name: String) -> Self {
        let id = if name.is_empty() {
            ClassId::default()
        } else {
            ClassId::of(&name)
        };
        Self { id, name }
    }
}

/// A placement held for an owner.
#[derive(Clone, Debug)]
struct Held {
    epoch: Epoch,
    owner: NodeId,
    need: Resources,
    class: Class,
    stage: Stage,
    since: Time,
    /// The host's summed pressure when it started, see [`pressed`].
    pressed: [u64; 4],
    ended: Option<Time>,
    /// Whether the owner has noted that it runs.
    noted: bool,
    /// Whether a repetition of its report is due some time.
    resending: bool,
}

impl Held {
    const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }
}

/// A held placement, for those who look on.
#[derive(Clone, Copy, Debug)]
pub struct HeldView<'a> {
    /// Which task.
    pub task: TaskId,
    /// Which placement.
    pub epoch: Epoch,
    /// Who owns its job.
    pub owner: NodeId,
    /// What it reserves; nothing once it has ended.
    pub reserves: Resources,
    /// How it ended, if it did.
    pub ended: Option<&'a Outcome>,
}

/// An owner that waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiter {
    owner: NodeId,
    need: Resources,
}

/// This node as a host of tasks.
#[derive(Default)]
pub(crate) struct Host {
    held: BTreeMap<TaskId, Held>,
    /// The jobs of which placements are held.
    ties: BTreeMap<JobId, Tie>,
    /// Jobs whose acting owner went away: reports go to the next one unasked.
    orphans: BTreeSet<JobId>,
    /// When this node started.
    since: Time,
    /// Placements that a restart of the machine ended.
    cold: Vec<TaskId>,
    /// When those run again unless an owner is there.
    cold_start: Option<Time>,
    leases: Leases,
    /// When the time of running tasks is up.
    timeouts: BTreeSet<(Time, TaskId, Epoch)>,
    reserved: Resources,
    running: u32,
    /// How many placements that are not over are of each class.
    classes: BTreeMap<ClassId, u32>,
    pub(crate) counters: Counters,
    /// How many placements that are not over each owner has here.
    by_owner: BTreeMap<NodeId, u32>,
    /// How many jobs of which placements are held each node owns, acting or not.
    heirs: BTreeMap<NodeId, u32>,
    /// Whether a node entered or left `by_owner` or `heirs` since the engine last asked.
    ties_changed: bool,
    /// By who said so: nobody buries another owner's tasks.
    graves: BTreeMap<(NodeId, TaskId), Epoch>,
    grave_order: VecDeque<(NodeId, TaskId)>,
    waiters: VecDeque<Waiter>,
    /// Room was freed since the waiters were last served.
    freed: bool,
    /// When room that was told of and not claimed is told to the next.
    offer_again: Option<Time>,
    /// Room that was offered and not yet claimed, by owner: nobody else gets it meanwhile.
    offered: BTreeMap<NodeId, Resources>,
    /// Reports to be sent at the end of the batch, by owner.
    unsent: BTreeSet<(NodeId, TaskId)>,
    /// When reports that may have been lost are sent again.
    resend: BTreeSet<(Time, TaskId)>,
    sample: Option<HostSample>,
    /// How hard the host was pressed so far.
    pressed: Pressed,
    /// What ended tasks taught, until the engine takes it.
    pub(crate) measured: Vec<Measurement>,
    /// The load as gossip was told it last.
    told: Load,
    /// CPU in use, smoothed, in millicores.
    cpu_used: u32,
    /// How many tasks of this node's own jobs found no place, as its owner's side says.
    pub(crate) waiting: u32,
    draining: bool,
    drain_deadline: Option<Time>,
    leaving: Option<Time>,
    left: bool,
}

impl Host {
    /// Takes up what the executor still holds after a restart. What it holds and nobody here knows
    /// is stopped; what it should hold and does not is reported lost.
    pub(crate) fn take_up(
        &mut self,
        rows: BTreeMap<TaskId, HeldRow>,
        mut specs: BTreeMap<JobId, JobSpec>,
        executor: &[HeldTask],
        draining: bool,
        drain_deadline: Option<Time>,
        ctx: &mut Ctx<'_>,
    ) {
        self.since = ctx.now;
        self.draining = draining;
        self.drain_deadline = drain_deadline.filter(|_| draining);
        let mut found: BTreeMap<(TaskId, Epoch), &HeldTask> = executor
            .iter()
            .map(|held| ((held.task, held.epoch), held))
            .collect();
        let known = rows
            .into_iter()
            .map(|(task, row)| {
                let held = found.remove(&(task, row.epoch));
                (task, row, held)
            })
            .collect::<Vec<_>>();
        // A row that a crash lost: the executor has kept it with the task.
        let noted = found
            .iter()
            .filter_map(|(&(task, epoch), held)| {
                let row: HeldRow = codec::decode(&held.note, MAX_NOTE).ok()?;
                (row.epoch == epoch).then_some((task, row, Some(*held)))
            })
            .collect::<Vec<_>>();
        for (task, row, _) in &noted {
            found.remove(&(*task, row.epoch));
            ctx.fx.lazy.push(saved::save_held(*task, row));
        }
        for (task, row, held) in known.into_iter().chain(noted) {
            let stage = match held.map(|held| &held.ended) {
                Some(None) => Stage::Running,
                Some(Some(outcome)) => Stage::Ended(bounded(outcome.clone())),
                None => Stage::Ended(Outcome::Lost),
            };
            if held.is_none() {
                self.cold.push(task);
            }
            let spec = specs.remove(&task.job).map(Arc::new);
            let term = u32::try_from(row.epoch >> 24).unwrap_or(u32::MAX);
            self.tie(task.job, &row.owners, term, spec.as_ref());
            let held = Held {
                epoch: row.epoch,
                owner: row.owner,
                need: row.need,
                class: Class::new(row.class),
                since: row.since,
                pressed: self.pressed.sum_at(ctx.now),
                ended: matches!(stage, Stage::Ended(_)).then_some(ctx.now),
                stage,
                noted: false,
                resending: false,
            };
            let leases = !held.is_over() && self.is_leased(task.job);
            self.hold(task, held);
            if leases {
                self.seek_lease(task, ctx.now);
            }
            self.limit_time(task);
        }
        if !self.cold.is_empty() {
            self.cold_start = Some(ctx.now + ctx.config.cold_start);
        }
        for job in specs.into_keys() {
            ctx.fx.lazy.push(saved::forget_spec(job));
        }
        for (task, epoch) in found.into_keys() {
            ctx.fx.now.push(Effect::StopTask {
                task,
                epoch,
                outcome: Outcome::Lost,
            });
        }
    }

    /// The executor's word on a placement.
    pub(crate) fn task_event(&mut self, event: TaskEvent, ctx: &mut Ctx<'_>) {
        match event {
            TaskEvent::Started { task, epoch } => {
                let pressed = self.pressed.sum_at(ctx.now);
                let Some(held) = self.current(task, epoch) else {
                    return;
                };
                if held.stage == Stage::Starting {
                    held.stage = Stage::Running;
                    held.noted = false;
                    held.since = ctx.now;
                    held.pressed = pressed;
                    let (owner, class) = (held.owner, held.class.name.clone());
                    self.pressed.moved(class, true);
                    self.unsent.insert((owner, task));
                    self.limit_time(task);
                }
            }
            TaskEvent::Ended {
                task,
                epoch,
                outcome,
            } => match self.current(task, epoch) {
                Some(_) => self.end(task, bounded(outcome), ctx.now),
                None => ctx.fx.now.push(Effect::Forget(vec![(task, epoch)])),
            },
        }
    }

    pub(crate) fn message(&mut self, from: NodeId, message: JobMessage, ctx: &mut Ctx<'_>) {
        match message {
            JobMessage::Probe { request, need } => {
                let room = self.room(from, &need, ctx);
                let load = self.load_for(from, &ctx.gossip.my_fixed().capacity);
                ctx.send(
                    from,
                    JobMessage::Room {
                        request,
                        room,
                        load,
                    },
                );
            }
            JobMessage::Claim {
                request,
                job,
                spec,
                tasks,
                owners,
            } => {
                self.claim(from, request, job, (&spec, &owners), tasks, ctx);
            }
            JobMessage::Acting(items) => self.acting(from, items, ctx),
            JobMessage::Leased {
                round,
                tasks,
                stale,
            } => {
                self.leased(from, round, &tasks, ctx);
                self.not_leased(from, &stale, ctx);
            }
            JobMessage::Wait { need } => self.wait(from, need),
            JobMessage::Pass => self.pass(from),
            JobMessage::Halt(tasks) => self.halt(from, tasks, ctx),
            JobMessage::Noted(items) => self.noted(from, items, ctx),
            JobMessage::Audit(tasks) => self.audit(from, tasks, ctx),
            JobMessage::Room { .. }
            | JobMessage::Claimed { .. }
            | JobMessage::Reports { .. }
            | JobMessage::Copy { .. }
            | JobMessage::Copied { .. }
            | JobMessage::Lease { .. }
            | JobMessage::Released(_)
            | JobMessage::Disown(_) => {}
        }
    }

    pub(crate) fn tick(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(&(at, task)) = self.resend.first()
            && at <= ctx.now
        {
            self.resend.pop_first();
            self.report_again(task, ctx);
        }
        if self.offer_again.is_some_and(|at| at <= ctx.now) {
            self.offer_again = None;
            self.offered.clear();
            self.freed = true;
        }
        if self.cold_start.is_some_and(|at| at <= ctx.now) {
            self.cold_start = None;
            self.start_cold(ctx);
        }
        self.timeout_tick(ctx);
        self.lease_tick(ctx);
        self.drain_tick(ctx);
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let resend = self.resend.first().map(|(at, _)| *at);
        [
            resend,
            self.offer_again,
            self.cold_start,
            self.leases.next_deadline(),
            self.timeouts.first().map(|(at, ..)| *at),
            self.drain_deadline,
            self.leaving.filter(|_| !self.left),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Those whose tasks are held here: they are watched.
    pub(crate) fn owners(&self) -> impl Iterator<Item = NodeId> {
        self.by_owner.keys().copied()
    }

    /// Whoever may have to hear what became of the placements held here: they stay known.
    pub(crate) fn heirs(&self) -> impl Iterator<Item = NodeId> {
        self.heirs.keys().copied()
    }

    /// Whether [`Host::owners`] or [`Host::heirs`] changed since this was last asked.
    pub(crate) const fn ties_changed(&mut self) -> bool {
        std::mem::replace(&mut self.ties_changed, false)
    }

    /// What the placements that are not over reserve together.
    pub(crate) const fn reserved(&self) -> Resources {
        self.reserved
    }

    pub(crate) fn view(&self) -> impl Iterator<Item = HeldView<'_>> {
        self.held.iter().map(|(task, held)| HeldView {
            task: *task,
            epoch: held.epoch,
            owner: held.owner,
            reserves: if held.is_over() {
                Resources::default()
            } else {
                held.need
            },
            ended: match &held.stage {
                Stage::Ended(outcome) => Some(outcome),
                _ => None,
            },
        })
    }

    /// Holds a placement, with its reservation unless it is over.
    fn hold(&mut self, task: TaskId, held: Held) {
        let over = held.is_over();
        if !matches!(held.stage, Stage::Starting | Stage::Leasing) {
            self.unsent.insert((held.owner, task));
        }
        self.held.insert(task, held);
        if !over {
            self.reserve(task);
        }
    }

    /// Reserves what a held placement needs.
    fn reserve(&mut self, task: TaskId) {
        let Some(held) = self.held.get(&task) else {
            return;
        };
        self.reserved = self.reserved.plus(&held.need);
        self.running += 1;
        *self.classes.entry(held.class.id).or_default() += 1;
        let count = self.by_owner.entry(held.owner).or_default();
        *count += 1;
        self.ties_changed |= *count == 1;
    }

    /// Marks a placement as over and frees its room.
    fn end(&mut self, task: TaskId, outcome: Outcome, now: Time) {
        let Some(held) = self.held.get_mut(&task) else {
            return;
        };
        if held.is_over() {
            return;
        }
        // What failed says little about how long such tasks run; nor does what was not seen to run.
        if held.stage == Stage::Running && outcome.is_success() {
            let met = self.pressed.since(held.pressed, held.since, now);
            self.measured.push(Measurement {
                class: held.class.name.clone(),
                what: Measured::Ran(now.since(held.since), met),
            });
        }
        self.leases.end(task, held.epoch, outcome != Outcome::Lost);
        if !matches!(held.stage, Stage::Starting | Stage::Leasing) {
            self.pressed.moved(held.class.name.clone(), false);
        }
        held.stage = Stage::Ended(outcome);
        held.ended = Some(now);
        self.reserved = self.reserved.minus(&held.need);
        self.running -= 1;
        if let Some(count) = self.classes.get_mut(&held.class.id) {
            *count -= 1;
            if *count == 0 {
                self.classes.remove(&held.class.id);
            }
        }
        if let Some(count) = self.by_owner.get_mut(&held.owner) {
            *count -= 1;
            if *count == 0 {
                self.by_owner.remove(&held.owner);
                self.ties_changed = true;
            }
        }
        self.freed = true;
        self.unsent.insert((held.owner, task));
    }

    /// Forgets a placement whose end is on record with its owner.
    fn forget(&mut self, task: TaskId, ctx: &mut Ctx<'_>) {
        if let Some(held) = self.held.remove(&task) {
            self.bury(held.owner, task, held.epoch);
            self.unsent.remove(&(held.owner, task));
            self.untie(task.job, ctx);
            ctx.fx.now.push(Effect::Forget(vec![(task, held.epoch)]));
            ctx.fx.lazy.push(saved::forget_held(task));
        }
    }

    /// Remembers that `owner`'s placements of `task` up to `epoch` must not start here.
    fn bury(&mut self, owner: NodeId, task: TaskId, epoch: Epoch) {
        let key = (owner, task);
        let buried = self.graves.entry(key).or_insert_with(|| {
            self.grave_order.push_back(key);
            0
        });
        *buried = epoch.max(*buried);
        if self.grave_order.len() > MAX_GRAVES
            && let Some(oldest) = self.grave_order.pop_front()
        {
            self.graves.remove(&oldest);
        }
    }

    fn current(&mut self, task: TaskId, epoch: Epoch) -> Option<&mut Held> {
        self.held.get_mut(&task).filter(|held| held.epoch == epoch)
    }
}
