//! What an engine keeps on disk: keys, values, and reading them back.
//!
//! Keys begin with a letter for the kind (`m` meta, `j` job, `t` task, `h` held placement, `s` what
//! the held placements of a job run, `o` observation, `l` lease that was given), so that a kind is a range. Values are CBOR with
//! named fields: older programs skip what they do not know.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use starling_gossip::Seed;
use starling_placement::Resources;
use starling_wire::{Epoch, JobId, JobSpec, NodeId, Outcome, TaskId, Time, codec};

use crate::effect::Save;
use crate::input::HeldTask;
use crate::job::{FIRST_TERM, Job, JobState, Task, TaskState};

/// What the driver found at the start.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// Everything that was saved and not removed.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// The placements that the executor holds.
    pub held: Vec<HeldTask>,
}

/// A saved value that cannot be read; the engine does not start rather than lose it.
#[derive(Debug, thiserror::Error)]
#[error("the saved {what} cannot be read")]
pub struct SavedError {
    what: &'static str,
    #[source]
    source: Option<codec::CodecError>,
}

/// The largest saved value.
const MAX_VALUE: usize = 1 << 20;

const INCARNATION: &[u8] = b"m/incarnation";
const BOOK: &[u8] = b"m/book";
const DRAINING: &[u8] = b"m/draining";
const DRAIN_DEADLINE: &[u8] = b"m/drain-deadline";

#[derive(Serialize, Deserialize)]
struct JobRow {
    spec: JobSpec,
    owners: Vec<NodeId>,
    term: u32,
    submitted: Time,
    finished: Option<Time>,
    #[serde(default)]
    over_since: Option<Time>,
    stopping: bool,
    /// None is the first owner.
    #[serde(default)]
    taker: Option<NodeId>,
    /// None is the first owner.
    #[serde(default)]
    actor: Option<NodeId>,
    #[serde(default)]
    former: Vec<NodeId>,
    #[serde(default)]
    settled: bool,
}

#[derive(Serialize, Deserialize)]
struct TaskRow {
    #[serde(rename = "s")]
    state: u8,
    #[serde(rename = "n")]
    node: Option<NodeId>,
    #[serde(rename = "e")]
    epoch: Epoch,
    #[serde(rename = "a", default)]
    attempts: u32,
    #[serde(rename = "m", default)]
    moves: u32,
    #[serde(rename = "o", default)]
    outcome: Option<Outcome>,
    #[serde(rename = "b", default)]
    started: Option<Time>,
    #[serde(rename = "f", default)]
    ended: Option<Time>,
    #[serde(rename = "r", default)]
    ran_us: Option<u64>,
    #[serde(rename = "h", default)]
    halting: bool,
}

/// What a host remembers of a placement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HeldRow {
    #[serde(rename = "e")]
    pub(crate) epoch: Epoch,
    #[serde(rename = "o")]
    pub(crate) owner: NodeId,
    #[serde(rename = "n")]
    pub(crate) need: Resources,
    #[serde(rename = "s", default)]
    pub(crate) since: Time,
    /// The name of its class; empty in what an older program wrote.
    #[serde(rename = "k", default)]
    pub(crate) class: String,
    /// Who holds the job's record; none is `owner` alone.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) owners: Vec<NodeId>,
}

/// To whom an owner has leased a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PermitRow {
    #[serde(rename = "e")]
    pub(crate) epoch: Epoch,
    #[serde(rename = "n")]
    pub(crate) host: NodeId,
}

/// Everything saved, read back.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) incarnation: u32,
    pub(crate) book: Vec<Seed>,
    pub(crate) draining: bool,
    pub(crate) drain_deadline: Option<Time>,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) held: BTreeMap<TaskId, HeldRow>,
    /// Observations by tag, as they were signed; gossip reads them.
    pub(crate) observations: Vec<(u64, Vec<u8>)>,
    /// What was leased to whom.
    pub(crate) permits: BTreeMap<TaskId, PermitRow>,
    /// What the held placements run.
    pub(crate) specs: BTreeMap<JobId, JobSpec>,
}

