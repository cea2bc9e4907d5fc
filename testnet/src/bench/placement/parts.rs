//! The row of parts: what each part of the placement rule is worth, by leaving it out.

use std::path::Path;

use super::fleets::{BUDGET, LOW_RANK, disturbed};
use super::measure::RESPONSE;
use super::queues::{column, single};
use super::row::{Row, Setting};

/// The whole rule, and the rule without each of its parts.
const PLAYERS: [&str; 8] = [
    "starling",
    "starling:-classes",
    "starling:-cached",
    "starling:-live",
    "starling:-bounce",
    "starling:-capacity",
    "starling:-jitter",
    "starling:-stealing",
];

/// The row; it has no aims.
pub(super) fn parts(quick: bool) -> Result<Row, String> {
    let tasks = if quick { 6_000.0 } else { 20_000.0 };
    let length = tasks / 90.0;
    let queues = single(100, 0.9, 1.0, [length / 5.0, length, 5.0]);
    let times = [10.0, if quick { 30.0 } else { 90.0 }, 4.0];
    let rough = disturbed(LOW_RANK, 100, 2.0, times, BUDGET);
    let at = Path::new("");
    let most = if quick { 2 } else { 3 };
    Ok(Row {
        name: "parts",
        about: "what is lost without each part of the rule: M/M/1 with S of 1 s, and the \
                generator's interference on 100 machines with S of 2 s; gossip each second"
            .to_owned(),
        columns: vec![
            column(RESPONSE, "response/S"),
            column("response_p99", "p99 s"),
            column("performance_mean", "performance"),
            column("live_per_task", "live/task"),
            column("placement_per_task", "messages/task"),
            column("bounces_per_task", "bounces/task"),
            column("steals_per_task", "pulls/task"),
        ],
        settings: vec![
            Setting::new("M/M/1", queues, at, &PLAYERS)?.at_most(most),
            Setting::new("interference", rough, at, &PLAYERS)?
                .service(2.0)
                .at_most(most),
        ],
        aims: Vec::new(),
        skipped: Vec::new(),
    })
}
