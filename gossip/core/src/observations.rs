//! The table of observations: for each class and column what the freshest few observers measured.
//!
//! What a table keeps is a function of the set of observations it ever saw, not of their order: of
//! a node's words about a cell the freshest; of a cell's observers the freshest [`Limits::cell`];
//! of all those the freshest [`Limits::table`], so classes that nobody measures any more go first.
//! The freshest few of a union are the freshest few of the parts' freshest few, so merging is
//! commutative, associative and idempotent (a state-based CRDT: Shapiro et al. 2011), and two
//! islands that meet end with equal tables.
//!
//! Besides, no node has more than [`Limits::observer`] cells here: one that invents class names
//! displaces its own and nobody else's. Only while a node is beyond that does what is kept depend
//! on the order of arrival, and only in its own cells and those they had displaced.
//!
//! An observation takes about 1 KiB with its indexes, at most 2; a full table of 8,192 about 8 MiB.

mod digest;
mod measured;
mod reconcile;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use starling_wire::{Freshness, NodeId, OpenObservation};

use digest::Digest;

pub(crate) use measured::Measured;
pub use summary::Summary;

/// How much a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Observers per cell.
    pub cell: usize,
    /// Cells per observer.
    pub observer: usize,
    /// Observations in all.
    pub table: usize,
}

impl Limits {
    /// The limits of a table of so many observations: five observers per cell, and an eighth of the
    /// table for each.
    pub const fn of(table: usize) -> Self {
        let eighth = table / 8;
        Self {
            cell: 5,
            observer: if eighth == 0 { 1 } else { eighth },
            table,
        }
    }
}

/// What became of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in the table now.
    New,
    /// It, or a fresher one, was in the table.
    Known,
    /// The places it could take are taken by fresher ones.
    Crowded,
}

/// A rank: the fresher is the greater.
type Rank = (Freshness, u64);

/// The table. See the module's documentation.
#[derive(Debug)]
pub struct Observations {
    limits: Limits,
    cells: BTreeMap<u64, Arc<OpenObservation>>,
    /// The observations of each cell, by class and column.
    rows: BTreeMap<String, BTreeMap<String, BTreeSet<Rank>>>,
    ranks: BTreeSet<Rank>,
    observers: BTreeMap<NodeId, BTreeSet<Rank>>,
    digest: Digest,
    /// The cells that changed since [`Observations::take_changed`].
    changed: BTreeSet<(String, String)>,
    /// What changed since [`Observations::take_unsaved`], by tag.
    unsaved: BTreeSet<u64>,
}

