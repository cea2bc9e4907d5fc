//! What the HTTP server asks of the rest of the daemon. The server knows HTTP, the backend the
//! cluster; tests put a fake one behind the real server.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use futures::Stream;
use starling_api::{
    Answer, ApiError, ClassView, Drain, Event, Health, InterferenceView, JobDetail, JobSummary,
    LogChunk, NodeRef, NodeView, Stopped, Submitted, TokenView, WhyView, codes,
};
use starling_wire::{JobId, JobSpec, TaskId};

/// A stream of items. An error is told to the client and ends it.
pub type ItemStream<T> = Pin<Box<dyn Stream<Item = Result<T, ApiError>> + Send>>;

/// The cluster, as any of its nodes answers for it. Implementations may write the methods as
/// `async fn`. Dropping a future or stream must end what it does.
pub trait Backend: Send + Sync + 'static {
    /// Takes a job that passed [`JobSpec::check`]; returns when its owners have it on disk.
    fn submit(&self, spec: JobSpec) -> impl Future<Output = Result<Submitted, ApiError>> + Send;

    /// All jobs of the cluster, newest first.
    fn jobs(&self) -> impl Future<Output = Result<Answer<JobSummary>, ApiError>> + Send;

    /// One job; its list of tasks is left empty unless `tasks`.
    fn job(
        &self,
        job: JobRef,
        tasks: bool,
    ) -> impl Future<Output = Result<JobDetail, ApiError>> + Send;

    /// Stops a job or a task. What is over already is an error with the code `already_over`.
    fn stop(&self, target: StopTarget) -> impl Future<Output = Result<Stopped, ApiError>> + Send;

    /// Why a task is where it is.
    fn why(&self, task: TaskRef) -> impl Future<Output = Result<WhyView, ApiError>> + Send;

    /// A task's output: all of it or the last `tail` lines, and with `follow` what comes until the
    /// task is over.
    fn logs(
        &self,
        task: TaskRef,
        tail: Option<u64>,
        follow: bool,
    ) -> impl Future<Output = Result<ItemStream<LogChunk>, ApiError>> + Send;

    /// The members.
    fn nodes(&self) -> impl Future<Output = Result<Answer<NodeView>, ApiError>> + Send;

    /// What is known of each class of workloads.
    fn classes(&self) -> impl Future<Output = Result<Answer<ClassView>, ApiError>> + Send;

    /// How each class fares beside each other.
    fn interference(
        &self,
    ) -> impl Future<Output = Result<Answer<InterferenceView>, ApiError>> + Send;

    /// Drains a node or ends that. Without a deadline its tasks end by themselves; with one, those
    /// that still run when it has passed are given up and run elsewhere.
    fn drain(
        &self,
        node: String,
        on: bool,
        deadline: Option<Duration>,
    ) -> impl Future<Output = Result<Drain, ApiError>> + Send;

    /// The events that are remembered, oldest first (unless `new_only`), and with `follow` those
    /// that come. The stream must be subscribed when the future returns: nothing that happens
    /// afterwards may be missing. The server narrows it to a job or kinds.
    fn events(
        &self,
        follow: bool,
        new_only: bool,
    ) -> impl Future<Output = Result<ItemStream<Event>, ApiError>> + Send;

    /// The line that admits another machine.
    fn token(&self) -> impl Future<Output = Result<TokenView, ApiError>> + Send;

    /// Whether the daemon is well.
    fn health(&self) -> impl Future<Output = Result<Health, ApiError>> + Send;

    /// What this node has done so far, in numbers, as Prometheus reads them.
    fn metrics(&self) -> impl Future<Output = Result<String, ApiError>> + Send;
}

/// What is to be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopTarget {
    /// All tasks of a job.
    Job(JobRef),
    /// One task.
    Task(TaskRef),
}

/// A job as a user names it: its id or the beginning of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRef(String);

/// How long a job's id is.
const JOB_ID_LENGTH: usize = 13;

impl JobRef {
    /// The id, if it was given whole.
    pub fn exact(&self) -> Option<JobId> {
        self.0.parse().ok()
    }

    /// Whether `id` begins like that.
    pub fn matches(&self, id: JobId) -> bool {
        id.to_string().starts_with(&self.0)
    }

    /// The one of `known` that is meant.
    pub fn resolve(&self, known: impl IntoIterator<Item = JobId>) -> Result<JobId, ApiError> {
        let mut found: Vec<JobId> = known.into_iter().filter(|id| self.matches(*id)).collect();
        found.sort_unstable();
        found.dedup();
        match found[..] {
            [] => Err(ApiError::not_found("job", &self.0)
                .with_remedy("`starling ps` lists those there are")),
            [id] => Ok(id),
            _ => Err(ambiguous(
                &format!("{} jobs begin with `{}`", found.len(), self.0),
                found.iter().map(ToString::to_string),
            )),
        }
    }
}

