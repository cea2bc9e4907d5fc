//! This node's counters in Prometheus' text format. Names follow its conventions: `_total` grows
//! and never falls while the process lives, all else is what it is now.

use std::fmt::{Display, Write as _};

use starling_engine::{Engine, JobState};
use starling_gossip::MemberState;
use starling_net::{ClassStats, NetStats};

/// All of it.
pub(super) fn text(engine: &Engine, net: &NetStats) -> String {
    let mut page = Page::default();
    cluster(&mut page, engine);
    gossip(&mut page, engine);
    observations(&mut page, engine);
    network(&mut page, net);
    page.0
}

fn cluster(page: &mut Page, engine: &Engine) {
    let members = |state| {
        engine
            .gossip()
            .members()
            .filter(|m| m.state == state)
            .count()
    };
    page.head(
        "view_members",
        "gauge",
        "Nodes this node knows, itself included, by state.",
    );
    for (name, state) in [
        ("alive", MemberState::Alive),
        ("suspect", MemberState::Suspect),
        ("dead", MemberState::Dead),
        ("left", MemberState::Left),
    ] {
        page.line("view_members", &[("state", name)], members(state));
    }
    let active =
        |job: &&starling_engine::Job| matches!(job.state, JobState::Active | JobState::Stopping);
    page.head(
        "jobs_owned",
        "gauge",
        "Jobs this node owns, by whether some task is not over.",
    );
    let open = engine.jobs().filter(active).count();
    page.line("jobs_owned", &[("over", "false")], open);
    page.line(
        "jobs_owned",
        &[("over", "true")],
        engine.jobs().count() - open,
    );
    page.head(
        "tasks_owned",
        "gauge",
        "Tasks of the jobs this node owns, by state.",
    );
    let mut counts = [0_u64; 6];
    for job in engine.jobs() {
        let c = &job.counts;
        let of_job = [
            c.pending,
            c.starting,
            c.running,
            c.succeeded,
            c.failed,
            c.stopped,
        ];
        counts
            .iter_mut()
            .zip(of_job)
            .for_each(|(sum, count)| *sum += u64::from(count));
    }
    let states = [
        "pending",
        "starting",
        "running",
        "succeeded",
        "failed",
        "stopped",
    ];
    for (state, count) in states.into_iter().zip(counts) {
        page.line("tasks_owned", &[("state", state)], count);
    }
    page.one(
        "tasks_held",
        "gauge",
        "Placements this node holds.",
        engine.held().count(),
    );
    page.one(
        "frames_undecodable_total",
        "counter",
        "Frames from members that could not be decoded.",
        engine.undecodable(),
    );
}

fn observations(page: &mut Page, engine: &Engine) {
    let (table, counters) = (engine.gossip().observations(), engine.gossip().counters());
    page.one(
        "observations",
        "gauge",
        "Observations of classes that this node holds, whoever made them.",
        table.len(),
    );
    page.one(
        "observations_unsaved",
        "gauge",
        "Observations that came or went since the last batch was saved.",
        table.unsaved(),
    );
    page.head(
        "observations_total",
        "counter",
        "Observations told by this node, taken from others, or refused as absurd or forged.",
    );
    for (what, count) in [
        ("told", counters.observations_told),
        ("taken", counters.observations_taken),
        ("refused", counters.observations_refused),
    ] {
        page.line("observations_total", &[("what", what)], count);
    }
    let predictions = engine.predictions();
    page.head(
        "predictions_total",
        "counter",
        "Run times of this node's own tasks that were predicted and have come true: within what \
         eight in ten were expected to take, or not.",
    );
    let beyond = predictions.count - predictions.within;
    for (came, count) in [("within", predictions.within), ("beyond", beyond)] {
        page.line("predictions_total", &[("came", came)], count);
    }
    page.one(
        "prediction_error",
        "gauge",
        "Running mean of the absolute logarithm of actual over predicted run times; 0.1 is about 10%.",
        predictions.error,
    );
}

