#![allow(clippy::unwrap_used)]

mod errors;
mod faults;
mod files;

use std::path::{Path, PathBuf};

use super::*;
use crate::case::Job;
use crate::truth::Contention;

/// The examples that the project ships.
const EXAMPLES: [&str; 10] = [
    "three-pis",
    "two-nodes",
    "homelab",
    "edge-sites",
    "two-speed",
    "sparrow",
    "heavy-tail",
    "interference",
    "churn-and-partition",
    "ten-thousand",
];

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(format!("{name}.toml"))
}

/// A scenario of a few lines: `rest` follows a name and a cluster of ten machines of one core.
pub(super) fn small(rest: &str) -> Result<Scenario, ScenarioError> {
    let text =
        format!("name = \"x\"\n[cluster]\n[[cluster.machines]]\ncount = 10\ncpu = 1\n{rest}");
    parse(&text, "scenarios/x.toml", Path::new(""))
}

/// Seconds of work in all.
pub(super) fn work(jobs: &[Job]) -> f64 {
    let tasks = jobs.iter().flat_map(|job| &job.tasks);
    tasks.map(Duration::as_secs_f64).sum()
}

#[test]
fn every_example_draws_a_case_in_order() {
    for name in EXAMPLES {
        let scenario = load(&example(name)).unwrap();
        let case = scenario.case(*scenario.seeds().start()).unwrap();
        assert!(!scenario.about().is_empty(), "{name}");
        assert!(scenario.policies().next().is_some(), "{name}");
        assert!(!case.jobs.is_empty(), "{name}");
        assert!(case.jobs.is_sorted_by_key(|job| job.at), "{name}");
        assert!(case.faults.is_sorted_by_key(|fault| fault.at), "{name}");
        assert!(
            case.warmup < case.measured_until && case.measured_until < case.end,
            "{name}"
        );
        let groups = scenario.groups();
        for job in &case.jobs {
            let home = &case.machines[job.home as usize];
            assert!(home.up && usize::from(job.group) < groups.len(), "{name}");
            assert!(usize::from(job.class) < case.truth.classes.len(), "{name}");
            assert!(!job.tasks.is_empty(), "{name}");
        }
    }
}

#[test]
fn no_example_is_forgotten() {
    let dir = example("").with_file_name("");
    let files = std::fs::read_dir(dir).unwrap();
    let mut found: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned))
        .collect();
    let mut known = EXAMPLES.map(str::to_owned).to_vec();
    found.sort();
    known.sort();
    assert_eq!(found, known);
}

#[test]
fn the_largest_example_is_as_large_as_it_says() {
    let case = load(&example("ten-thousand")).unwrap().case(1).unwrap();
    assert_eq!(case.machines.len(), 10_000);
    let tasks = case.task_count();
    assert!((95_000..105_000).contains(&tasks), "{tasks}");
}

#[test]
fn every_example_scales() {
    for name in EXAMPLES {
        let scenario = load(&example(name)).unwrap();
        let scaled = scenario.with_nodes(20).unwrap();
        assert_eq!(scaled.nodes(), 20);
        assert_eq!(scaled.case(1).unwrap().machines.len(), 20, "{name}");
    }
}

#[test]
fn the_same_seed_draws_the_same_case() {
    for name in ["churn-and-partition", "edge-sites", "heavy-tail", "homelab"] {
        let scenario = load(&example(name)).unwrap();
        let draw = |seed| {
            let case = scenario.case(seed).unwrap();
            (case.machines, case.truth, case.jobs, case.faults, case.end)
        };
        let first = draw(5);
        assert!(first == draw(5), "{name}");
        assert!(first.2 != draw(6).2, "{name}");
    }
}

#[test]
fn a_load_is_met_over_a_long_draw() {
    for (rest, capacity) in [
        ("duration = { exponential = \"1s\" }", 10.0),
        (
            "duration = { exponential = \"1s\" }\nneed = { cpu = \"500m\" }",
            20.0,
        ),
        (
            "tasks = { geometric = 4 }\nduration = { median = \"1s\", sigma = 1 }",
            10.0,
        ),
        (
            "duration = { pareto = \"100ms\", alpha = 1.5, most = \"30s\" }",
            10.0,
        ),
        (
            "tasks = 20\nper = \"job\"\nwithin = 0.3\nduration = { uniform = [\"0.1s\", \"0.3s\"] }",
            10.0,
        ),
        (
            "shape = { name = \"yahoo\", size_scale = 0.0005, tasks_at_most = 50 }",
            10.0,
        ),
    ] {
        let scenario = small(&format!(
            "[workload]\nload = 0.9\nlength = \"2000s\"\n{rest}\n"
        ))
        .unwrap();
        let load = work(&scenario.case(3).unwrap().jobs) / (capacity * 2_000.0);
        assert!((load / 0.9 - 1.0).abs() < 0.05, "{rest}: {load}");
    }
}

#[test]
#[allow(clippy::cast_precision_loss)]
fn an_exact_load_is_met_by_every_draw() {
    let scenario = load(&example("heavy-tail")).unwrap();
    for seed in 1..4 {
        let case = scenario.case(seed).unwrap();
        let load = work(&case.jobs) / (case.cores() * 600.0);
        assert!((load / 0.8 - 1.0).abs() < 0.02, "{seed}: {load}");
        let last = case.jobs.last().unwrap().at;
        assert!(last < Duration::from_secs(600), "{last:?}");
        let long = case.jobs.iter().filter(|job| job.group == 1).count();
        assert!(
            (0.03..0.07).contains(&(long as f64 / case.jobs.len() as f64)),
            "{long}"
        );
    }
}

