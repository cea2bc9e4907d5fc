//! Rows of like machines: one queue per machine, jobs of many tasks, a heavy tail, two speeds, and
//! size.

use std::path::Path;

use super::measure::{AGE, BYTES, GROWTH, NEVER_ENDED, RESPONSE};
use super::row::{Aim, Bound, Column, Row, Setting, cell};

const STARLING: &str = "starling";

/// A column.
pub(super) const fn column(measure: &'static str, head: &'static str) -> Column {
    Column { measure, head }
}

/// Single-core machines with exponential tasks of mean `service` seconds, one a job, at random homes;
/// gossip each second, as deployed. `warmup`, `length` and `cooldown` are seconds.
pub(super) fn single(
    nodes: u32,
    load: f64,
    service: f64,
    [warmup, length, cooldown]: [f64; 3],
) -> String {
    format!(
        r#"name = "single servers"
[cluster]
nodes = {nodes}
[[cluster.machines]]
share = 1
cpu = 1
[network]
latency = {{ uniform = ["0.25ms", "0.75ms"] }}
gossip_period = "1s"
[workload]
load = {load}
exact = true
duration = {{ exponential = "{micros}us" }}
need = {{ cpu = 1 }}
warmup = "{warmup:.3}s"
length = "{length:.3}s"
cooldown = "{cooldown:.3}s"
"#,
        micros = (service * 1e6).round(),
    )
}

/// M/M/1 by queue over the ratio of gossip period and service time.
pub(super) fn single_servers(quick: bool) -> Result<Row, String> {
    let tasks = if quick { 6_000.0 } else { 30_000.0 };
    let ratios: &[f64] = if quick {
        &[0.5, 1.0, 10.0]
    } else {
        &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0]
    };
    let (mut settings, mut aims) = (Vec::new(), Vec::new());
    for ratio in ratios {
        let service = 1.0 / ratio;
        // Where gossip is fast against tasks, most of a run is gossip; a third of the tasks will do.
        let tasks = if *ratio < 0.5 { tasks / 3.0 } else { tasks };
        let length = tasks * service / 90.0;
        let times = [length / 5.0, length, 5.0 * service];
        let name = format!("period {ratio} S");
        let players = [STARLING, "p2c", "p2c-stale", "random"];
        let text = single(100, 0.9, service, times);
        let setting = Setting::new(name.as_str(), text, Path::new(""), &players)?;
        settings.push(setting.service(service));
        let ours = |measure| cell(name.as_str(), STARLING, measure);
        let (p2c, random) = (
            cell(name.as_str(), "p2c", "live_per_task"),
            cell(name.as_str(), "random", RESPONSE),
        );
        if *ratio == 0.5 {
            aims.push(Aim::alone(ours(RESPONSE), Bound::AtMost(2.61)));
            aims.push(Aim::less(ours("live_per_task"), p2c, Bound::AtMost(2.0)));
        }
        if *ratio == 10.0 {
            aims.push(Aim::alone(ours(RESPONSE), Bound::AtMost(3.1)));
        }
        aims.push(Aim::over(ours(RESPONSE), random, Bound::AtMost(1.0)));
    }
    Ok(Row {
        name: "M/M/1",
        about: format!(
            "100 machines of one core, load 0.9, exponential tasks of mean S, {tasks} measured per \
             seed (a third at period 0.1 S); gossip each second with 4,096 B/s, S from 10 s to 0.1 s"
        ),
        columns: vec![
            column(RESPONSE, "response/S"),
            column("response_p99", "p99 s"),
            column("live_per_task", "live/task"),
            column("placement_per_task", "messages/task"),
            column(AGE, "view age/S"),
            column(GROWTH, "growth"),
            column("bounces_per_task", "bounces/task"),
            column("steals_per_task", "pulls/task"),
        ],
        settings,
        aims,
        skipped: Vec::new(),
    })
}

