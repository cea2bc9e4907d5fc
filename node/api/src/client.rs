//! A thin client: one method per endpoint.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::connect::Connection;
use crate::{
    Answer, ApiError, ClassView, ClientError, Drain, Event, EventKind, Health, InterferenceView,
    JobDetail, JobRequest, JobSummary, LogChunk, NodeView, Stopped, Streamed, Submitted, Target,
    TokenView, WhyView,
};

/// How long an answer's headers may take; the daemon itself gives up earlier.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The largest answer that is read: a job with a hundred thousand tasks takes about forty million.
const MAX_ANSWER: usize = 256 << 20;

/// A client of one daemon. It keeps one connection open between calls; calls that overlap open
/// more. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    target: Arc<Target>,
    idle: Arc<Mutex<Option<Link>>>,
}

#[derive(Debug)]
struct Link {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

/// Which events to stream.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Whether to go on with what comes; otherwise the stream ends after what is remembered.
    pub follow: bool,
    /// Only this job's, by its whole id.
    pub job: Option<String>,
    /// Only of these kinds; empty is all.
    pub kinds: Vec<EventKind>,
    /// Without what is remembered, only what comes.
    pub new_only: bool,
}

/// Which output to stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogQuery {
    /// Whether to go on until the task is over.
    pub follow: bool,
    /// Only the last so many lines.
    pub tail: Option<u64>,
}

