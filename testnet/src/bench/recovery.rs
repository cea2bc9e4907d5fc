//! From the loss of a node to its tasks running elsewhere, as a survivor tells it. A node is lost by
//! a kill (daemon, runner and tasks, with SIGKILL), or by a cut: all packets from and to it vanish.
//! It may be a host of tasks, the owner that acts for their job, or both.

use std::time::{Duration, Instant};

use starling::wires::Wires;
use starling_api::{Client, JobRequest, TaskState, TaskView};

use super::report::{Aim, Measure, Report};
use super::stats::Sample;
use super::world::{PATIENCE, World, job};
use super::{BenchError, Scale};

const CUT: &str = "a node is cut off";
/// Nodes of the cluster of which nodes are cut off.
const NODES: usize = 5;
/// Tasks of the job for each node that may run them.
const TASKS: usize = 5;
/// How often the job is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What the node was that is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It ran tasks of a job that another acts for.
    Host,
    /// It acted for a job and ran none of its tasks.
    Owner,
    /// It acted for a job and ran some of its tasks.
    Both,
}

impl Role {
    const fn killed(self) -> &'static str {
        match self {
            Self::Host => "a host is killed",
            Self::Owner => "an acting owner is killed",
            Self::Both => "an acting owner that is a host is killed",
        }
    }
}

/// What one loss cost.
struct Loss {
    /// Until a survivor had a new place for the first task of the victim, or acted for its job.
    noticed: f64,
    /// Until the last one ran again.
    recovered: f64,
}

/// Measures kills.
pub(crate) async fn kills(report: &mut Report, scale: &Scale) -> Result<(), BenchError> {
    for nodes in scale.recovery_clusters {
        let mut world = World::start(&scale.exe, *nodes).await?;
        // A node that is killed right after its join has not noted yet whom to come back to.
        tokio::time::sleep(scale.settle).await;
        for role in [Role::Host, Role::Owner, Role::Both] {
            let mut losses = Vec::new();
            for _ in 0..scale.kills {
                let job = Job::running(&world, role).await?;
                let victim = job.victim;
                let began = Instant::now();
                world.fleet.kill(victim, false);
                losses.push(job.moved(began).await?);
                job.end().await?;
                world.fleet.boot(victim).await?;
                formed(&world).await?;
            }
            tell(report, role, role.killed(), *nodes, 1.5, &losses);
        }
        world.stop().await;
    }
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
        let job = Job::running(&world, Role::Host).await?;
        let victim = job.victim;
        let began = Instant::now();
        wires.cut(victim).map_err(BenchError::Wrong)?;
        losses.push(job.moved(began).await?);
        wires.mend(victim).map_err(BenchError::Wrong)?;
        formed(&world).await?;
        job.end().await?;
    }
    world.stop().await;
    tell(report, Role::Host, CUT, NODES, 3.0, &losses);
    Ok(())
}

async fn formed(world: &World) -> Result<(), BenchError> {
    world.fleet.formed(world.members().len()).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

fn tell(
    report: &mut Report,
    role: Role,
    part: &'static str,
    nodes: usize,
    aim: f64,
    losses: &[Loss],
) {
    let sample = |value: fn(&Loss) -> f64| losses.iter().map(value).collect::<Sample>();
    let noticed = sample(|loss| loss.noticed);
    let (what, end) = match role {
        Role::Owner => (
            "until another acts for its job",
            "until all its tasks are known to run",
        ),
        Role::Host | Role::Both => (
            "until the first of its tasks has a new place",
            "until all its tasks run elsewhere",
        ),
    };
    report.add(Measure::median(part, what, nodes, "s", &noticed));
    let recovered = sample(|loss| loss.recovered);
    report.add(Measure::median(part, end, nodes, "s", &recovered).aim(Aim::Below(aim)));
    let worst = recovered.percentile(100);
    let worst = Measure::one(part, "the same, worst", nodes, "s", worst);
    report.add(worst.of(recovered.len()).aim(Aim::Below(5.0)));
}

/// A job of which a node is to be lost.
struct Job {
    role: Role,
    /// Of a node that stays.
    survivor: Client,
    id: String,
    victim: usize,
    /// Its name.
    lost: String,
    /// Its tasks.
    displaced: Vec<u32>,
}

impl Job {
    /// Submits it and waits until all its tasks run.
    async fn running(world: &World, role: Role) -> Result<Self, BenchError> {
        let nodes = world.members().len();
        let taker = &world.members()[0].name;
        // The taker runs none, unless it is to be lost with some.
        let constraints = if role == Role::Both {
            Vec::new()
        } else {
            vec![format!("name!={taker}")]
        };
        let hosts = if role == Role::Both { nodes } else { nodes - 1 };
        let count = u32::try_from(TASKS * hosts).unwrap_or(u32::MAX);
        let request = JobRequest {
            constraints,
            ..job(count, ["/bin/sleep", "600"])
        };
        let id = world.client(0).submit(&request).await?.job;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let detail = world.client(0).job(&id).await?;
            let copied = detail.copies as usize == detail.owners.len();
            let run = |task: &TaskView| task.state == TaskState::Running;
            if copied && detail.tasks.iter().all(run) {
                let of = |at: usize| -> Vec<u32> {
                    let name = &world.members()[at].name;
                    let tasks = detail.tasks.iter();
                    let there = tasks.filter(|task| is_on(task, name));
                    there.map(|task| task.index).collect()
                };
                let (victim, displaced) = if role == Role::Host {
                    let all = (1..nodes).map(|at| (at, of(at)));
                    all.max_by_key(|(_, tasks)| tasks.len()).unwrap_or_default()
                } else {
                    (0, of(0))
                };
                let survivor = if victim == 0 { 1 } else { 0 };
                return Ok(Self {
                    role,
                    survivor: world.client(survivor).clone(),
                    id,
                    victim,
                    lost: world.members()[victim].name.clone(),
                    displaced,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(BenchError::Wrong(
            "the tasks to displace do not all run".to_owned(),
        ))
    }

    /// Waits until all displaced tasks run elsewhere.
    async fn moved(&self, began: Instant) -> Result<Loss, BenchError> {
        let mut noticed = None;
        while began.elapsed() < PATIENCE {
            let detail = self.survivor.job(&self.id).await?;
            let at = began.elapsed().as_secs_f64();
            let moved = |task: &TaskView| task.node.is_some() && !is_on(task, &self.lost);
            let mut theirs = self
                .displaced
                .iter()
                .filter_map(|index| detail.tasks.get(*index as usize));
            let acts = detail.summary.owner.name != self.lost;
            let begun = match self.role {
                Role::Host | Role::Both => theirs.clone().any(moved),
                Role::Owner => acts,
            };
            if noticed.is_none() && acts && begun {
                noticed = Some(at);
            }
            let run = |task: &TaskView| moved(task) && task.state == TaskState::Running;
            let all = match self.role {
                Role::Host | Role::Both => theirs.all(run),
                Role::Owner => detail.tasks.iter().all(run),
            };
            if acts && all {
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
        self.survivor.stop_job(&self.id).await?;
        Ok(())
    }
}

fn is_on(task: &TaskView, name: &str) -> bool {
    task.node.as_ref().is_some_and(|node| node.name == name)
}
