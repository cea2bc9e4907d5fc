//! Rows of unequal machines: measured node types and functions, nodes and pods of a trace, and
//! interference between tasks. What was measured is read by path; without it the shipped generator
//! draws a fleet.

use std::path::Path;

use super::measure::BYTES;
use super::queues::column;
use super::row::{Aim, Bound, Row, Setting, cell};

const STARLING: &str = "starling";
const DODOOR: &str = "dodoor-corrected";

/// What follows the cluster of a heterogeneous case.
fn rest(workload: &str) -> String {
    format!(
        r#"[network]
latency = "0.5ms"
gossip_period = "1s"
{workload}
[sim]
drain = "10m"
"#
    )
}

/// Dodoor's machines and functions.
fn functions(load: f64, part: f64) -> String {
    let types = [
        ("m510", 40, 8, 64),
        ("xl170", 25, 10, 64),
        ("C6525-25g", 18, 16, 128),
        ("C6620", 18, 28, 128),
    ];
    let mut text = String::from("name = \"Dodoor\"\n[cluster]\n");
    for (platform, count, cores, gib) in types {
        text += &format!(
            "[[cluster.machines]]\ncount = {count}\nplatform = \"{platform}\"\nname = \
             \"{platform}-\"\ncpu = {cores}\nmemory = \"{gib}GiB\"\n"
        );
    }
    text += "[truth]\nfunctionbench = \"dev/functionbench_nodes.csv\"\n[beliefs]\nkind = \
             \"learned\"\n";
    let workload = format!(
        r#"[workload]
load = {load}
class = "trace"
[workload.trace]
file = "traces/dodoor_tasks.csv.gz"
filter = {{ workload = "functionbench" }}
part = [0, {part}]
measured_on = "C6525-25g"
unknown_class = "skip""#
    );
    text + &rest(&workload)
}

/// Alibaba's nodes and pods.
fn pods(nodes: u32, load: f64, part: f64) -> String {
    let text = format!(
        "name = \"openb\"\n[cluster]\nnodes = {nodes}\nnodes_from = \
         \"traces/alibaba_openb_nodes.csv\"\n"
    );
    let workload = format!(
        r#"[workload]
load = {load}
[workload.trace]
file = "traces/alibaba_openb_pods.csv.gz"
part = [{part}, 1]
size_scale = 0.001"#
    );
    text + &rest(&workload)
}

/// A fleet that the generator draws, for want of data.
fn drawn(nodes: u32, load: f64) -> String {
    let text = format!(
        r#"name = "unequal"
[cluster]
nodes = {nodes}
[[cluster.machines]]
share = 0.4
cpu = 8
platform = ["p0", "p1"]
[[cluster.machines]]
share = 0.4
cpu = 16
platform = ["p2", "p3"]
[[cluster.machines]]
share = 0.2
cpu = 32
platform = ["p4", "p5"]
[truth]
generator = {{ classes = 24, platforms = 6, pair_mean = 1.0 }}
[beliefs]
kind = "learned"
"#
    );
    let workload = format!(
        r#"[workload]
load = {load}
exact = true
duration = {{ median = "2s", sigma = 1.0 }}
need = {{ cpu = 4 }}
warmup = "20s"
length = "60s"
cooldown = "5s""#
    );
    text + &rest(&workload)
}

/// Dodoor's node types and functions, and Alibaba's nodes and pods; with its store lost as well.
pub(super) fn unequal(quick: bool, data: Option<&Path>) -> Result<Row, String> {
    let nodes = if quick { 60 } else { 200 };
    let mut texts: Vec<(String, String)> = Vec::new();
    let mut skipped = Vec::new();
    if data.is_some() {
        let part = if quick { 0.3 } else { 1.0 };
        let tail = if quick { 0.97 } else { 0.95 };
        for load in [0.5, 0.8] {
            texts.push((format!("functions {load}"), functions(load, part)));
            texts.push((format!("pods {load}"), pods(nodes, load, tail)));
        }
        let store = "functions 0.5, store lost";
        texts.push((store.to_owned(), functions(0.5, part)));
        let store = "pods 0.5, store lost";
        texts.push((store.to_owned(), pods(nodes, 0.5, tail)));
    } else {
        skipped.push("Dodoor's functions and Alibaba's pods: no measured data (--data)".to_owned());
        for load in [0.5, 0.8] {
            texts.push((format!("drawn {load}"), drawn(nodes, load)));
        }
        let store = "drawn 0.5, store lost";
        texts.push((store.to_owned(), drawn(nodes, 0.5)));
    }
    let base = data.unwrap_or_else(|| Path::new(""));
    let (mut settings, mut aims) = (Vec::new(), Vec::new());
    for (name, text) in texts {
        let players = [STARLING, DODOOR, "dodoor", "p2c-weighted"];
        let setting = Setting::new(name.as_str(), text, base, &players)?;
        let of = |policy, measure| cell(name.as_str(), policy, measure);
        if let Some(whole) = name.strip_suffix(", store lost") {
            settings.push(setting.without_centre());
            let same = cell(whole, STARLING, "response_p99");
            let ours = of(STARLING, "response_p99");
            aims.push(Aim::over(ours, same, Bound::Within(0.999, 1.001)));
            aims.push(Aim::alone(of(STARLING, "lost"), Bound::AtMost(0.0)));
            continue;
        }
        settings.push(setting);
        for measure in ["response_p99", BYTES] {
            let (ours, theirs) = (of(STARLING, measure), of(DODOOR, measure));
            aims.push(Aim::over(ours, theirs, Bound::AtMost(1.0)));
        }
    }
    Ok(Row {
        name: "heterogeneous",
        about:
            "Dodoor's 101 machines of four types (40 m510, 25 xl170, 18 c6525-25g, 18 c6620) with \
                the functions of its trace whose speeds are known, and machines of Alibaba's openb \
                cluster with its last pods, times by 1/1000; gossip each second; the store dies \
                halfway through the jobs"
                .to_owned(),
        columns: vec![
            column("response_mean", "response s"),
            column("response_p99", "p99 s"),
            column("slowdown_mean", "slowdown"),
            column("performance_mean", "performance"),
            column(BYTES, "bytes/task"),
            column("placement_bytes_per_task", "of placement"),
            column("lost", "lost"),
        ],
        settings,
        aims,
        skipped,
    })
}

