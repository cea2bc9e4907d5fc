//! The engine's state in the API's words.

use starling_api::{
    Amount, CandidateView, ContainersView, Event, EventKind, JobDetail, JobState, JobSummary,
    NodeRef, NodeState, NodeView, OriginView, PredictedView, PressureView, ScorePart, TaskState,
    TaskView, VerdictView, WhyView,
};
use starling_engine as engine;
use starling_engine::{Engine, Job, Task};
use starling_gossip::{Member, MemberState};
use starling_placement::learn::EIGHTY;
use starling_placement::{Candidate, FitScore, Origin, Resources, Verdict};
use starling_wire::{NodeId, TaskId};

use crate::http::request_from_spec;

/// A node by id and, as far as gossip knows it, name.
pub(crate) fn node_ref(engine: &Engine, node: &NodeId) -> NodeRef {
    let name = engine.gossip().member(node).and_then(|member| member.fixed);
    NodeRef {
        id: node.to_string(),
        name: name.map(|fixed| fixed.name.clone()).unwrap_or_default(),
    }
}

/// The members, by name.
pub(crate) fn nodes(engine: &Engine) -> Vec<NodeView> {
    let me = engine.gossip().me();
    let mut nodes: Vec<_> = engine
        .gossip()
        .members()
        .map(|member| node(member, &me))
        .collect();
    nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    nodes
}

fn node(member: Member<'_>, me: &NodeId) -> NodeView {
    let fixed = member.fixed.cloned().unwrap_or_default();
    let label = |key: &str| fixed.labels.get(key).cloned().unwrap_or_default();
    let share = |value: u8| f64::from(value) / 255.0;
    let pressure = member.load.pressure;
    NodeView {
        id: member.node.to_string(),
        state: match member.state {
            MemberState::Alive => NodeState::Alive,
            MemberState::Suspect => NodeState::Suspect,
            MemberState::Dead => NodeState::Dead,
            MemberState::Left => NodeState::Left,
        },
        is_self: member.node == *me,
        draining: member.load.draining,
        arch: label("arch"),
        os: label("os"),
        capacity: amount(&fixed.capacity),
        free: amount(&member.load.free),
        idle_cpu_millis: member.load.idle_cpu,
        running: member.load.running,
        pressure: PressureView {
            cpu: share(pressure.cpu),
            memory: share(pressure.memory),
            io: share(pressure.io),
            network: share(pressure.network),
        },
        record_age_ms: millis(member.age),
        incarnation: member.incarnation,
        containers: fixed.containers.map(|there| ContainersView {
            engine: there.engine,
            version: there.version,
            arch: there.arch,
        }),
        name: fixed.name,
        platform: fixed.platform,
        labels: fixed.labels,
        addresses: fixed.addrs,
        version: fixed.version,
    }
}

const fn amount(resources: &Resources) -> Amount {
    Amount {
        cpu_millis: resources.cpu,
        memory: resources.memory,
        disk: resources.disk,
    }
}

/// A job in numbers.
pub(crate) fn summary(engine: &Engine, job: &Job) -> JobSummary {
    let again = |task: &Task| task.moves + task.attempts.saturating_sub(1);
    JobSummary {
        id: job.id.to_string(),
        name: job.spec.name.clone(),
        owner: node_ref(engine, &job.actor),
        state: match job.state {
            engine::JobState::Active => JobState::Active,
            engine::JobState::Stopping => JobState::Stopping,
            engine::JobState::Finished => JobState::Finished,
            engine::JobState::Stopped => JobState::Stopped,
        },
        submitted_at_ms: job.submitted.as_millis(),
        count: job.spec.count,
        pending: job.counts.pending,
        starting: job.counts.starting,
        running: job.counts.running,
        succeeded: job.counts.succeeded,
        failed: job.counts.failed,
        stopped: job.counts.stopped,
        retries: job.tasks.iter().map(again).sum(),
    }
}

/// A job with or without its tasks.
pub(crate) fn detail(engine: &Engine, job: &Job, tasks: bool) -> JobDetail {
    let views = (0..)
        .zip(&job.tasks)
        .map(|(index, task)| task_view(engine, job, index, task));
    JobDetail {
        summary: summary(engine, job),
        spec: request_from_spec(&job.spec),
        owners: job
            .owners
            .iter()
            .map(|owner| node_ref(engine, owner))
            .collect(),
        copies: engine.copies(job),
        tasks: if tasks { views.collect() } else { Vec::new() },
    }
}

