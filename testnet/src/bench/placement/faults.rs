//! The row of faults: churn, loss, a partition and liars, each beside the same run without it.

use std::path::Path;

use super::measure::{NEVER_ENDED, STRETCH};
use super::queues::column;
use super::row::{Aim, Bound, Row, Setting, cell};

const STARLING: &str = "starling";
/// Faults begin a minute into the workload and are over half a minute later.
const ENDS: u64 = 90;

/// A hundred machines of four cores with jobs of one to four tasks; `liars` of them lie throughout.
fn text(liars: f64, fault: &str) -> String {
    let honest = 1.0 - liars;
    let group = if liars > 0.0 {
        format!("[[cluster.machines]]\nshare = {liars}\ncpu = 4\nname = \"liar\"\nliar = true\n")
    } else {
        String::new()
    };
    format!(
        r#"name = "faults"
[cluster]
nodes = 100
[[cluster.machines]]
share = {honest}
cpu = 4
{group}
[network]
latency = "0.5ms"
gossip_period = "1s"
[workload]
load = 0.7
exact = true
tasks = {{ uniform = [1, 4] }}
duration = {{ exponential = "2s" }}
need = {{ cpu = 1, memory = "64MiB" }}
warmup = "20s"
length = "110s"
cooldown = "5s"
{fault}
[sim]
sample = "1s"
drain = "2m"
"#
    )
}

/// The row.
pub(super) fn faults(quick: bool) -> Result<Row, String> {
    let churn = format!(
        "[churn]\nrate = \"20%/min\"\ndowntime = {{ uniform = [\"5s\", \"10s\"] }}\nfrom = \"30s\"\n\
         until = \"{}s\"\n",
        ENDS - 10
    );
    let loss = "[[fault]]\nat = \"60s\"\nkind = \"loss\"\nloss = 0.2\nfor = \"30s\"\n";
    let halves = "[[fault]]\nat = \"60s\"\nkind = \"cut\"\nshare = 0.5\nfor = \"30s\"\n";
    let rivals: &[&'static str] = if quick {
        &[STARLING]
    } else {
        &[STARLING, "p2c"]
    };
    let all: [(&str, f64, &str, &[&'static str]); 5] = [
        ("no fault", 0.0, "", rivals),
        ("churn", 0.0, &churn, rivals),
        ("loss", 0.0, loss, &[STARLING]),
        ("halves", 0.0, halves, &[STARLING]),
        ("liars", 0.2, "", rivals),
    ];
    let (mut settings, mut aims) = (Vec::new(), Vec::new());
    for (name, liars, fault, players) in all {
        let setting = Setting::new(name, text(liars, fault), Path::new(""), players)?;
        settings.push(setting.service(2.0).stretch(ENDS + 10, ENDS + 20));
        let of = |name: &str, measure| cell(name, STARLING, measure);
        aims.push(Aim::alone(of(name, NEVER_ENDED), Bound::AtMost(0.0)));
        let measure = match name {
            "no fault" => continue,
            "liars" => "response_mean",
            _ => STRETCH,
        };
        let (with, without) = (of(name, measure), of("no fault", measure));
        aims.push(Aim::over(with, without, Bound::AtMost(1.1)));
    }
    Ok(Row {
        name: "faults",
        about: format!(
            "100 machines of four cores, load 0.7, jobs of 1 to 4 tasks of exp(2 s), gossip each \
             second; 20% churn a minute from 30 s on (machines are gone for 5 to 10 s), 20% loss and \
             a partition into halves from 60 s to {ENDS} s, or 20% liars throughout; the stretch is \
             {} s to {} s",
            ENDS + 10,
            ENDS + 20
        ),
        columns: vec![
            column("response_mean", "response s"),
            column(STRETCH, "in the stretch s"),
            column("response_p99", "p99 s"),
            column(NEVER_ENDED, "never ended"),
            column("duplicates", "started twice"),
            column("live_per_task", "live/task"),
            column("bounces_per_task", "bounces/task"),
        ],
        settings,
        aims,
        skipped: Vec::new(),
    })
}
