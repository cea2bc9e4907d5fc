//! Every policy in small cases: complete, deterministic, and honest about messages.

use std::sync::Arc;
use std::time::Duration;

use starling_placement::Resources;

use super::chance::{Purpose, below, exponential, stream};
use super::*;
use crate::case::{Beliefs, Fault, Job, Latency, Machine, SERVICE, SimSettings};
use crate::truth::{Contention, Truth};

const CORE: Resources = Resources {
    cpu: 1_000,
    memory: 0,
    disk: 0,
};

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// Machines of two slots on two platforms, three classes that disturb each other, and one that
/// cannot run on the second platform; jobs of four tasks at a load of about a half.
fn case(seed: u64, jobs: usize) -> Case {
    let n = 20;
    let mut rng = stream(seed, Purpose::Workload);
    let two = Resources { cpu: 2_000, ..CORE };
    let machines: Vec<Machine> = (0..n)
        .map(|i| Machine::new(format!("n{i}"), (i % 2) as u16, two))
        .collect();
    let mut at = 0.0;
    let jobs: Vec<Job> = (0..jobs)
        .map(|_| {
            at += 0.2 * exponential(&mut rng);
            Job {
                at: Duration::from_secs_f64(at),
                home: below(&mut rng, n) as u32,
                class: below(&mut rng, 3) as u16,
                group: 0,
                need: CORE,
                tasks: (0..4)
                    .map(|_| Duration::from_secs_f64(0.5 * exponential(&mut rng)))
                    .collect(),
            }
        })
        .collect();
    let keeps = vec![
        vec![1.0, 0.5, 0.8],
        vec![0.9, 0.0, 0.7],
        vec![0.8, 0.6, 1.0],
    ];
    let truth = Truth {
        platforms: vec!["old".into(), "new".into()],
        classes: vec!["a".into(), "b".into(), "c".into()],
        speed: vec![vec![0.8, 1.5], vec![1.0, 1.0], vec![1.0, 0.0]],
        contention: Contention::Pairs {
            keeps: vec![keeps.clone(), keeps],
        },
        noise: 0.1,
    };
    Case {
        name: "small".into(),
        seed,
        machines,
        truth: Arc::new(truth),
        beliefs: Beliefs::Given { error: 0.1 },
        measured_until: Duration::MAX,
        warmup: Duration::ZERO,
        jobs,
        network: Network::default(),
        gossip_period: ms(300),
        faults: Vec::new(),
        end: Duration::from_secs(600),
        sim: SimSettings::default(),
    }
}

fn all() -> impl Iterator<Item = PolicyName> {
    names().iter().map(|(name, _)| parse(name).expect("known"))
}

fn fault(at: u64, what: FaultKind) -> Fault {
    Fault { at: ms(at), what }
}

#[test]
fn every_policy_ends_every_task_and_repeats_itself() {
    for beliefs in [
        Beliefs::Given { error: 0.1 },
        Beliefs::Learned,
        Beliefs::Nothing,
    ] {
        let mut case = case(3, 150);
        case.beliefs = beliefs;
        for policy in all() {
            let outcome = run(&case, policy, None);
            assert_eq!(outcome.violations, Vec::<String>::new(), "{policy}");
            assert_eq!(outcome.tasks.len(), case.task_count());
            for fate in &outcome.tasks {
                let ended = fate
                    .ended
                    .unwrap_or_else(|| panic!("{policy} {beliefs:?} {fate:?}"));
                let started = fate.started.expect("started");
                assert!(fate.submitted <= started && started < ended && fate.starts == 1);
                // Class 2 never ran where it cannot.
                let machine = fate.machine.expect("ran somewhere");
                assert!(case.jobs[fate.job as usize].class != 2 || machine % 2 == 0);
            }
            assert!(outcome.end < case.end && outcome.events > 600);
            if beliefs == Beliefs::Learned {
                let again = run(&case, policy, None);
                assert_eq!(again.digest, outcome.digest, "{policy}");
                assert_eq!(again.messages, outcome.messages, "{policy}");
                assert!(again.tasks == outcome.tasks, "{policy}");
                case.seed += 1;
                assert_ne!(run(&case, policy, None).digest, outcome.digest, "{policy}");
                case.seed -= 1;
            }
        }
    }
}