fn task_view(engine: &Engine, job: &Job, index: u32, task: &Task) -> TaskView {
    TaskView {
        id: job.task_id(index).to_string(),
        index,
        state: state(task.state),
        node: task.node.as_ref().map(|node| node_ref(engine, node)),
        epoch: task.epoch,
        attempts: task.attempts,
        moves: task.moves,
        exit_code: task
            .outcome
            .as_ref()
            .and_then(starling_wire::Outcome::exit_code),
        reason: task.outcome.as_ref().map(ToString::to_string),
        started_at_ms: task.started.map(starling_wire::Time::as_millis),
        ended_at_ms: task.ended.map(starling_wire::Time::as_millis),
        waits_for: waits_for(job, task),
    }
}

const fn state(state: engine::TaskState) -> TaskState {
    match state {
        engine::TaskState::Pending => TaskState::Pending,
        engine::TaskState::Starting => TaskState::Starting,
        engine::TaskState::Running => TaskState::Running,
        engine::TaskState::Succeeded => TaskState::Succeeded,
        engine::TaskState::Failed => TaskState::Failed,
        engine::TaskState::Stopped => TaskState::Stopped,
    }
}

fn waits_for(job: &Job, task: &Task) -> Option<String> {
    if task.state == engine::TaskState::Starting && task.leasing {
        let owners = job.owners.len();
        return Some(format!(
            "a lease from a majority of its {owners} owners, because it may run at most once"
        ));
    }
    if task.state != engine::TaskState::Pending {
        return None;
    }
    if let Some(outcome) = &task.outcome {
        return Some(format!("its next try, after {outcome}"));
    }
    Some(
        job.waits
            .as_ref()
            .map_or_else(|| "a place".to_owned(), |(_, text)| text.clone()),
    )
}

/// Why a task is where it is.
pub(crate) fn why(engine: &Engine, id: TaskId) -> Option<WhyView> {
    let job = engine.job(id.job)?;
    let task = job.task(id.index)?;
    let pending = task.state == engine::TaskState::Pending;
    let waiting = job
        .waits
        .as_ref()
        .filter(|_| pending)
        .map(|(decision, _)| decision);
    let decision = waiting.or(task.decision.as_ref());
    let candidates = decision.map_or_else(Vec::new, |decision| {
        decision
            .candidates
            .iter()
            .map(|c| candidate(engine, c, task, pending))
            .collect()
    });
    Some(WhyView {
        task: id.to_string(),
        state: state(task.state),
        decided_at_ms: decision.map(|decision| decision.at_us / 1_000),
        batch: decision.map_or(0, |decision| decision.batch),
        waits_for: waits_for(job, task),
        candidates,
        ran_ms: task.ran.map(millis),
        history: Vec::new(),
    })
}

fn candidate(
    engine: &Engine,
    candidate: &Candidate<NodeId>,
    task: &Task,
    pending: bool,
) -> CandidateView {
    let elsewhere = pending || task.node != Some(candidate.node);
    let (verdict, reason) = match &candidate.verdict {
        Verdict::Chosen if elsewhere => (
            VerdictView::Outranked,
            Some("it took other tasks of the batch".to_owned()),
        ),
        Verdict::Chosen => (VerdictView::Chosen, None),
        Verdict::Outranked => (VerdictView::Outranked, None),
        Verdict::NotAsked => (VerdictView::NotAsked, None),
        Verdict::Refused(reason) => (VerdictView::Refused, Some(reason.clone())),
        Verdict::Silent => (VerdictView::Silent, None),
        Verdict::RuledOut(reason) => (VerdictView::RuledOut, Some(reason.clone())),
    };
    let ranked = Some(&candidate.cached).filter(|score| !score.parts.is_empty());
    CandidateView {
        node: node_ref(engine, &candidate.node),
        cached_score: ranked.map(FitScore::total),
        cached_parts: parts(ranked),
        record_age_ms: candidate.age_ms,
        live_score: candidate.live.as_ref().map(FitScore::total),
        live_parts: parts(candidate.live.as_ref()),
        predicted: predicted(candidate.live.as_ref().or(ranked)),
        room: candidate.room,
        verdict,
        reason,
    }
}

