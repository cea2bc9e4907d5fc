//! Observations: what a node measured of a class of workloads, one cell (class x column) each.
//!
//! Each is signed by the node that measured it and forwarded verbatim, like a record: what is
//! learned steers placement everywhere, so nobody may speak for another, and one node counts once
//! however many hands its word passes through. It costs 64 bytes a cell, once per node and cell.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use starling_placement::{Column, RESOURCES};

use crate::codec::{self, CodecError};
use crate::ids::NodeId;
use crate::job::MAX_CLASS;
use crate::sign::{Signature, Signer};

/// The most bytes of a column's name.
pub const MAX_COLUMN: usize = 128;
/// The most bytes of a signed body.
pub const MAX_OBSERVATION: usize = 320;
/// Means are logarithms of seconds or of slowdowns, or excesses; beyond this they are absurd (e^20 s:
/// 15 years).
pub const MAX_LOG: f32 = 20.0;
/// Variances of such logarithms are at most this.
pub const MAX_VARIANCE: f32 = MAX_LOG * MAX_LOG;
/// The largest count.
pub const MAX_COUNT: u32 = 1_000_000;

/// How the columns begin.
const PLATFORM: &str = "platform:";
const PRESSED: &str = "pressed:";
const EXERTS: &str = "exerts:";

/// A column's name: `platform:NAME`, `pressed:RESOURCE/LEVEL` or `exerts:RESOURCE`. A platform's
/// name is cut where it would be too long.
pub fn column_name(column: Column<'_>) -> String {
    let resource = |at: usize| RESOURCES.get(at).copied().unwrap_or_default();
    let mut name = match column {
        Column::Platform(platform) => format!("{PLATFORM}{platform}"),
        Column::Pressed {
            resource: at,
            level,
        } => format!("{PRESSED}{}/{level}", resource(at)),
        Column::Exerts { resource: at } => format!("{EXERTS}{}", resource(at)),
    };
    while name.len() > MAX_COLUMN {
        name.pop();
    }
    name
}

/// The column of a name; none if it is of a kind that this node does not know.
pub fn column_of(name: &str) -> Option<Column<'_>> {
    let resource = |name: &str| RESOURCES.iter().position(|known| *known == name);
    if let Some(platform) = name.strip_prefix(PLATFORM) {
        return Some(Column::Platform(platform));
    }
    if let Some(at) = name.strip_prefix(EXERTS) {
        let resource = resource(at)?;
        return Some(Column::Exerts { resource });
    }
    let (at, level) = name.strip_prefix(PRESSED)?.split_once('/')?;
    let level = level.parse().ok().filter(|level| (1..=4).contains(level))?;
    let resource = resource(at)?;
    Some(Column::Pressed { resource, level })
}

/// What one node measured of one class in one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Who measured it.
    #[serde(rename = "n")]
    pub node: NodeId,
    /// The class's name, 1 to [`MAX_CLASS`] bytes.
    #[serde(rename = "c")]
    pub class: String,
    /// The column's name, 1 to [`MAX_COLUMN`] bytes.
    #[serde(rename = "l")]
    pub column: String,
    /// The mean of the values: see [`Column`]; within ±[`MAX_LOG`].
    #[serde(rename = "m")]
    pub mean: f32,
    /// Their variance, 0 to [`MAX_VARIANCE`].
    #[serde(rename = "v")]
    pub variance: f32,
    /// How many values it sums up, 1 to [`MAX_COUNT`].
    #[serde(rename = "k")]
    pub count: u32,
    /// When the last of them was measured, in whole seconds of its node's clock. Of two
    /// observations of a cell by a node the later counts.
    #[serde(rename = "t")]
    pub at: u32,
}

impl Observation {
    /// Whether every value lies in its range.
    fn check(&self) -> Result<(), &'static str> {
        let named = |text: &str, most| (1..=most).contains(&text.len());
        let plain = |text: &str| !text.chars().any(char::is_control);
        if !named(&self.class, MAX_CLASS) || !plain(&self.class) {
            return Err("class");
        }
        if !named(&self.column, MAX_COLUMN) || !plain(&self.column) {
            return Err("column");
        }
        // A comparison with what is not a number is false.
        if !(-MAX_LOG..=MAX_LOG).contains(&self.mean) {
            return Err("mean");
        }
        if !(0.0..=MAX_VARIANCE).contains(&self.variance) {
            return Err("variance");
        }
        if !(1..=MAX_COUNT).contains(&self.count) {
            return Err("count");
        }
        Ok(())
    }
}

/// An observation's bytes as its node signed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedObservation {
    #[serde(rename = "b")]
    body: ByteBuf,
    #[serde(rename = "g")]
    signature: Signature,
}

/// What decides which of two observations is fresher: the time in seconds, and on a tie the first
/// bytes of the body's hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Freshness {
    /// When it was measured, in seconds.
    pub at: u32,
    /// The first four bytes of its body's SHA-256.
    pub hash: u32,
}