/// Sparrow's own set-up.
pub(super) fn sparrow(quick: bool) -> Result<Row, String> {
    let (nodes, jobs, seeds) = if quick {
        (200, 150, 3)
    } else {
        (2_000, 300, 3)
    };
    let (mut settings, mut aims) = (Vec::new(), Vec::new());
    for load in [0.8, 0.9] {
        // Jobs of 100 tasks of 0.1 s on four slots a machine.
        let rate = load * f64::from(nodes) * 4.0 / 10.0;
        let length = f64::from(jobs) / rate;
        let text = format!(
            r#"name = "Sparrow"
[cluster]
nodes = {nodes}
[[cluster.machines]]
share = 1
cpu = 4
[network]
latency = "0.5ms"
gossip_period = "1s"
[workload]
load = {load}
exact = true
tasks = 100
per = "job"
duration = {{ exponential = "100ms" }}
need = {{ cpu = 1 }}
warmup = "0.5s"
length = "{length:.3}s"
cooldown = "0.3s"
"#
        );
        let name = format!("load {load}");
        let players = [STARLING, "sparrow-late", "sparrow-batch", "central"];
        let setting = Setting::new(name.as_str(), text, Path::new(""), &players)?;
        settings.push(setting.service(0.1).at_most(seeds));
        let of = |policy| cell(name.as_str(), policy, "job_response_mean");
        let late = of("sparrow-late");
        aims.push(Aim::over(of(STARLING), late, Bound::AtMost(1.05)));
    }
    Ok(Row {
        name: "Sparrow",
        about: format!(
            "{nodes} workers of 4 slots, jobs of 100 like tasks of exp(100 ms), 0.5 ms one way, \
             {jobs} measured jobs per seed, gossip each second"
        ),
        columns: vec![
            column("job_response_mean", "job response s"),
            column("job_stretch_mean", "to longest task"),
            column("job_response_p99", "job p99 s"),
            column("waiting_mean", "wait s"),
            column("live_per_task", "live/task"),
            column("placement_per_task", "messages/task"),
            column("lost", "lost"),
        ],
        settings,
        aims,
        skipped: Vec::new(),
    })
}

/// Short jobs among few long ones.
pub(super) fn heavy_tail(quick: bool) -> Result<Row, String> {
    let (nodes, length) = if quick { (100, 60) } else { (200, 120) };
    let at_most = nodes / 4;
    let (mut settings, mut aims) = (Vec::new(), Vec::new());
    for (shape, scale) in [("yahoo", 0.01), ("google", 0.002)] {
        for load in [0.8, 0.9] {
            let text = format!(
                r#"name = "heavy tail"
[cluster]
nodes = {nodes}
[[cluster.machines]]
share = 1
cpu = 1
[network]
latency = "0.5ms"
gossip_period = "1s"
[workload]
load = {load}
exact = true
shape = {{ name = "{shape}", long_share = 0.05, size_scale = {scale}, tasks_at_most = {at_most} }}
need = {{ cpu = 1 }}
warmup = "30s"
length = "{length}s"
cooldown = "10s"
[sim]
drain = "300s"
"#
            );
            let name = format!("{shape}, load {load}");
            let players = [STARLING, "sparrow-late", "sparrow-batch", "central"];
            let setting = Setting::new(name.as_str(), text, Path::new(""), &players)?;
            settings.push(setting);
            let of = |policy| cell(name.as_str(), policy, "short_job_response_p90");
            for rival in ["sparrow-late", "sparrow-batch"] {
                aims.push(Aim::over(of(STARLING), of(rival), Bound::AtMost(0.25)));
            }
        }
    }
    Ok(Row {
        name: "heavy tail",
        about: format!(
            "{nodes} machines of one core, shapes of Yahoo's and Google's traces with 5% long \
             jobs, at most {at_most} tasks a job, times by 1/100 (Yahoo) and 1/500 (Google), gossip \
             each second"
        ),
        columns: vec![
            column("short_job_response_p50", "short p50 s"),
            column("short_job_response_p90", "short p90 s"),
            column("short_job_response_p99", "short p99 s"),
            column("long_job_response_p50", "long p50 s"),
            column("long_job_response_p90", "long p90 s"),
            column("utilisation", "utilisation"),
            column("live_per_task", "live/task"),
            column("lost", "lost"),
        ],
        settings,
        aims,
        skipped: Vec::new(),
    })
}

