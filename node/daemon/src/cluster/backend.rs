//! The HTTP server's backend: any node answers for the whole cluster.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, FuturesUnordered};
use serde::de::DeserializeOwned;
use starling_api::{
    Answer, ApiError, ClassView, Drain, Event, Health, InterferenceView, JobDetail, JobSummary,
    LogChunk, NodeRef, NodeView, Stopped, Submitted, TokenView, WhyView, codes,
};
use starling_engine::{Command, Engine, Reply, Target};
use starling_gossip::{MemberState, Seed};
use starling_net::{CallStream, ClusterSecret, Net};
use starling_wire::{JobId, JobSpec, NodeId, TaskId, codec};
use tokio_stream::StreamExt;

use super::follow::Local;
use super::peer::{self, MAX_ANSWER, PeerRequest};
use super::{classes, metrics, views};
use crate::http::{Backend, ItemStream, JobRef, StopTarget, TaskRef, resolve_node};
use crate::node::token::Token;

/// The most other members whose addresses a token carries.
const TOKEN_MEMBERS: usize = 4;

/// The cluster, seen from this node.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) local: Local,
    pub(crate) net: Net,
    pub(crate) secret: Arc<ClusterSecret>,
    pub(crate) me: NodeRef,
}

/// Where a job's record is.
enum Owner {
    Here,
    There(NodeId),
}

impl Cluster {
    /// The other members that can be asked.
    async fn others(&self) -> Result<Vec<(NodeId, NodeRef)>, ApiError> {
        self.local
            .read(|engine| {
                let me = engine.gossip().me();
                engine
                    .gossip()
                    .members()
                    .filter(|member| member.node != me && can_answer(member.state))
                    .map(|member| (member.node, views::node_ref(engine, &member.node)))
                    .collect()
            })
            .await
    }

    /// Asks all other members at once; those that fail are listed.
    async fn ask_all<T: DeserializeOwned>(
        &self,
        request: &PeerRequest,
    ) -> Result<(Vec<(NodeId, T)>, Vec<NodeRef>), ApiError> {
        let mut asked: FuturesUnordered<_> = self
            .others()
            .await?
            .into_iter()
            .map(|(node, name)| async move {
                (node, name, peer::ask::<T>(&self.net, node, request).await)
            })
            .collect();
        let (mut answers, mut silent) = (Vec::new(), Vec::new());
        while let Some((node, name, answer)) = asked.next().await {
            match answer {
                Ok(answer) => answers.push((node, answer)),
                Err(error) => {
                    tracing::debug!(node = %name.label(), %error, "a member did not answer");
                    silent.push(name);
                }
            }
        }
        Ok((answers, silent))
    }

    /// The job that a user means, and who is to be asked about it: the owner that acts, or another
    /// as long as that one does not answer.
    async fn find(&self, job: &JobRef) -> Result<(JobId, Owner), ApiError> {
        let wanted = job.clone();
        let here: Vec<(JobId, bool)> = self
            .local
            .read(move |engine: &Engine| {
                let me = engine.gossip().me();
                engine
                    .jobs()
                    .filter(|job| wanted.matches(job.id))
                    .map(|job| (job.id, job.actor == me))
                    .collect()
            })
            .await?;
        if let Some(id) = job.exact()
            && here.contains(&(id, true))
        {
            return Ok((id, Owner::Here));
        }
        let (answers, silent) = self.ask_all::<Vec<JobSummary>>(&PeerRequest::Jobs).await?;
        let there: Vec<(JobId, NodeId, bool)> = answers
            .iter()
            .flat_map(|(node, jobs)| {
                let name = node.to_string();
                jobs.iter().filter_map(move |job| {
                    Some((job.id.parse().ok()?, *node, job.owner.id == name))
                })
            })
            .collect();
        let known = here.iter().map(|(id, _)| *id);
        let known = known.chain(there.iter().map(|(id, ..)| *id));
        let id = job.resolve(known).map_err(|error| {
            silent.iter().fold(error, |error, node| {
                error.with_detail(Some(node.clone()), "did not answer; it may know more")
            })
        })?;
        let of_it = there.iter().filter(|(found, ..)| *found == id);
        let actor = of_it.clone().find(|(.., acts)| *acts);
        let owner = match actor {
            _ if here.contains(&(id, true)) => Owner::Here,
            Some((_, node, _)) => Owner::There(*node),
            None if here.contains(&(id, false)) => Owner::Here,
            None => of_it
                .map(|(_, node, _)| Owner::There(*node))
                .next()
                .unwrap_or(Owner::Here),
        };
        Ok((id, owner))
    }

    async fn find_task(&self, task: &TaskRef) -> Result<(TaskId, Owner), ApiError> {
        let (job, owner) = self.find(&task.job).await?;
        Ok((
            TaskId {
                job,
                index: task.index,
            },
            owner,
        ))
    }

