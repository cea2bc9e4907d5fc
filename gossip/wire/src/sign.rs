//! Signatures over records. A node's identity is its Ed25519 public key, so a record proves by
//! itself who wrote it (RFC 8032); the engine reaches the key only through [`Signer`], which lets
//! the simulator put a cheap keyed digest in its place.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::CodecError;
use crate::ids::{ArrayVisitor, NodeId};
use crate::observation::{ObservationError, OpenObservation, SignedObservation};
use crate::record::{OpenRecord, RecordError, SignedRecord, StaticHash, StaticPart};

/// A signature, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ArrayVisitor::<64>).map(Self)
    }
}

/// Signs as one node and verifies as any.
pub trait Signer: Send {
    /// The node that [`Signer::sign`] signs as.
    fn node(&self) -> NodeId;

    /// Signs `bytes`; the same bytes always get the same signature.
    fn sign(&self, bytes: &[u8]) -> Signature;

    /// Whether `signature` over `bytes` was made by `node`.
    fn verify(&self, node: &NodeId, bytes: &[u8], signature: &Signature) -> bool;

    /// Checks a record that a peer sent. A world of many nodes may hand out what another of them
    /// has checked already, provided it is the same to the byte.
    fn open(&self, signed: &Arc<SignedRecord>) -> Result<Arc<OpenRecord>, RecordError> {
        signed.open(self).map(Arc::new)
    }

    /// Checks an observation that a peer sent; the same sharing is allowed.
    fn open_seen(
        &self,
        signed: &Arc<SignedObservation>,
    ) -> Result<Arc<OpenObservation>, ObservationError> {
        signed.open(self).map(Arc::new)
    }

    /// Reads a static part whose hash is `hash`; the same sharing is allowed.
    fn part(&self, _hash: StaticHash, bytes: &[u8]) -> Result<Arc<StaticPart>, CodecError> {
        StaticPart::read(bytes).map(Arc::new)
    }
}

/// The production signer: Ed25519 with the node's key.
pub struct Ed25519(SigningKey);

impl Ed25519 {
    /// A signer from the 32-byte secret seed of the node's key.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }
}

impl fmt::Debug for Ed25519 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519({:?})", self.node())
    }
}

impl Signer for Ed25519 {
    fn node(&self) -> NodeId {
        NodeId(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        Signature(self.0.sign(bytes).to_bytes())
    }

    fn verify(&self, node: &NodeId, bytes: &[u8], signature: &Signature) -> bool {
        VerifyingKey::from_bytes(&node.0).is_ok_and(|key| {
            key.verify_strict(bytes, &ed25519_dalek::Signature::from_bytes(&signature.0))
                .is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_bound_to_node_and_bytes() {
        let (a, b) = (Ed25519::from_seed(&[1; 32]), Ed25519::from_seed(&[2; 32]));
        let signature = a.sign(b"record");
        assert!(b.verify(&a.node(), b"record", &signature));
        assert!(!b.verify(&a.node(), b"recorD", &signature));
        assert!(!b.verify(&b.node(), b"record", &signature));
        assert!(!b.verify(&NodeId([7; 32]), b"record", &signature));
    }
}
