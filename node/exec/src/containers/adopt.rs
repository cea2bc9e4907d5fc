//! Finding this node's containers again.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::errors::Error;
use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};

use super::engine::{Engine, in_words, is_missing};
use super::labels::{self, Labels};
use super::worker::Worker;
use super::{Shared, remove};
use crate::launch::Held;

/// A container with this node's label.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: String,
    /// None if they are not whole.
    pub(super) labels: Option<Labels>,
}

/// All containers with this node's label.
pub(super) async fn list(shared: &Shared, engine: &Engine) -> Result<Vec<Found>, Error> {
    let options = ListContainersOptions {
        all: true,
        filters: Some(HashMap::from([(
            "label".to_owned(),
            vec![labels::of_node(&shared.node)],
        )])),
        ..ListContainersOptions::default()
    };
    let all = engine.docker.list_containers(Some(options)).await?;
    let found = all.into_iter().filter_map(|container| {
        let labels = container.labels.unwrap_or_default();
        Some(Found {
            id: container.id?,
            labels: Labels::read(&labels, &shared.node),
        })
    });
    Ok(found.collect())
}

/// Takes up the node's containers: each that runs or has ended gets a worker, and is told as running
/// until that worker has found its end and read its output. The others never ran, or the machine's
/// restart ended them: they are removed, and their tasks are lost.
pub(super) async fn adopt(shared: &Arc<Shared>, engine: &Engine) -> Vec<Held> {
    let found = match list(shared, engine).await {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(
                problem = %in_words(&error),
                "the containers of this node cannot be listed; they are held to be lost"
            );
            return Vec::new();
        }
    };
    let mut held = Vec::new();
    for Found { id, labels } in found {
        let Some(labels) = labels else {
            tracing::warn!(container = %id, "a container of this node has no whole labels; removed");
            remove(engine, &id).await;
            continue;
        };
        let inspected = engine
            .docker
            .inspect_container(&id, None::<InspectContainerOptions>)
            .await;
        let state = match inspected {
            Ok(container) => container.state.unwrap_or_default(),
            // Its worker will ask again; nothing is removed on a guess.
            Err(error) if !is_missing(&error) => ContainerState {
                status: Some(Status::RUNNING),
                ..ContainerState::default()
            },
            Err(_) => ContainerState::default(),
        };
        if !is_worth_keeping(&state, labels.boot == shared.boot) {
            remove(engine, &id).await;
            shared.notes.end(labels.key);
            continue;
        }
        let (task, epoch) = labels.key;
        let stop = shared.notes.stopped(labels.key);
        if let Some(worker) = Worker::hire(shared, labels.key, labels.grace, stop) {
            tokio::spawn(worker.go_on());
            held.push(Held {
                task,
                epoch,
                pid: 0,
                ended: None,
                note: labels.note,
            });
        }
    }
    held
}

/// Whether a container runs, or has an end that is worth telling.
fn is_worth_keeping(state: &ContainerState, same_boot: bool) -> bool {
    match state.status {
        Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING) => true,
        // What a restart of the machine ended did not fail; what ended well did end.
        Some(Status::EXITED) => same_boot || state.exit_code == Some(0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ran_or_fell_with_the_machine_is_not_kept() {
        let state = |status, code| ContainerState {
            status: Some(status),
            exit_code: Some(code),
            ..ContainerState::default()
        };
        for (status, code, same_boot, kept) in [
            (Status::RUNNING, 0, true, true),
            (Status::RUNNING, 0, false, true),
            (Status::EXITED, 7, true, true),
            (Status::EXITED, 0, false, true),
            (Status::EXITED, 137, false, false),
            (Status::CREATED, 0, true, false),
            (Status::DEAD, 0, true, false),
        ] {
            let state = state(status, code);
            assert_eq!(is_worth_keeping(&state, same_boot), kept, "{state:?}");
        }
        assert!(!is_worth_keeping(&ContainerState::default(), true));
    }
}
