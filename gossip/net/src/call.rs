//! Calls: a request and a stream of chunks back, for what is too large or too slow for frames. On the
//! wire both are a four-byte big-endian length and bytes; the end is said explicitly, because a stream
//! that merely stops looks the same whether its sender has finished or died. Flow control is the
//! stream's own: a caller that reads slowly holds up nobody but its callee.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;
use starling_wire::NodeId;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use crate::NetError;
use crate::stats::Counters;

/// The largest request.
pub const MAX_REQUEST: usize = 1024 * 1024;

/// The largest chunk of an answer.
pub const MAX_CHUNK: usize = 1024 * 1024;

/// How long connecting, and then writing the request, may each take.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(3);

/// How long a caller may take to send its request.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// The length that says that the answer is complete.
const END: u32 = u32::MAX;

const LENGTH: usize = 4;

/// A peer's call, waiting for its answer.
#[derive(Debug)]
pub struct IncomingCall {
    /// The admitted node that calls.
    pub from: NodeId,
    /// What it asks.
    pub request: Vec<u8>,
    /// Where the answer goes.
    pub reply: CallReply,
}

/// The callee's end of a call. Dropping it without [`CallReply::finish`] tells the caller that the
/// answer is incomplete.
#[derive(Debug)]
pub struct CallReply {
    stream: Stream,
    peer: NodeId,
    stats: Arc<Counters>,
    /// The caller's share of the calls that may be under way at once.
    _permit: OwnedSemaphorePermit,
}

impl CallReply {
    /// Sends a chunk of the answer; waits while the caller is slow, and fails once it is gone.
    /// Cancelling this leaves the answer cut short: drop the reply then.
    pub async fn send(&mut self, chunk: Vec<u8>) -> Result<(), NetError> {
        let size = chunk.len();
        if size > MAX_CHUNK {
            return Err(NetError::TooLarge {
                what: "chunk",
                size,
                limit: MAX_CHUNK,
            });
        }
        self.write(&with_length(&chunk)).await?;
        self.stats.call_bytes_sent.add(LENGTH + size);
        Ok(())
    }

    /// Says that the answer is complete.
    pub async fn finish(mut self) -> Result<(), NetError> {
        self.write(&END.to_be_bytes()).await?;
        self.stream
            .close()
            .await
            .map_err(|error| interrupted(self.peer, error.to_string()))
    }

    /// Waits until the caller is gone. An answer that has nothing to say for long stretches (a log that
    /// is followed) learns only by this that nobody listens any more.
    pub async fn caller_gone(&mut self) {
        let mut ignored = [0; 64];
        while let Ok(1..) = self.stream.read(&mut ignored).await {}
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        write
            .await
            .map_err(|_: std::io::Error| interrupted(self.peer, "it hung up".into()))
    }
}

/// The caller's end of a call: the chunks of the answer. Dropping it ends the call on the other side.
#[derive(Debug)]
pub struct CallStream {
    stream: Stream,
    peer: NodeId,
    stats: Arc<Counters>,
    /// What has arrived of the length, then of the chunk; here rather than on the stack, so that
    /// cancelling [`CallStream::next`] loses nothing.
    buffer: Vec<u8>,
    filled: usize,
    in_chunk: bool,
    done: bool,
}

impl CallStream {
    /// The next chunk; `None` once the answer is complete. After an error comes `None`. Cancelling this
    /// loses nothing.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, NetError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Sends the request over a fresh stream.
    pub(crate) async fn begin(
        mut stream: Stream,
        peer: NodeId,
        request: &[u8],
        stats: Arc<Counters>,
    ) -> Result<Self, NetError> {
        let write = async {
            stream.write_all(&with_length(request)).await?;
            stream.flush().await
        };
        let seconds = CALL_DEADLINE.as_secs();
        match timeout(CALL_DEADLINE, write).await {
            Err(_) => {
                return Err(NetError::Deadline {
                    peer,
                    doing: "taking the request",
                    seconds,
                });
            }
            Ok(Err(error)) => return Err(interrupted(peer, error.to_string())),
            Ok(Ok(())) => {}
        }
        stats.calls_made.add(1);
        stats.call_bytes_sent.add(LENGTH + request.len());
        let (buffer, filled, in_chunk, done) = (vec![0; LENGTH], 0, false, false);
        Ok(Self {
            stream,
            peer,
            stats,
            buffer,
            filled,
            in_chunk,
            done,
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, NetError>>> {
        while !self.done {
            if let Err(reason) = ready!(self.poll_fill(cx)) {
                self.done = true;
                return Poll::Ready(Some(Err(interrupted(self.peer, reason))));
            }
            self.filled = 0;
            let full = std::mem::replace(&mut self.buffer, vec![0; LENGTH]);
            if std::mem::take(&mut self.in_chunk) {
                self.stats.call_bytes_received.add(LENGTH + full.len());
                return Poll::Ready(Some(Ok(full)));
            }
            let length = full
                .first_chunk()
                .map_or(END, |length| u32::from_be_bytes(*length));
            let size = length as usize;
            if length == END {
                self.done = true;
            } else if size > MAX_CHUNK {
                self.done = true;
                let error = NetError::TooLarge {
                    what: "chunk",
                    size,
                    limit: MAX_CHUNK,
                };
                return Poll::Ready(Some(Err(error)));
            } else {
                (self.buffer, self.in_chunk) = (vec![0; size], true);
            }
        }
        Poll::Ready(None)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        while self.filled < self.buffer.len() {
            let rest = &mut self.buffer[self.filled..];
            match ready!(Pin::new(&mut self.stream).poll_read(cx, rest)) {
                Ok(0) => return Poll::Ready(Err("its answer stops short of the end".into())),
                Ok(n) => self.filled += n,
                Err(error) => return Poll::Ready(Err(error.to_string())),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads a peer's request and hands the call on.
pub(crate) async fn serve(
    mut stream: Stream,
    from: NodeId,
    permit: OwnedSemaphorePermit,
    calls: mpsc::Sender<IncomingCall>,
    stats: Arc<Counters>,
) {
    let Ok(Some(request)) = timeout(REQUEST_DEADLINE, read_request(&mut stream)).await else {
        tracing::debug!(peer = %from.short(), "a call without a proper request");
        stats.calls_refused.add(1);
        return;
    };
    stats.calls_taken.add(1);
    stats.call_bytes_received.add(LENGTH + request.len());
    let reply = CallReply {
        stream,
        peer: from,
        stats,
        _permit: permit,
    };
    // Nobody takes calls any more when this fails; the caller sees its call interrupted.
    let _ = calls
        .send(IncomingCall {
            from,
            request,
            reply,
        })
        .await;
}

async fn read_request(stream: &mut Stream) -> Option<Vec<u8>> {
    let mut length = [0; LENGTH];
    stream.read_exact(&mut length).await.ok()?;
    let length = u32::from_be_bytes(length) as usize;
    let mut request = vec![0; (length <= MAX_REQUEST).then_some(length)?];
    stream.read_exact(&mut request).await.ok()?;
    Some(request)
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(LENGTH + bytes.len());
    // Both limits are far below 4 GiB.
    framed.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    framed.extend_from_slice(bytes);
    framed
}

const fn interrupted(peer: NodeId, reason: String) -> NetError {
    NetError::Interrupted { peer, reason }
}