fn predicted(score: Option<&FitScore>) -> Option<PredictedView> {
    let predicted = score?.predicted?;
    Some(PredictedView {
        speed: predicted.speed,
        speed_from: origin(predicted.speed_from),
        slowdown: predicted.slowdown,
        slowdown_from: predicted.slowdown_from.map(origin),
        harm: predicted.harm,
        seconds: predicted.seconds,
        within: (EIGHTY * predicted.deviation).exp(),
    })
}

const fn origin(origin: Origin) -> OriginView {
    match origin {
        Origin::Own => OriginView::Measured,
        Origin::Class | Origin::Column | Origin::Both => OriginView::Neighbours,
        Origin::Population => OriginView::Population,
    }
}

fn parts(score: Option<&FitScore>) -> Vec<ScorePart> {
    let parts = score.map_or(&[][..], |score| &score.parts);
    parts
        .iter()
        .map(|part| ScorePart {
            name: part.name.clone().into_owned(),
            value: part.value,
        })
        .collect()
}

/// An event, as a sentence with names. Its number is given by the log that takes it.
pub(crate) fn event(engine: &Engine, at_ms: u64, event: &engine::Event) -> Event {
    let me = engine.gossip().me();
    let subject = event.node.as_ref().map(|node| node_ref(engine, node));
    let place = subject.as_ref().map_or("nowhere", |node| node.label());
    let task = event
        .task
        .map_or_else(|| "a task".to_owned(), |task| format!("task {task}"));
    let job = event
        .job
        .map_or_else(|| "a job".to_owned(), |job| format!("job {job}"));
    let detail = &event.detail;
    use engine::EventKind as Kind;
    let (kind, message) = match event.kind {
        Kind::JobSubmitted => (EventKind::JobSubmitted, taken(engine, event, &job)),
        Kind::JobFinished => (EventKind::JobFinished, format!("{job} is over: {detail}")),
        Kind::JobStopping => (
            EventKind::JobStopped,
            format!("{job} is being stopped: {detail}"),
        ),
        Kind::TaskPlaced => (
            EventKind::TaskPlaced,
            format!("{task} has a place on {place}"),
        ),
        Kind::TaskStarted if detail.is_empty() => {
            (EventKind::TaskStarted, format!("{task} runs on {place}"))
        }
        Kind::TaskStarted => (
            EventKind::TaskStarted,
            format!("{task} runs on {place}: {detail}"),
        ),
        Kind::TaskEnded => (
            EventKind::TaskEnded,
            format!("{task} ended on {place}: {detail}"),
        ),
        Kind::TaskRetried => (
            EventKind::TaskRetried,
            format!("{task} failed on {place}: {detail}"),
        ),
        Kind::TaskDisplaced => (
            EventKind::TaskDisplaced,
            format!("{task} lost its place on {place}: {detail}"),
        ),
        Kind::NodeAlive => (EventKind::NodeAlive, format!("node {place} is there")),
        Kind::NodeSuspect => (
            EventKind::NodeSuspect,
            format!("node {place} does not answer"),
        ),
        Kind::NodeDead => (
            EventKind::NodeDead,
            format!("node {place} is held to be dead"),
        ),
        Kind::NodeLeft => (EventKind::NodeLeft, format!("node {place} has left")),
        Kind::Draining => (
            EventKind::Draining,
            format!("node {place} takes no new tasks"),
        ),
        Kind::Undrained => (
            EventKind::Undrained,
            format!("node {place} takes tasks again"),
        ),
    };
    Event {
        seq: 0,
        at_ms,
        node: node_ref(engine, &me),
        kind,
        job: event.job.map(|job| job.to_string()),
        task: event.task.map(|task| task.to_string()),
        subject,
        message,
    }
}

/// A job was taken: its name, if it has one, and how large it is.
fn taken(engine: &Engine, event: &engine::Event, name: &str) -> String {
    let Some(job) = event.job.and_then(|id| engine.job(id)) else {
        return format!("{name} was taken: {}", event.detail);
    };
    let tasks = match job.spec.count {
        1 => "1 task".to_owned(),
        count => format!("{count} tasks"),
    };
    match job.spec.name.as_str() {
        "" => format!("{name} was taken: {tasks}"),
        called => format!("{name} ({called}) was taken: {tasks}"),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
