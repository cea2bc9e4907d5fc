//! Checksums of a table by spans of tags, kept as it changes: the whole, its 64 parts, and the 64
//! parts of each. Two nodes whose tables differ by little find where in two steps (a hash tree of
//! fixed depth: Merkle 1987, as in Dynamo's anti-entropy, DeCandia et al. 2007).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use starling_wire::Freshness;

/// How many parts a span has.
const FAN: u16 = 64;

/// A span of tags: 0 is the whole, 1 to 64 its parts, and 65 to 4160 theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(u16);

impl Span {
    pub(super) const WHOLE: Self = Self(0);

    /// The span of that number.
    pub(super) fn from_number(number: u16) -> Option<Self> {
        (number <= FAN + FAN * FAN).then_some(Self(number))
    }

    pub(super) const fn number(self) -> u16 {
        self.0
    }

    /// Whether it has no parts.
    pub(super) const fn is_leaf(self) -> bool {
        self.0 > FAN
    }

    /// The parts of this span.
    pub(super) fn parts(self) -> impl Iterator<Item = Self> {
        let first = if self.0 == 0 {
            1
        } else {
            1 + FAN + (self.0 - 1) * FAN
        };
        let count = if self.is_leaf() { 0 } else { FAN };
        (0..count).map(move |part| Self(first + part))
    }

    /// Its tags.
    pub(super) fn tags(self) -> RangeInclusive<u64> {
        let (index, bits) = match self.0 {
            0 => (0, 0),
            part if part <= FAN => (u64::from(part - 1), 6),
            part => (u64::from(part - 1 - FAN), 12),
        };
        if bits == 0 {
            return 0..=u64::MAX;
        }
        let start = index << (64 - bits);
        start..=start | (u64::MAX >> bits)
    }
}

/// The checksums. Each is the exclusive or of what it covers, so adding and removing are the same.
#[derive(Debug, Default)]
pub(super) struct Digest {
    whole: u32,
    /// By number; what is not there is 0.
    parts: BTreeMap<Span, u32>,
}

impl Digest {
    pub(super) const fn whole(&self) -> u32 {
        self.whole
    }

    pub(super) fn of(&self, span: Span) -> u32 {
        if span == Span::WHOLE {
            return self.whole;
        }
        self.parts.get(&span).copied().unwrap_or_default()
    }

    /// How many parts are not empty.
    #[cfg(test)]
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// An observation came or went.
    pub(super) fn flip(&mut self, tag: u64, fresh: Freshness) {
        let mark = mark(tag, fresh);
        self.whole ^= mark;
        let [top, leaf] = [tag >> 58, (tag >> 52) + u64::from(FAN)];
        for part in [top, leaf].map(|at| Span(u16::try_from(at + 1).unwrap_or(0))) {
            let sum = self.parts.entry(part).or_default();
            *sum ^= mark;
            if *sum == 0 {
                self.parts.remove(&part);
            }
        }
    }
}

/// Thirty-two well-mixed bits of a tag and its freshness (the finaliser of SplitMix64, Steele et
/// al. 2014). Both come from SHA-256, so nobody picks them freely.
const fn mark(tag: u64, fresh: Freshness) -> u32 {
    let stamp = ((fresh.at as u64) << 32) | fresh.hash as u64;
    let mut x = tag ^ stamp.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_all_tags_once() {
        for whole in [Span::WHOLE, Span(1), Span(33), Span(64)] {
            let mut next = *whole.tags().start();
            for part in whole.parts() {
                assert_eq!(*part.tags().start(), next, "{part:?}");
                next = part.tags().end().wrapping_add(1);
            }
            assert_eq!(next, whole.tags().end().wrapping_add(1));
        }
        assert_eq!(Span(FAN + 1).parts().count(), 0);
        assert_eq!(Span::from_number(FAN + FAN * FAN + 1), None);
    }

    #[test]
    fn a_part_counts_what_lies_in_it() {
        let mut digest = Digest::default();
        let fresh = Freshness { at: 7, hash: 9 };
        for tag in [0, 1 << 52, 3 << 58, u64::MAX] {
            digest.flip(tag, fresh);
            let holds: Vec<Span> = (0..=FAN + FAN * FAN)
                .map(Span)
                .filter(|span| digest.of(*span) != 0)
                .collect();
            assert_eq!(holds.len(), 3);
            assert!(holds.iter().all(|span| span.tags().contains(&tag)));
            digest.flip(tag, fresh);
            assert_eq!((digest.whole(), digest.parts.len()), (0, 0));
        }
    }
}