    async fn job_from(&self, id: JobId, owner: &Owner, tasks: bool) -> Result<JobDetail, ApiError> {
        let found = match owner {
            Owner::Here => self.local.job(id, tasks).await?,
            Owner::There(node) => {
                peer::ask(&self.net, *node, &PeerRequest::Job { id, tasks }).await?
            }
        };
        found.ok_or_else(|| ApiError::not_found("job", &id.to_string()))
    }
}

const fn can_answer(state: MemberState) -> bool {
    matches!(state, MemberState::Alive | MemberState::Suspect)
}

impl Backend for Cluster {
    async fn submit(&self, spec: JobSpec) -> Result<Submitted, ApiError> {
        let tasks = spec.count;
        match self.local.command(Command::Submit(Box::new(spec))).await? {
            Reply::Submitted { job, copies } => Ok(Submitted {
                job: job.to_string(),
                tasks,
                copies,
            }),
            other => Err(ApiError::internal(format!(
                "an unexpected answer: {other:?}"
            ))),
        }
    }

    async fn jobs(&self) -> Result<Answer<JobSummary>, ApiError> {
        let here = self.local.jobs().await?;
        let (answers, silent) = self.ask_all::<Vec<JobSummary>>(&PeerRequest::Jobs).await?;
        let there = answers
            .into_iter()
            .map(|(node, jobs)| (node.to_string(), jobs));
        let told = std::iter::once((self.me.id.clone(), here)).chain(there);
        let mut items = best_of(told);
        items.sort_by(|a, b| (b.submitted_at_ms, &b.id).cmp(&(a.submitted_at_ms, &a.id)));
        Ok(Answer { items, silent })
    }

    async fn job(&self, job: JobRef, tasks: bool) -> Result<JobDetail, ApiError> {
        let (id, owner) = self.find(&job).await?;
        self.job_from(id, &owner, tasks).await
    }

    async fn stop(&self, target: StopTarget) -> Result<Stopped, ApiError> {
        let (target, owner) = match &target {
            StopTarget::Job(job) => {
                let (id, owner) = self.find(job).await?;
                (Target::Job(id), owner)
            }
            StopTarget::Task(task) => {
                let (id, owner) = self.find_task(task).await?;
                (Target::Task(id), owner)
            }
        };
        match (owner, target) {
            (Owner::Here, target) => self.local.stop(target).await,
            (Owner::There(node), Target::Job(job)) => {
                peer::ask(&self.net, node, &PeerRequest::StopJob(job)).await
            }
            (Owner::There(node), Target::Task(task)) => {
                peer::ask(&self.net, node, &PeerRequest::StopTask(task)).await
            }
        }
    }

    async fn why(&self, task: TaskRef) -> Result<WhyView, ApiError> {
        let (id, owner) = self.find_task(&task).await?;
        let why = match owner {
            Owner::Here => self.local.why(id).await?,
            Owner::There(node) => peer::ask(&self.net, node, &PeerRequest::Why(id)).await?,
        };
        why.ok_or_else(|| ApiError::not_found("task", &id.to_string()))
    }

    async fn logs(
        &self,
        task: TaskRef,
        tail: Option<u64>,
        follow: bool,
    ) -> Result<ItemStream<LogChunk>, ApiError> {
        let (id, owner) = self.find_task(&task).await?;
        let job = self.job_from(id.job, &owner, true).await?;
        let task = usize::try_from(id.index)
            .ok()
            .and_then(|at| job.tasks.get(at));
        let task = task.ok_or_else(|| ApiError::not_found("task", &id.to_string()))?;
        let Some(place) = &task.node else {
            let waits = task.waits_for.as_deref().unwrap_or("a place");
            return Err(ApiError::new(
                codes::NOT_FOUND,
                format!("task {id} has not run yet: it waits for {waits}"),
            ));
        };
        if place.id == self.me.id {
            return self.local.logs(id, tail, follow).await;
        }
        let node = place
            .id
            .parse()
            .map_err(|_| ApiError::internal("a node id is garbled"))?;
        let request = PeerRequest::Logs {
            task: id,
            tail,
            follow,
        };
        let stream = peer::open(&self.net, node, &request)
            .await
            .map_err(|error| {
                error.with_remedy(format!(
                    "the output is on {}, where the task ran",
                    place.label()
                ))
            })?;
        Ok(items(node, stream))
    }

    async fn nodes(&self) -> Result<Answer<NodeView>, ApiError> {
        self.local.read(views::nodes).await.map(Answer::complete)
    }

    async fn classes(&self) -> Result<Answer<ClassView>, ApiError> {
        self.local
            .read(classes::classes)
            .await
            .map(Answer::complete)
    }

    async fn interference(&self) -> Result<Answer<InterferenceView>, ApiError> {
        self.local
            .read(classes::interference)
            .await
            .map(Answer::complete)
    }

