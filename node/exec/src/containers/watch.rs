//! Whether the engine is there, and what of ours is left in it that nobody wants.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::engine::Engine;
use super::{Shared, adopt, lock, remove};
use crate::launch::ExecEvent;

/// How often an engine that is there is asked whether it still is, and how often one is looked for.
const LOOK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(2));
/// The pause before an engine that did not answer is asked once more.
const AGAIN: Duration = Duration::from_millis(300);
/// How often what nobody wants is looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// How long a start of the daemon waits for an engine that is about to start as well: when it should
/// hold containers of ours, and otherwise.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_millis(500));
/// The pause between two looks meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// The engine at the daemon's start.
pub(super) async fn first(shared: &Shared) -> Option<Arc<Engine>> {
    let patience = if shared.notes.any() {
        PATIENCE.0
    } else {
        PATIENCE.1
    };
    let until = Instant::now() + patience;
    while shared.sockets.paths().iter().any(|path| path.exists()) || shared.notes.any() {
        if let Some(engine) = find(shared).await {
            return Some(engine);
        }
        if Instant::now() >= until || shared.sockets.paths().is_empty() {
            break;
        }
        sleep(PAUSE).await;
    }
    None
}

/// The first engine that answers.
async fn find(shared: &Shared) -> Option<Arc<Engine>> {
    for path in shared.sockets.paths().iter().filter(|path| path.exists()) {
        match Engine::connect(path).await {
            Ok(engine) => {
                let facts = &engine.facts;
                tracing::info!(
                    engine = %facts.engine, version = %facts.version, arch = %facts.arch,
                    socket = %engine.path.display(), "this node runs containers"
                );
                return Some(Arc::new(engine));
            }
            Err(problem) => {
                tracing::debug!(socket = %path.display(), %problem, "no container engine");
            }
        }
    }
    None
}

/// Follows the engine until nobody listens any more.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut sweep_due = Instant::now() + SWEEP;
    loop {
        let engine = shared.engine.borrow().clone();
        let pause = if engine.is_some() { LOOK.0 } else { LOOK.1 };
        tokio::select! {
            () = sleep(pause) => {}
            () = shared.doubt.notified() => {}
            () = shared.events.closed() => return,
        }
        let news = match engine {
            Some(engine) if is_gone(&engine).await => {
                tracing::warn!(
                    socket = %engine.path.display(),
                    "the container engine does not answer any more; it is looked for"
                );
                Some(None)
            }
            Some(_) => None,
            None => find(&shared).await.map(Some),
        };
        if let Some(engine) = news {
            let facts = engine.as_ref().map(|engine| engine.facts.clone());
            if engine.is_some() {
                sweep_due = Instant::now();
            }
            shared.engine.send_replace(engine);
            if shared
                .events
                .send(ExecEvent::Containers(facts))
                .await
                .is_err()
            {
                return;
            }
        }
        if sweep_due <= Instant::now() {
            sweep_due = Instant::now() + SWEEP;
            sweep(&shared).await;
        }
    }
}

async fn is_gone(engine: &Engine) -> bool {
    if engine.is_there().await {
        return false;
    }
    sleep(AGAIN).await;
    !engine.is_there().await
}

/// Removes containers of this node that belong to no placement it knows: their removal failed, or
/// they were given up while the engine did not answer.
async fn sweep(shared: &Shared) {
    let engine = shared.engine.borrow().clone();
    let Some(engine) = engine else { return };
    let Ok(found) = adopt::list(shared, &engine).await else {
        return;
    };
    let mut known = BTreeSet::new();
    for container in found {
        let wanted = container.labels.as_ref().is_some_and(|labels| {
            let (task, epoch) = labels.key;
            known.insert(format!("{task}-{epoch}"));
            lock(&shared.book).contains_key(&labels.key)
        });
        if !wanted && remove(&engine, &container.id).await {
            tracing::info!(container = %container.id, "an orphan of this node is removed");
            if let Some(labels) = container.labels {
                shared.notes.end(labels.key);
            }
        }
    }
    let book: BTreeSet<String> = lock(&shared.book)
        .keys()
        .map(|(task, epoch)| format!("{task}-{epoch}"))
        .collect();
    shared
        .notes
        .clear(|name| known.contains(name) || book.contains(name));
}
