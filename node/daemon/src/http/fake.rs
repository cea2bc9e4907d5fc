//! A backend that knows one job and one node, for tests of the server and the commands. The job has
//! four tasks that never change, or ([`FakeBackend::ending`]) one that ends after a while.

use std::sync::Mutex;
use std::time::Duration;

use futures::{StreamExt, stream};
use starling_api::{
    Answer, ApiError, ClassView, Drain, Event, EventKind, Health, InterferenceView, JobDetail,
    JobState, JobSummary, LogChunk, LogStream, NodeView, Stopped, Submitted, TaskState, TokenView,
    WhyView, codes,
};
use starling_wire::JobSpec;
use tokio::sync::watch;

use super::backend::{Backend, ItemStream, JobRef, StopTarget, TaskRef, resolve_node};
use super::samples::{JOB, class, detail, event, interference, node, node_ref, summary, why};

/// What [`FakeBackend`] was asked to take.
#[derive(Default)]
pub(crate) struct FakeBackend {
    pub(crate) submitted: Mutex<Vec<JobSpec>>,
    pub(crate) drained: Mutex<Vec<(String, bool, Option<Duration>)>>,
    ending: Option<Ending>,
}

/// A job of one task that ends so long after it was submitted.
struct Ending {
    after: Duration,
    code: i32,
    over: watch::Sender<bool>,
}

impl FakeBackend {
    /// A backend whose job has one task that ends with `code` when `after` has passed.
    pub(crate) fn ending(after: Duration, code: i32) -> Self {
        let over = watch::Sender::new(false);
        Self {
            ending: Some(Ending { after, code, over }),
            ..Self::default()
        }
    }
}

impl Ending {
    fn start(&self) {
        let (after, over) = (self.after, self.over.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            over.send_replace(true);
        });
    }

    fn detail(&self) -> JobDetail {
        let mut detail = detail();
        let over = *self.over.borrow();
        detail.tasks.truncate(if over { 1 } else { 2 });
        detail.tasks.reverse();
        detail.tasks.truncate(1);
        let task = &mut detail.tasks[0];
        (task.index, task.epoch) = (0, 1);
        detail.summary.count = 1;
        if over {
            task.exit_code = Some(self.code);
            task.state = if self.code == 0 {
                TaskState::Succeeded
            } else {
                TaskState::Failed
            };
            detail.summary.state = JobState::Finished;
        }
        detail
    }

    fn events(&self) -> ItemStream<Event> {
        let mut over = self.over.subscribe();
        let finished = async move {
            let _ = over.wait_for(|over| *over).await;
            Ok(event(9, EventKind::JobFinished))
        };
        stream::once(finished).chain(stream::pending()).boxed()
    }
}

impl Backend for FakeBackend {
    async fn submit(&self, spec: JobSpec) -> Result<Submitted, ApiError> {
        if spec.need.memory > 1 << 40 {
            return Err(
                ApiError::new(codes::IMPOSSIBLE, "no node could ever hold such a task")
                    .with_field("memory")
                    .with_detail(Some(node_ref()), "has 16 GiB of memory"),
            );
        }
        if let Some(ending) = &self.ending {
            ending.start();
        }
        let tasks = spec.count;
        if let Ok(mut submitted) = self.submitted.lock() {
            submitted.push(spec);
        }
        Ok(Submitted {
            job: JOB.to_string(),
            tasks,
            copies: 1,
        })
    }

    async fn jobs(&self) -> Result<Answer<JobSummary>, ApiError> {
        Ok(Answer {
            items: vec![summary()],
            silent: vec![node_ref()],
        })
    }

    async fn job(&self, job: JobRef, tasks: bool) -> Result<JobDetail, ApiError> {
        job.resolve([JOB])?;
        let mut detail = self.ending.as_ref().map_or_else(detail, Ending::detail);
        if !tasks {
            detail.tasks.clear();
        }
        Ok(detail)
    }

    async fn stop(&self, target: StopTarget) -> Result<Stopped, ApiError> {
        match target {
            StopTarget::Job(job) => Ok(Stopped {
                target: job.resolve([JOB])?.to_string(),
                tasks: 2,
            }),
            StopTarget::Task(task) => Err(ApiError::new(
                codes::ALREADY_OVER,
                format!("task {task} is over already: exit code 0"),
            )),
        }
    }

    async fn why(&self, task: TaskRef) -> Result<WhyView, ApiError> {
        task.job.resolve([JOB])?;
        Ok(why())
    }

    async fn logs(
        &self,
        task: TaskRef,
        tail: Option<u64>,
        follow: bool,
    ) -> Result<ItemStream<LogChunk>, ApiError> {
        task.job.resolve([JOB])?;
        let first = format!("tail {tail:?}\nbytes ");
        if let Some(ending) = &self.ending {
            let mut over = ending.over.subscribe();
            let last = async move {
                let _ = over.wait_for(|over| *over).await;
                Ok(LogChunk::new(LogStream::Out, b"done\n"))
            };
            return Ok(stream::once(last).boxed());
        }
        let mut items = vec![
            Ok(LogChunk::new(LogStream::Out, first.as_bytes())),
            Ok(LogChunk::new(LogStream::Out, &[0xff, 0xfe, b'\n'])),
            Ok(LogChunk::new(LogStream::Err, b"oh\n")),
        ];
        if follow {
            items.push(Err(ApiError::new(codes::UNAVAILABLE, "its node is gone")));
        }
        Ok(stream::iter(items).boxed())
    }

    async fn classes(&self) -> Result<Answer<ClassView>, ApiError> {
        Ok(Answer::complete(vec![class()]))
    }

    async fn interference(&self) -> Result<Answer<InterferenceView>, ApiError> {
        Ok(Answer::complete(vec![interference()]))
    }

    async fn nodes(&self) -> Result<Answer<NodeView>, ApiError> {
        Ok(Answer::complete(vec![node()]))
    }

    async fn drain(
        &self,
        name: String,
        on: bool,
        deadline: Option<Duration>,
    ) -> Result<Drain, ApiError> {
        let node = resolve_node(&name, [node_ref()])?;
        if let Ok(mut drained) = self.drained.lock() {
            drained.push((name, on, deadline));
        }
        Ok(Drain {
            node,
            draining: on,
            running: 3,
        })
    }

    async fn events(&self, follow: bool, new_only: bool) -> Result<ItemStream<Event>, ApiError> {
        if let Some(ending) = &self.ending {
            return Ok(ending.events());
        }
        let mut items = vec![
            Ok(event(1, EventKind::JobSubmitted)),
            Ok(event(2, EventKind::TaskStarted)),
            Ok(event(3, EventKind::JobFinished)),
        ];
        if new_only {
            items.clear();
        }
        let items = stream::iter(items);
        Ok(if follow {
            items.chain(stream::pending()).boxed()
        } else {
            items.boxed()
        })
    }

    async fn token(&self) -> Result<TokenView, ApiError> {
        Ok(TokenView {
            token: "starling1-abc".into(),
        })
    }

    async fn health(&self) -> Result<Health, ApiError> {
        Ok(Health {
            status: "ok".into(),
            node: node_ref(),
            version: "0.1.0".into(),
            cluster: "c".into(),
        })
    }

    async fn metrics(&self) -> Result<String, ApiError> {
        Ok("# TYPE starling_view_members gauge\nstarling_view_members 1\n".into())
    }
}