fn gossip(page: &mut Page, engine: &Engine) {
    let counters = engine.gossip().counters();
    page.head(
        "gossip_bytes_total",
        "counter",
        "Bytes of gossip messages, by direction.",
    );
    page.line(
        "gossip_bytes_total",
        &[("direction", "sent")],
        counters.bytes_sent,
    );
    page.line(
        "gossip_bytes_total",
        &[("direction", "received")],
        counters.bytes_received,
    );
    page.head(
        "gossip_messages_total",
        "counter",
        "Gossip messages, by direction.",
    );
    page.line(
        "gossip_messages_total",
        &[("direction", "sent")],
        counters.messages_sent,
    );
    page.line(
        "gossip_messages_total",
        &[("direction", "received")],
        counters.messages_received,
    );
    for (name, help, value) in [
        (
            "exchanges",
            "Exchanges of records opened.",
            counters.exchanges,
        ),
        (
            "records_taken",
            "Records newer than what was held.",
            counters.records_taken,
        ),
        (
            "records_refused",
            "Records undecodable or wrongly signed.",
            counters.quarantined,
        ),
        (
            "budget_drops",
            "Exchanges put off for want of budget.",
            counters.budget_drops,
        ),
        (
            "suspicions",
            "Suspicions this node began.",
            counters.suspicions,
        ),
        (
            "refutations",
            "Suspicions of this node that proved wrong.",
            counters.refutations,
        ),
        ("deaths", "Members declared dead.", counters.deaths),
        (
            "returns",
            "Members that came back from the dead.",
            counters.returns,
        ),
        (
            "false_deaths",
            "Times this node was called dead while it lived.",
            counters.false_deaths,
        ),
        (
            "stalls",
            "Times this process was found to have been starved.",
            counters.stalls,
        ),
        (
            "evictions",
            "Members dropped because the view was full.",
            counters.evictions,
        ),
    ] {
        page.one(&format!("gossip_{name}_total"), "counter", help, value);
    }
}

fn network(page: &mut Page, net: &NetStats) {
    type Field = fn(&ClassStats) -> u64;
    let per_class: [(&str, &str, &str, Field); 5] = [
        (
            "frames_total",
            "sent",
            "Frames, by class and direction.",
            |c| c.frames_sent,
        ),
        ("frames_total", "received", "", |c| c.frames_received),
        (
            "frame_bytes_total",
            "sent",
            "Bytes of frames with their headers.",
            |c| c.bytes_sent,
        ),
        ("frame_bytes_total", "received", "", |c| c.bytes_received),
        (
            "frames_dropped_total",
            "sent",
            "Frames never handed on.",
            |c| c.frames_dropped,
        ),
    ];
    for (name, direction, help, field) in per_class {
        let name = format!("net_{name}");
        if !help.is_empty() {
            page.head(&name, "counter", help);
        }
        for (class, stats) in [("urgent", &net.urgent), ("gossip", &net.gossip)] {
            page.line(
                &name,
                &[("class", class), ("direction", direction)],
                field(stats),
            );
        }
    }
    page.head(
        "net_call_bytes_total",
        "counter",
        "Bytes of calls between nodes, by direction.",
    );
    page.line(
        "net_call_bytes_total",
        &[("direction", "sent")],
        net.call_bytes_sent,
    );
    page.line(
        "net_call_bytes_total",
        &[("direction", "received")],
        net.call_bytes_received,
    );
    for (name, help, value) in [
        ("calls_made", "Calls made to peers.", net.calls_made),
        ("calls_taken", "Calls from peers.", net.calls_taken),
        (
            "calls_refused",
            "Calls from peers that were turned away.",
            net.calls_refused,
        ),
        ("dials", "Dials begun.", net.dials),
        ("dials_failed", "Dials that failed.", net.dials_failed),
        (
            "peers_refused",
            "Peers turned away, or that turned this node away.",
            net.peers_refused,
        ),
        (
            "commands_dropped",
            "Dials and hang-ups lost to overload.",
            net.commands_dropped,
        ),
        (
            "events_dropped",
            "Refusals and discoveries not reported.",
            net.events_dropped,
        ),
    ] {
        page.one(&format!("net_{name}_total"), "counter", help, value);
    }
    page.one(
        "net_links",
        "gauge",
        "Peers whose link is up.",
        net.links_up,
    );
    page.one(
        "net_connections",
        "gauge",
        "Connections, admitted or not.",
        net.connections,
    );
}

/// The text as it grows. Writing to a string cannot fail.
#[derive(Default)]
struct Page(String);

impl Page {
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.0,
            "# HELP starling_{name} {help}\n# TYPE starling_{name} {kind}"
        );
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "starling_{name}");
        for (at, (label, word)) in labels.iter().enumerate() {
            let _ = write!(
                self.0,
                "{}{label}=\"{word}\"",
                if at == 0 { "{" } else { "," }
            );
        }
        let _ = writeln!(
            self.0,
            "{} {value}",
            if labels.is_empty() { "" } else { "}" }
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_prometheus_text() {
        let mut page = Page::default();
        network(
            &mut page,
            &NetStats {
                dials: 7,
                ..NetStats::default()
            },
        );
        assert!(
            page.0
                .contains("# TYPE starling_net_dials_total counter\nstarling_net_dials_total 7\n")
        );
        let labelled = "starling_net_frames_total{class=\"urgent\",direction=\"sent\"} 0\n";
        assert!(page.0.contains(labelled));
        for line in page.0.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.split('{').next().unwrap();
            assert!(value.parse::<u64>().is_ok(), "{line}");
            assert!(page.0.contains(&format!("# TYPE {name} ")), "{name}");
        }
    }
}