impl Saved {
    pub(crate) fn read(&self) -> Result<Read, SavedError> {
        let mut read = Read::default();
        let mut tasks = Vec::new();
        for (key, value) in &self.rows {
            match (key.as_slice(), key.get(..2)) {
                (INCARNATION, _) => read.incarnation = value_of(value, "incarnation")?,
                (BOOK, _) => {
                    let book: Vec<(NodeId, Vec<String>)> = value_of(value, "address book")?;
                    read.book = book
                        .into_iter()
                        .map(|(node, addrs)| Seed { node, addrs })
                        .collect();
                }
                (DRAINING, _) => read.draining = value_of(value, "draining mark")?,
                (DRAIN_DEADLINE, _) => {
                    read.drain_deadline = Some(value_of(value, "drain deadline")?);
                }
                (key, Some(b"j/")) => {
                    let id = job_of(key).ok_or(SavedError {
                        what: "job key",
                        source: None,
                    })?;
                    read.jobs.insert(id, job(id, value_of(value, "job")?));
                }
                (key, Some(b"s/")) => {
                    let id = job_of(key).ok_or(SavedError {
                        what: "spec key",
                        source: None,
                    })?;
                    read.specs.insert(id, value_of(value, "spec")?);
                }
                (key, Some(b"t/")) => {
                    let id = task_of(key).ok_or(SavedError {
                        what: "task key",
                        source: None,
                    })?;
                    tasks.push((id, value_of::<TaskRow>(value, "task")?));
                }
                (key, Some(b"h/")) => {
                    let id = task_of(key).ok_or(SavedError {
                        what: "held key",
                        source: None,
                    })?;
                    read.held.insert(id, value_of(value, "held task")?);
                }
                (key, Some(b"l/")) => {
                    let id = task_of(key).ok_or(SavedError {
                        what: "lease key",
                        source: None,
                    })?;
                    read.permits.insert(id, value_of(value, "lease")?);
                }
                (key, Some(b"o/")) => {
                    let tag = key.get(2..).and_then(|tag| tag.try_into().ok());
                    let tag = tag.map(u64::from_be_bytes).ok_or(SavedError {
                        what: "observation key",
                        source: None,
                    })?;
                    read.observations.push((tag, value.clone()));
                }
                _ => {}
            }
        }
        for (id, row) in tasks {
            let Some(job) = read.jobs.get_mut(&id.job) else {
                continue;
            };
            let state = state_of(row.state);
            job.set_state(id.index, state);
            let Some(task) = job.task_mut(id.index) else {
                continue;
            };
            *task = Task {
                state,
                node: row.node,
                epoch: row.epoch,
                attempts: row.attempts,
                moves: row.moves,
                outcome: row.outcome,
                started: row.started,
                ended: row.ended,
                ran: row.ran_us.map(Duration::from_micros),
                halting: row.halting,
                ..Task::new()
            };
        }
        for job in read.jobs.values_mut() {
            let over = job.counts.open() == 0;
            job.state = match (job.state, over) {
                (JobState::Stopping, true) => JobState::Stopped,
                (JobState::Active, true) => JobState::Finished,
                (state, _) => state,
            };
        }
        Ok(read)
    }
}

pub(crate) fn save_incarnation(incarnation: u32) -> Save {
    put(INCARNATION.to_vec(), &incarnation)
}

pub(crate) fn save_book(book: &[Seed]) -> Save {
    let book: Vec<_> = book.iter().map(|seed| (seed.node, &seed.addrs)).collect();
    put(BOOK.to_vec(), &book)
}

pub(crate) fn save_draining(on: bool, deadline: Option<Time>) -> [Save; 2] {
    let key = DRAIN_DEADLINE.to_vec();
    let until = match deadline {
        Some(deadline) => put(key, &deadline),
        None => remove(key),
    };
    [put(DRAINING.to_vec(), &on), until]
}

pub(crate) fn save_job(job: &Job) -> Save {
    put(
        job_key(job.id),
        &JobRow {
            spec: (*job.spec).clone(),
            owners: job.owners.clone(),
            term: job.term,
            submitted: job.submitted,
            finished: job.finished,
            over_since: job.over_since,
            stopping: matches!(job.state, JobState::Stopping | JobState::Stopped),
            taker: Some(job.taker),
            actor: Some(job.actor),
            former: job.former.clone(),
            settled: job.settled,
        },
    )
}

/// Removes a job and its tasks.
pub(crate) fn forget_job(job: &Job) -> impl Iterator<Item = Save> {
    let id = job.id;
    let tasks = (0..job.spec.count)
        .filter(|&index| {
            job.task(index)
                .is_some_and(|task| task.epoch != 0 || task.state.is_over())
        })
        .map(move |index| remove(task_key(b"t/", TaskId { job: id, index })))
        .collect::<Vec<_>>();
    tasks.into_iter().chain([remove(job_key(id))])
}

pub(crate) fn save_task(id: TaskId, task: &Task) -> Save {
    put(
        task_key(b"t/", id),
        &TaskRow {
            state: state_number(task.state),
            node: task.node,
            epoch: task.epoch,
            attempts: task.attempts,
            moves: task.moves,
            outcome: task.outcome.clone(),
            started: task.started,
            ended: task.ended,
            ran_us: task
                .ran
                .map(|ran| u64::try_from(ran.as_micros()).unwrap_or(u64::MAX)),
            halting: task.halting,
        },
    )
}

pub(crate) fn save_held(id: TaskId, row: &HeldRow) -> Save {
    put(task_key(b"h/", id), row)
}

pub(crate) fn forget_held(id: TaskId) -> Save {
    remove(task_key(b"h/", id))
}

pub(crate) fn save_permit(id: TaskId, row: &PermitRow) -> Save {
    put(task_key(b"l/", id), row)
}

pub(crate) fn forget_permit(id: TaskId) -> Save {
    remove(task_key(b"l/", id))
}

