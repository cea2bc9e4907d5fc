//! How often a node that lives is held to be dead on a machine whose cores are all taken.

use std::process::{Child, Command, Stdio};

use starling_api::{EventKind, EventQuery};

use super::report::{Aim, Measure, Report};
use super::world::World;
use super::{BenchError, Scale};

const PART: &str = "every core is taken twice";
/// Nodes of the cluster.
const NODES: usize = 5;

/// Programs that only burn time; dropping them ends them.
struct Burners(Vec<Child>);

impl Burners {
    fn start(count: usize) -> Result<Self, BenchError> {
        let mut burners = Self(Vec::new());
        for _ in 0..count {
            let child = Command::new("/bin/sh")
                .args(["-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .spawn()
                .map_err(BenchError::io("a program that burns time"))?;
            burners.0.push(child);
        }
        Ok(burners)
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Counts false deaths in a while.
pub(crate) async fn run(report: &mut Report, scale: &Scale) -> Result<(), BenchError> {
    let world = World::start(&scale.exe, NODES).await?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let burners = Burners::start(cores * 2)?;
    tokio::time::sleep(scale.loaded).await;
    drop(burners);
    let mut deaths = 0.0;
    for member in world.members() {
        let query = EventQuery {
            follow: false,
            job: None,
            kinds: vec![EventKind::NodeDead],
            new_only: false,
        };
        let mut events = member.client.events(&query).await?;
        while let Some(event) = events.next().await {
            event?;
            deaths += 1.0;
        }
    }
    world.stop().await;
    let what = format!(
        "nodes wrongly held dead in {} s, by all together",
        scale.loaded.as_secs()
    );
    let measure = Measure::one(PART, what, NODES, "deaths", deaths);
    report.add(measure.aim(Aim::Below(1.0)));
    Ok(())
}
