//! Frames on a link's stream: a four-byte big-endian header (the length, with the top bit set if the
//! frame is urgent) and the bytes. The writer takes whatever waits in one go; the reader hands on whole
//! frames however the stream has cut them, and waits when nobody takes them, which is the back-pressure.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::NetEvent;
use crate::link::{End, Link, MAX_FRAME, Report};
use crate::outbox::{HEADER, MOVED, Step, URGENT};

/// The reader's buffer until a frame needs more.
const READ_BUFFER: usize = 8 * 1024;

impl Link {
    pub(crate) async fn write<W: AsyncWrite + Unpin>(&self, mut stream: W) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let step = self.outbox.next(&mut buffer).await;
            let write = async {
                match step {
                    Step::Write(_) => {
                        stream.write_all(&buffer).await?;
                        stream.flush().await
                    }
                    Step::Close => stream.close().await,
                }
            };
            timeout(self.patience, write)
                .await
                .map_err(|_| io::ErrorKind::TimedOut)??;
            let Step::Write(counts) = step else {
                return Ok(());
            };
            for (urgent, (frames, bytes)) in [false, true].into_iter().zip(counts) {
                self.stats.class(urgent).frames_sent.add(frames);
                self.stats.class(urgent).bytes_sent.add(bytes);
            }
        }
    }

    pub(crate) async fn read<R: AsyncRead + Unpin>(&self, mut stream: R) -> End {
        let mut buffer = vec![0; READ_BUFFER];
        let (mut start, mut end) = (0, 0);
        let mut moved = false;
        loop {
            let mut need = HEADER;
            while let Some(header) = buffer[start..end].first_chunk() {
                let header = u32::from_be_bytes(*header);
                if header == MOVED {
                    start += HEADER;
                    moved = true;
                    self.report(Report::Moved(true)).await;
                    continue;
                }
                let (urgent, length) = (header & URGENT != 0, (header & !URGENT) as usize);
                if length > MAX_FRAME {
                    return End::Misbehaved(format!(
                        "it sent a frame of {length} bytes; the limit is {MAX_FRAME}"
                    ));
                }
                need = HEADER + length;
                if end - start < need {
                    break;
                }
                let bytes = buffer[start + HEADER..start + need].to_vec();
                start += need;
                need = HEADER;
                if std::mem::take(&mut moved) {
                    self.report(Report::Moved(false)).await;
                }
                self.stats.class(urgent).frames_received.add(1);
                self.stats
                    .class(urgent)
                    .bytes_received
                    .add(bytes.len() + HEADER);
                // Waiting here is the back-pressure: the peer's window fills, and then its queue.
                if self
                    .events
                    .send(NetEvent::Frame {
                        from: self.peer,
                        bytes,
                    })
                    .await
                    .is_err()
                {
                    return End::Gone;
                }
            }
            if start == end {
                (start, end) = (0, 0);
            } else if start + need > buffer.len() {
                buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
            }
            if buffer.len() < need {
                buffer.resize(need, 0);
            }
            match stream.read(&mut buffer[end..]).await {
                Ok(0) | Err(_) => return End::Gone,
                Ok(n) => end += n,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::outbox::Outbox;
    use crate::proof::Ends;
    use crate::stats::Counters;
    use libp2p::swarm::ConnectionId;
    use starling_wire::NodeId;
    use tokio::io::AsyncWriteExt as _;
    use tokio::sync::mpsc;
    use tokio_util::compat::TokioAsyncReadCompatExt;

    const PEER: NodeId = NodeId([9; 32]);

    fn link() -> (
        Link,
        mpsc::Receiver<NetEvent>,
        mpsc::Receiver<(ConnectionId, Report)>,
    ) {
        let (events, frames) = mpsc::channel(64);
        let (reports, told) = mpsc::channel(64);
        let stats = Arc::new(Counters::default());
        let link = Link {
            id: ConnectionId::new_unchecked(1),
            peer: PEER,
            ours: true,
            ends: Ends {
                key: [1; 32],
                dialer: PEER,
                listener: PEER,
            },
            outbox: Outbox::new(stats.clone()),
            patience: Duration::from_millis(50),
            live: Arc::default(),
            clock: Arc::default(),
            events,
            reports,
            stats,
        };
        (link, frames, told)
    }

    #[tokio::test]
    async fn frames_arrive_whole_however_they_are_cut() {
        let (link, mut frames, _told) = link();
        let (mut near, far) = tokio::io::duplex(7);
        let big = vec![5; MAX_FRAME];
        let mut wire = Vec::new();
        for frame in [&b"a"[..], b"", &big, b"bc"] {
            wire.extend_from_slice(&(frame.len() as u32 | URGENT).to_be_bytes());
            wire.extend_from_slice(frame);
        }
        let writer = async {
            near.write_all(&wire).await.unwrap();
            drop(near);
        };
        let (end, ()) = tokio::join!(link.read(far.compat()), writer);
        assert_eq!(end, End::Gone);
        for frame in [&b"a"[..], b"", &big, b"bc"] {
            let event = frames.recv().await.unwrap();
            assert_eq!(
                event,
                NetEvent::Frame {
                    from: PEER,
                    bytes: frame.to_vec()
                }
            );
        }
        assert_eq!(link.stats.snapshot().urgent.frames_received, 4);
    }

    #[tokio::test]
    async fn an_oversized_frame_ends_the_link_in_words() {
        let (link, _frames, _told) = link();
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(&(MAX_FRAME as u32 + 1).to_be_bytes())
            .await
            .unwrap();
        let End::Misbehaved(reason) = link.read(far.compat()).await else {
            panic!()
        };
        assert!(
            reason.contains("65537") && reason.contains("65536"),
            "{reason}"
        );
    }

    #[tokio::test]
    async fn moving_and_coming_back_are_reported() {
        let (link, mut frames, mut told) = link();
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(&MOVED.to_be_bytes()).await.unwrap();
        near.write_all(b"\0\0\0\x01x").await.unwrap();
        drop(near);
        assert_eq!(link.read(far.compat()).await, End::Gone);
        assert!(matches!(told.recv().await, Some((_, Report::Moved(true)))));
        assert!(matches!(told.recv().await, Some((_, Report::Moved(false)))));
        assert!(frames.recv().await.is_some());
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up_after_the_deadline() {
        let (link, _frames, _told) = link();
        let (_near, far) = tokio::io::duplex(64);
        link.outbox.push(false, vec![0; 1000]);
        assert_eq!(link.exchange(far.compat()).await, End::Stalled);
    }
}