#[test]
fn every_policy_survives_crashes_leaves_boots_and_a_dead_centre() {
    let mut case = case(5, 200);
    let some: Vec<u32> = vec![1, 2, 3, 4];
    case.machines[10].up = false;
    case.faults = vec![
        fault(
            1_000,
            FaultKind::Lie {
                machines: vec![7],
                on: true,
            },
        ),
        fault(
            2_000,
            FaultKind::Crash {
                machines: some.clone(),
                tasks: true,
            },
        ),
        fault(
            3_000,
            FaultKind::Boot {
                machines: vec![10, 1],
            },
        ),
        fault(5_000, FaultKind::CentreDies),
        fault(
            6_000,
            FaultKind::Leave {
                machines: vec![5, 6],
            },
        ),
        fault(8_000, FaultKind::CentreReturns),
        fault(
            9_000,
            FaultKind::Crash {
                machines: vec![8],
                tasks: false,
            },
        ),
        fault(9_100, FaultKind::Boot { machines: vec![8] }),
        fault(12_000, FaultKind::Boot { machines: some }),
    ];
    for policy in all() {
        let outcome = run(&case, policy, None);
        assert_eq!(outcome.violations, Vec::<String>::new(), "{policy}");
        let ended = outcome.tasks.iter().filter(|fate| fate.ended.is_some());
        assert_eq!(ended.count(), case.task_count(), "{policy}");
        assert!(outcome.tasks.iter().any(|fate| fate.starts > 1), "{policy}");
    }
}

#[test]
fn a_dead_centre_places_nothing() {
    let mut case = case(8, 100);
    case.faults = vec![
        fault(4_000, FaultKind::CentreDies),
        fault(9_000, FaultKind::CentreReturns),
    ];
    for (name, central) in [("central", true), ("quasar", true), ("p2c", false)] {
        let outcome = run(&case, parse(name).expect("known"), None);
        let during = |fate: &&crate::outcome::TaskFate| {
            let started = fate.started.expect("started");
            started > ms(4_010) && started < ms(9_000)
        };
        let started = outcome.tasks.iter().filter(during).count();
        assert_eq!(started == 0, central, "{name}: {started}");
    }
}

#[test]
fn contention_slows_tasks_by_as_much_as_it_should() {
    // Two tasks of 1 s on one machine keep a half beside each other; the second comes at 0.5 s.
    // The first has 0.5 s of work left, done at 1.5 s; the second then has 0.5 s left: 2.0 s.
    let mut case = case(1, 0);
    case.machines.truncate(1);
    let truth = Truth {
        contention: Contention::Pairs {
            keeps: vec![vec![vec![0.5]]],
        },
        ..Truth::uniform()
    };
    case.truth = Arc::new(truth);
    case.network.latency = Latency::Fixed(Duration::ZERO);
    let job = |at| Job {
        at: ms(at),
        home: 0,
        class: 0,
        group: 0,
        need: CORE,
        tasks: vec![ms(1_000)],
    };
    case.jobs = vec![job(0), job(500), job(600)];
    let outcome = run(&case, parse("random").expect("known"), None);
    let ends: Vec<f64> = outcome
        .tasks
        .iter()
        .map(|fate| fate.ended.expect("ended").as_secs_f64())
        .collect();
    // The third waits for room until 1.5 s: it and the second are beside each other until the second
    // ends at 2.5 s, with 0.5 s of its own work left.
    for (end, expected) in ends.iter().zip([1.5, 2.5, 3.0]) {
        assert!((end - expected).abs() < 1e-6, "{ends:?}");
    }
    assert_eq!(outcome.messages.placement, 0);
}

#[test]
fn services_run_to_the_end() {
    let mut case = case(2, 5);
    case.jobs[0].tasks = vec![SERVICE];
    case.end = Duration::from_secs(20);
    let outcome = run(&case, parse("p2c").expect("known"), None);
    assert_eq!(outcome.end, case.end);
    assert!(outcome.tasks[0].started.is_some() && outcome.tasks[0].ended.is_none());
    assert!(outcome.tasks[1..].iter().all(|fate| fate.ended.is_some()));
}

#[test]
fn messages_are_counted_as_documented() {
    let mut case = case(4, 100);
    let tasks = case.task_count() as u64;
    case.truth = Arc::new(Truth::uniform());
    case.jobs.iter_mut().for_each(|job| job.class = 0);
    case.machines
        .iter_mut()
        .for_each(|machine| machine.platform = 0);
    let messages = |name: &str| run(&case, parse(name).expect("known"), None).messages;
    let random = messages("random");
    assert_eq!((random.live, random.spread), (0, 0));
    // A claim and a report, unless a machine places its own task on itself.
    let remote = random.placement as f64 / tasks as f64;
    assert!((1.8..2.0).contains(&remote), "{remote}");
    assert_eq!(random.placement_bytes, 64 * random.placement);
    let p2c = messages("p2c").live as f64 / tasks as f64;
    assert!((1.8..2.0).contains(&p2c), "{p2c}");
    let late = messages("sparrow-late").live as f64 / tasks as f64;
    // Two reservations and between one and two pulls.
    assert!((2.8..4.0).contains(&late), "{late}");
    assert_eq!(messages("central").live, 0);
    assert_eq!(messages("central").placement, 2 * tasks);
    assert!(messages("dodoor").spread > 0 && messages("p2c-stale").spread > 0);
}

