//! `starling why`: the reasons for a task's place.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use starling_api::{PredictedView, ScorePart, VerdictView, WhyView};

use super::connect::Connect;
use super::error::CliError;
use super::output::{self, Page, Style, Tone};
use super::table::Rows;
use super::units;

/// Show why a task is where it is, or what it waits for
///
/// Lists the nodes that were looked at: each one's score by the record that was known and, if it was
/// asked, by its own answer; what was expected of the task there and what that was derived from; who
/// refused and why; which was chosen. Once the task has ended, also how long it ran.
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
    let expected = why.candidates.iter().find_map(|candidate| {
        let chosen = candidate.verdict == VerdictView::Chosen;
        candidate.predicted.as_ref().filter(|_| chosen)
    });
    let mut page = Page::new(style);
    page.fact("task", &why.task)
        .fact("state", &why.state.to_string())
        .fact("waits for", why.waits_for.as_deref().unwrap_or_default())
        .fact("chosen", &chosen.unwrap_or_else(|| "nobody yet".to_owned()))
        .fact("decided", &decided.unwrap_or_else(|| "not yet".to_owned()))
        .fact("expected", &expected.map(time).unwrap_or_default())
        .fact("ran", &ran(why.ran_ms, expected));
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
        "EXPECTED",
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
                candidate
                    .predicted
                    .as_ref()
                    .map_or_else(String::new, expectation),
                candidate.reason.clone().unwrap_or(live),
            ],
        );
    }
    rows.render(style)
}

/// A predicted time with what eight in ten are within; nothing if only ratios are known.
fn time(predicted: &PredictedView) -> String {
    let span = |seconds: f64| units::span(millis(seconds));
    predicted.seconds.map_or_else(String::new, |seconds| {
        let (low, high) = (seconds / predicted.within, seconds * predicted.within);
        format!("{} ({} .. {})", span(seconds), span(low), span(high))
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn millis(seconds: f64) -> u64 {
    (seconds * 1e3).clamp(0.0, 1e15) as u64
}

/// How long a task ran, beside what was expected.
#[allow(clippy::cast_precision_loss)]
fn ran(ran_ms: Option<u64>, expected: Option<&PredictedView>) -> String {
    let Some(ran) = ran_ms else {
        return String::new();
    };
    let seconds = expected.and_then(|expected| expected.seconds);
    match seconds.filter(|seconds| *seconds > 0.0) {
        Some(seconds) => {
            let times = ran as f64 / 1e3 / seconds;
            format!("{}, {times:.2} times what was expected", units::span(ran))
        }
        None => units::span(ran),
    }
}

/// What is expected on a node: speed and slowdown with what each was derived from, and harm.
fn expectation(predicted: &PredictedView) -> String {
    let mut text = format!("speed {:.2} ({})", predicted.speed, predicted.speed_from);
    if let Some(from) = predicted.slowdown_from {
        let (slowdown, harm) = (predicted.slowdown, predicted.harm);
        let _ = write!(text, ", {slowdown:.2}x ({from}), harm {harm:.2}");
    }
    text
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
