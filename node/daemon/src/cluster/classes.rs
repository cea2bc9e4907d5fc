//! What is known of classes, in the API's words.

use std::collections::BTreeSet;
use std::time::Duration;

use starling_api::{CellView, ClassView, InterferenceView, ObserverView};
use starling_engine::Engine;
use starling_placement::learn::EIGHTY;
use starling_placement::{ClassId, Column, PRIOR, RESOURCES};
use starling_wire::Time;
use starling_wire::observation::{column_name, column_of};

use super::views::node_ref;

/// The most classes of which pairs are told: the best measured ones.
const MAX_PAIRED: usize = 48;

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
    let spread = EIGHTY * known.variance.sqrt();
    // What is exerted is an excess, all else are logarithms.
    let exerts = matches!(column_of(column), Some(Column::Exerts { .. }));
    let told = |value: f64| if exerts { value } else { value.exp() };
    let observers = gossip.observations().cell(class, column);
    let observers = observers.map(|open| ObserverView {
        node: node_ref(engine, &open.seen.node),
        value: told(f64::from(open.seen.mean)),
        count: open.seen.count,
        age_ms: millis(now.since(Time(u64::from(open.seen.at) * 1_000_000))),
    });
    Some(CellView {
        column: column.to_owned(),
        value: told(known.mean),
        low: told(known.mean - spread),
        high: told(known.mean + spread),
        count: known.count,
        confidence: known.count / (known.count + PRIOR),
        age_ms: millis(known.age),
        observers: observers.collect(),
    })
}

/// How each class fares beside each other, the worst first.
pub(crate) fn interference(engine: &Engine) -> Vec<InterferenceView> {
    let learned = engine.learned();
    let ids: BTreeSet<ClassId> = learned.disturbing().collect();
    let names = engine.gossip().observations().classes();
    let named = names.map(|name| (name, ClassId::of(name)));
    let mut classes: Vec<_> = named
        .filter(|(_, id)| ids.contains(id))
        .map(|(name, id)| (name, learned.profile(id)))
        .collect();
    classes.sort_by(|a, b| (b.1.suffered + b.1.exerted).total_cmp(&(a.1.suffered + a.1.exerted)));
    classes.truncate(MAX_PAIRED);
    let mut pairs = Vec::new();
    for (class, mine) in &classes {
        for (beside, theirs) in &classes {
            let excess = theirs.excess();
            let told = mine.slowdown(&excess);
            let spread = EIGHTY * told.variance.sqrt();
            let felt = |at: &usize| mine.suffers[*at].mean * excess[*at];
            let most = (0..RESOURCES.len()).max_by(|a, b| felt(a).total_cmp(&felt(b)));
            let measured = Column::pressed(&excess).and_then(|column| {
                let (gossip, column) = (engine.gossip(), column_name(column));
                gossip.observations().summary(class, &column, gossip.now())
            });
            pairs.push(InterferenceView {
                class: (*class).to_owned(),
                beside: (*beside).to_owned(),
                slowdown: told.mean.exp(),
                low: (told.mean - spread).exp().max(1.0),
                high: (told.mean + spread).exp(),
                by: most.map_or("", |at| RESOURCES[at]).to_owned(),
                measured: measured.map(|known| known.mean.exp()),
                suffered: mine.suffered,
                exerted: theirs.exerted,
                confidence: (mine.suffered / (mine.suffered + PRIOR))
                    .min(theirs.exerted / (theirs.exerted + PRIOR)),
            });
        }
    }
    pairs.sort_by(|a, b| b.slowdown.total_cmp(&a.slowdown));
    pairs
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
