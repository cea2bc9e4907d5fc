//! The one place where values become bytes: CBOR (RFC 8949) with named fields, so that unknown
//! ones are skipped, behind a version byte and a length limit.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::gossip::GossipMessage;
use crate::jobs::JobMessage;

/// The largest frame that is sent or accepted, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// The first byte of each frame: the wire format's generation. It changes only when a format can
/// no longer be read by ignoring what is new.
pub const WIRE_VERSION: u8 = 1;

/// Everything one engine says to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// Who is here and how loaded.
    #[serde(rename = "g")]
    Gossip(GossipMessage),
    /// Claims and reports.
    #[serde(rename = "j")]
    Jobs(JobMessage),
}

/// Why bytes are not a value.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// More bytes than allowed; nothing was decoded.
    #[error("{size} bytes, at most {limit} are allowed")]
    TooLong {
        /// How many there were.
        size: usize,
        /// How many may be.
        limit: usize,
    },
    /// A frame of a generation this program does not know.
    #[error("wire format {0}, this program speaks {WIRE_VERSION}")]
    Version(u8),
    /// Not CBOR, or not of the expected shape, or followed by something else.
    #[error("not decodable")]
    Malformed(#[source] serde_cbor::Error),
}

/// The CBOR bytes of `value`.
///
/// # Panics
/// If the value cannot be represented in CBOR; no type of this workspace is such.
#[allow(clippy::expect_used)]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_cbor::to_vec(value).expect("values of this workspace are representable in CBOR")
}

/// Reads one value that fills `bytes`, which may be at most `limit` long.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong {
            size: bytes.len(),
            limit,
        });
    }
    serde_cbor::from_slice(bytes).map_err(CodecError::Malformed)
}

/// The frame that carries `message`.
pub fn encode_frame(message: &Message) -> Vec<u8> {
    let mut frame = vec![WIRE_VERSION];
    frame.extend(encode(message));
    frame
}

/// Reads a frame.
pub fn decode_frame(frame: &[u8]) -> Result<Message, CodecError> {
    match frame.split_first() {
        Some((&WIRE_VERSION, body)) => decode(body, MAX_FRAME - 1),
        Some((&version, _)) => Err(CodecError::Version(version)),
        None => Err(CodecError::Version(0)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode_frame(&bytes);
            let mut framed = vec![WIRE_VERSION];
            framed.extend(&bytes);
            let _ = decode_frame(&framed);
        }

        #[test]
        fn a_flipped_byte_never_panics(seq: u32, at: prop::sample::Index, to: u8) {
            let message = Message::Gossip(GossipMessage::Ping { seq, rumours: vec![] });
            let mut frame = encode_frame(&message);
            let at = at.index(frame.len());
            frame[at] = to;
            let _ = decode_frame(&frame);
        }
    }

    #[test]
    fn unknown_fields_are_ignored() {
        #[derive(Serialize)]
        struct Newer {
            s: u32,
            later: &'static str,
        }
        let body = encode(
            &[(
                "g",
                [("p", Newer { s: 7, later: "x" })].into_iter().collect(),
            )]
            .into_iter()
            .collect::<std::collections::BTreeMap<_, std::collections::BTreeMap<_, _>>>(),
        );
        let frame = [vec![WIRE_VERSION], body].concat();
        let expected = Message::Gossip(GossipMessage::Ping {
            seq: 7,
            rumours: vec![],
        });
        assert_eq!(decode_frame(&frame).unwrap(), expected);
    }

    #[test]
    fn bombs_and_leftovers_are_refused() {
        let bomb = [&[WIRE_VERSION, 0x9b][..], &u64::MAX.to_be_bytes()].concat();
        assert!(matches!(decode_frame(&bomb), Err(CodecError::Malformed(_))));
        let mut deep = vec![WIRE_VERSION];
        deep.extend([0x81; 60_000]);
        assert!(matches!(decode_frame(&deep), Err(CodecError::Malformed(_))));
        assert!(matches!(
            decode_frame(&[&[WIRE_VERSION][..], &vec![0; MAX_FRAME]].concat()),
            Err(CodecError::TooLong { .. })
        ));
        let mut trailing = encode_frame(&Message::Gossip(GossipMessage::Ack {
            seq: 1,
            rumours: vec![],
        }));
        trailing.push(0);
        assert!(decode_frame(&trailing).is_err());
        assert!(matches!(decode_frame(&[9, 1]), Err(CodecError::Version(9))));
    }
}
