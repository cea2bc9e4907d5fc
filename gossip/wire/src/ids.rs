//! Identities. A node is its Ed25519 public key; a job is a random number; a task is a job and an
//! index. Each has one textual form, used by people, JSON and file names alike.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use data_encoding::{Encoding, Specification};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::LazyLock;

/// Crockford's base 32 in lower case: no letter looks like a digit.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
    spec.encoding().unwrap_or(data_encoding::BASE32HEX_NOPAD)
});

/// What is wrong with the text of an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: {problem}")]
pub struct IdError {
    what: &'static str,
    text: String,
    problem: &'static str,
}

impl IdError {
    fn new(what: &'static str, text: &str, problem: &'static str) -> Self {
        Self {
            what,
            text: text.chars().take(80).collect(),
            problem,
        }
    }
}

/// A node: its Ed25519 public key, 32 bytes. Its address may change, the node does not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(pub [u8; 32]);

impl Ord for NodeId {
    /// The order of the bytes. Identities are random, so the first eight nearly always decide, and
    /// every ordered map of nodes lives by this comparison.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.head()
            .cmp(&other.head())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for NodeId {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl NodeId {
    /// The first eight characters, enough for people to tell nodes apart.
    pub fn short(&self) -> String {
        BASE32.encode(&self.0[..5])
    }

    /// The first eight bytes as a number.
    #[inline]
    pub const fn head(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The first four bytes as a number: a compact name inside gossip digests. Two nodes may share
    /// one; whoever uses it must survive that.
    pub const fn tag(&self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32.encode(&self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for NodeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = BASE32
            .decode(text.as_bytes())
            .map_err(|_| IdError::new("node id", text, "it has a letter that base 32 lacks"))?;
        let bytes = <[u8; 32]>::try_from(bytes)
            .map_err(|_| IdError::new("node id", text, "it must have 52 characters"))?;
        Ok(Self(bytes))
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?
                .parse()
                .map_err(de::Error::custom);
        }
        deserializer.deserialize_bytes(ArrayVisitor::<32>).map(Self)
    }
}

/// Reads exactly `N` bytes.
pub(crate) struct ArrayVisitor<const N: usize>;

impl<const N: usize> Visitor<'_> for ArrayVisitor<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<[u8; N], E> {
        <[u8; N]>::try_from(bytes).map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

/// A job, drawn at random by the node that took it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32.encode(&self.0.to_be_bytes()))
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for JobId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = BASE32
            .decode(text.as_bytes())
            .map_err(|_| IdError::new("job id", text, "it must have 13 letters and digits"))?;
        let bytes = <[u8; 8]>::try_from(bytes)
            .map_err(|_| IdError::new("job id", text, "it must have 13 letters and digits"))?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?
                .parse()
                .map_err(de::Error::custom);
        }
        u64::deserialize(deserializer).map(Self)
    }
}

/// One task of a job: the job and the task's index in it, from 0. Written `JOB.INDEX`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// The job it belongs to.
    #[serde(rename = "j")]
    pub job: JobId,
    /// Its index in the job, from 0.
    #[serde(rename = "i")]
    pub index: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.index)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TaskId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (job, index) = text
            .split_once('.')
            .ok_or_else(|| IdError::new("task id", text, "it must be JOB.INDEX"))?;
        let index = index.parse().map_err(|_| {
            IdError::new("task id", text, "the part after the dot must be a number")
        })?;
        Ok(Self {
            job: job.parse()?,
            index,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn node_ids_survive_text_and_cbor(bytes: [u8; 32]) {
            let id = NodeId(bytes);
            prop_assert_eq!(id.to_string().parse::<NodeId>().unwrap(), id);
            let cbor = serde_cbor::to_vec(&id).unwrap();
            prop_assert_eq!(cbor.len(), 34);
            prop_assert_eq!(serde_cbor::from_slice::<NodeId>(&cbor).unwrap(), id);
        }

        #[test]
        fn task_ids_survive_text(job: u64, index: u32) {
            let id = TaskId { job: JobId(job), index };
            prop_assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in ".{0,60}") {
            let _ = text.parse::<NodeId>();
            let _ = text.parse::<TaskId>();
        }
    }

    #[test]
    fn a_bad_id_says_what_is_wrong() {
        let error = "7k2m".parse::<TaskId>().unwrap_err().to_string();
        assert!(error.contains("JOB.INDEX"), "{error}");
    }
}
