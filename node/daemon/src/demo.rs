//! `starling demo`: a cluster of real daemons on this machine digests real files, loses one of its
//! machines in the middle, and every result is checked against a direct computation.

mod digest;
mod show;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use starling_api::{Client, EventQuery, JobRequest, JobSummary};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{CliError, DemoArgs};
use crate::fleet::{Fleet, FleetError};
use crate::node::report;

use digest::Plan;
pub(crate) use digest::digest_task;
use watch::Watch;

/// The member that takes the jobs; it is not the one that is killed.
const SUBMITTER: usize = 0;
/// How long the whole work may take.
const LIMIT: Duration = Duration::from_secs(600);

fn failed(error: &dyn std::error::Error) -> CliError {
    CliError::Other(report(error))
}

/// Runs the demo.
pub(crate) fn demo(args: DemoArgs) -> Result<ExitCode, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::Other(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        // Everything below lies in here, and goes with it.
        let root = tempfile::Builder::new()
            .prefix("starling-demo-")
            .tempdir()
            .map_err(|error| {
                CliError::Other(format!("no temporary folder can be made: {error}"))
            })?;
        let interrupted = async {
            match (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) {
                (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                },
                _ => std::future::pending().await,
            }
        };
        tokio::pin!(interrupted);
        let exe = std::env::current_exe()
            .map_err(|error| CliError::Other(format!("the program cannot find itself: {error}")))?;
        let plan = Plan::make(&args, root.path()).map_err(CliError::Other)?;
        show::heading(&plan, &args);
        let started = Instant::now();
        let mut fleet = tokio::select! {
            fleet = Fleet::start(&exe, root.path(), args.nodes as usize, &[]) => {
                fleet.map_err(|error| failed(&error))?
            }
            () = &mut interrupted => return Ok(ExitCode::from(130)),
        };
        show::line(&format!(
            "{} daemons found together in {:.1} s",
            args.nodes,
            started.elapsed().as_secs_f64()
        ));
        let right = tokio::select! {
            right = work(&mut fleet, &plan) => right,
            () = &mut interrupted => {
                show::line("interrupted: the daemons are being ended");
                fleet.stop().await;
                return Ok(ExitCode::from(130));
            }
        };
        if let (Ok(_), false) = (&right, args.exit) {
            show::try_it(&fleet, &exe);
            interrupted.await;
            show::line("the daemons are being ended");
        }
        fleet.stop().await;
        Ok(if right? {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

/// Submits the work, kills a member in the middle, waits for the end and checks.
async fn work(fleet: &mut Fleet, plan: &Plan) -> Result<bool, CliError> {
    let client = fleet.members[SUBMITTER].client.clone();
    let api = |error: starling_api::ClientError| failed(&error);
    let events = client
        .events(&EventQuery {
            follow: true,
            new_only: true,
            ..EventQuery::default()
        })
        .await
        .map_err(api)?;
    let mut jobs = Vec::new();
    for request in jobs_to_submit(plan, &fleet.members[SUBMITTER].dir) {
        let submitted = client.submit(&request).await.map_err(api)?;
        let name = request.name.unwrap_or_default();
        show::line(&format!(
            "job {} ({name}): {} tasks",
            submitted.job, submitted.tasks
        ));
        jobs.push(submitted.job);
    }
    let mut watch = Watch::new(events, jobs.clone());
    let bar = show::bar(plan.total_tasks());
    // A third of the way, while much is running.
    let middle = plan.total_tasks() / 3;
    watch
        .until(LIMIT, &bar, |watch| watch.ended() >= middle)
        .await
        .map_err(CliError::Other)?;
    let victim = busiest(fleet, &client).await?;
    let name = fleet.members[victim].name.clone();
    let killed = watch.kill(&name);
    fleet.kill(victim, false);
    bar.suspend(|| {
        show::line(&format!(
            "SIGKILL for {name}: its daemon, its runner and every task on it"
        ));
    });
    watch
        .until(LIMIT, &bar, Watch::all_over)
        .await
        .map_err(CliError::Other)?;
    bar.finish_and_clear();
    let mut details = Vec::new();
    for job in &jobs {
        details.push(client.job(job).await.map_err(api)?);
    }
    let verified = plan.verify().map_err(CliError::Other)?;
    let summaries: Vec<&JobSummary> = details.iter().map(|detail| &detail.summary).collect();
    let good = summaries.iter().all(|job| job.succeeded == job.count);
    show::result(&details, &watch, fleet, &name, killed, &verified);
    Ok(good && verified.is_right())
}

/// The member, other than the submitter, that runs most.
async fn busiest(fleet: &Fleet, client: &Client) -> Result<usize, CliError> {
    let nodes = client.nodes().await.map_err(|error| failed(&error))?;
    let running = |name: &str| {
        nodes
            .items
            .iter()
            .find(|node| node.name == name)
            .map_or(0, |node| node.running)
    };
    (0..fleet.members.len())
        .filter(|at| *at != SUBMITTER)
        .max_by_key(|at| running(&fleet.members[*at].name))
        .ok_or_else(|| CliError::Other("there is no second daemon to kill".to_owned()))
}

fn jobs_to_submit(plan: &Plan, marks: &Path) -> Vec<JobRequest> {
    let digests = JobRequest {
        name: Some("digest".to_owned()),
        count: plan.tasks(),
        ..JobRequest::new(plan.command())
    };
    let sleepers = JobRequest {
        name: Some("sleepers".to_owned()),
        count: digest::SLEEPERS,
        ..JobRequest::new(["sleep", "2"])
    };
    // Each fails at its first try and succeeds at its second.
    let marks: PathBuf = marks.join("tried");
    let script = format!(
        "mkdir -p '{0}'; if mkdir '{0}'/$STARLING_INDEX 2>/dev/null; then exit 7; fi",
        marks.display()
    );
    let flaky = JobRequest {
        name: Some("fails-once".to_owned()),
        count: digest::FLAKY,
        restart: Some(starling_api::RestartPolicy::OnFailure),
        ..JobRequest::new(["sh", "-c", &script])
    };
    vec![sleepers, digests, flaky]
}

impl From<FleetError> for CliError {
    fn from(error: FleetError) -> Self {
        failed(&error)
    }
}
