//! Answers of the API to test with: one job of four tasks, one node, one decision.

use starling_api::{
    Amount, CandidateView, CellView, ClassView, ContainersView, Event, EventKind, InterferenceView,
    JobDetail, JobRequest, JobState, JobSummary, NodeRef, NodeState, NodeView, ObserverView,
    OriginView, PredictedView, PressureView, ScorePart, TaskState, TaskView, VerdictView, WhyView,
};
use starling_wire::JobId;

/// The job's number.
pub(crate) const JOB: JobId = JobId(0x1234_5678_9abc_def0);

pub(crate) fn node_ref() -> NodeRef {
    NodeRef {
        id: "7".repeat(52),
        name: "attic".into(),
    }
}

pub(crate) fn summary() -> JobSummary {
    JobSummary {
        id: JOB.to_string(),
        name: "digest".into(),
        owner: node_ref(),
        state: JobState::Active,
        submitted_at_ms: 1_700_000_000_000,
        count: 4,
        pending: 1,
        starting: 0,
        running: 1,
        succeeded: 1,
        failed: 1,
        stopped: 0,
        retries: 2,
    }
}

pub(crate) fn tasks() -> Vec<TaskView> {
    let task = |index, state, exit_code: Option<i32>, reason: Option<&str>| TaskView {
        id: format!("{JOB}.{index}"),
        index,
        state,
        node: (state != TaskState::Pending).then(node_ref),
        epoch: u64::from(index),
        attempts: 1,
        moves: u32::from(index == 1),
        exit_code,
        reason: reason.map(str::to_owned),
        started_at_ms: (state != TaskState::Pending).then_some(1_700_000_001_000),
        ended_at_ms: exit_code.map(|_| 1_700_000_003_500),
        waits_for: (state == TaskState::Pending).then(|| "2 cores on one node".to_owned()),
    };
    vec![
        task(0, TaskState::Succeeded, Some(0), Some("exit code 0")),
        task(1, TaskState::Running, None, None),
        task(2, TaskState::Failed, Some(7), Some("exit code 7")),
        task(3, TaskState::Pending, None, None),
    ]
}

pub(crate) fn detail() -> JobDetail {
    JobDetail {
        summary: summary(),
        spec: JobRequest {
            count: 4,
            memory: Some("64MiB".into()),
            ..JobRequest::new(["sh", "-c", "exit 0"])
        },
        owners: vec![node_ref()],
        copies: 1,
        tasks: tasks(),
    }
}

pub(crate) fn node() -> NodeView {
    NodeView {
        id: node_ref().id,
        name: node_ref().name,
        state: NodeState::Alive,
        is_self: true,
        draining: false,
        platform: "AMD EPYC".into(),
        arch: "x86_64".into(),
        os: "linux".into(),
        labels: [("zone".to_owned(), "roof".to_owned())].into(),
        capacity: Amount {
            cpu_millis: 8000,
            memory: 16 << 30,
            disk: 100 << 30,
        },
        free: Amount {
            cpu_millis: 6500,
            memory: 8 << 30,
            disk: 50 << 30,
        },
        idle_cpu_millis: 6400,
        running: 3,
        pressure: PressureView {
            cpu: 0.25,
            ..PressureView::default()
        },
        record_age_ms: 300,
        addresses: vec!["/ip4/10.0.0.1/tcp/7701".into()],
        version: "0.1.0".into(),
        incarnation: 1,
        containers: Some(ContainersView {
            engine: "docker".into(),
            version: "20.10.24".into(),
            arch: "amd64".into(),
        }),
    }
}

pub(crate) fn interference() -> InterferenceView {
    InterferenceView {
        class: "process:redis/cache".into(),
        beside: "process:ffmpeg/encode".into(),
        slowdown: 1.42,
        low: 1.2,
        high: 1.68,
        by: "memory".into(),
        measured: Some(1.5),
        suffered: 12.0,
        exerted: 7.0,
        confidence: 0.8,
    }
}

pub(crate) fn why() -> WhyView {
    let part = |name: &str, value| ScorePart {
        name: name.into(),
        value,
    };
    let candidate = |name: &str, verdict, score, reason: Option<&str>| CandidateView {
        node: NodeRef {
            id: "8".repeat(52),
            name: name.into(),
        },
        cached_score: score,
        cached_parts: score
            .map(|score| vec![part("speed", 1.0), part("calm", score - 1.0)])
            .unwrap_or_default(),
        record_age_ms: 250,
        live_score: (verdict == VerdictView::Chosen).then_some(1.5),
        live_parts: Vec::new(),
        predicted: (verdict == VerdictView::Chosen).then_some(PredictedView {
            speed: 0.8,
            speed_from: OriginView::Neighbours,
            slowdown: 1.25,
            slowdown_from: Some(OriginView::Measured),
            harm: 0.05,
            seconds: Some(12.0),
            within: 1.3,
        }),
        room: (verdict == VerdictView::Chosen).then_some(4),
        verdict,
        reason: reason.map(str::to_owned),
    };
    WhyView {
        task: format!("{JOB}.1"),
        state: TaskState::Running,
        decided_at_ms: Some(1_700_000_000_100),
        batch: 4,
        waits_for: None,
        candidates: vec![
            candidate("attic", VerdictView::Chosen, Some(1.75), None),
            candidate("cellar", VerdictView::Refused, Some(1.7), Some("full")),
            candidate("shed", VerdictView::RuledOut, None, Some("arch is aarch64")),
        ],
        ran_ms: None,
        history: Vec::new(),
    }
}

pub(crate) fn event(seq: u64, kind: EventKind) -> Event {
    Event {
        seq,
        at_ms: 1_700_000_000_000 + seq,
        node: node_ref(),
        kind,
        job: Some(JOB.to_string()),
        task: None,
        subject: None,
        message: format!("event {seq}"),
    }
}

/// A class that one node measured on two platforms, on one of them once.
pub(crate) fn class() -> ClassView {
    let cell = |column: &str, value: f64, count: u32| CellView {
        column: column.into(),
        value,
        low: value / 2.0,
        high: value * 2.0,
        count: count.into(),
        confidence: f64::from(count) / f64::from(count + 2),
        age_ms: 90_000,
        observers: vec![ObserverView {
            node: node_ref(),
            value,
            count,
            age_ms: 90_000,
        }],
    };
    ClassView {
        name: "process:ffmpeg/encode".into(),
        observers: 1,
        cells: vec![
            cell("platform:AMD EPYC x8 16G", 12.5, 30),
            cell("platform:Raspberry Pi x4 4G", 250.0, 1),
        ],
    }
}
