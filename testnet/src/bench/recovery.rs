//! From the loss of a node to its tasks running elsewhere, as the job's owner, another node, tells
//! it. A node is lost by a kill (daemon, runner and tasks, with SIGKILL), or by a cut: all packets
//! from and to it vanish.

use std::time::{Duration, Instant};

use starling_api::{Client, JobRequest, TaskState, TaskView};

use super::report::{Aim, Measure, Report};
use super::stats::Sample;
use super::wires::Wires;
use super::world::{PATIENCE, World, job};
use super::{BenchError, Scale};

const KILL: &str = "a node is killed";
const CUT: &str = "a node is cut off";
/// Nodes of the cluster.
const NODES: usize = 5;
/// Tasks of the job.
const TASKS: u32 = 20;
/// How often the job is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What one kill cost.
struct Loss {
    /// Until the owner had placed the first task of the victim again.
    noticed: f64,
    /// Until the last one ran again.
    recovered: f64,
}

/// Measures kills.
pub(crate) async fn kills(report: &mut Report, scale: &Scale) -> Result<(), BenchError> {
    let mut world = World::start(&scale.exe, NODES).await?;
    // A node that is killed right after its join has not noted yet whom to come back to.
    tokio::time::sleep(scale.settle).await;
    let mut losses = Vec::new();
    for _ in 0..scale.kills {
        let job = Job::running(&world).await?;
        let victim = job.victim;
        let began = Instant::now();
        world.fleet.kill(victim, false);
        losses.push(job.moved(began).await?);
        job.end().await?;
        world.fleet.boot(victim).await?;
        formed(&world).await?;
    }
    world.stop().await;
    tell(report, KILL, 1.5, &losses);
    Ok(())
}

/// Measures cuts.
pub(crate) async fn cuts(report: &mut Report, scale: &Scale) -> Result<(), BenchError> {
    let wires = match Wires::lay(NODES) {
        Ok(wires) => wires,
        Err(reason) => {
            report.skip(format!("a node that is cut off: skipped ({reason})"));
            return Ok(());
        }
    };
    let dir = tempfile::tempdir().map_err(BenchError::io("a temporary directory"))?;
    let exe = wires
        .program(dir.path(), &scale.exe)
        .map_err(BenchError::io("a script"))?;
    let world = World::start(&exe, NODES).await?;
    tokio::time::sleep(scale.settle).await;
    let mut losses = Vec::new();
    for _ in 0..scale.cuts {
        let job = Job::running(&world).await?;
        let victim = job.victim;
        let began = Instant::now();
        wires.cut(victim).map_err(BenchError::Wrong)?;
        losses.push(job.moved(began).await?);
        wires.mend(victim).map_err(BenchError::Wrong)?;
        formed(&world).await?;
        job.end().await?;
    }
    world.stop().await;
    tell(report, CUT, 3.0, &losses);
    Ok(())
}

async fn formed(world: &World) -> Result<(), BenchError> {
    world.fleet.formed(NODES).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

fn tell(report: &mut Report, part: &'static str, aim: f64, losses: &[Loss]) {
    let sample = |value: fn(&Loss) -> f64| losses.iter().map(value).collect::<Sample>();
    let noticed = sample(|loss| loss.noticed);
    let what = "until the first of its tasks has a new place";
    report.add(Measure::median(part, what, NODES, "s", &noticed));
    let recovered = sample(|loss| loss.recovered);
    let what = "until all its tasks run elsewhere";
    report.add(Measure::median(part, what, NODES, "s", &recovered).aim(Aim::Below(aim)));
    let worst = Measure::one(
        part,
        "the same, worst",
        NODES,
        "s",
        recovered.percentile(100),
    );
    report.add(worst.of(recovered.len()).aim(Aim::Below(aim)));
}

/// A job that runs on all nodes but its owner, whose client is asked.
struct Job {
    owner: Client,
    id: String,
    /// The node that is to be lost: the one with the most tasks.
    victim: usize,
    /// Its tasks.
    displaced: Vec<u32>,
}

impl Job {
    /// Submits it and waits until all its tasks run.
    async fn running(world: &World) -> Result<Self, BenchError> {
        let owner = world.client(0).clone();
        let constraints = vec![format!("name!={}", world.members()[0].name)];
        let request = JobRequest {
            constraints,
            ..job(TASKS, ["/bin/sleep", "600"])
        };
        let id = owner.submit(&request).await?.job;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let tasks = owner.job(&id).await?.tasks;
            if tasks.iter().all(|task| task.state == TaskState::Running) {
                let of = |at: usize| -> Vec<u32> {
                    let name = &world.members()[at].name;
                    let there = |task: &&TaskView| {
                        task.node.as_ref().is_some_and(|node| node.name == *name)
                    };
                    tasks.iter().filter(there).map(|task| task.index).collect()
                };
                let all = (1..NODES).map(|at| (at, of(at)));
                let most = all.max_by_key(|(_, tasks)| tasks.len());
                let (victim, displaced) = most.unwrap_or_default();
                return Ok(Self {
                    owner,
                    id,
                    victim,
                    displaced,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(BenchError::Wrong(
            "the tasks to displace do not all run".to_owned(),
        ))
    }

    /// Waits until all displaced tasks have moved and run.
    async fn moved(&self, began: Instant) -> Result<Loss, BenchError> {
        let mut noticed = None;
        while began.elapsed() < PATIENCE {
            let tasks = self.owner.job(&self.id).await?.tasks;
            let at = began.elapsed().as_secs_f64();
            let mut theirs = self
                .displaced
                .iter()
                .filter_map(|index| tasks.get(*index as usize));
            if noticed.is_none() && theirs.clone().any(|task| task.moves > 0) {
                noticed = Some(at);
            }
            if theirs.all(|task| task.moves > 0 && task.state == TaskState::Running) {
                return Ok(Loss {
                    noticed: noticed.unwrap_or(at),
                    recovered: at,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        let problem = format!("the tasks of a lost node do not run again: job {}", self.id);
        Err(BenchError::Wrong(problem))
    }

    /// Stops it.
    async fn end(self) -> Result<(), BenchError> {
        self.owner.stop_job(&self.id).await?;
        Ok(())
    }
}
