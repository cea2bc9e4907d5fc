//! Tokens: the one line that admits a machine to a cluster. It carries the cluster's secret, from
//! which the cluster's identity follows, addresses of members, and a checksum, so that a line that
//! was cut short or garbled is told from one of another cluster.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use starling_gossip::Seed;
use starling_net::ClusterSecret;
use starling_wire::{NodeId, codec};

/// What each token begins with.
const PREFIX: &str = "starling1";
/// Bytes of the checksum at the end.
const CHECK: usize = 5;
/// The longest token that is looked at.
const MAX: usize = 8 * 1024;

/// What a token carries.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) secret: ClusterSecret,
    pub(crate) seeds: Vec<Seed>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(rename = "s", with = "serde_bytes")]
    secret: [u8; 32],
    #[serde(rename = "n")]
    nodes: Vec<(NodeId, Vec<String>)>,
}

/// Why a text is not a token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("--join: this is not a whole token: {0}; copy the line that `starling token` prints")]
pub(crate) struct TokenError(&'static str);

impl Token {
    /// The token as one line.
    pub(crate) fn print(&self) -> String {
        let nodes = self
            .seeds
            .iter()
            .map(|seed| (seed.node, seed.addrs.clone()))
            .collect();
        let mut bytes = codec::encode(&Body {
            secret: *self.secret.as_bytes(),
            nodes,
        });
        let check = Sha256::digest(&bytes);
        bytes.extend(&check[..CHECK]);
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_lowercase())
    }

    /// Reads a token; white space around it does not matter.
    pub(crate) fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let rest = text
            .strip_prefix(PREFIX)
            .ok_or(TokenError("it does not begin with `starling1`"))?;
        if text.len() > MAX {
            return Err(TokenError("it is too long"));
        }
        let bytes = BASE32_NOPAD
            .decode(rest.to_uppercase().as_bytes())
            .map_err(|_| TokenError("a character is missing, or one is wrong"))?;
        let split = bytes
            .len()
            .checked_sub(CHECK)
            .ok_or(TokenError("it is cut short"))?;
        let (body, check) = bytes.split_at(split);
        if Sha256::digest(body)[..CHECK] != *check {
            return Err(TokenError(
                "its checksum does not agree, so it is cut short or garbled",
            ));
        }
        let body: Body =
            codec::decode(body, MAX).map_err(|_| TokenError("a newer version made it"))?;
        Ok(Self {
            secret: ClusterSecret::from_bytes(body.secret),
            seeds: body
                .nodes
                .into_iter()
                .map(|(node, addrs)| Seed { node, addrs })
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            secret: ClusterSecret::from_bytes([7; 32]),
            seeds: vec![Seed {
                node: NodeId([1; 32]),
                addrs: vec!["/ip4/10.0.0.1/tcp/1".into()],
            }],
        }
    }

    #[test]
    fn a_token_survives_the_way() {
        let back = Token::parse(&format!("  {}\n", token().print())).unwrap();
        assert_eq!(back.secret.as_bytes(), &[7; 32]);
        assert_eq!(back.seeds, token().seeds);
    }

    #[test]
    fn a_damaged_token_is_told_from_a_good_one() {
        let line = token().print();
        for cut in 0..line.len() {
            assert!(Token::parse(&line[..cut]).is_err());
        }
        for at in PREFIX.len()..line.len() {
            let mut garbled = line.clone().into_bytes();
            garbled[at] = if garbled[at] == b'a' { b'b' } else { b'a' };
            assert!(Token::parse(&String::from_utf8(garbled).unwrap()).is_err());
        }
    }
}