    async fn drain(
        &self,
        node: String,
        on: bool,
        deadline: Option<Duration>,
    ) -> Result<Drain, ApiError> {
        let nodes = self.local.read(views::nodes).await?;
        let found = resolve_node(&node, nodes.iter().map(NodeView::reference))?;
        if found.id == self.me.id {
            return self.local.drain(on, deadline).await;
        }
        let node = found
            .id
            .parse()
            .map_err(|_| ApiError::internal("a node id is garbled"))?;
        peer::ask(&self.net, node, &PeerRequest::Drain { on, deadline }).await
    }

    async fn events(&self, follow: bool, new_only: bool) -> Result<ItemStream<Event>, ApiError> {
        let mut streams = vec![self.local.events(follow, new_only)];
        let request = PeerRequest::Events { follow, new_only };
        let mut opening: FuturesUnordered<_> = self
            .others()
            .await?
            .into_iter()
            .map(|(node, _)| {
                let request = &request;
                async move { (node, peer::open(&self.net, node, request).await) }
            })
            .collect();
        // A member that does not answer keeps its events to itself for now.
        while let Some((node, stream)) = opening.next().await {
            if let Ok(stream) = stream {
                streams.push(items(node, stream));
            }
        }
        if follow {
            // One member's end must not end what the others have to tell.
            let quiet = streams
                .into_iter()
                .map(|stream| stream.filter(Result::is_ok));
            return Ok(Box::pin(stream::select_all(quiet.map(Box::pin))));
        }
        let mut events = Vec::new();
        for mut stream in streams {
            while let Ok(Some(Ok(event))) =
                tokio::time::timeout(peer::ANSWER_DEADLINE, stream.next()).await
            {
                events.push(event);
            }
        }
        events.sort_by_key(|event| (event.at_ms, event.seq));
        Ok(Box::pin(stream::iter(events.into_iter().map(Ok))))
    }

    async fn token(&self) -> Result<TokenView, ApiError> {
        let seeds = self
            .local
            .read(|engine| {
                let me = engine.gossip().me();
                let others = engine
                    .gossip()
                    .members()
                    .filter(|member| member.node != me && member.state == MemberState::Alive)
                    .take(TOKEN_MEMBERS)
                    .filter_map(|member| Some((member.node, member.fixed?.addrs.clone())));
                std::iter::once((me, engine.gossip().my_fixed().addrs.clone()))
                    .chain(others)
                    .map(|(node, addrs)| Seed { node, addrs })
                    .collect::<Vec<_>>()
            })
            .await?;
        if seeds.iter().all(|seed| seed.addrs.is_empty()) {
            return Err(ApiError::new(
                codes::UNAVAILABLE,
                "this node has no address that another machine could reach",
            )
            .with_remedy("start it with --listen, or with --advertise-loopback for a test"));
        }
        let secret = ClusterSecret::from_bytes(*self.secret.as_bytes());
        Ok(TokenView {
            token: Token { secret, seeds }.print(),
        })
    }

    fn health(&self) -> impl Future<Output = Result<Health, ApiError>> + Send {
        let health = Health {
            status: "ok".to_owned(),
            node: self.me.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: self.secret.cluster_id().to_string(),
        };
        // The answer says that the engine turns, not only that the server does.
        async move { self.local.read(move |_| health).await }
    }

    async fn metrics(&self) -> Result<String, ApiError> {
        let net = self.net.stats();
        self.local
            .read(move |engine| metrics::text(engine, &net))
            .await
    }
}

/// Each job once, as whoever acts for it tells it; as long as that one does not answer, as the owner
/// does that knows of most ends.
fn best_of(told: impl Iterator<Item = (String, Vec<JobSummary>)>) -> Vec<JobSummary> {
    let mut best: BTreeMap<String, (bool, JobSummary)> = BTreeMap::new();
    for (node, jobs) in told {
        for job in jobs {
            let acts = job.owner.id == node;
            let known = best.get(&job.id);
            let better =
                known.is_none_or(|(acted, known)| (acts, job.over()) > (*acted, known.over()));
            if better {
                best.insert(job.id.clone(), (acts, job));
            }
        }
    }
    best.into_values().map(|(_, job)| job).collect()
}

/// The items of a peer's answer in pieces.
fn items<T: DeserializeOwned + Send + 'static>(node: NodeId, stream: CallStream) -> ItemStream<T> {
    Box::pin(stream::unfold(Some(stream), move |stream| async move {
        let mut stream = stream?;
        let item = match stream.next().await? {
            Ok(bytes) => codec::decode::<Result<T, ApiError>>(&bytes, MAX_ANSWER)
                .unwrap_or_else(|error| Err(peer::unreachable(node, &error))),
            Err(error) => Err(peer::unreachable(node, &error)),
        };
        let goes_on = item.is_ok();
        Some((item, goes_on.then_some(stream)))
    }))
}
