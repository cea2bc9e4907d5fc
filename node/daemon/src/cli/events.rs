//! `starling events`: what changes in the cluster.

use std::process::ExitCode;

use clap::Args;
use starling_api::{Event, EventKind, EventQuery};

use super::connect::Connect;
use super::error::CliError;
use super::output::{self, Style, Tone};
use super::units;

/// Show what happened lately in the cluster
#[derive(Args, Debug)]
pub(super) struct EventsArgs {
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// Only this job's
    #[arg(long)]
    job: Option<String>,
    /// Print JSON, one event per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn events(args: EventsArgs) -> Result<ExitCode, CliError> {
    let client = args.connect.client()?;
    let style = Style::of_stdout();
    let job = match &args.job {
        Some(id) => Some(client.job_summary(id).await?.id),
        None => None,
    };
    let query = EventQuery {
        follow: args.follow,
        job,
        ..EventQuery::default()
    };
    let mut events = client.events(&query).await?;
    while let Some(event) = events.next().await {
        let event = event?;
        if args.json {
            output::json_line(&event)?;
        } else {
            output::line(&event_line(&event, style))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn event_line(event: &Event, style: Style) -> String {
    let tone = match event.kind {
        EventKind::NodeDead | EventKind::TaskDisplaced | EventKind::PeerRefused => Tone::Bad,
        EventKind::NodeSuspect
        | EventKind::TaskRetried
        | EventKind::TaskWaiting
        | EventKind::Draining
        | EventKind::Missed => Tone::Busy,
        EventKind::JobFinished | EventKind::NodeJoined | EventKind::NodeAlive => Tone::Good,
        _ => Tone::Plain,
    };
    let kind = style.paint(tone, &format!("{:<14}", event.kind.name()));
    let time = format!("{}.{:03}", units::moment(event.at_ms), event.at_ms % 1000);
    let node = output::plain(event.node.label());
    format!(
        "{}  {node:<10}  {kind}  {}",
        style.paint(Tone::Dim, &time),
        output::plain(&event.message)
    )
}
