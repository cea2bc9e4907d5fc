//! `starling inspect`: all about a job, a task or a node, on a page.

use std::process::ExitCode;

use clap::Args;
use starling_api::{
    ApiError, Client, ClientError, JobDetail, JobRequest, NodeRef, PartitionPolicy, PullPolicy,
    RestartPolicy, TaskView, codes,
};

use super::connect::Connect;
use super::error::CliError;
use super::node_page::node_page;
use super::output::{self, Page, Style};
use super::ps::{ran, task_tone, tasks_table};
use super::units;

/// A page lists so many tasks of a job.
const MAX_LISTED: usize = 20;

/// Show all about a job, a task or a node
#[derive(Args, Debug)]
pub(super) struct InspectArgs {
    /// The job (JOB), the task (JOB.INDEX), or the node by its name or the beginning of its id
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn inspect(args: InspectArgs) -> Result<ExitCode, CliError> {
    let client = args.connect.client()?;
    match work(&client, &args).await {
        Err(CliError::Client(ClientError::Refused(refusal)))
            if refusal.code == codes::NOT_FOUND || refusal.field.as_deref() == Some("id") =>
        {
            node(&client, &args, refusal).await
        }
        outcome => outcome,
    }
}

/// What is no job and no task may be a node; if it is not, the first refusal stands.
async fn node(
    client: &Client,
    args: &InspectArgs,
    refusal: ApiError,
) -> Result<ExitCode, CliError> {
    let nodes = client.nodes().await?.items;
    let named = nodes.iter().find(|node| node.name == args.id);
    let mut begun = nodes.iter().filter(|node| node.id.starts_with(&args.id));
    let alone = begun.next().filter(|_| begun.next().is_none());
    let Some(node) = named.or(alone) else {
        return Err(CliError::Client(ClientError::Refused(refusal)));
    };
    if args.json {
        output::json(node)?;
    } else {
        output::line(&node_page(node, Style::of_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A job or a task.
async fn work(client: &Client, args: &InspectArgs) -> Result<ExitCode, CliError> {
    let now = units::now_ms();
    let style = Style::of_stdout();
    if let Some((job, index)) = args.id.split_once('.') {
        let (job, task) = find_task(client, job, index).await?;
        if args.json {
            output::json(&task)?;
        } else {
            output::line(&task_page(&job, &task, now, style))?;
        }
    } else {
        let job = client.job(&args.id).await?;
        if args.json {
            output::json(&job)?;
        } else {
            output::line(&job_page(&job, now, style))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn find_task(
    client: &Client,
    job: &str,
    index: &str,
) -> Result<(JobDetail, TaskView), CliError> {
    let detail = client.job(job).await?;
    let wanted = index.parse::<u32>().ok();
    let task = detail.tasks.iter().find(|task| Some(task.index) == wanted);
    let task = task.cloned().ok_or_else(|| {
        ClientError::Refused(
            ApiError::not_found("task", &format!("{job}.{index}")).with_remedy(format!(
                "job {} has the tasks 0 to {}",
                detail.summary.id,
                detail.summary.count.saturating_sub(1)
            )),
        )
    })?;
    Ok((detail, task))
}

pub(super) fn job_page(job: &JobDetail, now_ms: u64, style: Style) -> String {
    let summary = &job.summary;
    let mut page = Page::new(style);
    page.fact("job", &summary.id)
        .fact("name", &summary.name)
        .fact("state", &summary.state.to_string())
        .fact("tasks", &numbers(job))
        .fact("retries", &summary.retries.to_string())
        .fact("submitted", &when(summary.submitted_at_ms, now_ms))
        .fact("owners", &owners(job))
        .fact("copies", &copies(job));
    request(&mut page, &job.spec);
    let listed = job.tasks.len().min(MAX_LISTED);
    if listed > 0 {
        page.block(&tasks_table(&job.tasks[..listed], now_ms, style));
    }
    if job.tasks.len() > listed {
        let rest = job.tasks.len() - listed;
        page.block(&format!("and {rest} more: `starling ps {}`", summary.id));
    }
    page.finish()
}

pub(super) fn task_page(job: &JobDetail, task: &TaskView, now_ms: u64, style: Style) -> String {
    let text = |number: Option<i32>| number.map(|n| n.to_string()).unwrap_or_default();
    let time = |at: Option<u64>| at.map(|at| when(at, now_ms)).unwrap_or_default();
    let node = task.node.as_ref().map(named).unwrap_or_default();
    let mut page = Page::new(style);
    page.fact("task", &task.id)
        .fact("job", &format!("{} {}", job.summary.id, job.summary.name))
        .fact("state", &task.state.to_string())
        .fact("waits for", task.waits_for.as_deref().unwrap_or_default())
        .fact("reason", task.reason.as_deref().unwrap_or_default())
        .fact("exit code", &text(task.exit_code))
        .fact("node", &node)
        .fact("tries", &task.attempts.to_string())
        .fact("moves", &task.moves.to_string())
        .fact("epoch", &task.epoch.to_string())
        .fact("started", &time(task.started_at_ms))
        .fact("ended", &time(task.ended_at_ms))
        .fact("ran", &ran(task, now_ms).unwrap_or_default());
    request(&mut page, &job.spec);
    let state = style.paint(task_tone(task.state), &task.state.to_string());
    page.block(&format!(
        "{state}: its output by `starling logs {0}`, why it is there by `starling why {0}`",
        task.id
    ));
    page.finish()
}

fn request(page: &mut Page, spec: &JobRequest) {
    let amount = |amount: &Option<starling_api::Quantity>| {
        let text = amount.as_ref().map(ToString::to_string).unwrap_or_default();
        // Amounts come back in base units.
        text.parse().map_or(text, units::bytes)
    };
    let number = |number: Option<u32>| number.map(|n| n.to_string()).unwrap_or_default();
    let env: Vec<_> = spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let cpu = spec.cpu.as_ref().map(ToString::to_string);
    let tries = spec.attempts.map(|tries| format!(", up to {tries} tries"));
    let tries = tries.unwrap_or_default();
    let restart = spec.restart.map(|policy| match policy {
        RestartPolicy::Never => "never".to_owned(),
        RestartPolicy::OnFailure => format!("on failure{tries}"),
        RestartPolicy::Always => format!("always{tries}"),
    });
    let timeout = spec.timeout.as_ref().map(ToString::to_string);
    let grace = spec.grace.as_ref().map(ToString::to_string);
    let partition = match spec.partition {
        Some(PartitionPolicy::Stop) => "stop: at most once, where a majority of the owners is",
        Some(PartitionPolicy::Keep) | None => "",
    };
    let yes = |on: Option<bool>| if on == Some(true) { "yes" } else { "" };
    let pull = spec.pull.map(|pull| match pull {
        PullPolicy::Missing => "when missing",
        PullPolicy::Never => "never",
        PullPolicy::Always => "always",
    });
    page.fact("image", spec.image.as_deref().unwrap_or_default())
        .fact("pull", pull.unwrap_or_default())
        .fact(
            "entry point",
            &command(spec.entrypoint.as_deref().unwrap_or_default()),
        )
        .fact("command", &command(&spec.command))
        .fact("class", spec.class.as_deref().unwrap_or_default())
        .fact("directory", spec.dir.as_deref().unwrap_or_default())
        .fact("user", spec.user.as_deref().unwrap_or_default())
        .fact("environment", &env.join(" "))
        .fact("read-only", yes(spec.read_only))
        .fact("volumes", &spec.volumes.join(", "))
        .fact("ports", &spec.ports.join(", "))
        .fact("processes", &number(spec.pids))
        .fact("cpu", &cpu.unwrap_or_default())
        .fact("memory", &amount(&spec.memory))
        .fact("disk", &amount(&spec.disk))
        .fact("constraints", &spec.constraints.join(", "))
        .fact("restart", &restart.unwrap_or_default())
        .fact("grace", &grace.unwrap_or_default())
        .fact("timeout", &timeout.unwrap_or_default())
        .fact("partition", partition);
}

/// The command as a shell would take it.
fn command(words: &[String]) -> String {
    let quoted = words.iter().map(|word| {
        let safe = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
        if !word.is_empty() && word.chars().all(safe) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn numbers(job: &JobDetail) -> String {
    let summary = &job.summary;
    let parts = [
        (summary.pending, "waiting"),
        (summary.starting, "starting"),
        (summary.running, "running"),
        (summary.succeeded, "succeeded"),
        (summary.failed, "failed"),
        (summary.stopped, "stopped"),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    format!("{} ({})", summary.count, parts.join(", "))
}

/// The owners in order, with a word at the one that acts.
fn owners(job: &JobDetail) -> String {
    let one = |node: &NodeRef| {
        let acts = node.id == job.summary.owner.id;
        format!("{}{}", named(node), if acts { " acts" } else { "" })
    };
    job.owners.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn copies(job: &JobDetail) -> String {
    format!("{} of {} on disk", job.copies, job.owners.len())
}

fn named(node: &NodeRef) -> String {
    let short = node.id.get(..8).unwrap_or(&node.id);
    if node.name.is_empty() {
        short.to_owned()
    } else {
        format!("{} ({short})", node.name)
    }
}

fn when(at_ms: u64, now_ms: u64) -> String {
    format!(
        "{} UTC, {} ago",
        units::moment(at_ms),
        units::ago(now_ms, at_ms)
    )
}
