//! The task that drives a connection: it reads what the runner tells, writes what the socket did
//! not take at once, and when the runner is gone finds or starts the next one.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use super::link::{self, Link};
use super::{ExecConfig, Shared};
use crate::launch::ExecEvent;
use crate::protocol::{Event, not_now};
use crate::{clock, procfs};

/// The pauses between two attempts to get a runner, first and last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a runner that leaves is looked for, and the pause in between.
const GONE_TRIES: u32 = 500;
const GONE_PAUSE: Duration = Duration::from_millis(2);

/// Why a connection is not served any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// The runner is gone, or does not make sense.
    Runner,
    /// Nobody uses the executor any more.
    Daemon,
}

pub(super) async fn drive(
    shared: Arc<Shared>,
    config: ExecConfig,
    mut link: Link,
    events: Sender<ExecEvent>,
) {
    loop {
        let begin = clock::now();
        let over = serve(&shared, &mut link, &events).await;
        shared.detach();
        if over == Over::Runner && begin.elapsed() < PAUSES.0 {
            // Two daemons that take each other's place shall not do so at full speed.
            sleep(PAUSES.0).await;
        }
        if over == Over::Daemon {
            return;
        }
        if shared.state().leaving.is_some() {
            gone(link.pid).await;
            shared.left.send_replace(true);
            return;
        }
        let Some(next) = replace(&shared, &config, link.pid, &events).await else {
            return;
        };
        link = next;
        for event in shared.attach(&link) {
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// Waits until a runner that has hung up for good is gone altogether.
async fn gone(pid: u32) {
    for _ in 0..GONE_TRIES {
        if procfs::stat(pid).is_none_or(|stat| stat.zombie) {
            return;
        }
        sleep(GONE_PAUSE).await;
    }
}

async fn serve(shared: &Shared, link: &mut Link, events: &Sender<ExecEvent>) -> Over {
    let socket = Arc::clone(&link.socket);
    let mut list = std::mem::take(&mut link.early);
    loop {
        loop {
            let news: Vec<ExecEvent> = {
                let mut state = shared.state();
                list.drain(..)
                    .filter_map(|event| state.book.hear(event))
                    .collect()
            };
            for event in news {
                if events.send(event).await.is_err() {
                    return Over::Daemon;
                }
            }
            match link.reader.next::<Event>() {
                Ok(None) => break,
                Ok(Some(next)) => list = next,
                Err(error) => {
                    tracing::warn!(%error, "the runner is not understood; connecting anew");
                    return Over::Runner;
                }
            }
        }
        let waits = !shared.state().flush();
        let interest = if waits {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        tokio::select! {
            ready = socket.ready(interest) => {
                if ready.is_err() {
                    return Over::Runner;
                }
            }
            () = shared.wake.notified() => continue,
            () = shared.dropped.notified() => return Over::Daemon,
            () = events.closed() => return Over::Daemon,
        }
        match socket.try_read_buf(link.reader.buffer()) {
            Ok(0) => return Over::Runner,
            Ok(_) => {}
            Err(error) if not_now(&error) => {}
            Err(_) => return Over::Runner,
        }
    }
}

/// Gets a connection to the same runner, or else to a new one. None if nobody needs it any more.
async fn replace(
    shared: &Shared,
    config: &ExecConfig,
    pid: u32,
    events: &Sender<ExecEvent>,
) -> Option<Link> {
    let same = link::connect(config).await.ok();
    if same.as_ref().is_none_or(|link| link.pid != pid) {
        events.send(ExecEvent::RunnerLost).await.ok()?;
    }
    if same.is_some() {
        return same;
    }
    let mut pause = PAUSES.0;
    loop {
        let problem = match link::open(config).await {
            Ok(link) => return Some(link),
            Err(error) => error,
        };
        let text = format!(
            "no runner: {problem}; tried again in {} ms",
            pause.as_millis()
        );
        events.send(ExecEvent::Warning(text)).await.ok()?;
        tokio::select! {
            () = sleep(pause) => {}
            () = shared.dropped.notified() => return None,
            () = events.closed() => return None,
        }
        pause = PAUSES.1.min(pause * 2);
    }
}