impl Observations {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            cells: BTreeMap::new(),
            rows: BTreeMap::new(),
            ranks: BTreeSet::new(),
            observers: BTreeMap::new(),
            digest: Digest::default(),
            changed: BTreeSet::new(),
            unsaved: BTreeSet::new(),
        }
    }

    /// Takes an observation in. O(log n).
    pub fn insert(&mut self, open: Arc<OpenObservation>) -> Taken {
        let tag = open.tag;
        if let Some(held) = self.cells.get(&tag) {
            if held.fresh >= open.fresh {
                return Taken::Known;
            }
            self.remove(tag);
        }
        let node = open.seen.node;
        self.add(open);
        let crowded = |ranks: Option<&BTreeSet<Rank>>, most: usize| {
            let ranks = ranks.filter(|ranks| ranks.len() > most)?;
            ranks.first().map(|(_, tag)| *tag)
        };
        if let Some(last) = crowded(self.observers.get(&node), self.limits.observer) {
            self.remove(last);
        }
        let cell = self.cells.get(&tag).map(|open| &open.seen);
        let cell = cell.and_then(|seen| self.rows.get(&seen.class)?.get(&seen.column));
        if let Some(last) = crowded(cell, self.limits.cell) {
            self.remove(last);
        }
        if let Some(last) = crowded(Some(&self.ranks), self.limits.table) {
            self.remove(last);
        }
        if self.cells.contains_key(&tag) {
            Taken::New
        } else {
            Taken::Crowded
        }
    }

    /// How many observations there are.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// All observations, by tag.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<OpenObservation>> {
        self.cells.values()
    }

    /// The classes of which something is known.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }

    /// The columns in which something is known of a class.
    pub fn columns(&self, class: &str) -> impl Iterator<Item = &str> {
        let columns = self.rows.get(class).into_iter().flatten();
        columns.map(|(column, _)| column.as_str())
    }

    /// The observations of a cell, the freshest first.
    pub fn cell(&self, class: &str, column: &str) -> impl Iterator<Item = &Arc<OpenObservation>> {
        let ranks = self.rows.get(class).and_then(|row| row.get(column));
        let ranks = ranks.into_iter().flat_map(|ranks| ranks.iter().rev());
        ranks.filter_map(|(_, tag)| self.cells.get(tag))
    }

    /// One observation.
    pub fn get(&self, tag: u64) -> Option<&Arc<OpenObservation>> {
        self.cells.get(&tag)
    }

    /// A checksum over all of it, 0 if it is empty.
    pub const fn sum(&self) -> u32 {
        self.digest.whole()
    }

    /// Whether any cell changed since [`Observations::take_changed`] was last asked.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The cells that changed since this was last asked, as class and column.
    pub fn take_changed(&mut self) -> BTreeSet<(String, String)> {
        std::mem::take(&mut self.changed)
    }

    /// Up to `most` tags of what was added or removed since it was last saved, with what is held of
    /// each now.
    pub(crate) fn take_unsaved(&mut self, most: usize) -> Vec<(u64, Option<&OpenObservation>)> {
        let tags: Vec<u64> = self.unsaved.iter().copied().take(most).collect();
        for tag in &tags {
            self.unsaved.remove(tag);
        }
        let held = |tag| self.cells.get(&tag).map(|open| &**open);
        tags.into_iter().map(|tag| (tag, held(tag))).collect()
    }

    /// How many changes were not handed out to be saved yet.
    pub fn unsaved(&self) -> usize {
        self.unsaved.len()
    }

    /// These tags were found saved: what is held of them is saved, the rest is to be removed.
    pub(crate) fn found_saved(&mut self, tags: &[u64]) {
        self.unsaved.clear();
        let stray = tags.iter().filter(|tag| !self.cells.contains_key(tag));
        self.unsaved.extend(stray);
    }

    fn add(&mut self, open: Arc<OpenObservation>) {
        let (tag, rank) = (open.tag, (open.fresh, open.tag));
        let seen = &open.seen;
        self.digest.flip(tag, open.fresh);
        self.ranks.insert(rank);
        self.observers.entry(seen.node).or_default().insert(rank);
        let row = self.rows.entry(seen.class.clone()).or_default();
        row.entry(seen.column.clone()).or_default().insert(rank);
        self.note(seen.class.clone(), seen.column.clone(), tag);
        self.cells.insert(tag, open);
    }

    fn remove(&mut self, tag: u64) {
        let Some(open) = self.cells.remove(&tag) else {
            return;
        };
        let (seen, rank) = (&open.seen, (open.fresh, tag));
        self.digest.flip(tag, open.fresh);
        self.ranks.remove(&rank);
        if let Some(ranks) = self.observers.get_mut(&seen.node) {
            ranks.remove(&rank);
            if ranks.is_empty() {
                self.observers.remove(&seen.node);
            }
        }
        if let Some(row) = self.rows.get_mut(&seen.class) {
            if let Some(ranks) = row.get_mut(&seen.column) {
                ranks.remove(&rank);
                if ranks.is_empty() {
                    row.remove(&seen.column);
                }
            }
            if row.is_empty() {
                self.rows.remove(&seen.class);
            }
        }
        self.note(seen.class.clone(), seen.column.clone(), tag);
    }

    /// Remembers a change for who learns and who saves. Both lists are bounded in case nobody asks.
    fn note(&mut self, class: String, column: String, tag: u64) {
        let most = self.limits.table.saturating_mul(2);
        if self.changed.len() < most {
            self.changed.insert((class, column));
        }
        if self.unsaved.len() < most {
            self.unsaved.insert(tag);
        }
    }
}

#[cfg(test)]
#[path = "observations/tests.rs"]
mod tests;