/// Half the fleet nine times as fast as the other half.
pub(super) fn two_speeds(quick: bool) -> Result<Row, String> {
    let length = if quick { 150 } else { 300 };
    let (mut settings, mut aims) = (Vec::new(), Vec::new());
    let loads: &[f64] = if quick { &[0.5, 0.9] } else { &[0.5, 0.7, 0.9] };
    for load in loads {
        let text = format!(
            r#"name = "two speeds"
[cluster]
nodes = 200
[[cluster.machines]]
share = 0.5
name = "slow"
platform = "slow"
cpu = 1
[[cluster.machines]]
share = 0.5
name = "fast"
platform = "fast"
cpu = 1
[[truth.platforms]]
name = "slow"
speed = 0.2
[[truth.platforms]]
name = "fast"
speed = 1.8
[beliefs]
kind = "learned"
[network]
latency = "0.5ms"
gossip_period = "1s"
[workload]
load = {load}
exact = true
duration = {{ exponential = "2s" }}
need = {{ cpu = 1 }}
warmup = "100s"
length = "{length}s"
cooldown = "30s"
[sim]
drain = "2m"
"#
        );
        let name = format!("load {load}");
        let players = [STARLING, "p2c", "p2c-weighted", "least-loaded"];
        let setting = Setting::new(name.as_str(), text, Path::new(""), &players)?;
        settings.push(setting.service(2.0));
        let of = |policy, measure| cell(name.as_str(), policy, measure);
        aims.push(Aim::alone(of(STARLING, GROWTH), Bound::AtMost(1.25)));
        aims.push(Aim::alone(of(STARLING, "lost"), Bound::AtMost(0.0)));
        // The set-up is what it should be only if this diverges.
        aims.push(Aim::alone(of("p2c", GROWTH), Bound::AtLeast(1.25)));
    }
    Ok(Row {
        name: "two speeds",
        about:
            "200 machines of speed 0.2 and 1.8, half each, tasks of exp(2 s), gossip each second; \
                growth: mean response in the second half of the measured time over the first"
                .to_owned(),
        columns: vec![
            column(RESPONSE, "response/S"),
            column("response_p99", "p99 s"),
            column(GROWTH, "growth"),
            column("waiting_tasks_max", "most waiting"),
            column("live_per_task", "live/task"),
            column("lost", "lost"),
        ],
        settings,
        aims,
        skipped: Vec::new(),
    })
}

/// The same load at a hundred, a thousand and ten thousand machines.
pub(super) fn scale(quick: bool) -> Result<Row, String> {
    let (mut settings, mut aims) = (Vec::new(), Vec::new());
    // The numbers at a hundred are taken over a longer time: there are fewer tasks in a second.
    let sizes: &[(u32, f64, usize)] = if quick {
        &[(100, 100.0, 3), (1_000, 10.0, 1)]
    } else {
        &[(100, 300.0, 5), (1_000, 30.0, 3), (10_000, 5.0, 1)]
    };
    for (nodes, length, seeds) in sizes {
        let text = single(*nodes, 0.9, 2.0, [30.0, *length, 2.0]);
        let name = format!("{nodes} machines");
        let setting = Setting::new(name.as_str(), text, Path::new(""), &[STARLING])?;
        settings.push(setting.service(2.0).at_most(*seeds));
        if *nodes == 100 {
            continue;
        }
        let of = |name: &str, measure| cell(name, STARLING, measure);
        let small = "100 machines";
        let response = of(&name, RESPONSE);
        let as_small = Bound::Within(0.97, 1.03);
        aims.push(Aim::over(response, of(small, RESPONSE), as_small));
        // Bytes are of the whole run with its beginning, so runs are compared that are as long.
        let twin = format!("100, as long as {nodes}");
        let text = single(100, 0.9, 2.0, [30.0, *length, 2.0]);
        let setting = Setting::new(twin.as_str(), text, Path::new(""), &[STARLING])?;
        settings.push(setting.service(2.0).at_most(*seeds));
        let bytes = "spread_bytes_per_machine_second";
        let flat = Bound::Within(0.9, 1.1);
        aims.push(Aim::over(of(&name, bytes), of(&twin, bytes), flat));
    }
    Ok(Row {
        name: "scale",
        about: "single-core machines, load 0.9, tasks of exp(2 s), gossip each second; 30 s of \
                warm-up"
            .to_owned(),
        columns: vec![
            column(RESPONSE, "response/S"),
            column("response_p99", "p99 s"),
            column("spread_bytes_per_machine_second", "gossip B/s"),
            column(AGE, "view age/S"),
            column("live_per_task", "live/task"),
            column(BYTES, "bytes/task"),
            column(NEVER_ENDED, "never ended"),
            column("events", "events"),
        ],
        settings,
        aims,
        skipped: Vec::new(),
    })
}
