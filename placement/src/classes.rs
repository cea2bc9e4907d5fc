//! Classes: the identity under which a workload's speed and its contention with others are known.
//! [`Classes`] is what placement asks; a learner answers it. [`RunningMeans`] is the simplest one:
//! mean times per class and platform, from what the cluster's nodes observed.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

/// A class's compact name: it travels in load records. Two classes may share one, which costs some
/// accuracy and nothing else.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ClassId(pub u16);

impl ClassId {
    /// The class of jobs with this name: FNV-1a (Fowler, Noll, Vo), folded to 16 bits. Never 0,
    /// which stands for no class.
    pub fn of(name: &str) -> Self {
        let mut hash = 0x811c_9dc5_u32;
        for byte in name.bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        let [a, b, c, d] = hash.to_be_bytes();
        Self(u16::from_be_bytes([a ^ c, b ^ d]).max(1))
    }
}

/// How many residents a load record names.
pub const MIX: usize = 4;

/// A sample of what runs on a node: the classes of up to [`MIX`] tasks; 0 where there are fewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix(pub [u16; MIX]);

impl Serialize for Mix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = [0; 2 * MIX];
        for (pair, class) in bytes.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&class.to_be_bytes());
        }
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Mix {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl serde::de::Visitor<'_> for Pairs {
            type Value = Mix;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{} bytes", 2 * MIX)
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Mix, E> {
                if bytes.len() != 2 * MIX {
                    return Err(E::invalid_length(bytes.len(), &self));
                }
                let mut mix = [0; MIX];
                for (class, pair) in mix.iter_mut().zip(bytes.chunks_exact(2)) {
                    *class = u16::from_be_bytes([pair[0], pair[1]]);
                }
                Ok(Mix(mix))
            }
        }
        deserializer.deserialize_bytes(Pairs)
    }
}

impl Mix {
    /// The mix of some residents.
    pub fn of(residents: impl IntoIterator<Item = ClassId>) -> Self {
        let mut mix = [0; MIX];
        for (slot, class) in mix.iter_mut().zip(residents) {
            *slot = class.0;
        }
        Self(mix)
    }

    /// Whether nothing runs, or nothing is known of it.
    pub const fn is_empty(&self) -> bool {
        self.0[0] == 0
    }

    /// One more resident, if there is room to name it.
    pub fn add(&mut self, class: ClassId) {
        if let Some(slot) = self.0.iter_mut().find(|slot| **slot == 0) {
            *slot = class.0;
        }
    }

    /// The classes named.
    pub fn classes(&self) -> impl Iterator<Item = ClassId> {
        let named = self.0.into_iter().filter(|class| *class != 0);
        named.map(ClassId)
    }
}

/// What is known of classes. Speeds are relative: only their ratios count.
pub trait Classes: Send + Sync + Debug {
    /// How fast the class is alone on a platform, compared with its best one: above 0, at most 1
    /// there. 0 if it cannot run there; none if nothing is known of it.
    fn speed(&self, class: ClassId, platform: &str) -> Option<f64>;

    /// The share of its speed that the class keeps on a platform beside another, 0 to 1; none if
    /// nothing is known.
    fn keeps(&self, class: ClassId, platform: &str, beside: ClassId) -> Option<f64>;

    /// How much faster than the average platform one is for what usually runs, for weighing nodes
    /// of equal cores; 1 if nothing is known.
    fn platform(&self, platform: &str) -> f64;
}

/// The most classes of which means are kept; the longest unused goes first.
const MAX_CLASSES: usize = 1_024;
/// The most platforms.
const MAX_PLATFORMS: usize = 64;
/// So many observations weigh as much as what is expected without any.
pub const PRIOR: f64 = 2.0;
/// More observations of a cell than this count no more.
const MOST: f64 = 64.0;

/// What is known of how long a class runs on a platform.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// The mean of the logarithms of seconds.
    pub log: f64,
    /// How many observations it rests on, above 0.
    pub count: f64,
}

/// Mean logarithms of how long tasks ran, per class and platform.
#[derive(Clone, Debug, Default)]
pub struct RunningMeans {
    rows: BTreeMap<ClassId, Row>,
    platforms: BTreeMap<String, Share>,
    used: u64,
}

#[derive(Clone, Debug, Default)]
struct Row {
    cells: BTreeMap<String, Times>,
    /// The mean over its cells.
    mean: f64,
    used: u64,
}

impl Row {
    /// By how much each platform lengthens or shortens the class's times, and how far that is
    /// known; nothing while there is only one to compare.
    fn shares(&self) -> impl Iterator<Item = (&str, f64, f64)> {
        let comparable = self.cells.len() > 1;
        let cells = self.cells.iter().filter(move |_| comparable);
        cells.map(|(platform, cell)| (platform.as_str(), cell.log - self.mean, cell.count))
    }

    #[allow(clippy::cast_precision_loss)]
    fn settle(&mut self) {
        let sum: f64 = self.cells.values().map(|cell| cell.log).sum();
        self.mean = sum / self.cells.len().max(1) as f64;
    }
}

/// A platform's effect summed over classes, weighted by counts.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    sum: f64,
    count: f64,
    rows: u32,
}

impl Share {
    /// The effect, drawn towards none.
    fn drawn(self) -> f64 {
        self.sum / (self.count + PRIOR)
    }
}

