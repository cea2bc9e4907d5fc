//! What this node itself measured, and when that is worth telling. A cell that has its observers
//! already is left to them until they are old, so what a cluster says about a class does not grow
//! with its size (the suppression of Trickle, Levis et al. 2004, RFC 6206).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use starling_wire::observation::{MAX_COUNT, MAX_LOG, MAX_VARIANCE, tag_of};
use starling_wire::{NodeId, Observation, Time};

use super::Observations;
use super::summary::measured_at;

/// The most cells of its own that a node keeps; the longest unused goes first.
const MAX_OWN: usize = 512;
/// A mean counts its earlier values for at most so many: what a class was long ago is forgotten.
const MEMORY: f64 = 64.0;
/// At least so long between two words about a cell.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// A word so old is worth renewing though it says nothing new.
const STALE: Duration = Duration::from_secs(3_600);

/// Class and column.
pub(super) type Key = (String, String);

/// A running mean (Welford 1962) with a bounded memory.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    mean: f64,
    variance: f64,
    /// How many values; those beyond the memory are counted, not weighed.
    count: u32,
    /// When the last of them was measured.
    last: Time,
    /// The second that the last word about it was stamped with, and its count then.
    told: Option<(u32, u32)>,
    /// When that was.
    told_at: Time,
    /// Whether it is among those that may be due.
    due: bool,
}

/// This node's own cells.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    own: BTreeMap<Key, Own>,
    due: BTreeSet<(Time, Key)>,
}

impl Measured {
    /// A value was measured: a logarithm. Whether it can be one.
    pub(crate) fn add(&mut self, key: Key, value: f64, now: Time, pause: Duration) -> bool {
        if !value.is_finite() || value.abs() > f64::from(MAX_LOG) {
            return false;
        }
        if self.own.len() >= MAX_OWN && !self.own.contains_key(&key) {
            let oldest = self.own.iter().min_by_key(|(_, own)| own.last);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.own.remove(&oldest);
                self.due.retain(|(_, key)| *key != oldest);
            }
        }
        let own = self.own.entry(key.clone()).or_default();
        own.count = own.count.saturating_add(1).min(MAX_COUNT);
        let share = 1.0 / f64::from(own.count).min(MEMORY);
        let apart = value - own.mean;
        own.mean += apart * share;
        own.variance = (1.0 - share) * (own.variance + share * apart * apart);
        own.last = now;
        let again = own.told.map_or(now + pause, |_| own.told_at + TELL_EVERY);
        if !std::mem::replace(&mut own.due, true) {
            self.due.insert((again.max(now), key));
        }
        true
    }

    /// Takes up what an earlier life of this node told.
    pub(crate) fn restore(&mut self, seen: &Observation) {
        if self.own.len() < MAX_OWN {
            let own = Own {
                mean: f64::from(seen.mean),
                variance: f64::from(seen.variance),
                count: seen.count,
                last: Time(u64::from(seen.at) * 1_000_000),
                told: Some((seen.at, seen.count)),
                told_at: Time::ZERO,
                due: false,
            };
            self.own
                .insert((seen.class.clone(), seen.column.clone()), own);
        }
    }

    /// When a word may be due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next word that is due and worth telling.
    pub(crate) fn tell(
        &mut self,
        me: NodeId,
        table: &Observations,
        now: Time,
    ) -> Option<Observation> {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let (_, key) = self.due.pop_first()?;
            let Some(own) = self.own.get_mut(&key) else {
                continue;
            };
            own.due = false;
            if !is_news(own, &key, me, table, now) {
                continue;
            }
            // Later than the last word, though the clock may have stood still or gone back.
            let second = u32::try_from(now.as_micros() / 1_000_000).unwrap_or(u32::MAX);
            let at = own
                .told
                .map_or(second, |(last, _)| second.max(last.saturating_add(1)));
            own.told = Some((at, own.count));
            own.told_at = now;
            let (class, column) = key;
            return Some(Observation {
                node: me,
                class,
                column,
                mean: narrow(own.mean, MAX_LOG),
                variance: narrow(own.variance, MAX_VARIANCE),
                count: own.count,
                at,
            });
        }
        None
    }
}

/// Whether a word about a cell would tell others something.
fn is_news(own: &Own, (class, column): &Key, me: NodeId, table: &Observations, now: Time) -> bool {
    if let Some(told) = table.get(tag_of(&me, class, column)) {
        let grown = own.count >= told.seen.count.saturating_mul(2);
        let mean = f64::from(told.seen.mean);
        // Four standard errors apart: the class, or this node, has changed.
        let error = own.variance / f64::from(own.count).min(MEMORY);
        let drifted = (own.mean - mean) * (own.mean - mean) > 16.0 * error + 0.01;
        return grown || drifted || now.since(measured_at(told)) > STALE;
    }
    let mut observers = table.cell(class, column);
    let last = observers.nth(table.limits.cell.saturating_sub(1));
    last.is_none_or(|open| now.since(measured_at(open)) > STALE)
}

/// What fits into a message.
#[allow(clippy::cast_possible_truncation)]
fn narrow(value: f64, most: f32) -> f32 {
    (value as f32).clamp(-most, most)
}
