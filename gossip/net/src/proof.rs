//! The second layer of admission, on every transport: before anything else, both ends of a link
//! stream prove that they know the cluster's secret, to each other and for this connection only.
//!
//! ```text
//! dialer -> listener   nonce_d
//! listener -> dialer   nonce_l, HMAC(key, "listener" || d || l || nonce_d || nonce_l)
//! dialer -> listener   HMAC(key, "dialer  " || d || l || nonce_d || nonce_l), alone
//! listener -> dialer   1
//! ```
//!
//! `d` and `l` are the node ids that the transport has authenticated, so a proof cannot be passed on
//! to a third node; the role in front keeps it from being sent back to its maker. The last byte tells
//! the dialer that it was let in: without it a dialer would report a link that the other side is just
//! about to refuse. `alone` says that the dialer knows of no other link between the two; see
//! `table.rs` for what that decides.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use starling_wire::NodeId;

use crate::secret::{mac, mac_is, random};

const DIALER: &[u8; 8] = b"dialer  ";
const LISTENER: &[u8; 8] = b"listener";
const ADMITTED: u8 = 1;

/// Why a link was not proven.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    /// The other side does not know the secret.
    #[error("it does not know this cluster's secret")]
    WrongSecret,
    /// The other side answered out of protocol.
    #[error("it does not follow the link protocol")]
    Malformed,
    /// The connection ended in the middle: either it broke, or the other side turned us away.
    #[error("it closed the connection before both sides had proven that they know the secret")]
    Broken(#[source] io::Error),
}

impl From<io::Error> for ProofError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Who is at the two ends, and the key of the proofs.
#[derive(Clone)]
pub(crate) struct Ends {
    pub(crate) key: [u8; 32],
    pub(crate) dialer: NodeId,
    pub(crate) listener: NodeId,
}

impl Ends {
    fn parts<'a>(&'a self, role: &'a [u8; 8], nonces: &'a [[u8; 32]; 2]) -> [&'a [u8]; 5] {
        [
            role,
            &self.dialer.0,
            &self.listener.0,
            &nonces[0],
            &nonces[1],
        ]
    }

    fn prove(&self, role: &[u8; 8], nonces: &[[u8; 32]; 2]) -> [u8; 32] {
        mac(&self.key, &self.parts(role, nonces))
    }

    fn check(&self, role: &[u8; 8], nonces: &[[u8; 32]; 2], proof: &[u8; 32]) -> bool {
        mac_is(&self.key, &self.parts(role, nonces), proof)
    }

    /// The dialer's part. `alone` is asked at the last moment.
    pub(crate) async fn dial<S>(
        &self,
        stream: &mut S,
        alone: impl FnOnce() -> bool,
    ) -> Result<(), ProofError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ours = random();
        send(stream, &ours).await?;
        let nonces = [ours, receive(stream).await?];
        let proof = receive(stream).await?;
        if !self.check(LISTENER, &nonces, &proof) {
            return Err(ProofError::WrongSecret);
        }
        let mut answer = [0; 33];
        answer[..32].copy_from_slice(&self.prove(DIALER, &nonces));
        answer[32] = u8::from(alone());
        send(stream, &answer).await?;
        match receive::<1, S>(stream).await? {
            [ADMITTED] => Ok(()),
            _ => Err(ProofError::Malformed),
        }
    }

    /// The listener's part. Calls `challenged` just before the challenge goes out and `proven` just
    /// before the dialer is told; returns what both said and whether the dialer is alone.
    pub(crate) async fn listen<S>(
        &self,
        stream: &mut S,
        challenged: impl FnOnce() -> u64,
        proven: impl FnOnce() -> u64,
    ) -> Result<(u64, u64, bool), ProofError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let theirs = receive(stream).await?;
        let nonces = [theirs, random()];
        let challenged = challenged();
        let mut challenge = [0; 64];
        challenge[..32].copy_from_slice(&nonces[1]);
        challenge[32..].copy_from_slice(&self.prove(LISTENER, &nonces));
        send(stream, &challenge).await?;
        let proof = receive(stream).await?;
        if !self.check(DIALER, &nonces, &proof) {
            return Err(ProofError::WrongSecret);
        }
        let alone = match receive::<1, S>(stream).await? {
            [0] => false,
            [1] => true,
            _ => return Err(ProofError::Malformed),
        };
        let proven = proven();
        send(stream, &[ADMITTED]).await?;
        Ok((challenged, proven, alone))
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn receive<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_util::compat::TokioAsyncReadCompatExt;

    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);

    async fn meet(
        dialer: Ends,
        listener: Ends,
    ) -> (Result<(), ProofError>, Result<(u64, u64, bool), ProofError>) {
        let (near, far) = tokio::io::duplex(4096);
        let near = async move { dialer.dial(&mut near.compat(), || true).await };
        let far = async move { listener.listen(&mut far.compat(), || 5, || 6).await };
        tokio::join!(near, far)
    }

    fn ends(key: u8, dialer: NodeId, listener: NodeId) -> Ends {
        Ends {
            key: [key; 32],
            dialer,
            listener,
        }
    }

    #[tokio::test]
    async fn members_prove_themselves() {
        let (near, far) = meet(ends(1, A, B), ends(1, A, B)).await;
        assert!(near.is_ok());
        assert!(matches!(far, Ok((5, 6, true))), "{far:?}");
    }

    #[tokio::test]
    async fn strangers_fail_on_both_sides() {
        let (near, far) = meet(ends(1, A, B), ends(2, A, B)).await;
        assert!(matches!(near, Err(ProofError::WrongSecret)), "{near:?}");
        assert!(matches!(far, Err(ProofError::Broken(_))), "{far:?}");
    }

    #[tokio::test]
    async fn a_proof_is_bound_to_both_nodes() {
        let (near, _) = meet(ends(1, A, B), ends(1, A, NodeId([3; 32]))).await;
        assert!(matches!(near, Err(ProofError::WrongSecret)), "{near:?}");
    }

    #[tokio::test]
    async fn a_mirror_proves_nothing() {
        let (near, far) = tokio::io::duplex(4096);
        let mirror = async {
            let (mut read, mut write) = tokio::io::split(far);
            let _ = tokio::io::copy(&mut read, &mut write).await;
        };
        let mut near = near.compat();
        let node = ends(1, A, B);
        // The mirror gives our nonce back as its own, and must fail for want of a proof.
        tokio::select! {
            result = node.dial(&mut near, || true) => assert!(result.is_err()),
            () = tokio::time::sleep(std::time::Duration::from_millis(50)) => {}
            () = mirror => {}
        }
    }
}
