//! Files that a scenario names. Those of real clusters are no part of the project: tests that read
//! them are skipped where they are not.

use std::path::{Path, PathBuf};

use super::super::*;
use super::work;
use crate::case::{FaultKind, Latency};
use crate::truth::Contention;

/// The folder of measurements: `STARLING_DATA`, or the one beside the repository, if there is one.
fn data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let dir = std::env::var_os("STARLING_DATA").map_or_else(beside, PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    println!("skipped: there is no ../shared/data beside the repository");
    None
}

/// The facts beside the data.
fn facts(data: &Path) -> serde_json::Value {
    let facts = std::fs::read_to_string(data.join("trace_facts.json")).unwrap();
    // What was not a number was written as such, which is not JSON.
    serde_json::from_str(&facts.replace(": NaN", ": null")).unwrap()
}

fn number(fact: &serde_json::Value) -> usize {
    usize::try_from(fact.as_u64().unwrap()).unwrap()
}

fn scenario(base: &Path, cluster: &str, rest: &str) -> Scenario {
    let text = format!("name = \"x\"\n[cluster]\n{cluster}\n{rest}");
    parse(&text, "x.toml", base).unwrap()
}

const ONE: &str = "[[cluster.machines]]\ncount = 10\ncpu = 64\n";

#[test]
fn traces_of_jobs_have_all_their_rows() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for file in [
        "traces/yahoo_YH1_sub.csv.gz",
        "traces/yahoo_YH2_sub.csv.gz",
        "traces/google_GOOG_subtrace.csv.gz",
        "traces/yahoo_NYH_trace80_scaled.csv.gz",
    ] {
        let rest = format!("[workload]\ntrace = {{ file = \"{file}\" }}\n");
        let case = scenario(&data, ONE, &rest).case(1).unwrap();
        assert_eq!(case.jobs.len(), number(&facts[file]["rows"]), "{file}");
        assert_eq!(case.task_count(), number(&facts[file]["tasks"]), "{file}");
        let seconds = facts[file]["load_core_s"].as_f64().unwrap();
        assert!((work(&case.jobs) / seconds - 1.0).abs() < 1e-6, "{file}");
    }
}

#[test]
fn parts_of_traces_have_all_their_rows() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for (file, column) in [
        ("traces/swim_facebook.csv.gz", "sample"),
        ("traces/azure_llm_2023.csv.gz", "service"),
        ("traces/dodoor_tasks.csv.gz", "workload"),
        ("traces/philly_gavel_jobs.csv.gz", "vc"),
    ] {
        for (part, fact) in facts[file]["stats"].as_object().unwrap() {
            let rest = format!(
                "[workload]\nduration = \"1s\"\nrate = 1\njobs = 1\n\
                 arrivals = {{ trace = \"{file}\", filter = {{ {column} = \"{part}\" }} }}\n"
            );
            let found = scenario(&data, ONE, &rest).workload.traced_gaps().unwrap();
            assert_eq!(found, number(&fact["n"]) - 1, "{file} {part}");
        }
    }
}

#[test]
fn a_trace_runs_at_the_load_asked_for() {
    let Some(data) = data() else { return };
    let rest = "[workload]\nload = 0.7\n\
        trace = { file = \"traces/yahoo_NYH_trace80_scaled.csv.gz\", part = [0, 0.5] }\n";
    let case = scenario(&data, ONE, rest).case(1).unwrap();
    let span = case.jobs.last().unwrap().at.as_secs_f64();
    let load = work(&case.jobs) / (640.0 * span);
    assert!((load / 0.7 - 1.0).abs() < 1e-3, "{load}");
    assert!(
        (2_300..2_700).contains(&case.jobs.len()),
        "{}",
        case.jobs.len()
    );
}

#[test]
fn functions_run_on_the_nodes_that_were_measured() {
    let Some(data) = data() else { return };
    let rest = "[truth]\nfunctionbench = \"dev/functionbench_nodes.csv\"\n[workload]\nclass = \"trace\"\n\
        [workload.trace]\nfile = \"traces/dodoor_tasks.csv.gz\"\nfilter = { workload = \"functionbench\" }\n\
        measured_on = \"C6525-25g\"\nunknown_class = \"skip\"\n";
    let case = scenario(&data, ONE, rest).case(1).unwrap();
    assert_eq!(
        (case.truth.platforms.len(), case.truth.classes.len()),
        (4, 12)
    );
    for row in &case.truth.speed {
        let best = row.iter().copied().fold(0.0, f64::max);
        assert!((best - 1.0).abs() < 1e-12);
    }
    // Half of the functions are here; a large matmul takes 12.09 s on the node type it was measured on.
    assert!(
        (4_500..6_000).contains(&case.jobs.len()),
        "{}",
        case.jobs.len()
    );
    let class = case
        .truth
        .classes
        .iter()
        .position(|name| name == "matmul_large")
        .unwrap();
    let platform = case
        .truth
        .platforms
        .iter()
        .position(|name| name == "C6525-25g")
        .unwrap();
    let job = case
        .jobs
        .iter()
        .find(|job| usize::from(job.class) == class)
        .unwrap();
    let there = job.tasks[0].as_secs_f64() / case.truth.speed[class][platform];
    assert!((there - 12.09).abs() < 0.01, "{there}");
    assert_eq!(job.need.cpu, 8_000);
}

