//! The cluster's secret and its public name. Whoever knows the 32 bytes belongs to the cluster. They
//! never travel: what is derived from them is either one-way (the name) or only ever mixed into a
//! hash or a message authentication code (the handshake's prologue, the link proof).

use std::fmt;
use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
use hmac::{Hmac, KeyInit, Mac};
use rand::TryRng;
use sha2::{Digest, Sha256};

/// The same base 32 as that of node ids (Crockford's, lower case).
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
    spec.encoding().unwrap_or(data_encoding::BASE32HEX_NOPAD)
});

/// The 32 random bytes that admit to a cluster. They never go over the wire, and `Debug` does not
/// print them.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret([u8; 32]);

impl ClusterSecret {
    /// The secret with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new secret from the operating system's randomness.
    ///
    /// # Panics
    ///
    /// When the operating system has no randomness to give; no safe secret can exist then.
    pub fn generate() -> Self {
        Self(random())
    }

    /// The bytes, for writing them to a file or a join token.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public name of the cluster that this secret admits to.
    pub fn cluster_id(&self) -> ClusterId {
        let digest = Sha256::new()
            .chain_update(b"starling cluster id")
            .chain_update(self.0);
        let mut id = [0; 8];
        id.copy_from_slice(&digest.finalize()[..8]);
        ClusterId(id)
    }

    /// What both ends mix into the Noise handshake.
    pub(crate) fn prologue(&self) -> [u8; 32] {
        mac(&self.0, &[b"starling noise prologue"])
    }

    /// The key of the proofs on a link.
    pub(crate) fn link_key(&self) -> [u8; 32] {
        mac(&self.0, &[b"starling link key"])
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterSecret(of {})", self.cluster_id())
    }
}

/// The public name of a cluster: the first eight bytes of
/// `sha256("starling cluster id" || secret)`, written as 13 letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId([u8; 8]);

impl ClusterId {
    /// The eight bytes.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32.encode(&self.0))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

/// Fresh bytes from the operating system.
pub(crate) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .expect("the operating system must give randomness");
    bytes
}

/// HMAC-SHA256 over the concatenated parts.
pub(crate) fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    keyed(key, parts).finalize().into_bytes().into()
}

/// Whether `tag` is the HMAC-SHA256 of the parts, compared in constant time.
pub(crate) fn mac_is(key: &[u8; 32], parts: &[&[u8]], tag: &[u8; 32]) -> bool {
    keyed(key, parts).verify_slice(tag).is_ok()
}

fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_shows_neither_in_debug_nor_in_the_cluster_id() {
        let secret = ClusterSecret::from_bytes([0xAB; 32]);
        let debug = format!("{secret:?}");
        assert!(
            !debug.contains("171") && !debug.to_lowercase().contains("abab"),
            "{debug}"
        );
        let id = secret.cluster_id().to_string();
        assert_eq!(id.len(), 13);
        assert_eq!(id, id.to_lowercase());
        assert_ne!(secret.prologue(), secret.link_key());
        assert_ne!(ClusterSecret::generate(), ClusterSecret::generate());
    }
}
