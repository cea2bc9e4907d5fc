//! What is known of classes, in the API's words.

use std::collections::BTreeSet;
use std::time::Duration;

use starling_api::{CellView, ClassView, ObserverView};
use starling_engine::Engine;
use starling_placement::PRIOR;
use starling_wire::Time;

use super::views::node_ref;

/// One in ten of normal values lies so many standard deviations above the mean, and one below.
const TENTH: f64 = 1.2816;

/// The classes, by name.
pub(crate) fn classes(engine: &Engine) -> Vec<ClassView> {
    let names = engine.gossip().observations().classes();
    names.map(|name| class(engine, name)).collect()
}

fn class(engine: &Engine, name: &str) -> ClassView {
    let table = engine.gossip().observations();
    let columns = table.columns(name);
    let cells = columns.filter_map(|column| cell(engine, name, column));
    let cells: Vec<CellView> = cells.collect();
    let seen = cells.iter().flat_map(|cell| &cell.observers);
    let observers: BTreeSet<&str> = seen.map(|seen| seen.node.id.as_str()).collect();
    ClassView {
        name: name.to_owned(),
        observers: u32::try_from(observers.len()).unwrap_or(u32::MAX),
        cells,
    }
}

fn cell(engine: &Engine, class: &str, column: &str) -> Option<CellView> {
    let (gossip, now) = (engine.gossip(), engine.gossip().now());
    let known = gossip.observations().summary(class, column, now)?;
    let spread = TENTH * known.variance.sqrt();
    let observers = gossip.observations().cell(class, column);
    let observers = observers.map(|open| ObserverView {
        node: node_ref(engine, &open.seen.node),
        value: f64::from(open.seen.mean).exp(),
        count: open.seen.count,
        age_ms: millis(now.since(Time(u64::from(open.seen.at) * 1_000_000))),
    });
    Some(CellView {
        column: column.to_owned(),
        value: known.mean.exp(),
        low: (known.mean - spread).exp(),
        high: (known.mean + spread).exp(),
        count: known.count,
        confidence: known.count / (known.count + PRIOR),
        age_ms: millis(known.age),
        observers: observers.collect(),
    })
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
