//! Runs for the tests of the reports: drawn from a seed, with plausible shapes, from no scheduler.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use starling_placement::Resources;

use super::{Report, Run};
use crate::case::{Beliefs, Case, Fault, FaultKind, Job, Machine, Network};
use crate::outcome::{Messages, Moment, Outcome, TaskFate};
use crate::truth::Truth;

/// Seconds.
pub(super) fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A case of one-core machines and these jobs: when, group, work of each task. All is measured.
pub(super) fn case(machines: usize, jobs: &[(f64, u16, &[Duration])]) -> Case {
    let core = Resources {
        cpu: 1_000,
        ..Resources::default()
    };
    let job = |&(at, group, tasks): &(f64, u16, &[Duration])| Job {
        at: s(at),
        home: 0,
        class: 0,
        group,
        need: core,
        tasks: tasks.to_vec(),
    };
    Case {
        name: "sample".to_owned(),
        seed: 1,
        machines: (0..machines)
            .map(|n| Machine::new(format!("n{n}"), 0, core))
            .collect(),
        truth: Arc::new(Truth::uniform()),
        beliefs: Beliefs::Nothing,
        jobs: jobs.iter().map(job).collect(),
        network: Network::default(),
        gossip_period: s(0.5),
        faults: Vec::new(),
        warmup: Duration::ZERO,
        measured_until: s(100.0),
        end: s(200.0),
        sim: crate::case::SimSettings::default(),
    }
}

/// A task that ran once: job, submitted, started, ended, alone.
pub(super) fn fate(job: u32, index: u32, times: [f64; 3], ideal: f64) -> TaskFate {
    let [submitted, started, ended] = times.map(s);
    TaskFate {
        job,
        index,
        submitted,
        started: Some(started),
        ended: Some(ended),
        machine: Some(0),
        starts: 1,
        ideal: s(ideal),
    }
}

/// An outcome of these tasks, without messages or a course.
pub(super) fn outcome(tasks: Vec<TaskFate>, end: f64) -> Outcome {
    Outcome {
        policy: "some".to_owned(),
        seed: 1,
        tasks,
        messages: Messages::default(),
        course: Vec::new(),
        end: s(end),
        events: 42,
        digest: "d1".to_owned(),
        violations: Vec::new(),
        converged: None,
        duplicate_seconds: 0.0,
    }
}

/// A run of a hundred machines for 240 seconds with a partition from 100 to 130 s, by a policy that
/// makes tasks wait about `wait` seconds and gossips or not.
pub(super) fn run(policy: &str, seed: u64, wait: f64, gossips: bool) -> (Case, Outcome) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut exponential = move || -libm::log(1.0 - rng.random::<f64>());
    let troubled = |at: f64| (100.0..135.0).contains(&at);
    let (mut at, mut jobs, mut tasks) = (0.0, Vec::new(), Vec::new());
    while at < 220.0 {
        at += exponential() / 20.0;
        let long = jobs.len() % 20 == 19;
        let work = exponential() * if long { 30.0 } else { 1.0 };
        let factor = if troubled(at) { 4.0 } else { 1.0 };
        let started = at + exponential() * wait * factor;
        let number = u32::try_from(jobs.len()).unwrap();
        jobs.push((at, u16::from(long), vec![s(work)]));
        tasks.push(fate(number, 0, [at, started, started + work * 1.1], work));
    }
    let jobs: Vec<_> = jobs
        .iter()
        .map(|(a, g, w)| (*a, *g, w.as_slice()))
        .collect();
    let mut case = case(100, &jobs);
    case.seed = seed;
    case.name = "a partition <of halves>".to_owned();
    (case.warmup, case.measured_until) = (s(20.0), s(200.0));
    let (from, to) = ((0..50).collect(), (50..100).collect());
    let cut = FaultKind::Cut {
        from,
        to,
        one_way: false,
    };
    for (at, what) in [(s(100.0), cut), (s(130.0), FaultKind::Heal)] {
        case.faults.push(Fault { at, what });
    }
    let moments = (1..=240u32).map(|second| moment(f64::from(second), &tasks, gossips, troubled));
    let course = moments.collect();
    let mut outcome = outcome(tasks, 240.0);
    outcome.policy = policy.to_owned();
    outcome.seed = seed;
    outcome.course = course;
    outcome.digest = format!("{seed:016x}");
    outcome.messages.live = outcome.tasks.len() as u64 * 2;
    outcome.messages.spread_bytes = 24_000 * 300;
    (case, outcome)
}

fn moment(at: f64, tasks: &[TaskFate], gossips: bool, troubled: impl Fn(f64) -> bool) -> Moment {
    let now = s(at);
    let before = s(at - 1.0);
    let holds = |fate: &&TaskFate, from: Option<Duration>, to: Option<Duration>| {
        from.is_some_and(|from| from <= now) && to.is_none_or(|to| to > now) && fate.starts > 0
    };
    let number = |n: usize| u32::try_from(n).unwrap();
    let running = tasks.iter().filter(|f| holds(f, f.started, f.ended));
    let waiting = tasks
        .iter()
        .filter(|f| holds(f, Some(f.submitted), f.started));
    let ended: Vec<f64> = tasks
        .iter()
        .filter(|f| f.ended.is_some_and(|end| end > before && end <= now))
        .filter_map(|f| f.ended.map(|end| (end - f.submitted).as_secs_f64()))
        .collect();
    let age = 1.3
        + 0.1 * libm::sin(at)
        + if troubled(at) {
            (at - 100.0) * 0.5
        } else {
            0.0
        };
    Moment {
        at: now,
        up: if troubled(at) { 90 } else { 100 },
        running: number(running.count()),
        waiting: number(waiting.count()),
        view_age: if gossips { age } else { f64::NAN },
        ended: number(ended.len()),
        response: ended.iter().sum::<f64>() / f64::from(number(ended.len())),
        messages: if gossips { 240 } else { 40 },
    }
}

/// Three policies over three seeds; the names and the scenario need escaping.
pub(super) fn report() -> Report {
    static ONCE: LazyLock<Report> = LazyLock::new(draw);
    ONCE.clone()
}

fn draw() -> Report {
    let policies = [
        ("random", 6.0, false),
        ("p2c <live>", 2.0, false),
        ("starling", 1.0, true),
    ];
    let mut runs = Vec::new();
    for (policy, wait, gossips) in policies {
        for seed in 1..=3 {
            let (case, outcome) = run(policy, seed, wait, gossips);
            runs.push(Run::new(&case, outcome));
        }
    }
    let scenario = "# <script>alert(\"&\")</script>\n[cluster]\nnodes = 100\n".to_owned();
    let command = "starling-testnet sim cut.toml --seeds 1..4".to_owned();
    Report::new(scenario, command, runs)
}