impl Client {
    /// A client of the daemon that listens at the Unix socket `path`.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::new(Target::Unix(path.into()))
    }

    /// A client of the daemon that listens at `addr` (`HOST:PORT`).
    pub fn tcp(addr: impl Into<String>, token: Option<String>) -> Self {
        Self::new(Target::Tcp {
            addr: addr.into(),
            token,
        })
    }

    /// A client of the daemon at `target`.
    pub fn new(target: Target) -> Self {
        Self {
            target: Arc::new(target),
            idle: Arc::default(),
        }
    }

    /// Where the daemon is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Submits a job.
    pub async fn submit(&self, job: &JobRequest) -> Result<Submitted, ClientError> {
        self.post("/v1/jobs", Some(job)).await
    }

    /// All jobs of the cluster.
    pub async fn jobs(&self) -> Result<Answer<JobSummary>, ClientError> {
        self.get("/v1/jobs").await
    }

    /// One job, by its id or a unique beginning of it, with its tasks.
    pub async fn job(&self, id: &str) -> Result<JobDetail, ClientError> {
        self.get(&format!("/v1/jobs/{}", escape(id))).await
    }

    /// One job in numbers: as [`Self::job`], without the tasks.
    pub async fn job_summary(&self, id: &str) -> Result<JobSummary, ClientError> {
        let path = format!("/v1/jobs/{}?tasks=false", escape(id));
        Ok(self.get::<JobDetail>(&path).await?.summary)
    }

    /// Stops a job's tasks; those that wait never start.
    pub async fn stop_job(&self, id: &str) -> Result<Stopped, ClientError> {
        let path = format!("/v1/jobs/{}/stop", escape(id));
        self.post(&path, None::<&()>).await
    }

    /// Stops one task.
    pub async fn stop_task(&self, id: &str) -> Result<Stopped, ClientError> {
        let path = format!("/v1/tasks/{}/stop", escape(id));
        self.post(&path, None::<&()>).await
    }

    /// Why a task is where it is.
    pub async fn why(&self, task: &str) -> Result<WhyView, ClientError> {
        self.get(&format!("/v1/tasks/{}/why", escape(task))).await
    }

    /// A task's output.
    pub async fn logs(
        &self,
        task: &str,
        query: LogQuery,
    ) -> Result<Streamed<LogChunk>, ClientError> {
        let tail = query
            .tail
            .map_or_else(String::new, |n| format!("&tail={n}"));
        let path = format!(
            "/v1/tasks/{}/logs?follow={}{tail}",
            escape(task),
            query.follow
        );
        self.stream(&path).await
    }

    /// What the cluster has learned of each class of workloads.
    pub async fn classes(&self) -> Result<Answer<ClassView>, ClientError> {
        self.get("/v1/classes").await
    }

    /// Who hurts whom, as far as the cluster has learned it: by class and the class beside it.
    pub async fn interference(&self) -> Result<Answer<InterferenceView>, ClientError> {
        self.get("/v1/interference").await
    }

    /// The cluster's members.
    pub async fn nodes(&self) -> Result<Answer<NodeView>, ClientError> {
        self.get("/v1/nodes").await
    }

    /// Makes a node take no new tasks. Those it has end by themselves; those that still run when
    /// `deadline` has passed are given up and run elsewhere. The node is named by its name or the
    /// beginning of its id.
    pub async fn drain(
        &self,
        node: &str,
        deadline: Option<Duration>,
    ) -> Result<Drain, ClientError> {
        let deadline =
            deadline.map_or_else(String::new, |d| format!("?deadline_ms={}", d.as_millis()));
        let path = format!("/v1/nodes/{}/drain{deadline}", escape(node));
        self.post(&path, None::<&()>).await
    }

    /// Makes a node take tasks again.
    pub async fn undrain(&self, node: &str) -> Result<Drain, ClientError> {
        let path = format!("/v1/nodes/{}/undrain", escape(node));
        self.post(&path, None::<&()>).await
    }

    /// What changes in the cluster.
    pub async fn events(&self, query: &EventQuery) -> Result<Streamed<Event>, ClientError> {
        let mut path = format!(
            "/v1/events?follow={}&new_only={}",
            query.follow, query.new_only
        );
        if let Some(job) = &query.job {
            path.push_str(&format!("&job={}", escape(job)));
        }
        if !query.kinds.is_empty() {
            let kinds: Vec<_> = query.kinds.iter().map(|kind| kind.name()).collect();
            path.push_str(&format!("&kinds={}", kinds.join(",")));
        }
        self.stream(&path).await
    }

    /// The line that admits another machine; only over the Unix socket.
    pub async fn token(&self) -> Result<TokenView, ClientError> {
        self.get("/v1/token").await
    }

    /// Whether the daemon is well.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get("/healthz").await
    }

    /// What the daemon has done so far, in numbers, in Prometheus' text format.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let body = self
            .exchange_whole(Method::GET, "/metrics", Bytes::new())
            .await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let body = body
            .map(serde_json::to_vec)
            .transpose()
            .map_err(|error| self.broken(format!("the request does not encode: {error}")))?;
        self.call(Method::POST, path, body.unwrap_or_default().into())
            .await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let body = self.exchange_whole(method, path, body).await?;
        serde_json::from_slice(&body)
            .map_err(|error| self.broken(format!("its answer does not decode: {error}")))
    }

    /// An answer's whole body, if it is a success.
    async fn exchange_whole(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, ClientError> {
        let (response, link) = self.send(method, path, body).await?;
        let status = response.status();
        let body = tokio::time::timeout(ANSWER_LIMIT, read(response.into_body()))
            .await
            .unwrap_or_else(|_| Err("its answer took too long".to_owned()))
            .map_err(|problem| self.broken(problem))?;
        *self.idle.lock().await = Some(link);
        if !status.is_success() {
            return Err(self.refusal(status, &body));
        }
        Ok(body)
    }

    async fn stream<T: DeserializeOwned>(&self, path: &str) -> Result<Streamed<T>, ClientError> {
        let (response, _link) = self.send(Method::GET, path, Bytes::new()).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(Streamed::new(response.into_body(), self.target.to_string()));
        }
        let body = read(response.into_body())
            .await
            .map_err(|problem| self.broken(problem))?;
        Err(self.refusal(status, &body))
    }

    /// Sends a request and awaits the answer's headers. A request that a kept connection did not
    /// take any more, because the daemon had closed it, goes out again over a new one.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Response<Incoming>, Link), ClientError> {
        let kept = self.idle.lock().await.take();
        if let Some(mut link) = kept
            && link.sender.ready().await.is_ok()
        {
            let request = self.request(&link, &method, path, &body)?;
            match self.exchange(&mut link, request).await {
                Ok(response) => return Ok((response, link)),
                Err((true, _)) => {}
                Err((false, problem)) => return Err(self.broken(problem)),
            }
        }
        let mut link = self.dial().await?;
        let request = self.request(&link, &method, path, &body)?;
        match self.exchange(&mut link, request).await {
            Ok(response) => Ok((response, link)),
            Err((_, problem)) => Err(self.broken(problem)),
        }
    }

    /// The answer's headers, or whether the request was never sent, and what happened.
    async fn exchange(
        &self,
        link: &mut Link,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, (bool, String)> {
        let sent = link.sender.try_send_request(request);
        match tokio::time::timeout(ANSWER_LIMIT, sent).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(mut error)) => {
                let unsent = error.take_message().is_some();
                Err((unsent, error.into_error().to_string()))
            }
            Err(_) => Err((false, "its answer took too long".to_owned())),
        }
    }

    async fn dial(&self) -> Result<Link, ClientError> {
        let (connection, host) = Connection::open(&self.target).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(connection))
            .await
            .map_err(|error| self.broken(error.to_string()))?;
        // It ends when the sender and the last body are dropped; its error reaches them.
        tokio::spawn(connection);
        Ok(Link { sender, host })
    }

    fn request(
        &self,
        link: &Link,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &link.host);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        if let Target::Tcp {
            token: Some(token), ..
        } = &*self.target
        {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request
            .body(Full::new(body.clone()))
            .map_err(|error| self.broken(format!("not a request: {error}")))
    }

    fn refusal(&self, status: hyper::StatusCode, body: &[u8]) -> ClientError {
        serde_json::from_slice::<ApiError>(body).map_or_else(
            |_| self.broken(format!("it answered {status} without a reason")),
            ClientError::Refused,
        )
    }

    fn broken(&self, problem: impl Into<String>) -> ClientError {
        ClientError::Broken {
            at: self.target.to_string(),
            problem: problem.into(),
        }
    }
}

async fn read(body: Incoming) -> Result<Bytes, String> {
    Limited::new(body, MAX_ANSWER)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| error.to_string())
}

/// Percent-encodes what may not stand in a path or query.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_odd_letters_stay_one_path_segment() {
        assert_eq!(escape("a.1/../ü?"), "a.1%2F..%2F%C3%BC%3F");
    }

    #[tokio::test]
    async fn a_missing_daemon_is_a_clear_word() {
        let folder = std::env::temp_dir().join("no-starling-here");
        let error = Client::unix(folder.join("api.sock")).health().await;
        let error = error
            .err()
            .map(|error| (error.is_no_daemon(), error.to_string()));
        let (no_daemon, text) = error.unwrap_or_default();
        assert!(no_daemon && text.contains("starling up"), "{text}");
    }
}
