//! Static parts by hash: each is held once, for as long as a record in the view names it, and asked
//! for until it is there. A part that is too large or lists absurdly much is refused, and its hash
//! remembered, so that it is not asked for again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_bytes::ByteBuf;
use starling_wire::record::MAX_STATIC;
use starling_wire::{NodeId, NodeStatic, Signer, StaticHash, StaticPart, Time};

use crate::config::{MAX_ADDRS, MAX_LABELS, MAX_TEXT};

/// How many refused hashes are remembered.
const BAD_LIMIT: usize = 64;

/// A part that a record names and that is not here yet.
#[derive(Debug)]
pub(crate) struct Missing {
    /// Whose record names it.
    pub(crate) owner: NodeId,
    /// Who sent that record.
    pub(crate) source: NodeId,
    /// How often it was asked for.
    pub(crate) asked: u32,
    /// When to ask again.
    pub(crate) due: Time,
}

/// What came of a static part that a peer sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It was missing, and is here now; whose record named it.
    Taken(NodeId),
    /// Nobody asked for it.
    Unwanted,
    /// It is unfit; it will not be asked for again.
    Refused,
}

/// The cache.
#[derive(Debug, Default)]
pub(crate) struct Statics {
    parts: BTreeMap<StaticHash, Arc<StaticPart>>,
    users: BTreeMap<StaticHash, u32>,
    missing: BTreeMap<StaticHash, Missing>,
    bad: VecDeque<StaticHash>,
}

impl Statics {
    /// A record names `hash`.
    pub(crate) fn acquire(&mut self, hash: StaticHash, owner: NodeId, source: NodeId) {
        *self.users.entry(hash).or_default() += 1;
        if !self.parts.contains_key(&hash) && !self.bad.contains(&hash) {
            let missing = Missing {
                owner,
                source,
                asked: 0,
                due: Time::ZERO,
            };
            self.missing.entry(hash).or_insert(missing);
        }
    }

    /// A record no longer names `hash`.
    pub(crate) fn release(&mut self, hash: &StaticHash) {
        let Some(users) = self.users.get_mut(hash) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.users.remove(hash);
            self.parts.remove(hash);
            self.missing.remove(hash);
        }
    }

    /// Takes a static part that a peer sent.
    pub(crate) fn accept(&mut self, bytes: &[u8], signer: &dyn Signer) -> Accepted {
        let hash = StaticHash::of(bytes);
        if !self.missing.contains_key(&hash) {
            return Accepted::Unwanted;
        }
        let part = signer.part(hash, bytes).ok();
        let Some(part) = part.filter(|part| is_sane(&part.fixed)) else {
            self.missing.remove(&hash);
            if self.bad.len() >= BAD_LIMIT {
                self.bad.pop_front();
            }
            self.bad.push_back(hash);
            return Accepted::Refused;
        };
        self.parts.insert(hash, part);
        match self.missing.remove(&hash) {
            Some(missing) => Accepted::Taken(missing.owner),
            None => Accepted::Unwanted,
        }
    }

    /// Puts in this node's own part.
    pub(crate) fn put_own(&mut self, hash: StaticHash, fixed: NodeStatic, bytes: Vec<u8>) {
        *self.users.entry(hash).or_default() += 1;
        let bytes = ByteBuf::from(bytes);
        let part = Arc::new(StaticPart { fixed, bytes });
        self.parts.insert(hash, part);
        self.missing.remove(&hash);
    }

    pub(crate) fn get(&self, hash: &StaticHash) -> Option<&NodeStatic> {
        self.parts.get(hash).map(|part| &part.fixed)
    }

    pub(crate) fn bytes(&self, hash: &StaticHash) -> Option<&ByteBuf> {
        self.parts.get(hash).map(|part| &part.bytes)
    }

    pub(crate) fn missing_mut(&mut self) -> impl Iterator<Item = (&StaticHash, &mut Missing)> {
        self.missing.iter_mut()
    }

    pub(crate) fn missing(&self) -> impl Iterator<Item = &Missing> {
        self.missing.values()
    }

    /// When the first of what is missing is to be asked for again.
    pub(crate) fn due(&self) -> Option<Time> {
        self.missing.values().map(|missing| missing.due).min()
    }

    pub(crate) fn is_missing(&self) -> bool {
        !self.missing.is_empty()
    }
}

/// Cuts a static part of this node's own down to what others accept.
pub(crate) fn clipped(mut fixed: NodeStatic) -> NodeStatic {
    let text = |text: &mut String| {
        while text.len() > MAX_TEXT {
            text.pop();
        }
    };
    text(&mut fixed.name);
    text(&mut fixed.platform);
    text(&mut fixed.version);
    if let Some(containers) = &mut fixed.containers {
        text(&mut containers.engine);
        text(&mut containers.version);
        text(&mut containers.arch);
    }
    fixed.addrs.truncate(MAX_ADDRS);
    fixed.addrs.retain(|addr| addr.len() <= MAX_TEXT);
    fixed
        .labels
        .retain(|key, value| key.len() <= MAX_TEXT && value.len() <= MAX_TEXT);
    while fixed.labels.len() > MAX_LABELS
        || (!fixed.labels.is_empty() && starling_wire::encode(&fixed).len() > MAX_STATIC)
    {
        fixed.labels.pop_last();
    }
    while starling_wire::encode(&fixed).len() > MAX_STATIC && fixed.addrs.pop().is_some() {}
    fixed
}

fn is_sane(fixed: &NodeStatic) -> bool {
    let containers = fixed.containers.iter();
    fixed.labels.len() <= MAX_LABELS
        && fixed.addrs.len() <= MAX_ADDRS
        && [&fixed.name, &fixed.platform, &fixed.version]
            .into_iter()
            .chain(&fixed.addrs)
            .chain(fixed.labels.keys())
            .chain(fixed.labels.values())
            .chain(containers.flat_map(|c| [&c.engine, &c.version, &c.arch]))
            .all(|text| text.len() <= MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId([1; 32]);

    fn signer() -> starling_wire::sign::Ed25519 {
        starling_wire::sign::Ed25519::from_seed(&[1; 32])
    }

    #[test]
    fn only_what_is_missing_and_fit_is_taken() {
        let mut statics = Statics::default();
        let fixed = NodeStatic {
            name: "a".into(),
            ..NodeStatic::default()
        };
        let bytes = starling_wire::encode(&fixed);
        assert_eq!(statics.accept(&bytes, &signer()), Accepted::Unwanted);
        statics.acquire(StaticHash::of(&bytes), ME, ME);
        assert_eq!(statics.accept(&bytes, &signer()), Accepted::Taken(ME));
        assert_eq!(statics.get(&StaticHash::of(&bytes)), Some(&fixed));
        statics.release(&StaticHash::of(&bytes));
        assert_eq!(statics.get(&StaticHash::of(&bytes)), None);

        let many = NodeStatic {
            addrs: vec![String::new(); MAX_ADDRS + 1],
            ..NodeStatic::default()
        };
        let bytes = starling_wire::encode(&many);
        statics.acquire(StaticHash::of(&bytes), ME, ME);
        assert_eq!(statics.accept(&bytes, &signer()), Accepted::Refused);
        assert!(!statics.is_missing());
        statics.acquire(StaticHash::of(&bytes), ME, ME);
        assert!(!statics.is_missing());
        assert!(is_sane(&clipped(many)));
    }
}
