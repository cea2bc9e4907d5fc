//! Records: each node's own state, signed by it and forwarded verbatim. The static part (who and
//! how large) is fetched by hash when unknown; the load part changes often and is small.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use starling_placement::{CONTAINERS_LABEL, Resources};

use crate::codec::{self, CodecError};
use crate::ids::{ArrayVisitor, NodeId};
use crate::sign::{Signature, Signer};

pub use starling_placement::NodeLoad as Load;

/// The most bytes a node's static part may take.
pub const MAX_STATIC: usize = 8 * 1024;
/// The most bytes a record's signed body may take.
pub const MAX_RECORD: usize = 256;

/// What seldom changes about a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatic {
    /// The node's name, for people and for the constraint `name`.
    #[serde(rename = "n")]
    pub name: String,
    /// Its hardware class, for example the processor's model.
    #[serde(rename = "p")]
    pub platform: String,
    /// What it can give to tasks in all.
    #[serde(rename = "c")]
    pub capacity: Resources,
    /// Labels, `arch`, `os` and `name` among them.
    #[serde(rename = "l")]
    pub labels: BTreeMap<String, String>,
    /// Addresses it can be dialled at, as multiaddresses.
    #[serde(rename = "a")]
    pub addrs: Vec<String>,
    /// The program's version.
    #[serde(rename = "v")]
    pub version: String,
    /// What runs containers there; none if nothing does.
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    pub containers: Option<ContainerEngine>,
}

/// A node's container engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerEngine {
    /// `docker` or `podman`.
    #[serde(rename = "n")]
    pub engine: String,
    /// Its version.
    #[serde(rename = "v")]
    pub version: String,
    /// The architecture of the images it runs, in the words of images: `amd64`, `arm64`, ...
    #[serde(rename = "a")]
    pub arch: String,
}

impl NodeStatic {
    /// Notes what runs containers on the node, also as the label that jobs ask for.
    pub fn set_containers(&mut self, containers: Option<ContainerEngine>) {
        match &containers {
            Some(there) => self
                .labels
                .insert(CONTAINERS_LABEL.to_owned(), there.engine.clone()),
            None => self.labels.remove(CONTAINERS_LABEL),
        };
        self.containers = containers;
    }
}

/// The first 16 bytes of the SHA-256 of a static part's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StaticHash(pub [u8; 16]);

impl StaticHash {
    /// The hash of an encoded static part.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        Self(hash)
    }
}

impl Serialize for StaticHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for StaticHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ArrayVisitor::<16>).map(Self)
    }
}

/// A node's word about itself. The greater (incarnation, version) wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose record.
    #[serde(rename = "n")]
    pub node: NodeId,
    /// Grows with each start of the node, and when it refutes a suspicion.
    #[serde(rename = "i")]
    pub incarnation: u32,
    /// Grows with each change within an incarnation.
    #[serde(rename = "v")]
    pub version: u32,
    /// Names the static part.
    #[serde(rename = "s")]
    pub fixed: StaticHash,
    /// How loaded it is.
    #[serde(rename = "l")]
    pub load: Load,
}

impl Record {
    /// What decides which of two records of a node is newer.
    pub const fn stamp(&self) -> (u32, u32) {
        (self.incarnation, self.version)
    }
}

/// A record's bytes as its node signed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRecord {
    #[serde(rename = "b")]
    body: ByteBuf,
    #[serde(rename = "g")]
    signature: Signature,
}

/// A signed record with its age when it was sent, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aged {
    /// The record.
    #[serde(rename = "r")]
    pub record: Arc<SignedRecord>,
    /// Milliseconds since its node wrote it, as the sender knows.
    #[serde(rename = "a")]
    pub age_ms: u32,
}

/// A record that was checked, with the bytes it came as. It does not change any more, so all that
/// hold it may share it.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenRecord {
    /// What it says.
    pub record: Record,
    /// What is passed on.
    pub signed: Arc<SignedRecord>,
    /// What `signed` takes in a message, in bytes.
    pub size: usize,
}

/// A static part with the bytes it came as, which its hash names. It does not change any more, so
/// all that hold it may share it.
#[derive(Debug, PartialEq, Eq)]
pub struct StaticPart {
    /// What it says.
    pub fixed: NodeStatic,
    /// What is passed on.
    pub bytes: ByteBuf,
}

