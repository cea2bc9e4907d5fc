//! Classes: the identity under which a workload's speed and its contention with others are known.
//! [`Classes`] is what placement asks; a learner answers it.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::learn::Origin;
use crate::resources::Pressure;

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

/// How fast a class is alone on a platform.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Compared with its best platform: above 0, at most 1 there; 0 if it cannot run here.
    pub relative: f64,
    /// How long a task of it takes here alone, in seconds; none where only ratios are known.
    pub seconds: Option<f64>,
    /// The standard deviation of the logarithm of that time, at least 0.
    pub deviation: f64,
    /// What this was derived from.
    pub origin: Origin,
}

/// Who runs on a node and what presses there: whom a newcomer would meet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Company {
    /// The classes of a sample of those who run.
    pub mix: Mix,
    /// How many run in all.
    pub running: u32,
    /// What the node's sensors show, those who run included.
    pub pressure: Pressure,
}

impl Company {
    /// For how many tasks each class of the mix stands, at least 1.
    #[allow(clippy::cast_precision_loss)]
    pub fn each(&self) -> f64 {
        let named = self.mix.classes().count().max(1) as f64;
        (f64::from(self.running) / named).max(1.0)
    }
}

/// What a newcomer and those who run already would do to one another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contention {
    /// How many times as long the newcomer would take as alone, at least 1; infinite if they cannot
    /// run together.
    pub slowdown: f64,
    /// The standard deviation of its logarithm, at least 0.
    pub deviation: f64,
    /// What the others would lose by it, summed, each as a share of its speed on its best platform,
    /// at least 0; infinite if one of them could not go on.
    pub harm: f64,
    /// What the slowdown was derived from.
    pub origin: Origin,
}

/// What is known of classes. Speeds are relative: only their ratios count.
pub trait Classes: Send + Sync + Debug {
    /// How fast the class is alone on a platform; none if nothing is known of it.
    fn speed(&self, class: ClassId, platform: &str) -> Option<Speed>;

    /// What a task of the class and the company on a node of the platform would do to one another;
    /// none if nothing is known of how anything disturbs anything.
    fn contention(&self, class: ClassId, platform: &str, company: &Company) -> Option<Contention>;

    /// How much faster than the average platform one is for what usually runs, for weighing nodes
    /// of equal cores; 1 if nothing is known.
    fn platform(&self, platform: &str) -> f64;

    /// Whether anything is known of how classes disturb each other, so that nodes of one platform
    /// differ.
    fn disturbs(&self) -> bool;
}

/// So many observations weigh as much as what is expected without any.
pub const PRIOR: f64 = 2.0;

/// What is known of a cell of a class: the mean of some values, mostly logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// The mean of the values.
    pub mean: f64,
    /// How many observations it rests on, above 0.
    pub count: f64,
}