/// Two tasks a machine that disturb each other; `service` is their mean work in seconds.
pub(super) fn disturbed(
    truth: &str,
    nodes: u32,
    service: f64,
    times: [f64; 3],
    budget: u32,
) -> String {
    let [warmup, length, cooldown] = times;
    format!(
        r#"name = "interference"
[cluster]
nodes = {nodes}
[[cluster.machines]]
share = 1
cpu = 2
memory = "16GiB"
[truth]
{truth}
[beliefs]
kind = "given"
error = 0.1
[network]
latency = "0.5ms"
gossip_period = "1s"
[workload]
load = 0.5
exact = true
duration = {{ exponential = "{service}s" }}
need = {{ cpu = 1 }}
class = "uniform"
warmup = "{warmup}s"
length = "{length}s"
cooldown = "{cooldown}s"
[sim]
byte_budget = {budget}
"#
    )
}

/// What a node spends on gossip, in bytes per second, as deployed.
pub(super) const BUDGET: u32 = 4_096;
/// So much more that the gossip period alone decides how old views are.
const WIDE: u32 = 262_144;

/// The shipped generator's truth.
pub(super) const LOW_RANK: &str = "generator = { classes = 40, platforms = 6, rank = 3, \
                                   platform_effect = 0.6, residual = 0.2, pair_mean = 0.67, \
                                   pair_sd = 0.2, correlation = 0.3 }";

/// Performance to ideal where tasks disturb each other.
pub(super) fn interference(quick: bool, data: Option<&Path>) -> Result<Row, String> {
    let nodes = if quick { 100 } else { 1_000 };
    let mut truths = vec![("low rank", LOW_RANK, Path::new(""))];
    let mut skipped = Vec::new();
    match data {
        Some(data) => truths.push(("Gavel", "gavel = \"dev/gavel_pairs.csv\"", data)),
        None => skipped.push("Gavel's pairs: no measured data (--data)".to_owned()),
    }
    let (mut settings, mut aims) = (Vec::new(), Vec::new());
    for (truth, text, base) in truths {
        let cases = [
            (0.1, 0.92, BUDGET),
            (0.5, 0.88, BUDGET),
            (0.1, 0.92, WIDE),
            (0.5, 0.88, WIDE),
        ];
        for (ratio, asked, budget) in cases {
            let service = 1.0 / ratio;
            // The wide budget shows what the age of views costs: a small fleet shows it, too.
            let (nodes, length, seeds) = if quick || budget == WIDE {
                (100, 8.0 * service, 3)
            } else {
                (nodes, 4.0 * service, 2)
            };
            let text = disturbed(
                text,
                nodes,
                service,
                [4.0 * service, length, service],
                budget,
            );
            let mut name = format!("{truth}, period {ratio} S");
            let mut players = vec![STARLING, "p2c", "oracle"];
            if budget == BUDGET {
                players.extend(["starling:-classes", "quasar", "random"]);
            } else {
                name += ", 256 KiB/s, 100 machines";
            }
            let setting = Setting::new(name.as_str(), text, base, &players)?;
            settings.push(setting.service(service).at_most(seeds));
            let of = |policy| cell(name.as_str(), policy, "performance_mean");
            aims.push(Aim::over(of(STARLING), of("p2c"), Bound::AtLeast(1.3)));
            aims.push(Aim::over(of(STARLING), of("oracle"), Bound::AtLeast(asked)));
        }
    }
    Ok(Row {
        name: "interference",
        about: format!(
            "{nodes} machines of two slots, platforms in equal parts, load 0.5 by speeds alone, \
             beliefs off by 0.1; gossip each second, S of 10 s and 2 s, with 4 KiB/s \
             a node as deployed and with 256 KiB/s, so that the period alone decides how old views \
             are; the generator's low rank, \
             and Gavel's measured pairs (campaign A)"
        ),
        columns: vec![
            column("performance_mean", "performance"),
            column("performance_at_80", "at 0.8"),
            column("slowdown_mean", "slowdown"),
            column("response_mean", "response s"),
            column("reserved", "slots used"),
            column("live_per_task", "live/task"),
            column("view_age_mean", "view age s"),
            column("lost", "lost"),
        ],
        settings,
        aims,
        skipped,
    })
}