#[test]
fn what_is_left_out_is_listed() {
    let mut case = case(4, 1);
    assert_eq!(unsupported(&case), Vec::<String>::new());
    case.faults = vec![fault(1, FaultKind::Heal), fault(1, FaultKind::Heal)];
    case.network.loss = 0.1;
    assert_eq!(unsupported(&case).len(), 2);
}

#[test]
fn what_is_known_of_classes_pays() {
    let case = case(6, 300);
    let mean = |name: &str| {
        let outcome = run(&case, parse(name).expect("known"), None);
        let slow = outcome.tasks.iter().map(|fate| {
            (fate.ended.expect("ended") - fate.submitted).as_secs_f64() / fate.ideal.as_secs_f64()
        });
        slow.sum::<f64>() / outcome.tasks.len() as f64
    };
    let (oracle, random) = (mean("oracle"), mean("random"));
    assert!(oracle < 0.8 * random, "{oracle} {random}");
    assert!(mean("quasar") < 0.9 * random);
}

/// Single servers at load 0.8 with Poisson arrivals and exponential work.
fn queues(n: usize, jobs: usize) -> Case {
    let mut case = case(9, 0);
    let mut rng = stream(9, Purpose::Workload);
    let mut at = 0.0;
    case.truth = Arc::new(Truth::uniform());
    case.machines = (0..n)
        .map(|i| Machine::new(format!("n{i}"), 0, CORE))
        .collect();
    case.jobs = (0..jobs)
        .map(|_| {
            at += exponential(&mut rng) / (0.8 * n as f64);
            Job {
                at: Duration::from_secs_f64(at),
                home: below(&mut rng, n) as u32,
                class: 0,
                group: 0,
                need: CORE,
                tasks: vec![Duration::from_secs_f64(exponential(&mut rng))],
            }
        })
        .collect();
    case.network.latency = Latency::Fixed(Duration::ZERO);
    case.end = Duration::MAX;
    case
}

#[test]
fn policies_stand_in_their_known_order() {
    let case = queues(50, 12_000);
    let mean = |name: &str| {
        let outcome = run(&case, parse(name).expect("known"), None);
        let tasks = outcome.tasks.iter();
        let sum: f64 = tasks
            .map(|fate| (fate.ended.expect("ended") - fate.submitted).as_secs_f64())
            .sum();
        sum / outcome.tasks.len() as f64
    };
    let order = ["central", "jsq", "p5", "p3", "p2c", "p2c-stale", "random"].map(mean);
    assert!(order.is_sorted(), "{order:?}");
    // Each of these knows more than chance does.
    for name in ["jiq", "prequal", "dodoor", "tarcil", "sparrow-late"] {
        let mean = mean(name);
        assert!(mean < 0.8 * order[6], "{name}: {mean} {order:?}");
    }
}

#[test]
fn without_its_store_dodoor_goes_on_with_what_it_heard() {
    let mut case = queues(50, 4_000);
    let age = |case: &Case| {
        let outcome = run(case, parse("dodoor").expect("known"), None);
        assert!(outcome.tasks.iter().all(|fate| fate.ended.is_some()));
        let late = outcome
            .course
            .iter()
            .filter(|moment| moment.at > ms(80_000));
        late.map(|moment| moment.view_age).fold(0.0, f64::max)
    };
    let fresh = age(&case);
    case.faults = vec![fault(30_000, FaultKind::CentreDies)];
    let stale = age(&case);
    assert!(fresh < 20.0 && stale > 50.0, "{fresh} {stale}");
}

#[test]
fn standing_tasks_run_where_they_stand() {
    let mut case = queues(3, 6);
    case.jobs.iter_mut().for_each(|job| job.at = Duration::ZERO);
    let outcome = run_from(&case, parse("central").expect("known"), 4, None);
    for fate in &outcome.tasks[..4] {
        assert_eq!(fate.machine, Some(case.jobs[fate.job as usize].home));
    }
    assert!(outcome.tasks.iter().all(|fate| fate.ended.is_some()));
}
