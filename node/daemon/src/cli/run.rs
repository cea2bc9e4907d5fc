//! `starling run`: submit a job from the command line.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use starling_api::{Client, JobRequest, PartitionPolicy, PullPolicy, Quantity, RestartPolicy};

use super::connect::Connect;
use super::error::CliError;
use super::{output, values, wait};

/// Submit a job
#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// Under which name its speed is learned [default: made from the program and the name]
    #[arg(long)]
    class: Option<String>,
    #[command(flatten)]
    container: ContainerArgs,
    /// How many tasks
    #[arg(long, value_name = "K", default_value_t = 1, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// CPU of each task, reserved and the most it gets: cores (2, 0.5) or millicores (500m)
    /// [default: a tenth of a core is reserved, nothing limited]
    #[arg(long, value_name = "C", allow_negative_numbers = true, value_parser = values::cpu)]
    cpu: Option<Quantity>,
    /// Memory of each task, reserved and the most it gets: 64MiB, 1G
    #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = values::memory)]
    memory: Option<Quantity>,
    /// Disk that each task reserves: 10GiB
    #[arg(long, value_name = "D", allow_negative_numbers = true, value_parser = values::disk)]
    disk: Option<Quantity>,
    /// A condition on the node: KEY=VALUE, KEY!=VALUE, `KEY in (A, B)`; may be repeated
    #[arg(long = "constraint", value_name = "E", value_parser = values::constraint)]
    constraints: Vec<String>,
    /// An environment variable, or KEY alone to pass this shell's value on; may be repeated
    #[arg(long, value_name = "K=V", value_parser = values::env)]
    env: Vec<(String, String)>,
    /// The tasks' working directory [default: a fresh one for each, or what the image says]
    #[arg(long, value_name = "DIR")]
    dir: Option<String>,
    /// The user to run as [default: the daemon's, or what the image says]
    #[arg(long)]
    user: Option<String>,
    /// Whether a task that ended is run again [default: never]
    #[arg(long, value_enum, value_name = "WHEN")]
    restart: Option<Restart>,
    /// How often a task is run at most [default: 5 with --restart on-failure, no limit with always]
    #[arg(long, value_name = "N", requires = "restart", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    attempts: Option<u32>,
    /// Time between SIGTERM and SIGKILL when a task is stopped [default: 5s]
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, value_parser = values::grace)]
    grace: Option<Quantity>,
    /// Time after which a task that still runs is stopped and has failed: 90s, 10m, 2h
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, value_parser = values::timeout)]
    timeout: Option<Quantity>,
    /// What a partition of the cluster means: keep runs a task at least once, stop at most once, on
    /// the side that holds a majority of the job's owners [default: keep]
    #[arg(long, value_enum, value_name = "POLICY")]
    partition: Option<Partition>,
    #[command(flatten)]
    submitting: Submitting,
    #[command(flatten)]
    connect: Connect,
    /// The program and its arguments; no shell is involved. With --image it may be left out
    #[arg(
        required_unless_present = "image",
        trailing_var_arg = true,
        value_name = "CMD"
    )]
    command: Vec<String>,
}

/// What makes the tasks containers.
#[derive(Args, Debug)]
#[command(next_help_heading = "Containers")]
struct ContainerArgs {
    /// Run each task in a container of this image: NAME:TAG or NAME@sha256:DIGEST
    #[arg(long, value_parser = values::image)]
    image: Option<String>,
    /// When the image is fetched from its registry [default: missing]
    #[arg(long, value_enum, requires = "image")]
    pull: Option<Pull>,
    /// A program in place of the image's entry point; CMD are its arguments
    #[arg(long, value_name = "PROGRAM", requires = "image")]
    entrypoint: Option<String>,
    /// Make the root file system one that cannot be written to
    #[arg(long, requires = "image")]
    read_only: bool,
    /// The most processes and threads
    #[arg(long, value_name = "N", requires = "image", value_parser = clap::value_parser!(u32).range(1..))]
    pids: Option<u32>,
    /// Mount a folder of the node or a named volume: SOURCE:TARGET[:ro]; may be repeated
    #[arg(long = "volume", value_name = "V", requires = "image", value_parser = values::volume)]
    volumes: Vec<String>,
    /// Lead a port of the node inside: [ADDRESS:]NODE:CONTAINER[/udp]; may be repeated
    #[arg(long = "port", value_name = "P", requires = "image", value_parser = values::port)]
    ports: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pull {
    /// When the node does not have it
    Missing,
    /// Never: the node must have it
    Never,
    /// Before each start
    Always,
}

/// What `run` and `apply` do besides submitting.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct Submitting {
    /// Wait for the end, show progress or the one task's output, and exit with its code; Ctrl-C
    /// stops the job
    #[arg(long)]
    pub(super) wait: bool,
    /// Print JSON: what was submitted, or with --wait the job at its end
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Restart {
    /// A failed task stays failed
    Never,
    /// A failed task is tried again, up to --attempts
    OnFailure,
    /// A task that ended is run again, however it ended, until it is stopped
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Partition {
    /// At least once: each side goes on
    Keep,
    /// At most once: on one side only
    Stop,
}

pub(super) async fn run(args: RunArgs) -> Result<ExitCode, CliError> {
    let submitting = args.submitting;
    let client = args.connect.client()?;
    submit(&client, &args.into_request(), &submitting).await
}

impl RunArgs {
    fn into_request(self) -> JobRequest {
        JobRequest {
            name: self.name,
            class: self.class,
            count: self.count,
            command: self.command,
            image: self.container.image,
            pull: self.container.pull.map(|pull| match pull {
                Pull::Missing => PullPolicy::Missing,
                Pull::Never => PullPolicy::Never,
                Pull::Always => PullPolicy::Always,
            }),
            entrypoint: self.container.entrypoint.map(|program| vec![program]),
            read_only: self.container.read_only.then_some(true),
            pids: self.container.pids,
            volumes: self.container.volumes,
            ports: self.container.ports,
            env: self.env.into_iter().collect(),
            dir: self.dir,
            user: self.user,
            cpu: self.cpu,
            memory: self.memory,
            disk: self.disk,
            constraints: self.constraints,
            restart: self.restart.map(|restart| match restart {
                Restart::Never => RestartPolicy::Never,
                Restart::OnFailure => RestartPolicy::OnFailure,
                Restart::Always => RestartPolicy::Always,
            }),
            attempts: self.attempts,
            grace: self.grace,
            timeout: self.timeout,
            partition: self.partition.map(|partition| match partition {
                Partition::Keep => PartitionPolicy::Keep,
                Partition::Stop => PartitionPolicy::Stop,
            }),
        }
    }
}

/// Submits a job, and waits for it if asked.
pub(super) async fn submit(
    client: &Client,
    job: &JobRequest,
    how: &Submitting,
) -> Result<ExitCode, CliError> {
    let submitted = client.submit(job).await?;
    if how.wait {
        return wait::wait(client, &submitted, how.json).await;
    }
    if how.json {
        output::json(&submitted)?;
    } else {
        // The id alone, for `$(..)`; the hint for people.
        output::line(&submitted.job)?;
        if std::io::stderr().is_terminal() {
            let tasks = output::count(submitted.tasks.into(), "task");
            output::note(&format!(
                "{tasks} submitted; watch with `starling ps {}`",
                submitted.job
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}
