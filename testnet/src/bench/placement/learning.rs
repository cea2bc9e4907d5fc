//! The row of learning: nodes begin knowing nothing of forty classes that differ in where they run
//! well and in whom they disturb, and place by what they measure, beside a central greedy that knows
//! the truth.

use std::path::Path;

use super::fleets::LOW_RANK;
use super::measure::{CURVE, CURVE_HEADS, NEVER_ENDED, SLOW};
use super::queues::column;
use super::row::{Aim, Bound, Column, Row, Setting, cell};

const STARLING: &str = "starling";
const BLIND: &str = "starling:-classes";
/// A task's work in seconds.
const SERVICE: f64 = 60.0;
/// Offered work to the cores, by speeds alone: contention makes plain two choices reserve about three
/// quarters of the slots with it. The table shows what each policy does.
const LOAD: f64 = 0.58;
/// When halves of the cluster are parted, and for how long, in seconds.
const CUT: (u32, u32) = (120, 180);

/// Machines of two slots; learning or told the truth.
fn text(truth: &str, nodes: u32, load: f64, length: f64, beliefs: &str, fault: &str) -> String {
    format!(
        r#"name = "learning"
[cluster]
nodes = {nodes}
[[cluster.machines]]
share = 1
cpu = 2
memory = "16GiB"
[truth]
{truth}
noise = 0.05
[beliefs]
{beliefs}
[network]
latency = "0.5ms"
gossip_period = "1s"
[workload]
load = {load}
exact = true
duration = "{SERVICE}s"
need = {{ cpu = 1 }}
class = "uniform"
warmup = "{SERVICE}s"
length = "{length}s"
cooldown = "{SERVICE}s"
{fault}
[sim]
drain = "10m"
"#
    )
}

/// The row.
pub(super) fn learning(quick: bool, data: Option<&Path>) -> Result<Row, String> {
    let nodes = if quick { 100 } else { 500 };
    let length = if quick { 420.0 } else { 600.0 };
    // As many tasks of each class in a small fleet as in a large one.
    let truth = if quick {
        LOW_RANK.replace("classes = 40", "classes = 10")
    } else {
        LOW_RANK.to_owned()
    };
    let low_rank = truth.as_str();
    let cold = "kind = \"learned\"";
    let told = "kind = \"given\"\nerror = 0";
    let cut = format!(
        "[[fault]]\nat = \"{}s\"\nkind = \"cut\"\nshare = 0.5\nfor = \"{}s\"\n",
        CUT.0, CUT.1
    );
    let here = Path::new("");
    let all = [STARLING, BLIND, "p2c", "oracle"];
    let mut wanted = vec![
        ("cold", low_rank, here, cold, "", &all[..]),
        ("knowing the truth", low_rank, here, told, "", &all[..1]),
        (
            "cold, parted",
            low_rank,
            here,
            cold,
            cut.as_str(),
            &all[..1],
        ),
    ];
    let mut skipped = Vec::new();
    match data {
        Some(data) => {
            let pairs = "gavel = \"dev/gavel_pairs.csv\"";
            wanted.push(("cold, Gavel's pairs", pairs, data, cold, "", &all[..]));
        }
        None => skipped.push("Gavel's pairs: no measured data (--data)".to_owned()),
    }
    let (mut settings, mut aims) = (Vec::new(), Vec::new());
    let parted = cell("cold, parted", STARLING, CURVE[9]);
    let whole = cell("cold", STARLING, CURVE[9]);
    aims.push(Aim::over(parted, whole, Bound::AtLeast(0.95)));
    for (name, truth, base, beliefs, fault, players) in wanted {
        let text = text(truth, nodes, LOAD, length, beliefs, fault);
        settings.push(Setting::new(name, text, base, players)?.service(SERVICE));
        let of = |policy, measure| cell(name, policy, measure);
        aims.push(Aim::alone(of(STARLING, NEVER_ENDED), Bound::AtMost(0.0)));
        if players.len() > 1 {
            let ours = of(STARLING, "performance_mean");
            let oracle = of("oracle", "performance_mean");
            aims.push(Aim::over(ours, oracle, Bound::AtLeast(0.97)));
            let (ours, theirs) = (of(STARLING, SLOW), of("p2c", SLOW));
            aims.push(Aim::over(ours, theirs, Bound::AtMost(0.8)));
            let asked = of(STARLING, "live_per_task");
            aims.push(Aim::alone(asked, Bound::AtMost(2.5)));
        }
    }
    let mut columns = vec![
        column("performance_mean", "performance"),
        column(SLOW, "under 0.8"),
        column("waiting_mean", "waiting s"),
        column("reserved", "slots used"),
        column("live_per_task", "live/task"),
        column("placement_per_task", "messages/task"),
        column("view_age_mean", "view age s"),
    ];
    columns.extend(
        CURVE
            .iter()
            .zip(CURVE_HEADS)
            .map(|(measure, head)| Column { measure, head }),
    );
    Ok(Row {
        name: "learning",
        about: format!(
            "{nodes} machines of two slots and six platforms, {} classes, tasks of {SERVICE} s of \
             work, load {LOAD} by speeds alone; nothing is known at the start; performance by tenths \
             of the tasks in the order of their submission; parted: halves from {} s to {} s",
            if quick { 10 } else { 40 },
            CUT.0,
            CUT.0 + CUT.1
        ),
        columns,
        settings,
        aims,
        skipped,
    })
}