impl RunningMeans {
    /// Takes what is known of a class on a platform now, in the place of what was known before;
    /// none forgets it.
    pub fn learn(&mut self, class: ClassId, platform: &str, known: Option<Times>) {
        let usable = |known: &Times| known.log.is_finite() && known.count > 0.0;
        let known = known.filter(usable).map(|known| Times {
            count: known.count.min(MOST),
            ..known
        });
        if known.is_some() && self.rows.len() >= MAX_CLASSES && !self.rows.contains_key(&class) {
            let oldest = self.rows.iter().min_by_key(|(_, row)| row.used);
            if let Some(oldest) = oldest.map(|(class, _)| *class) {
                self.take_out(oldest);
            }
        }
        let mut row = self.take_out(class).unwrap_or_default();
        match known {
            Some(known) if row.cells.len() < MAX_PLATFORMS || row.cells.contains_key(platform) => {
                row.cells.insert(platform.to_owned(), known);
            }
            Some(_) => {}
            None => {
                row.cells.remove(platform);
            }
        }
        if row.cells.is_empty() {
            return;
        }
        row.settle();
        self.used += 1;
        row.used = self.used;
        for (platform, share, count) in row.shares() {
            if self.platforms.len() < MAX_PLATFORMS || self.platforms.contains_key(platform) {
                let general = self.platforms.entry(platform.to_owned()).or_default();
                general.sum += share * count;
                general.count += count;
                general.rows += 1;
            }
        }
        self.rows.insert(class, row);
    }

    /// Removes a row and what it told of platforms.
    fn take_out(&mut self, class: ClassId) -> Option<Row> {
        let row = self.rows.remove(&class)?;
        for (platform, share, count) in row.shares() {
            let Some(general) = self.platforms.get_mut(platform) else {
                continue;
            };
            general.sum -= share * count;
            general.count -= count;
            general.rows = general.rows.saturating_sub(1);
            if general.rows == 0 {
                self.platforms.remove(platform);
            }
        }
        Some(row)
    }

    /// The expected logarithm of a time on a platform, relative to the class's mean: what was seen
    /// of it, drawn towards what the platform does to classes in general.
    fn expected(&self, row: &Row, platform: &str) -> f64 {
        let general = self.platforms.get(platform).copied().unwrap_or_default();
        let general = general.drawn();
        let Some(cell) = row.cells.get(platform) else {
            return general;
        };
        let seen = cell.log - row.mean;
        (seen * cell.count + general * PRIOR) / (cell.count + PRIOR)
    }
}

impl Classes for RunningMeans {
    fn speed(&self, class: ClassId, platform: &str) -> Option<f64> {
        let row = self.rows.get(&class)?;
        let best = row
            .cells
            .keys()
            .map(|platform| self.expected(row, platform))
            .fold(f64::INFINITY, f64::min);
        let here = self.expected(row, platform);
        let best = best.min(here);
        Some(libm::exp(best - here))
    }

    fn keeps(&self, _: ClassId, _: &str, _: ClassId) -> Option<f64> {
        None
    }

    fn platform(&self, platform: &str) -> f64 {
        let share = self.platforms.get(platform).copied().unwrap_or_default();
        libm::exp(-share.drawn())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(seconds: f64, count: f64) -> Option<Times> {
        let log = libm::log(seconds);
        Some(Times { log, count })
    }

    #[test]
    fn means_find_the_faster_platform_and_hold_for_classes_not_seen_there() {
        let mut means = RunningMeans::default();
        let (seen, new) = (ClassId::of("encode"), ClassId::of("backup"));
        means.learn(seen, "pi", known(40.0, 50.0));
        means.learn(seen, "server", known(10.0, 50.0));
        let speed = means.speed(seen, "pi").unwrap();
        assert!((0.2..0.35).contains(&speed), "{speed}");
        assert!(means.speed(seen, "server").unwrap() > 0.99);
        assert_eq!(means.speed(new, "pi"), None);
        means.learn(new, "server", known(3.0, 1.0));
        assert!(means.speed(new, "pi").unwrap() < 0.6);
        assert!(means.platform("server") > 1.5 * means.platform("pi"));
        // What is learned takes the place of what was known.
        means.learn(seen, "pi", known(10.0, 50.0));
        assert!(means.speed(seen, "pi").unwrap() > 0.99);
        means.learn(seen, "pi", None);
        means.learn(seen, "server", None);
        assert_eq!(means.speed(seen, "pi"), None);
        assert!(means.platforms.is_empty());
    }

    #[test]
    fn a_million_names_stay_bounded() {
        let mut means = RunningMeans::default();
        for name in 0..20_000_u32 {
            let class = ClassId::of(&name.to_string());
            means.learn(class, &format!("p{name}"), known(1.0, 1.0));
            means.learn(class, &format!("q{name}"), known(2.0, 1.0));
        }
        assert!(means.rows.len() <= MAX_CLASSES && means.platforms.len() <= MAX_PLATFORMS);
    }

    proptest! {
        #[test]
        fn speeds_are_shares(
            cells in prop::collection::vec((0u8..4, 0u8..4, -20.0..20.0, 0.0..1e9), 0..60)
        ) {
            let mut means = RunningMeans::default();
            for (class, platform, log, count) in &cells {
                let known = Some(Times { log: *log, count: *count });
                means.learn(ClassId(u16::from(*class)), &platform.to_string(), known);
            }
            for class in 0..4 {
                for platform in 0..5 {
                    if let Some(speed) = means.speed(ClassId(class), &platform.to_string()) {
                        prop_assert!(speed > 0.0 && speed <= 1.0, "{}", speed);
                    }
                }
            }
        }
    }
}
