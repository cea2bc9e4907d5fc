//! `starling nodes`, `drain`, `undrain` and `token`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use starling_api::{Drain, NodeState, NodeView};

use super::connect::Connect;
use super::error::CliError;
use super::output::{self, Style, Tone};
use super::ps::silent;
use super::table::Rows;
use super::{units, values};

/// List the cluster's nodes with state, load and free resources
#[derive(Args, Debug)]
pub(super) struct NodesArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Make a node take no new tasks
#[derive(Args, Debug)]
pub(super) struct DrainArgs {
    /// The node's name or the beginning of its id
    node: String,
    /// Tasks that still run there after this time are given up and run elsewhere
    /// [default: they end by themselves]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    deadline: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Make a node take tasks again
#[derive(Args, Debug)]
pub(super) struct UndrainArgs {
    /// The node's name or the beginning of its id
    node: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Print the line that admits another machine: `starling up --join TOKEN` there
///
/// It holds the cluster's secret: whoever has it can join.
#[derive(Args, Debug)]
pub(super) struct TokenArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn nodes(args: NodesArgs) -> Result<ExitCode, CliError> {
    let nodes = args.connect.client()?.nodes().await?;
    if args.json {
        output::json(&nodes)?;
    } else {
        output::line(&nodes_table(&nodes.items, Style::of_stdout()))?;
        if let Some(text) = guarantee(&nodes.items) {
            output::line(&text)?;
        }
        silent(&nodes.silent);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn drain(args: DrainArgs) -> Result<ExitCode, CliError> {
    let client = args.connect.client()?;
    told(&client.drain(&args.node, args.deadline).await?, args.json)
}

pub(super) async fn undrain(args: UndrainArgs) -> Result<ExitCode, CliError> {
    let client = args.connect.client()?;
    told(&client.undrain(&args.node).await?, args.json)
}

pub(super) async fn token(args: TokenArgs) -> Result<ExitCode, CliError> {
    let token = args.connect.client()?.token().await?;
    if args.json {
        output::json(&token)?;
    } else {
        output::line(&token.token)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the cluster still promises while nodes are out of sight; none while all are there.
pub(super) fn guarantee(nodes: &[NodeView]) -> Option<String> {
    let members = nodes.iter().filter(|node| node.state != NodeState::Left);
    let all = members.clone().count();
    let there = members.filter(|node| node.state != NodeState::Dead).count();
    if there == all {
        return None;
    }
    Some(format!(
        "{there} of {all} nodes visible: at-least-once jobs of the others are failed over; \
         at-most-once jobs run where a majority of their owners is visible, else they wait"
    ))
}

fn told(drain: &Drain, json: bool) -> Result<ExitCode, CliError> {
    if json {
        output::json(drain)?;
        return Ok(ExitCode::SUCCESS);
    }
    let node = output::plain(drain.node.label());
    let tasks = output::count(drain.running.into(), "task");
    output::line(&if drain.draining {
        format!("{node} takes no new tasks; {tasks} still on it")
    } else {
        format!("{node} takes tasks; {tasks} on it")
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn nodes_table(nodes: &[NodeView], style: Style) -> String {
    let mut rows = Rows::new(&[
        "NODE",
        "ID",
        "STATE",
        "PLATFORM",
        "CONTAINERS",
        ">TASKS",
        ">CPU FREE",
        ">CPU IDLE",
        ">MEMORY FREE",
        ">DISK FREE",
        ">PRESSURE",
        ">SEEN",
    ]);
    for node in nodes {
        let state = match (node.state, node.draining) {
            (NodeState::Alive, true) => "draining".to_owned(),
            (state, _) => state.to_string(),
        };
        let (worst, pressure) = node.pressure.worst();
        let of = |free: String, all: String| format!("{free} of {all}");
        let here = if node.is_self { " *" } else { "" };
        rows.row(
            tone(node),
            [
                format!("{}{here}", node.reference().label()),
                node.id.get(..8).unwrap_or(&node.id).to_owned(),
                state,
                format!("{} {}", node.os, node.arch),
                containers(node),
                node.running.to_string(),
                of(
                    units::cores(node.free.cpu_millis),
                    units::cores(node.capacity.cpu_millis),
                ),
                units::cores(node.idle_cpu_millis),
                of(
                    units::bytes(node.free.memory),
                    units::bytes(node.capacity.memory),
                ),
                units::bytes(node.free.disk),
                format!("{worst} {}", units::percent(pressure)),
                units::span(node.record_age_ms),
            ],
        );
    }
    rows.render(style)
}

/// What runs containers on a node.
pub(super) fn containers(node: &NodeView) -> String {
    node.containers.as_ref().map_or_else(
        || "-".to_owned(),
        |there| format!("{} {}", there.engine, there.version),
    )
}

const fn tone(node: &NodeView) -> Tone {
    match node.state {
        NodeState::Alive if node.draining => Tone::Busy,
        NodeState::Alive => Tone::Plain,
        NodeState::Suspect => Tone::Busy,
        NodeState::Dead => Tone::Bad,
        NodeState::Left => Tone::Dim,
    }
}
