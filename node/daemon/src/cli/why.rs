//! `starling why`: the reasons for a task's place.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use starling_api::{ScorePart, VerdictView, WhyView};

use super::connect::Connect;
use super::error::CliError;
use super::output::{self, Page, Style, Tone};
use super::table::Rows;
use super::units;

/// Show why a task is where it is, or what it waits for
///
/// Lists the nodes that were looked at: each one's score by the record that was known and, if it was
/// asked, by its own answer; who refused and why; which was chosen.
#[derive(Args, Debug)]
pub(super) struct WhyArgs {
    /// The task (JOB.INDEX), or a job with one task
    task: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn why(args: WhyArgs) -> Result<ExitCode, CliError> {
    let client = args.connect.client()?;
    let task = if args.task.contains('.') {
        args.task
    } else {
        let job = client.job_summary(&args.task).await?;
        if job.count > 1 {
            return Err(CliError::Usage(format!(
                "job {0} has {1} tasks: name one, {0}.0 to {0}.{2}",
                job.id,
                job.count,
                job.count - 1
            )));
        }
        format!("{}.0", job.id)
    };
    let why = client.why(&task).await?;
    if args.json {
        output::json(&why)?;
    } else {
        output::line(&why_page(&why, units::now_ms(), Style::of_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn why_page(why: &WhyView, now_ms: u64, style: Style) -> String {
    let chosen = why
        .candidates
        .iter()
        .find(|c| c.verdict == VerdictView::Chosen);
    let chosen = chosen.map(|candidate| candidate.node.label().to_owned());
    let decided = why.decided_at_ms.map(|at| {
        let tasks = output::count(why.batch.into(), "task");
        format!(
            "{} UTC, {} ago, for {tasks}",
            units::moment(at),
            units::ago(now_ms, at)
        )
    });
    let mut page = Page::new(style);
    page.fact("task", &why.task)
        .fact("state", &why.state.to_string())
        .fact("waits for", why.waits_for.as_deref().unwrap_or_default())
        .fact("chosen", &chosen.unwrap_or_else(|| "nobody yet".to_owned()))
        .fact("decided", &decided.unwrap_or_else(|| "not yet".to_owned()));
    if !why.candidates.is_empty() {
        page.block(&candidates(why, style));
    }
    if !why.history.is_empty() {
        let mut text = style.paint(Tone::Strong, "before");
        for line in &why.history {
            let _ = write!(
                text,
                "\n{} UTC  {}",
                units::moment(line.at_ms),
                output::plain(&line.text)
            );
        }
        page.block(&text);
    }
    page.finish()
}

fn candidates(why: &WhyView, style: Style) -> String {
    let mut rows = Rows::new(&[
        "CANDIDATE",
        "VERDICT",
        ">SCORE",
        "BY THE RECORD",
        ">AGE",
        ">ASKED",
        ">ROOM",
        "WHY",
    ]);
    for candidate in &why.candidates {
        let tone = match candidate.verdict {
            VerdictView::Chosen => Tone::Good,
            VerdictView::Refused | VerdictView::Silent => Tone::Bad,
            VerdictView::RuledOut => Tone::Dim,
            VerdictView::Outranked | VerdictView::NotAsked => Tone::Plain,
        };
        let live = parts(&candidate.live_parts);
        let live = if live.is_empty() {
            live
        } else {
            format!("answered {live}")
        };
        rows.row(
            tone,
            [
                candidate.node.label().to_owned(),
                candidate.verdict.to_string(),
                score(candidate.cached_score),
                parts(&candidate.cached_parts),
                units::span(candidate.record_age_ms),
                score(candidate.live_score),
                candidate
                    .room
                    .map_or_else(|| "-".to_owned(), |room| room.to_string()),
                candidate.reason.clone().unwrap_or(live),
            ],
        );
    }
    rows.render(style)
}

fn score(score: Option<f64>) -> String {
    score.map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"))
}

fn parts(parts: &[ScorePart]) -> String {
    let parts = parts
        .iter()
        .map(|part| format!("{} {:.2}", part.name, part.value));
    parts.collect::<Vec<_>>().join(" + ")
}
