//! A signer for worlds in which nobody forges, and a memory of what has been checked: many engines
//! live in one process, and most records reach hundreds of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use starling_wire::codec::CodecError;
use starling_wire::sign::Signature;
use starling_wire::{
    NodeId, OpenRecord, RecordError, SignedRecord, Signer, StaticHash, StaticPart,
};

/// What any of a world's engines has checked. It only saves work and memory: what comes out is
/// equal to the byte to what the caller holds, so no run depends on it.
#[derive(Debug, Default)]
struct Checked {
    /// By the first eight bytes of the signature. Never iterated over but to be cleared out.
    records: HashMap<u64, Arc<OpenRecord>>,
    parts: HashMap<StaticHash, Arc<StaticPart>>,
    /// When to look for what nobody holds any more.
    records_limit: usize,
}

/// Signs with a keyed digest: as bound to node and bytes as the real thing, at a fraction of its
/// cost.
#[derive(Clone, Debug)]
pub struct SimSigner {
    node: NodeId,
    checked: Arc<Mutex<Checked>>,
}

impl SimSigner {
    /// The signer of the first node of a world.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            checked: Arc::default(),
        }
    }

    /// The signer of another node of the same world.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Self {
        Self {
            node,
            checked: Arc::clone(&self.checked),
        }
    }

    fn digest(node: &NodeId, bytes: &[u8]) -> Signature {
        let digest = Sha256::new()
            .chain_update(node.0)
            .chain_update(bytes)
            .finalize();
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&digest);
        Signature(signature)
    }
}

fn key(signature: &Signature) -> u64 {
    let mut key = [0; 8];
    key.copy_from_slice(&signature.0[..8]);
    u64::from_be_bytes(key)
}

impl Signer for SimSigner {
    fn node(&self) -> NodeId {
        self.node
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        Self::digest(&self.node, bytes)
    }

    fn verify(&self, node: &NodeId, bytes: &[u8], signature: &Signature) -> bool {
        Self::digest(node, bytes) == *signature
    }

    fn open(&self, signed: &Arc<SignedRecord>) -> Result<Arc<OpenRecord>, RecordError> {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(signed.signature());
        if let Some(open) = checked.records.get(&key)
            && *open.signed == **signed
        {
            return Ok(Arc::clone(open));
        }
        let open = Arc::new(signed.open(self)?);
        if checked.records.len() >= checked.records_limit {
            checked
                .records
                .retain(|_, open| Arc::strong_count(open) > 1);
            checked.records_limit = (checked.records.len() * 2).max(1_024);
        }
        checked.records.insert(key, Arc::clone(&open));
        Ok(open)
    }

    fn part(&self, hash: StaticHash, bytes: &[u8]) -> Result<Arc<StaticPart>, CodecError> {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = checked.parts.get(&hash)
            && part.bytes.as_slice() == bytes
        {
            return Ok(Arc::clone(part));
        }
        let part = Arc::new(StaticPart::read(bytes)?);
        checked.parts.insert(hash, Arc::clone(&part));
        Ok(part)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use starling_wire::Record;

    #[test]
    fn what_was_checked_is_shared_and_what_is_forged_is_not_taken() {
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let first = SimSigner::new(a);
        let second = first.of(b);
        let record = Record {
            node: a,
            incarnation: 1,
            version: 1,
            fixed: StaticHash::default(),
            load: starling_wire::Load::default(),
        };
        let signed = Arc::new(SignedRecord::sign(&record, &first));
        let one = first.open(&signed).unwrap();
        let other = second.open(&Arc::new((*signed).clone())).unwrap();
        assert!(Arc::ptr_eq(&one, &other));
        let forged = Arc::new(SignedRecord::sign(&record, &second));
        assert!(second.open(&forged).is_err());
    }
}