#[test]
fn nodes_and_pods_of_one_cluster_go_together() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let cluster = "nodes_from = \"traces/alibaba_openb_nodes.csv\"";
    let rest = "[workload]\nload = 0.6\ntrace = { file = \"traces/alibaba_openb_pods.csv.gz\", size_scale = 0.001 }\n";
    let all = scenario(&data, cluster, rest);
    let case = all.case(1).unwrap();
    assert_eq!(
        case.machines.len(),
        number(&facts["traces/alibaba_openb_nodes.csv"]["rows"])
    );
    assert_eq!(
        case.jobs.len(),
        number(&facts["traces/alibaba_openb_pods.csv.gz"]["rows"])
    );
    assert_eq!(case.truth.platforms.len(), 8);
    let some = all.with_nodes(100).unwrap().case(1).unwrap();
    assert_eq!(some.machines.len(), 100);
    let kinds: std::collections::BTreeSet<u16> = some.machines.iter().map(|m| m.platform).collect();
    assert!(kinds.len() >= 4, "{kinds:?}");
    assert_eq!(
        all.with_nodes(2_000)
            .unwrap()
            .case(1)
            .unwrap()
            .machines
            .len(),
        2_000
    );
}

#[test]
fn measured_pairs_become_contention() {
    let Some(data) = data() else { return };
    let rest = "[truth]\ngavel = \"dev\"\ncampaign = \"A\"\n[workload]\nrate = 1\nduration = \"1s\"\njobs = 1\n";
    let truth = scenario(&data, ONE, rest).case(1).unwrap().truth;
    assert_eq!((truth.platforms.len(), truth.classes.len()), (3, 14));
    let Contention::Pairs { keeps } = &truth.contention else {
        panic!("{:?}", truth.contention);
    };
    let k80 = truth
        .platforms
        .iter()
        .position(|name| name == "k80")
        .unwrap();
    let job = |name: &str| {
        truth
            .classes
            .iter()
            .position(|other| other == name)
            .unwrap()
    };
    let (a, b) = (
        job("ResNet-18 (batch size 16)"),
        job("ResNet-18 (batch size 32)"),
    );
    assert_eq!(keeps[k80][a][b].to_bits(), 0.529_682_f64.to_bits());
    assert_eq!(keeps[k80][b][a].to_bits(), 0.434_82_f64.to_bits());
    let all: Vec<f64> = keeps.iter().flatten().flatten().copied().collect();
    assert!(all.iter().all(|share| (0.0..=1.0).contains(share)));
    assert!(all.contains(&0.0), "some pairs run out of memory");
}

#[test]
fn arrivals_follow_a_trace() {
    let Some(data) = data() else { return };
    let rest = "[workload]\nrate = 2\nduration = \"100ms\"\njobs = 5000\n\
        arrivals = { trace = \"traces/swim_facebook.csv.gz\", filter = { sample = \"FB-2009_0\" } }\n";
    let jobs = scenario(&data, ONE, rest).case(1).unwrap().jobs;
    let times: Vec<f64> = jobs.iter().map(|job| job.at.as_secs_f64()).collect();
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let n = f64::from(u32::try_from(gaps.len()).unwrap());
    let mean = gaps.iter().sum::<f64>() / n;
    let variance = gaps
        .iter()
        .map(|gap| (gap - mean) * (gap - mean))
        .sum::<f64>()
        / n;
    let cov = libm::sqrt(variance) / mean;
    assert!((3.0..4.3).contains(&cov), "the file has 3.66, these {cov}");
    assert!((mean - 0.5).abs() < 0.1, "{mean}");
}

#[test]
fn measured_round_trips_lie_between_machines() {
    let Some(data) = data() else { return };
    for (file, unit, side) in [
        ("net/planetlab_rtt_median.csv.gz", "ms", 490),
        ("net/seattle_rtt_median.csv", "s", 99),
    ] {
        let rest = format!(
            "[network]\nlatency = {{ rtt_matrix = \"{file}\", unit = \"{unit}\", jitter = 0.1 }}\n\
             [workload]\nrate = 1\nduration = \"1s\"\njobs = 1\n"
        );
        let case = scenario(&data, ONE, &rest).case(1).unwrap();
        let Latency::Matrix { rtt, .. } = &case.network.latency else {
            panic!("{:?}", case.network.latency);
        };
        assert_eq!(rtt.len(), side, "{file}");
        let mut all: Vec<Duration> = rtt.iter().flatten().copied().collect();
        all.sort();
        let median = all[all.len() / 2];
        assert!(
            median > Duration::from_millis(100) && median < Duration::from_millis(200),
            "{median:?}"
        );
    }
}

#[test]
fn failures_come_from_a_file() {
    let Some(data) = data() else { return };
    let rest = "[workload]\nrate = 0.1\nduration = \"1s\"\nlength = \"1h\"\n\
        [churn]\nfailures = \"churn/lanl_failures.csv.gz\"\nsystem = 20\nscale = 0.0001\n";
    let cluster = "[[cluster.machines]]\ncount = 512\n";
    let case = scenario(&data, cluster, rest).case(1).unwrap();
    let crashes = case
        .faults
        .iter()
        .filter(|fault| matches!(fault.what, FaultKind::Crash { .. }))
        .count();
    // 2,478 failures in four years; an hour is 416 days at this scale.
    assert!((300..1_500).contains(&crashes), "{crashes}");
    assert!(case.faults.iter().all(|fault| fault.at < case.end));
}

#[test]
fn a_matrix_that_is_no_square_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rtt.csv"), "nan,1\n1,nan\n2,2\n").unwrap();
    let text = "name = \"x\"\n[cluster]\n[[cluster.machines]]\n\
        [network]\nlatency = { rtt_matrix = \"rtt.csv\" }\n";
    let error = parse(text, "x.toml", dir.path()).unwrap_err().to_string();
    assert!(
        error.starts_with("x.toml:5: network.latency.rtt_matrix: "),
        "{error}"
    );
    assert!(
        error.contains("rtt.csv:3: 3 rows of 2 columns are no square"),
        "{error}"
    );
}
