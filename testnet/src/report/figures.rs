//! Which plots a page has.

use super::curves::{Reading, over_time, responses, step};
use super::plot::{Curves, Intervals, PlotError};
use super::{Mark, Report};
use crate::outcome::Moment;

/// A plot and what is said about it.
pub(super) struct Figure {
    pub title: &'static str,
    pub svg: String,
    /// Whether the page explains its lines.
    pub legend: bool,
    /// Whose lines it has.
    pub policies: Vec<usize>,
    pub note: String,
}

/// A curve over time: title, axis, reading.
type OverTime = (&'static str, &'static str, Reading);

const RESPONSE: &str = "Response over time";

const TIMES: [OverTime; 6] = [
    (RESPONSE, "mean response, s", |m, _| {
        (f64::from(m.ended), m.response)
    }),
    ("Tasks that run", "tasks", |m, _| {
        (1.0, f64::from(m.running))
    }),
    ("Tasks that wait", "tasks", |m, _| {
        (1.0, f64::from(m.waiting))
    }),
    ("Machines that are up", "machines", |m, _| {
        (1.0, f64::from(m.up))
    }),
    ("View age", "mean age, s", |m, _| (1.0, m.view_age)),
    ("Messages", "messages/s", messages),
];

#[allow(clippy::cast_precision_loss)]
fn messages(moment: &Moment, since: f64) -> (f64, f64) {
    (since, moment.messages as f64 / since)
}

/// All plots that have something to show.
pub(super) fn figures(report: &Report) -> Result<Vec<Figure>, PlotError> {
    let mut figures = Vec::new();
    figures.extend(means(report)?);
    figures.extend(distribution(report)?);
    let each = step(&report.policies);
    // Once nothing more is submitted only long tasks are left to end: their response says nothing.
    let measured = report.facts.measured_until;
    let last = report.facts.faults.last().map_or(0.0, |fault| fault.at);
    let until = if last < measured {
        measured
    } else {
        f64::INFINITY
    };
    let (marks, note) = marks(&report.facts.faults);
    for (title, y, reading) in TIMES {
        let lines = report.policies.iter().enumerate();
        let until = if title == RESPONSE {
            until
        } else {
            f64::INFINITY
        };
        let lines: Vec<_> = lines
            .map(|(at, policy)| {
                let mut points = over_time(policy, each, reading);
                points.retain(|point| point.0 <= until);
                (at, points)
            })
            .filter(|(_, points)| points.len() > 1)
            .collect();
        let policies = lines.iter().map(|(at, _)| *at).collect();
        let curves = Curves {
            x: "time, s",
            y,
            log: false,
            lines,
            marks: &marks,
        };
        if let Some(svg) = curves.svg()? {
            figures.push(Figure {
                title,
                svg,
                legend: true,
                policies,
                note: note.clone(),
            });
        }
    }
    Ok(figures)
}

fn means(report: &Report) -> Result<Option<Figure>, PlotError> {
    let rows = report.policies.iter().filter_map(|policy| {
        let estimate = policy.estimate("response_mean")?;
        let values = policy.runs.iter();
        let values = values.filter_map(|run| run.measures.get("response_mean"));
        Some((policy.name.clone(), estimate, values.collect()))
    });
    let intervals = Intervals {
        x: "mean response, s",
        rows: rows.collect(),
    };
    Ok(intervals.svg()?.map(|svg| Figure {
        title: "Mean response",
        svg,
        legend: false,
        policies: Vec::new(),
        note: "Bar: 95 % interval over seeds; small points: single seeds.".to_owned(),
    }))
}

fn distribution(report: &Report) -> Result<Option<Figure>, PlotError> {
    let lines = report.policies.iter().map(responses).enumerate();
    let lines: Vec<_> = lines.filter(|(_, points)| !points.is_empty()).collect();
    let policies = lines.iter().map(|(at, _)| *at).collect();
    let curves = Curves {
        x: "response, s",
        y: "tasks, %",
        log: true,
        lines,
        marks: &[],
    };
    Ok(curves.svg()?.map(|svg| Figure {
        title: "Responses",
        svg,
        legend: true,
        policies,
        note: "Share of the ended tasks that took no longer; mean of the seeds' quantiles."
            .to_owned(),
    }))
}

/// Where the plots are marked, and what the marks mean: one for all that happens at a moment.
fn marks(faults: &[Mark]) -> (Vec<f64>, String) {
    let moments: Vec<&[Mark]> = faults.chunk_by(|a, b| a.at == b.at).collect();
    let at = moments.iter().map(|moment| moment[0].at).collect();
    let note = if moments.len() > 6 {
        format!(
            "Lines: {} faults of the first seed, listed below.",
            faults.len()
        )
    } else {
        let words = (1..).zip(&moments).map(|(number, moment)| {
            let what: Vec<_> = moment.iter().map(|mark| mark.what.as_str()).collect();
            format!("{number}: {} ({} s)", what.join(", "), moment[0].at)
        });
        words.collect::<Vec<_>>().join("; ")
    };
    (at, note)
}

#[cfg(test)]
mod tests {
    use super::super::sample::report;
    use super::*;

    #[test]
    fn every_plot_is_there_and_names_its_axes() {
        let report = report();
        let figures = figures(&report).unwrap();
        let titles: Vec<_> = figures.iter().map(|figure| figure.title).collect();
        assert_eq!(titles.len(), 8, "{titles:?}");
        for Figure { title, svg, .. } in &figures {
            assert_eq!(svg.matches("<svg").count(), 1, "{title}");
            assert!(svg.trim_end().ends_with("</svg>"), "{title}");
            assert!(svg.contains(", s"), "{title}: no unit of time");
        }
        let ages = figures.iter().find(|figure| figure.title == "View age");
        let ages = ages
            .map(|figure| (figure.policies.clone(), figure.note.clone()))
            .unwrap();
        assert_eq!(ages.0, [2], "only one policy gossips");
        assert!(
            ages.1
                .starts_with("1: cut of 50 machines from 50 machines (100 s); 2: cuts")
        );
    }

    #[test]
    fn faults_at_a_moment_share_a_mark() {
        let mark = |at: f64| Mark {
            at,
            what: format!("w{at}"),
        };
        let (at, note) = marks(&[mark(1.0), mark(1.0), mark(2.0)]);
        assert_eq!(
            (at, note.as_str()),
            (vec![1.0, 2.0], "1: w1, w1 (1 s); 2: w2 (2 s)")
        );
        let many: Vec<_> = (0..50).map(|at| mark(f64::from(at))).collect();
        assert!(marks(&many).1.contains("50 faults"));
        assert_eq!(marks(&[]), (Vec::new(), String::new()));
    }
}
