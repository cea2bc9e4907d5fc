//! From ended tasks to what placement knows: this node's measurements go into the table of
//! observations, and the cells that changed there, by whoever measured them, to the owner's side.

use std::time::Duration;

use starling_placement::{ClassId, Column, Excess, Known, Learned, RESOURCES};
use starling_wire::Time;
use starling_wire::observation::{column_name, column_of};

use super::Engine;
use crate::host::Measured;
use crate::owner::Predictions;

/// So many runs of a class must be known before a time under pressure tells how much it suffers.
const BASELINE: f64 = 3.0;
/// So many measurements per resource of what a class exerts are enough while they agree.
const ENOUGH: f64 = 4.0;
/// They agree if they differ by less than this, and by less than this share.
const AGREES: f64 = 0.1;
/// A task that seems to add more excess than this was not alone in coming or going.
const MOST: f64 = 8.0;

impl Engine {
    /// Tells gossip what was measured, and learns what is new in its table. Costs nothing while
    /// nothing ends and nothing arrives.
    pub(super) fn learn(&mut self, now: Time) {
        for measured in std::mem::take(&mut self.host.measured) {
            if measured.class.is_empty() {
                continue;
            }
            match measured.what {
                Measured::Ran(ran, _) if ran.is_zero() => {}
                Measured::Ran(ran, met) => self.learn_run(&measured.class, ran, met, now),
                Measured::Exerted(excess) => self.learn_exerted(&measured.class, excess, now),
            }
        }
        for (class, column) in self.gossip.take_changed_cells() {
            let Some(at) = column_of(&column) else {
                continue;
            };
            let summary = self.gossip.observations().summary(&class, &column, now);
            let known = summary.map(|summary| Known {
                mean: summary.mean,
                count: summary.count,
            });
            self.owner
                .knowledge
                .learned
                .learn(ClassId::of(&class), at, known);
        }
    }

    /// What a task added to its host's pressure. Once several measurements agree one more tells
    /// nothing, and gossip has better to carry.
    fn learn_exerted(&mut self, class: &str, excess: Excess, now: Time) {
        let profile = self.owner.knowledge.learned.profile(ClassId::of(class));
        #[allow(clippy::cast_precision_loss)]
        let enough = ENOUGH * RESOURCES.len() as f64;
        for (resource, excess) in excess.into_iter().enumerate() {
            let known = profile.exerts[resource].mean;
            let agrees = (excess - known).abs() < AGREES * (1.0 + known);
            let settled = profile.exerted >= enough && agrees;
            if excess.abs() < MOST && !settled {
                let column = column_name(Column::Exerts { resource });
                self.gossip.measured(now, class, &column, excess);
            }
        }
    }

    /// A run tells how long the class takes alone, with what it is believed to have suffered taken
    /// off; and under pressure also how much it suffers, beside what it is believed to take alone.
    /// Each belief corrects the other as runs add up (backfitting), since a busy cluster is never
    /// quiet enough to measure the one without the other.
    fn learn_run(&mut self, class: &str, ran: Duration, met: Excess, now: Time) {
        let (learned, id) = (&self.owner.knowledge.learned, ClassId::of(class));
        let profile = learned.profile(id);
        // What the others did: the class's own share is no contention to it.
        let own = profile.excess();
        let felt: Excess = std::array::from_fn(|at| (met[at] - own[at]).max(0.0));
        let platform = &self.gossip.my_fixed().platform;
        let log = libm::log(ran.as_secs_f64());
        let suffered = profile.slowdown(&felt).mean;
        let known = learned.timed(id) >= BASELINE;
        let alone = learned.estimate(id, platform).filter(|_| known);
        let mut told = vec![(column_name(Column::Platform(platform)), log - suffered)];
        if let Some((column, alone)) = Column::pressed(&felt).zip(alone) {
            told.push((column_name(column), log - alone.mean));
        }
        for (column, value) in told {
            self.gossip.measured(now, class, &column, value);
        }
    }

    /// How far this node's predictions were off.
    pub const fn predictions(&self) -> Predictions {
        self.owner.predictions
    }

    /// What this node has learned of classes: by its own measurements and by others'.
    pub const fn learned(&self) -> &Learned {
        &self.owner.knowledge.learned
    }
}
