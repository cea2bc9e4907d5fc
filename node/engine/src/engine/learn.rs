//! From ended tasks to what placement knows: this node's measurements go into the table of
//! observations, and the cells that changed there, by whoever measured them, to the owner's side.

use starling_placement::{ClassId, Times};
use starling_wire::Time;
use starling_wire::observation::{platform_column, platform_of, pressed_column};

use super::Engine;

/// So many times on a quiet host, or on any, tell how long a class runs on a platform; from then on
/// times on a pressed host tell how much it suffers.
const BASELINE: f64 = 4.0;

impl Engine {
    /// Tells gossip what was measured, and learns what is new in its table. Costs nothing while
    /// nothing ends and nothing arrives.
    pub(super) fn learn(&mut self, now: Time) {
        for measured in std::mem::take(&mut self.host.measured) {
            if measured.class.is_empty() || measured.ran.is_zero() {
                continue;
            }
            let column = platform_column(&self.gossip.my_fixed().platform);
            let log = libm::log(measured.ran.as_secs_f64());
            let table = self.gossip.observations();
            let alone = table.summary(&measured.class, &column, now);
            let alone = alone.filter(|alone| alone.count >= BASELINE);
            let (column, value) = match (measured.pressed, alone) {
                (Some((resource, level)), Some(alone)) => {
                    (pressed_column(resource, level), log - alone.mean)
                }
                _ => (column, log),
            };
            self.gossip.measured(now, &measured.class, &column, value);
        }
        for (class, column) in self.gossip.take_changed_cells() {
            let Some(platform) = platform_of(&column) else {
                continue;
            };
            let summary = self.gossip.observations().summary(&class, &column, now);
            let times = summary.map(|known| Times {
                log: known.mean,
                count: known.count,
            });
            self.owner.learn(ClassId::of(&class), platform, times);
        }
    }

    /// How fast a class is on a platform, compared with its best one, as placement believes it;
    /// none if nothing is known of the class.
    pub fn speed(&self, class: &str, platform: &str) -> Option<f64> {
        self.owner.speed(ClassId::of(class), platform)
    }
}