impl FromStr for JobRef {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let lower = text.to_ascii_lowercase();
        let fits = (1..=JOB_ID_LENGTH).contains(&lower.len())
            && lower.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits {
            return Ok(Self(lower));
        }
        let shown: String = text.chars().take(80).collect();
        Err(ApiError::invalid(
            "id",
            format!("`{shown}` is not a job's id"),
            "a job's id has 13 letters and digits; its beginning will do",
        ))
    }
}

impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A task as a user names it: `JOB.INDEX`, where the job may be the beginning of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRef {
    /// Its job.
    pub job: JobRef,
    /// Its index in the job.
    pub index: u32,
}

impl TaskRef {
    /// The id, if the job's was given whole.
    pub fn exact(&self) -> Option<TaskId> {
        let job = self.job.exact()?;
        Some(TaskId {
            job,
            index: self.index,
        })
    }
}

impl FromStr for TaskRef {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let parts = text.split_once('.');
        let parsed = parts.and_then(|(job, index)| Some((job, index.parse::<u32>().ok()?)));
        let (job, index) = parsed.ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            ApiError::invalid(
                "id",
                format!("`{shown}` is not a task's id"),
                "write JOB.INDEX, for example 7k2m.0; `starling ps JOB` lists a job's tasks",
            )
        })?;
        let job = job.parse()?;
        Ok(Self { job, index })
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.index)
    }
}

/// The one of `known` nodes that `text` means: by its name, else by the beginning of its id.
pub fn resolve_node(
    text: &str,
    known: impl IntoIterator<Item = NodeRef>,
) -> Result<NodeRef, ApiError> {
    let lower = text.to_ascii_lowercase();
    let known: Vec<NodeRef> = known.into_iter().collect();
    let mut found: Vec<&NodeRef> = known.iter().filter(|node| node.name == text).collect();
    if found.is_empty() && !text.is_empty() {
        found = known
            .iter()
            .filter(|node| node.id.starts_with(&lower))
            .collect();
    }
    match found[..] {
        [] => {
            Err(ApiError::not_found("node", text)
                .with_remedy("`starling nodes` lists those there are"))
        }
        [node] => Ok(node.clone()),
        _ => Err(ambiguous(
            &format!("{} nodes are called `{text}`", found.len()),
            found.iter().map(|node| node.id.clone()),
        )),
    }
}

fn ambiguous(message: &str, found: impl Iterator<Item = String>) -> ApiError {
    let error = ApiError::new(codes::AMBIGUOUS, message).with_remedy("give more letters of the id");
    found
        .take(5)
        .fold(error, |error, id| error.with_detail(None, id))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_of_ids_resolve_when_unique() {
        let (a, b) = (JobId(0x1111_2222_3333_4444), JobId(0x1111_2222_3333_5555));
        let whole: JobRef = a.to_string().to_uppercase().parse().unwrap();
        assert_eq!((whole.exact(), whole.resolve([a, b])), (Some(a), Ok(a)));
        let short: JobRef = a.to_string()[..4].parse().unwrap();
        assert_eq!(short.exact(), None);
        assert_eq!(short.resolve([a, a]), Ok(a));
        let error = short.resolve([a, b]).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.details.len()),
            (codes::AMBIGUOUS, 2)
        );
        let error = "zz".parse::<JobRef>().unwrap().resolve([a]).unwrap_err();
        assert_eq!(error.code, codes::NOT_FOUND);
        for text in ["", "../etc", "a.b", "01234567890123"] {
            assert!(text.parse::<JobRef>().is_err(), "{text}");
        }
        assert!("7k.x".parse::<TaskRef>().is_err());
        assert_eq!("7K.3".parse::<TaskRef>().unwrap().to_string(), "7k.3");
    }

    #[test]
    fn nodes_resolve_by_name_before_id() {
        let node = |id: &str, name: &str| NodeRef {
            id: id.into(),
            name: name.into(),
        };
        let known = [
            node("aaa1", "attic"),
            node("aab2", "aaa1"),
            node("ccc3", "attic"),
        ];
        let find = |text| resolve_node(text, known.clone()).map(|node| node.id);
        assert_eq!(find("aaa1"), Ok("aab2".to_owned()));
        assert_eq!(find("c"), Ok("ccc3".to_owned()));
        assert_eq!(find("attic").unwrap_err().code, codes::AMBIGUOUS);
        assert_eq!(find("aa").unwrap_err().code, codes::AMBIGUOUS);
        assert_eq!(find("").unwrap_err().code, codes::NOT_FOUND);
    }
}
