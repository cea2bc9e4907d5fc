//! Tables by gossip: an exchange that opens carries one checksum of the table, 7 bytes while all
//! agree. Where it does not, checksums of parts and then marks find what differs, and only that is
//! sent. Records go first: a table waits while less than a second of the budget is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use starling_wire::gossip::{GossipMessage, MAX_MARKS, MAX_SEEN, MAX_SUMS, Mark};
use starling_wire::{Freshness, NodeId, OpenObservation, SignedObservation, Time};

use super::digest::Span;
use super::summary::measured_at;
use super::{Observations, Rank, Taken};
use crate::exchange::LEAST;
use crate::timers::Timer;
use crate::{Gossip, Output};

/// About what an observation takes in a message.
const SEEN_BYTES: usize = 260;
/// Clocks of a cluster may differ by so much; what was measured later than that is absurd.
const AHEAD: Duration = Duration::from_secs(600);
/// A span with more than that is described by its parts, for their checksums take fewer bytes.
const FEW: usize = 24;
/// After so many unfit observations the rest of a message is not looked at.
const PATIENCE: usize = 4;
/// The most observations handed out to be saved at a time.
const SAVES: usize = 128;
/// In a cluster of so many members for each second, first words about a cell are spread in time, so
/// that most of those who could say the same hear it in time to be silent.
const MEMBERS_PER_SECOND: usize = 8;
/// The longest that a first word waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Gossip {
    /// This node measured a value of a class in a column; `value` is a logarithm. It is told to
    /// others as soon as that is worth its bytes.
    pub fn measured(&mut self, now: Time, class: &str, column: &str, value: f64) {
        let now = self.enter(now);
        if self.left || self.config.table_limit == 0 {
            return;
        }
        let most = self.view.live().len() / MEMBERS_PER_SECOND;
        let most = Duration::from_secs(most as u64).min(LONGEST_PAUSE);
        let pause = most.mul_f64(self.rng.random_range(0.0..1.0));
        let key = (class.to_owned(), column.to_owned());
        if !self.measured.add(key, value, now, pause) {
            self.counters.observations_refused += 1;
        }
        self.set_observe();
    }

    /// Takes up what earlier lives of this node saved. What is damaged or absurd is left out, and
    /// removed with the next save.
    pub fn restore_observations(
        &mut self,
        now: Time,
        rows: impl IntoIterator<Item = (u64, Vec<u8>)>,
    ) {
        let now = self.enter(now);
        let mut tags = Vec::new();
        for (tag, bytes) in rows {
            tags.push(tag);
            let signed = starling_wire::decode::<SignedObservation>(&bytes, bytes.len());
            let Some(open) = signed.ok().and_then(|s| self.open_seen(now, &Arc::new(s))) else {
                self.counters.observations_refused += 1;
                continue;
            };
            if open.seen.node == self.me {
                self.measured.restore(&open.seen);
            }
            self.table.insert(open);
        }
        self.table.found_saved(&tags);
        self.set_save(now);
    }

    /// What is known of classes.
    pub const fn observations(&self) -> &Observations {
        &self.table
    }

    /// Whether [`Gossip::take_changed_cells`] has something to tell.
    pub fn has_changed_cells(&self) -> bool {
        self.table.has_changed()
    }

    /// The cells that changed since this was last asked, as class and column.
    pub fn take_changed_cells(&mut self) -> std::collections::BTreeSet<(String, String)> {
        self.table.take_changed()
    }

    /// Own words that are due.
    pub(crate) fn on_observe(&mut self, now: Time) {
        while let Some(seen) = self.measured.tell(self.me, &self.table, now) {
            let signed = Arc::new(SignedObservation::sign(&seen, &*self.signer));
            match self.signer.open_seen(&signed) {
                Ok(open) => {
                    self.counters.observations_told += 1;
                    self.table.insert(open);
                }
                // A class or column that nobody would take.
                Err(_) => self.counters.observations_refused += 1,
            }
        }
        self.set_observe();
        self.set_save(now);
    }

    fn set_observe(&mut self) {
        if let Some(next) = self.measured.next() {
            self.timers.set_sooner(Timer::Observe, next);
        }
    }

    fn set_save(&mut self, now: Time) {
        if self.table.unsaved() > 0 {
            let at = now + self.config.save_period;
            self.timers.set_if_idle(Timer::Save, at);
        }
    }

    /// Hands out what is to be saved: at most [`SAVES`] observations each period.
    pub(crate) fn on_save(&mut self, now: Time, out: &mut Vec<Output>) {
        let rows = self.table.take_unsaved(SAVES).into_iter();
        let bytes = |open: &OpenObservation| starling_wire::encode(&*open.signed);
        let rows: Vec<_> = rows.map(|(tag, open)| (tag, open.map(bytes))).collect();
        if !rows.is_empty() {
            out.push(Output::Observations(rows));
        }
        self.set_save(now);
    }

    /// Opens an observation, unless it is absurd.
    fn open_seen(
        &self,
        now: Time,
        signed: &Arc<SignedObservation>,
    ) -> Option<Arc<OpenObservation>> {
        let open = self.signer.open_seen(signed).ok()?;
        (measured_at(&open) <= now + AHEAD).then_some(open)
    }

    /// The other opened an exchange; `sum` is its table's.
    pub(crate) fn on_table(&mut self, now: Time, from: NodeId, sum: u32, out: &mut Vec<Output>) {
        // A second's budget must be left for what matters more.
        let least = LEAST.max(self.config.byte_budget as usize);
        if self.config.table_limit > 0 && sum != self.table.sum() && self.may_spend(now, least) {
            self.describe_span(now, from, Span::WHOLE, out);
        }
    }

    /// Says what this node holds in a span: by marks where they fit, else by its parts' checksums.
    fn describe_span(&mut self, now: Time, to: NodeId, span: Span, out: &mut Vec<Output>) {
        if !self.may_spend(now, LEAST) {
            return;
        }
        let message = if self.table.fits(span, FEW) || span.is_leaf() {
            GossipMessage::Marks {
                of: vec![span.number()],
                marks: self.table.marks(span).take(MAX_MARKS).collect(),
            }
        } else {
            GossipMessage::Sums {
                of: span.number(),
                sums: self.table.sums(span),
            }
        };
        self.send(now, to, message, false, out);
    }

    /// The other's checksums: those parts that differ are described, as many as a message holds.
    pub(crate) fn on_sums(
        &mut self,
        now: Time,
        from: NodeId,
        of: u16,
        sums: &[(u16, u32)],
        out: &mut Vec<Output>,
    ) {
        let Some(span) = Span::from_number(of).filter(|_| self.config.table_limit > 0) else {
            return;
        };
        let sums: BTreeMap<u16, u32> = sums.iter().copied().take(MAX_SUMS).collect();
        let theirs = |part: Span| sums.get(&part.number()).copied().unwrap_or_default();
        let parts = span.parts();
        let mut differing: Vec<Span> = parts
            .filter(|part| theirs(*part) != self.table.sum_of(*part))
            .collect();
        if differing.is_empty() {
            return;
        }
        // From a random one on, so that a part that fails does not keep the others waiting.
        let start = self.rng.random_range(0..differing.len());
        differing.rotate_left(start);
        if !self.table.fits(differing[0], FEW) && !differing[0].is_leaf() {
            return self.describe_span(now, from, differing[0], out);
        }
        if !self.may_spend(now, LEAST) {
            return;
        }
        let (mut spans, mut marks) = (Vec::new(), Vec::new());
        for part in differing {
            let room = MAX_MARKS - marks.len();
            if !marks.is_empty() && !self.table.fits(part, room) {
                break;
            }
            marks.extend(self.table.marks(part).take(room));
            spans.push(part.number());
        }
        let message = GossipMessage::Marks { of: spans, marks };
        self.send(now, from, message, false, out);
    }

    /// The other's marks: gives what it lacks and asks for what is lacking here.
    pub(crate) fn on_marks(
        &mut self,
        now: Time,
        from: NodeId,
        of: &[u16],
        marks: &[Mark],
        out: &mut Vec<Output>,
    ) {
        if self.config.table_limit == 0 || !self.may_spend(now, LEAST) {
            return;
        }
        let marks = marks.iter().take(MAX_MARKS);
        let listed: BTreeMap<u64, Freshness> = marks
            .map(|Mark(tag, at, hash)| {
                let (at, hash) = (*at, *hash);
                (*tag, Freshness { at, hash })
            })
            .collect();
        let spans = of.iter().take(MAX_SUMS);
        let spans = spans.filter_map(|number| Span::from_number(*number));
        let mut give: Vec<Rank> = spans
            .flat_map(|span| self.table.cells.range(span.tags()))
            .filter(|(tag, open)| listed.get(tag).is_none_or(|theirs| *theirs < open.fresh))
            .map(|(tag, open)| (open.fresh, *tag))
            .collect();
        give.sort_unstable_by(|a, b| b.cmp(a));
        give.dedup();
        let lacking = |(tag, theirs): &(&u64, &Freshness)| {
            let mine = self.table.get(**tag);
            mine.is_none_or(|mine| mine.fresh < **theirs)
        };
        let mut wants: Vec<Rank> = listed
            .iter()
            .filter(lacking)
            .map(|(tag, theirs)| (*theirs, *tag))
            .collect();
        wants.sort_unstable_by(|a, b| b.cmp(a));
        let tags = |ranks: Vec<Rank>| ranks.into_iter().map(|(_, tag)| tag);
        let wants = tags(wants).take(MAX_SEEN).collect();
        self.give_seen(now, from, tags(give), wants, out);
    }

    /// Takes the observations of a message.
    pub(crate) fn on_seen(&mut self, now: Time, from: NodeId, cells: Vec<Arc<SignedObservation>>) {
        if self.config.table_limit == 0 {
            return;
        }
        let mut bad = 0;
        for signed in cells.into_iter().take(MAX_SEEN) {
            let Some(open) = self.open_seen(now, &signed) else {
                self.counters.observations_refused += 1;
                self.quarantine(from);
                bad += 1;
                if bad == PATIENCE {
                    break;
                }
                continue;
            };
            if self.table.insert(open) == Taken::New {
                self.counters.observations_taken += 1;
            }
        }
        self.set_save(now);
    }

    /// The other asks for observations, by tag.
    pub(crate) fn on_seen_wanted(
        &mut self,
        now: Time,
        from: NodeId,
        wants: &[u64],
        out: &mut Vec<Output>,
    ) {
        if !wants.is_empty() {
            let tags = wants.iter().copied().take(MAX_SEEN);
            self.give_seen(now, from, tags, Vec::new(), out);
        }
    }

    /// Sends observations, as far as half of the budget goes, and asks for others.
    fn give_seen(
        &mut self,
        now: Time,
        to: NodeId,
        tags: impl Iterator<Item = u64>,
        mut wants: Vec<u64>,
        out: &mut Vec<Output>,
    ) {
        let mut left = self.budget.available(now) / 2;
        let mut cells = Vec::new();
        let held = tags.filter_map(|tag| self.table.get(tag));
        for open in held.take(MAX_SEEN) {
            if open.size > left {
                self.counters.budget_drops += 1;
                break;
            }
            left -= open.size;
            cells.push(Arc::clone(&open.signed));
        }
        wants.truncate((left / SEEN_BYTES).max(1));
        if !cells.is_empty() || !wants.is_empty() {
            self.send(now, to, GossipMessage::Seen { cells, wants }, false, out);
        }
    }

    fn may_spend(&mut self, now: Time, least: usize) -> bool {
        let may = self.budget.available(now) >= least;
        self.counters.budget_drops += u64::from(!may);
        may
    }
}

impl Observations {
    fn sum_of(&self, span: Span) -> u32 {
        self.digest.of(span)
    }

    /// Whether a span holds at most so many observations.
    fn fits(&self, span: Span, most: usize) -> bool {
        self.cells.range(span.tags()).nth(most).is_none()
    }

    fn marks(&self, span: Span) -> impl Iterator<Item = Mark> {
        let cells = self.cells.range(span.tags());
        cells.map(|(tag, open)| Mark(*tag, open.fresh.at, open.fresh.hash))
    }

    /// The checksums of a span's parts that are not empty.
    fn sums(&self, span: Span) -> Vec<(u16, u32)> {
        let sums = span.parts().map(|part| (part.number(), self.sum_of(part)));
        sums.filter(|(_, sum)| *sum != 0).collect()
    }
}