/// An observation as it was signed, or none to remove it.
pub(crate) fn save_observation(tag: u64, value: Option<Vec<u8>>) -> Save {
    let key = [b"o/".as_slice(), &tag.to_be_bytes()].concat();
    Save { key, value }
}

/// Keeps what a held job's tasks run, so that a machine that boots alone can start them again.
pub(crate) fn save_spec(id: JobId, spec: &JobSpec) -> Save {
    put(spec_key(id), spec)
}

pub(crate) fn forget_spec(id: JobId) -> Save {
    remove(spec_key(id))
}

fn job(id: JobId, row: JobRow) -> Job {
    let first = row.owners.first().copied().unwrap_or(NodeId([0; 32]));
    let taker = row.taker.unwrap_or(first);
    Job {
        actor: row.actor.unwrap_or(first),
        // What was saved before terms named their owner began at 1.
        term: row.term.max(FIRST_TERM),
        finished: row.finished,
        over_since: row.over_since.or(row.finished),
        state: if row.stopping {
            JobState::Stopping
        } else {
            JobState::Active
        },
        durable: true,
        former: row.former,
        told: true,
        settled: row.settled,
        ..Job::new(id, row.spec.into(), taker, row.owners, row.submitted)
    }
}

const fn state_number(state: TaskState) -> u8 {
    match state {
        TaskState::Pending => 0,
        TaskState::Starting => 1,
        TaskState::Running => 2,
        TaskState::Succeeded => 3,
        TaskState::Failed => 4,
        TaskState::Stopped => 5,
    }
}

const fn state_of(number: u8) -> TaskState {
    match number {
        1 => TaskState::Starting,
        2 => TaskState::Running,
        3 => TaskState::Succeeded,
        4 => TaskState::Failed,
        5 => TaskState::Stopped,
        _ => TaskState::Pending,
    }
}

fn put<T: Serialize>(key: Vec<u8>, value: &T) -> Save {
    Save {
        key,
        value: Some(codec::encode(value)),
    }
}

const fn remove(key: Vec<u8>) -> Save {
    Save { key, value: None }
}

fn value_of<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, SavedError> {
    codec::decode(bytes, MAX_VALUE).map_err(|source| SavedError {
        what,
        source: Some(source),
    })
}

fn job_key(id: JobId) -> Vec<u8> {
    [b"j/".as_slice(), &id.0.to_be_bytes()].concat()
}

fn spec_key(id: JobId) -> Vec<u8> {
    [b"s/".as_slice(), &id.0.to_be_bytes()].concat()
}

fn task_key(kind: &[u8], id: TaskId) -> Vec<u8> {
    [kind, &id.job.0.to_be_bytes(), &id.index.to_be_bytes()].concat()
}

fn job_of(key: &[u8]) -> Option<JobId> {
    Some(JobId(u64::from_be_bytes(key.get(2..10)?.try_into().ok()?)))
}

fn task_of(key: &[u8]) -> Option<TaskId> {
    let index = u32::from_be_bytes(key.get(10..14)?.try_into().ok()?);
    Some(TaskId {
        job: job_of(key)?,
        index,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample() -> Job {
        let spec = JobSpec {
            count: 3,
            command: vec!["true".into()],
            ..JobSpec::default()
        };
        let mut job = job(
            JobId(9),
            JobRow {
                spec,
                owners: vec![NodeId([1; 32])],
                term: 4 << 8,
                submitted: Time(5),
                finished: None,
                stopping: false,
                taker: None,
                actor: None,
                former: vec![],
                settled: false,
                over_since: None,
            },
        );
        job.set_state(1, TaskState::Succeeded);
        let task = job.task_mut(1).unwrap();
        task.epoch = 77;
        task.outcome = Some(Outcome::Exited(0));
        job
    }

    fn row(save: Save) -> (Vec<u8>, Vec<u8>) {
        (save.key, save.value.unwrap())
    }

    #[test]
    fn what_is_saved_is_read_back() {
        let job = sample();
        let rows = vec![
            row(save_incarnation(6)),
            row(save_task(job.task_id(1), job.task(1).unwrap())),
            row(save_job(&job)),
        ];
        let read = Saved { rows, held: vec![] }.read().unwrap();
        let back = &read.jobs[&job.id];
        assert_eq!((read.incarnation, back.term), (6, 4 << 8));
        assert_eq!((back.taker, back.actor), (NodeId([1; 32]), NodeId([1; 32])));
        assert_eq!((back.counts.pending, back.counts.succeeded), (2, 1));
        assert_eq!(back.task(1).unwrap().epoch, 77);
        assert_eq!(back.spec, job.spec);
    }

    #[test]
    fn a_damaged_row_is_an_error_and_a_foreign_one_is_left_alone() {
        let rows = vec![(b"x/later".to_vec(), vec![1, 2, 3])];
        assert!(Saved { rows, held: vec![] }.read().is_ok());
        let rows = vec![(job_key(JobId(1)), vec![0xff])];
        assert!(Saved { rows, held: vec![] }.read().is_err());
    }
}
