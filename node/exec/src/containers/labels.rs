//! What a container says about itself, so that a daemon finds its own again and no other's: labels,
//! and a name that no second container of the same placement can take.

use std::collections::HashMap;
use std::time::Duration;

use data_encoding::BASE64;
use starling_wire::{Epoch, TaskId};

use crate::launch::Launch;
use crate::runner::Key;

/// Whose it is: the node's id.
const NODE: &str = "starling.node";
const TASK: &str = "starling.task";
const EPOCH: &str = "starling.epoch";
const GRACE: &str = "starling.grace-ms";
/// The boot of the machine in which it was started.
const BOOT: &str = "starling.boot";
/// What the daemon wants to be told when it comes back.
const NOTE: &str = "starling.note";

/// What a container's labels say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) key: Key,
    pub(super) grace: Duration,
    pub(super) boot: String,
    pub(super) note: Vec<u8>,
}

/// The label by which the containers of a node are asked for.
pub(super) fn of_node(node: &str) -> String {
    format!("{NODE}={node}")
}

/// The labels of a container that is to be made.
pub(super) fn of(launch: &Launch, node: &str, boot: &str) -> HashMap<String, String> {
    [
        (NODE, node.to_owned()),
        (TASK, launch.task.to_string()),
        (EPOCH, launch.epoch.to_string()),
        (GRACE, launch.grace_ms.to_string()),
        (BOOT, boot.to_owned()),
        (NOTE, BASE64.encode(&launch.note)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

impl Labels {
    /// Reads them; none if they are not of `node` or not whole.
    pub(super) fn read(labels: &HashMap<String, String>, node: &str) -> Option<Self> {
        if labels.get(NODE)? != node {
            return None;
        }
        let task: TaskId = labels.get(TASK)?.parse().ok()?;
        let epoch: Epoch = labels.get(EPOCH)?.parse().ok()?;
        let grace: u32 = labels.get(GRACE)?.parse().ok()?;
        Some(Self {
            key: (task, epoch),
            grace: Duration::from_millis(grace.into()),
            boot: labels.get(BOOT)?.clone(),
            note: BASE64.decode(labels.get(NOTE)?.as_bytes()).ok()?,
        })
    }
}

/// The name of a placement's container. The engine refuses a second one of the same name.
pub(super) fn name((task, epoch): Key, node: &str) -> String {
    let node = node.get(..8).unwrap_or(node);
    format!("starling-{task}-{epoch}-{node}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::containers::tests::launch;

    #[test]
    fn a_container_is_read_as_it_was_labelled_by_its_own_node_only() {
        let launch = Launch {
            note: vec![0, 255, 7],
            grace_ms: 1_500,
            ..launch()
        };
        let labels = of(&launch, "node-a", "boot-1");
        let read = Labels::read(&labels, "node-a").unwrap();
        assert_eq!(read.key, (launch.task, launch.epoch));
        assert_eq!(read.grace, Duration::from_millis(1_500));
        assert_eq!((read.boot.as_str(), read.note), ("boot-1", launch.note));
        assert_eq!(Labels::read(&labels, "node-b"), None);
        for key in labels.keys() {
            let mut less = labels.clone();
            less.remove(key);
            assert_eq!(Labels::read(&less, "node-a"), None, "{key}");
            if key != NODE && key != BOOT {
                less.insert(key.clone(), "\u{e4}!".into());
                assert_eq!(Labels::read(&less, "node-a"), None, "{key}");
            }
        }
        assert_eq!(Labels::read(&HashMap::new(), ""), None);
    }

    #[test]
    fn names_are_such_as_engines_take() {
        let launch = launch();
        let name = name((launch.task, launch.epoch), "NODEID234567890");
        assert!(name.ends_with("-NODEID23"));
        let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        assert!(name.chars().all(good), "{name}");
    }
}