#[test]
fn a_load_counts_the_speed_of_classes_where_they_run() {
    let text = "name = \"x\"\n[cluster]\nnodes = 20\n\
        [[cluster.machines]]\nshare = 0.5\nplatform = \"slow\"\ncpu = 1\n\
        [[cluster.machines]]\nshare = 0.5\nplatform = \"fast\"\ncpu = 1\n\
        [[truth.platforms]]\nname = \"slow\"\nspeed = 0.2\n\
        [[truth.platforms]]\nname = \"fast\"\nspeed = 1.8\n\
        [[truth.classes]]\nname = \"a\"\n[[truth.classes]]\nname = \"b\"\nspeed = { fast = 0.8 }\n\
        [workload]\nload = 0.5\nduration = \"1s\"\nlength = \"2000s\"\nclass = { a = 3, b = 1 }\n";
    let scenario = parse(text, "x.toml", Path::new("")).unwrap();
    let case = scenario.case(1).unwrap();
    // Ten slow and ten fast ones, the mean speed of the fast ones 0.75 x 1.8 + 0.25 x 0.8.
    let capacity = 10.0 * 0.2 + 10.0 * (0.75 * 1.8 + 0.25 * 0.8);
    let load = work(&case.jobs) / (capacity * 2_000.0);
    assert!((load / 0.5 - 1.0).abs() < 0.03, "{load}");
    let a = case.jobs.iter().filter(|job| job.class == 0).count();
    let share = f64::from(u32::try_from(a * 1_000 / case.jobs.len()).unwrap());
    assert!((share - 750.0).abs() < 20.0, "{share}");
    assert!(case.truth.contention == Contention::None);
}

#[test]
fn the_pace_does_not_shift_the_sizes() {
    let draw = |rest: &str| {
        let text =
            format!("[workload]\nduration = {{ exponential = \"1s\" }}\njobs = 50\n{rest}\n");
        let jobs = small(&text).unwrap().case(2).unwrap().jobs;
        let tasks: Vec<_> = jobs.iter().map(|job| job.tasks.clone()).collect();
        (jobs.last().unwrap().at, tasks)
    };
    let (poisson, bursty) = (draw("rate = 2"), draw("rate = 2\narrivals = { cov = 4 }"));
    assert_eq!(poisson.1, bursty.1);
    assert_ne!(poisson.0, bursty.0);
}

#[test]
fn long_jobs_and_services_have_their_groups() {
    let scenario = small(
        "[workload]\nrate = 5\nlength = \"200s\"\nlong_above = \"5s\"\n\
         duration = { short = { exponential = \"1s\" }, long = \"30s\", long_share = 0.1 }\n\
         [[workload.services]]\ntasks = 2\nneed = { cpu = \"100m\" }\n",
    )
    .unwrap();
    assert_eq!(scenario.groups(), ["short", "long", "services"]);
    let case = scenario.case(1).unwrap();
    let count = |group: u16| case.jobs.iter().filter(|job| job.group == group).count();
    assert_eq!(count(2), 1);
    assert!((60..140).contains(&count(1)), "{}", count(1));
    for job in &case.jobs {
        let service = job.tasks.contains(&crate::case::SERVICE);
        assert_eq!(service, job.group == 2);
        assert!(job.group != 1 || job.tasks[0] > Duration::from_secs(5));
    }
}

#[test]
fn warm_up_and_cool_down_frame_what_is_measured() {
    let scenario = small(
        "[workload]\nrate = 10\nduration = \"1s\"\nwarmup = \"20s\"\nlength = \"60s\"\ncooldown = \"10s\"\n",
    )
    .unwrap();
    let case = scenario.case(1).unwrap();
    let last = case.jobs.last().unwrap().at;
    assert!(
        last > Duration::from_secs(85) && last < Duration::from_secs(90),
        "{last:?}"
    );
    let measured = case.jobs.iter().filter(|job| case.is_measured(job)).count();
    assert!((530..670).contains(&measured), "{measured}");
    assert_eq!(case.measured_until, Duration::from_secs(80));
}

#[test]
fn groups_of_machines_keep_their_parts() {
    let scenario = load(&example("homelab")).unwrap();
    let names = |nodes| -> Vec<String> {
        let case = scenario.with_nodes(nodes).unwrap().case(1).unwrap();
        case.machines
            .into_iter()
            .map(|machine| machine.name)
            .collect()
    };
    assert_eq!(names(5), ["pi0", "pi1", "pi2", "pi3", "server"]);
    let ten = names(10);
    assert_eq!(&ten[7..], ["pi7", "server", "server-1"]);
}

#[test]
fn what_must_hold_is_read() {
    let scenario = small(
        "[workload]\nrate = 1\nduration = \"1s\"\njobs = 5\n\
         [expect]\nlost = 0\nresponse_p99_below = \"1500ms\"\nconverged = true\nperformance_mean_above = 0.8\n",
    )
    .unwrap();
    let found: Vec<(&str, Op, f64)> = scenario
        .expect()
        .metrics
        .iter()
        .map(|one| (one.metric.as_str(), one.op, one.value))
        .collect();
    assert_eq!(
        found,
        [
            ("converged", Op::Equal, 1.0),
            ("lost", Op::Equal, 0.0),
            ("performance_mean", Op::Above, 0.8),
            ("response_p99", Op::Below, 1.5),
        ]
    );
    assert!(Op::Below.holds(1.4, 1.5) && !Op::Below.holds(f64::NAN, 1.5));
    assert!(Op::Equal.holds(0.0, 0.0) && !Op::Equal.holds(1.0, 0.0));
}