impl StaticPart {
    /// Reads a static part of at most [`MAX_STATIC`] bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(Self {
            fixed: codec::decode(bytes, MAX_STATIC)?,
            bytes: ByteBuf::from(bytes),
        })
    }
}

/// Why a record is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Its bytes are not a record.
    #[error("a record that does not decode")]
    Malformed(#[source] CodecError),
    /// Its node did not sign it.
    #[error("a record of node {0:?} with a wrong signature")]
    Forged(NodeId),
    /// A value lies outside its range.
    #[error("a record of node {0:?} whose {1} is out of range")]
    OutOfRange(NodeId, &'static str),
}

impl SignedRecord {
    /// Signs `record`.
    pub fn sign(record: &Record, signer: &dyn Signer) -> Self {
        let body = codec::encode(record);
        let signature = signer.sign(&body);
        Self {
            body: ByteBuf::from(body),
            signature,
        }
    }

    /// The record, if it decodes, is in range and its node signed it.
    pub fn open(
        self: &Arc<Self>,
        signer: &(impl Signer + ?Sized),
    ) -> Result<OpenRecord, RecordError> {
        let record: Record =
            codec::decode(&self.body, MAX_RECORD).map_err(RecordError::Malformed)?;
        if record.incarnation == 0 {
            return Err(RecordError::OutOfRange(record.node, "incarnation"));
        }
        if !signer.verify(&record.node, &self.body, &self.signature) {
            return Err(RecordError::Forged(record.node));
        }
        Ok(OpenRecord {
            record,
            size: codec::encode(self).len(),
            signed: Arc::clone(self),
        })
    }

    /// The signature, which is as good as a digest of the whole.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sign::Ed25519;

    fn record(node: NodeId) -> Record {
        Record {
            node,
            incarnation: 3,
            version: 70_000,
            fixed: StaticHash::of(b"x"),
            load: Load {
                free: Resources {
                    cpu: 128_000,
                    memory: 1 << 39,
                    disk: 1 << 44,
                },
                idle_cpu: 128_000,
                queue: 1_000,
                running: 1_000,
                waiting: 65_536,
                mix: starling_placement::Mix([0xffff; 4]),
                pressure: [255; 4].into(),
                draining: true,
            },
        }
    }

    #[test]
    fn a_record_opens_only_as_its_node_signed_it() {
        let (a, b) = (Ed25519::from_seed(&[1; 32]), Ed25519::from_seed(&[2; 32]));
        let signed = Arc::new(SignedRecord::sign(&record(a.node()), &a));
        let open = b.open(&signed).unwrap();
        assert_eq!(open.record, record(a.node()));
        assert_eq!(open.size, codec::encode(&*signed).len());

        let forged = Arc::new(SignedRecord::sign(&record(a.node()), &b));
        assert!(matches!(a.open(&forged), Err(RecordError::Forged(_))));

        let mut changed = (*signed).clone();
        let last = changed.body.len() - 1;
        changed.body[last] ^= 1;
        assert!(a.open(&Arc::new(changed)).is_err());

        let mut zero = record(a.node());
        zero.incarnation = 0;
        let zero = Arc::new(SignedRecord::sign(&zero, &a));
        assert!(matches!(
            b.open(&zero),
            Err(RecordError::OutOfRange(_, "incarnation"))
        ));
    }

    #[test]
    fn a_node_says_whether_it_runs_containers() {
        let runs = starling_placement::Constraint::runs_containers();
        let mut fixed = NodeStatic::default();
        let before = codec::encode(&fixed);
        assert!(!runs.met_by(&fixed.labels));
        for engine in ["docker", "podman"] {
            fixed.set_containers(Some(ContainerEngine {
                engine: engine.into(),
                version: "1.0".into(),
                arch: "amd64".into(),
            }));
            assert!(runs.met_by(&fixed.labels));
            let read = StaticPart::read(&codec::encode(&fixed)).unwrap();
            assert_eq!(read.fixed, fixed);
        }
        fixed.set_containers(None);
        // The hash of a node without an engine is what it was before there were any.
        assert_eq!(codec::encode(&fixed), before);
    }

    #[test]
    fn the_load_part_stays_small() {
        let node = Ed25519::from_seed(&[1; 32]).node();
        assert!(codec::encode(&record(node).load).len() <= 64);
        assert!(codec::encode(&record(node)).len() <= MAX_RECORD);
    }
}