/// An observation that was checked, with the bytes it came as.
#[derive(Debug, PartialEq)]
pub struct OpenObservation {
    /// What it says.
    pub seen: Observation,
    /// What is passed on.
    pub signed: Arc<SignedObservation>,
    /// Names node, class and column: the first eight bytes of their SHA-256.
    pub tag: u64,
    /// Which of two with the same tag counts.
    pub fresh: Freshness,
    /// What `signed` takes in a message, in bytes.
    pub size: usize,
}

/// Why an observation is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ObservationError {
    /// Its bytes are not an observation.
    #[error("an observation that does not decode")]
    Malformed(#[source] CodecError),
    /// Its node did not sign it.
    #[error("an observation of node {0:?} with a wrong signature")]
    Forged(NodeId),
    /// A value lies outside its range.
    #[error("an observation of node {0:?} whose {1} is out of range")]
    OutOfRange(NodeId, &'static str),
}

impl SignedObservation {
    /// Signs `seen`.
    pub fn sign(seen: &Observation, signer: &dyn Signer) -> Self {
        let body = codec::encode(seen);
        let signature = signer.sign(&body);
        Self {
            body: ByteBuf::from(body),
            signature,
        }
    }

    /// The observation, if it decodes, is in range and its node signed it.
    pub fn open(
        self: &Arc<Self>,
        signer: &(impl Signer + ?Sized),
    ) -> Result<OpenObservation, ObservationError> {
        let seen: Observation =
            codec::decode(&self.body, MAX_OBSERVATION).map_err(ObservationError::Malformed)?;
        seen.check()
            .map_err(|what| ObservationError::OutOfRange(seen.node, what))?;
        if !signer.verify(&seen.node, &self.body, &self.signature) {
            return Err(ObservationError::Forged(seen.node));
        }
        let hash = Sha256::digest(&self.body);
        Ok(OpenObservation {
            tag: tag_of(&seen.node, &seen.class, &seen.column),
            fresh: Freshness {
                at: seen.at,
                hash: u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]),
            },
            size: codec::encode(&**self).len(),
            signed: Arc::clone(self),
            seen,
        })
    }
}

/// Names a node's observation of a class in a column.
pub fn tag_of(node: &NodeId, class: &str, column: &str) -> u64 {
    let digest = Sha256::new()
        .chain_update(node.0)
        .chain_update((class.len() as u64).to_be_bytes())
        .chain_update(class)
        .chain_update(column)
        .finalize();
    let mut tag = [0; 8];
    tag.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(tag)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sign::Ed25519;

    fn seen(node: NodeId) -> Observation {
        Observation {
            node,
            class: "c".repeat(MAX_CLASS),
            column: "p".repeat(MAX_COLUMN),
            mean: -1.234_567,
            variance: 0.123_456,
            count: MAX_COUNT,
            at: u32::MAX,
        }
    }

    #[test]
    fn an_observation_opens_only_as_its_node_signed_it() {
        let (a, b) = (Ed25519::from_seed(&[1; 32]), Ed25519::from_seed(&[2; 32]));
        let signed = Arc::new(SignedObservation::sign(&seen(a.node()), &a));
        let open = b.open_seen(&signed).unwrap();
        assert_eq!(open.seen, seen(a.node()));
        assert_eq!(open.size, codec::encode(&*signed).len());
        let forged = Arc::new(SignedObservation::sign(&seen(a.node()), &b));
        assert!(matches!(
            a.open_seen(&forged),
            Err(ObservationError::Forged(_))
        ));
    }

    #[test]
    fn columns_are_read_as_they_are_written() {
        let mut columns = vec![Column::Platform("pi x4"), Column::Platform("")];
        for resource in 0..RESOURCES.len() {
            columns.push(Column::Exerts { resource });
            columns.extend((1..=4).map(|level| Column::Pressed { resource, level }));
        }
        for column in columns {
            assert_eq!(column_of(&column_name(column)), Some(column));
        }
        for wrong in [
            "",
            "pressed:cpu",
            "pressed:cpu/5",
            "pressed:gpu/2",
            "exerts:",
            "scale-up:4",
        ] {
            assert_eq!(column_of(wrong), None, "{wrong}");
        }
        let long = "é".repeat(MAX_COLUMN);
        assert!(column_name(Column::Platform(&long)).len() <= MAX_COLUMN);
    }

    #[test]
    fn absurd_values_are_refused_by_name() {
        let a = Ed25519::from_seed(&[1; 32]);
        type Spoil = fn(&mut Observation);
        let cases: [(&str, Spoil); 9] = [
            ("class", |o| o.class.clear()),
            ("class", |o| o.class = "a\nb".into()),
            ("column", |o| o.column.clear()),
            ("mean", |o| o.mean = f32::NAN),
            ("mean", |o| o.mean = f32::INFINITY),
            ("mean", |o| o.mean = -20.5),
            ("variance", |o| o.variance = -0.1),
            ("variance", |o| o.variance = f32::NAN),
            ("count", |o| o.count = 0),
        ];
        for (what, spoil) in cases {
            let mut bad = seen(a.node());
            spoil(&mut bad);
            let signed = Arc::new(SignedObservation::sign(&bad, &a));
            let error = a.open_seen(&signed).unwrap_err();
            assert!(
                matches!(error, ObservationError::OutOfRange(_, found) if found == what),
                "{what}: {error}"
            );
        }
    }
}
