//! [`Backend`] as a trait object: the handlers that utoipa collects cannot be generic.

use std::time::Duration;

use futures::future::BoxFuture;
use starling_api::{
    Answer, ApiError, ClassView, Drain, Event, Health, InterferenceView, JobDetail, JobSummary,
    LogChunk, NodeView, Stopped, Submitted, TokenView, WhyView,
};
use starling_wire::JobSpec;

use super::backend::{Backend, ItemStream, JobRef, StopTarget, TaskRef};

type Reply<'a, T> = BoxFuture<'a, Result<T, ApiError>>;

/// See [`Backend`]; each method is that of the same name.
pub(super) trait ErasedBackend: Send + Sync {
    fn submit(&self, spec: JobSpec) -> Reply<'_, Submitted>;
    fn jobs(&self) -> Reply<'_, Answer<JobSummary>>;
    fn job(&self, job: JobRef, tasks: bool) -> Reply<'_, JobDetail>;
    fn stop(&self, target: StopTarget) -> Reply<'_, Stopped>;
    fn why(&self, task: TaskRef) -> Reply<'_, WhyView>;
    fn logs(
        &self,
        task: TaskRef,
        tail: Option<u64>,
        follow: bool,
    ) -> Reply<'_, ItemStream<LogChunk>>;
    fn nodes(&self) -> Reply<'_, Answer<NodeView>>;
    fn classes(&self) -> Reply<'_, Answer<ClassView>>;
    fn interference(&self) -> Reply<'_, Answer<InterferenceView>>;
    fn drain(&self, node: String, on: bool, deadline: Option<Duration>) -> Reply<'_, Drain>;
    fn events(&self, follow: bool, new_only: bool) -> Reply<'_, ItemStream<Event>>;
    fn token(&self) -> Reply<'_, TokenView>;
    fn health(&self) -> Reply<'_, Health>;
    fn metrics(&self) -> Reply<'_, String>;
}

impl<B: Backend> ErasedBackend for B {
    fn submit(&self, spec: JobSpec) -> Reply<'_, Submitted> {
        Box::pin(Backend::submit(self, spec))
    }

    fn jobs(&self) -> Reply<'_, Answer<JobSummary>> {
        Box::pin(Backend::jobs(self))
    }

    fn job(&self, job: JobRef, tasks: bool) -> Reply<'_, JobDetail> {
        Box::pin(Backend::job(self, job, tasks))
    }

    fn stop(&self, target: StopTarget) -> Reply<'_, Stopped> {
        Box::pin(Backend::stop(self, target))
    }

    fn why(&self, task: TaskRef) -> Reply<'_, WhyView> {
        Box::pin(Backend::why(self, task))
    }

    fn logs(
        &self,
        task: TaskRef,
        tail: Option<u64>,
        follow: bool,
    ) -> Reply<'_, ItemStream<LogChunk>> {
        Box::pin(Backend::logs(self, task, tail, follow))
    }

    fn nodes(&self) -> Reply<'_, Answer<NodeView>> {
        Box::pin(Backend::nodes(self))
    }

    fn classes(&self) -> Reply<'_, Answer<ClassView>> {
        Box::pin(Backend::classes(self))
    }

    fn interference(&self) -> Reply<'_, Answer<InterferenceView>> {
        Box::pin(Backend::interference(self))
    }

    fn drain(&self, node: String, on: bool, deadline: Option<Duration>) -> Reply<'_, Drain> {
        Box::pin(Backend::drain(self, node, on, deadline))
    }

    fn events(&self, follow: bool, new_only: bool) -> Reply<'_, ItemStream<Event>> {
        Box::pin(Backend::events(self, follow, new_only))
    }

    fn token(&self) -> Reply<'_, TokenView> {
        Box::pin(Backend::token(self))
    }

    fn health(&self) -> Reply<'_, Health> {
        Box::pin(Backend::health(self))
    }

    fn metrics(&self) -> Reply<'_, String> {
        Box::pin(Backend::metrics(self))
    }
}
