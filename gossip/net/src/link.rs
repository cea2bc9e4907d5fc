//! One link: its proof, then frames in both directions until it ends. A link is one task that reads and
//! writes at the same time (`frames.rs`), so an idle link costs one wake-up per frame and a blocked reader
//! does not block the writer.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite};
use libp2p::Stream;
use libp2p::swarm::ConnectionId;
use starling_wire::NodeId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::NetEvent;
use crate::outbox::{Outbox, Stop};
use crate::proof::Ends;
use crate::stats::Counters;

/// The largest frame.
pub const MAX_FRAME: usize = 64 * 1024;

/// How long a connection may stand without a proven link.
pub(crate) const PROOF_DEADLINE: Duration = Duration::from_secs(3);

/// How long the transport may take to accept a batch before the link is given up.
pub(crate) const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a link may take to end in good order.
const CLOSE_LINGER: Duration = Duration::from_millis(500);

/// What a link tells the driver.
#[derive(Debug)]
pub(crate) enum Report {
    /// Both sides have proven themselves; if the peer is alone, links proven before `supersedes` are
    /// dead at its side.
    Proven { at: u64, supersedes: Option<u64> },
    /// The peer sends on another link, or (false) on this one again.
    Moved(bool),
    /// The link is gone; nothing more comes from it.
    Ended(End),
}

/// How a link ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Before it was proven, for this reason.
    Unproven(String),
    /// The connection or the stream ended, or we ended it.
    Gone,
    /// The peer broke the protocol.
    Misbehaved(String),
    /// The peer took nothing for [`WRITE_DEADLINE`].
    Stalled,
}

/// What a link task works with.
pub(crate) struct Link {
    pub(crate) id: ConnectionId,
    pub(crate) peer: NodeId,
    pub(crate) ours: bool,
    pub(crate) ends: Ends,
    pub(crate) outbox: Arc<Outbox>,
    /// [`WRITE_DEADLINE`], except in tests.
    pub(crate) patience: Duration,
    /// How many links to this peer there are, in any state.
    pub(crate) live: Arc<AtomicUsize>,
    /// Orders proofs and challenges of this node.
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) events: mpsc::Sender<NetEvent>,
    pub(crate) reports: mpsc::Sender<(ConnectionId, Report)>,
    pub(crate) stats: Arc<Counters>,
}

/// Counts a link in `Link::live` for as long as it lives.
struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Link {
    /// Starts the task. The link counts as live from here on.
    pub(crate) fn spawn(
        self,
        stream: oneshot::Receiver<Result<Stream, String>>,
        start: oneshot::Receiver<()>,
    ) {
        self.live.fetch_add(1, Ordering::SeqCst);
        let live = Live(self.live.clone());
        tokio::spawn(async move {
            let end = tokio::select! {
                end = self.live_through(stream, start) => end,
                () = self.outbox.stopped(Stop::Abort) => End::Gone,
            };
            drop(live);
            self.report(Report::Ended(end)).await;
        });
    }

    async fn live_through(
        &self,
        stream: oneshot::Receiver<Result<Stream, String>>,
        start: oneshot::Receiver<()>,
    ) -> End {
        let (stream, proof) = match timeout(PROOF_DEADLINE, self.prove(stream)).await {
            Ok(Ok(proven)) => proven,
            Ok(Err(reason)) => return End::Unproven(reason),
            Err(_) => return End::Unproven(no_proof()),
        };
        self.report(proof).await;
        // The driver lets go once `Up` is on its way, so that no frame comes before it.
        if start.await.is_err() {
            return End::Gone;
        }
        self.exchange(stream).await
    }

    async fn prove(
        &self,
        stream: oneshot::Receiver<Result<Stream, String>>,
    ) -> Result<(Stream, Report), String> {
        let mut stream = match stream.await {
            Ok(stream) => stream?,
            Err(_) => return Err("it closed the connection before a link was made".into()),
        };
        let tick = || self.clock.fetch_add(1, Ordering::SeqCst);
        let report = if self.ours {
            let alone = || self.live.load(Ordering::SeqCst) == 1;
            self.ends
                .dial(&mut stream, alone)
                .await
                .map_err(|error| error.to_string())?;
            Report::Proven {
                at: tick(),
                supersedes: None,
            }
        } else {
            let (challenged, at, alone) = self
                .ends
                .listen(&mut stream, tick, tick)
                .await
                .map_err(|e| e.to_string())?;
            Report::Proven {
                at,
                supersedes: alone.then_some(challenged),
            }
        };
        Ok((stream, report))
    }

    pub(crate) async fn exchange<S: AsyncRead + AsyncWrite>(&self, stream: S) -> End {
        let (read, write) = stream.split();
        let mut reader = pin!(self.read(read));
        let mut writer = pin!(self.write(write));
        let mut linger = pin!(async {
            self.outbox.stopped(Stop::Drain).await;
            sleep(CLOSE_LINGER).await;
        });
        let mut writing = true;
        loop {
            tokio::select! {
                end = &mut reader => return end,
                result = &mut writer, if writing => {
                    writing = false;
                    match result {
                        Ok(()) => {}
                        Err(error) if error.kind() == io::ErrorKind::TimedOut => return End::Stalled,
                        // What the peer sent before the connection broke may still be unread.
                        Err(_) => self.outbox.stop(Stop::Drain),
                    }
                }
                () = &mut linger => return End::Gone,
            }
        }
    }

    pub(crate) async fn report(&self, report: Report) {
        // The driver is gone only when the whole network is.
        let _ = self.reports.send((self.id, report)).await;
    }
}

fn no_proof() -> String {
    let seconds = PROOF_DEADLINE.as_secs();
    format!("it did not prove within {seconds} s that it knows this cluster's secret")
}
