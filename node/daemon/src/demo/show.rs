//! What the demo prints.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use comfy_table::Table;
use indicatif::{ProgressBar, ProgressStyle};
use starling_api::JobDetail;

use super::digest::{Plan, Verified};
use super::watch::Watch;
use crate::cli::DemoArgs;
use crate::fleet::Fleet;

pub(super) fn line(text: &str) {
    println!("{text}");
}

pub(super) fn heading(plan: &Plan, args: &DemoArgs) {
    println!(
        "{} files, {} MiB, of {}: SHA-256 of each, by {} tasks on {} daemons",
        plan.files(),
        plan.bytes >> 20,
        plan.dir.display(),
        plan.tasks(),
        args.nodes
    );
}

pub(super) fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tasks over, {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

pub(super) fn result(
    details: &[JobDetail],
    watch: &Watch,
    fleet: &Fleet,
    victim: &str,
    killed: Instant,
    verified: &Verified,
) {
    // Those on which nothing ended are shown as well.
    let names = fleet.members.iter().map(|member| member.name.clone());
    let mut per_node: BTreeMap<String, (u32, u32)> = names.map(|name| (name, (0, 0))).collect();
    for task in details.iter().flat_map(|detail| &detail.tasks) {
        let name = task.node.as_ref().map_or("nowhere", |node| node.label());
        let (tasks, moved) = per_node.entry(name.to_owned()).or_default();
        *tasks += 1;
        *moved += task.moves;
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "node",
        "tasks ended there",
        "of them moved there after the kill",
    ]);
    for (name, (tasks, moved)) in per_node {
        let name = if name == victim {
            format!("{name} (killed)")
        } else {
            name
        };
        table.add_row([name, tasks.to_string(), moved.to_string()]);
    }
    println!("\n{table}\n");
    let seconds = |time: Option<std::time::Duration>| {
        time.map_or_else(
            || "never".to_owned(),
            |time| format!("{:.2} s", time.as_secs_f64()),
        )
    };
    println!("retries after a failure          {}", watch.retried);
    println!("tasks displaced by the kill      {}", watch.displaced.len());
    println!(
        "kill to held to be dead          {}",
        seconds(watch.noticed)
    );
    if !watch.displaced.is_empty() {
        println!(
            "kill to last of them running     {}",
            seconds(watch.recovered())
        );
    }
    println!(
        "kill to everything done          {}",
        seconds(Some(killed.elapsed()))
    );
    println!(
        "results verified                 {} of {} files, {} of {} tasks{}",
        verified.right,
        verified.files,
        verified.tasks_found,
        verified.tasks,
        if verified.is_right() {
            ": all right"
        } else {
            ": WRONG"
        }
    );
}

pub(super) fn try_it(fleet: &Fleet, exe: &Path) {
    println!("\nThe cluster stays up until Ctrl-C. In another terminal, at any of its nodes:\n");
    let exe = exe.display();
    for (member, words) in fleet
        .members
        .iter()
        .filter(|member| member.pid().is_some())
        .cycle()
        .zip([
            ["nodes", ""],
            ["ps", ""],
            [
                "run",
                " --count 20 --wait -- sh -c 'echo hello from $STARLING_NODE'",
            ],
            ["events", " -f"],
        ])
    {
        let [command, rest] = words;
        println!(
            "  {exe} {command} --data-dir {}{rest}",
            member.dir.display()
        );
    }
    println!();
}
