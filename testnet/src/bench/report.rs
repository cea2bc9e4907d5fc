//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::host::{self, Host};
use super::stats::Sample;

/// The form of the JSON; grows when it changes.
const FORMAT: u32 = 1;

/// What a number should be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    /// Less than this.
    Below(f64),
    /// At least this.
    AtLeast(f64),
}

/// One number.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measure {
    /// The part of the benchmark it belongs to.
    part: &'static str,
    /// What was measured.
    what: String,
    /// How many daemons the cluster has; 0 when none took part.
    nodes: usize,
    unit: &'static str,
    value: f64,
    /// Least and greatest of what the value is the middle of.
    #[serde(skip_serializing_if = "Option::is_none")]
    spread: Option<(f64, f64)>,
    /// How many values it was taken from.
    samples: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<Aim>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
    /// The machine's load average of the last minute at the end of the measurement.
    load: f64,
}

impl Measure {
    /// One number, taken once.
    pub(crate) fn one(
        part: &'static str,
        what: impl Into<String>,
        nodes: usize,
        unit: &'static str,
        value: f64,
    ) -> Self {
        let what = what.into();
        let (spread, samples, aim, met) = (None, 1, None, None);
        Self {
            part,
            what,
            nodes,
            unit,
            value,
            spread,
            samples,
            aim,
            met,
            load: host::load(),
        }
    }

    /// The median of several.
    pub(crate) fn median(
        part: &'static str,
        what: impl Into<String>,
        nodes: usize,
        unit: &'static str,
        sample: &Sample,
    ) -> Self {
        let one = Self::one(part, what, nodes, unit, sample.median());
        Self {
            spread: Some(sample.spread()),
            samples: sample.len(),
            ..one
        }
    }

    /// So many values went into it.
    pub(crate) const fn of(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// What it should be.
    pub(crate) fn aim(mut self, aim: Aim) -> Self {
        self.met = Some(match aim {
            Aim::Below(limit) => self.value < limit,
            Aim::AtLeast(limit) => self.value >= limit,
        });
        self.aim = Some(aim);
        self
    }

    fn cells(&self) -> [String; 8] {
        let spread = self.spread.map_or_else(String::new, |(least, most)| {
            format!("{}..{}", number(least), number(most))
        });
        let aim = match self.aim {
            Some(Aim::Below(limit)) => format!("< {}", number(limit)),
            Some(Aim::AtLeast(limit)) => format!(">= {}", number(limit)),
            None => String::new(),
        };
        let met = self
            .met
            .map_or("", |met| if met { "yes" } else { "MISSED" });
        [
            self.what.clone(),
            if self.nodes == 0 {
                "-".to_owned()
            } else {
                self.nodes.to_string()
            },
            format!("{} {}", number(self.value), self.unit),
            spread,
            self.samples.to_string(),
            aim,
            met.to_owned(),
            format!("{:.1}", self.load),
        ]
    }
}

/// All numbers of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    format: u32,
    version: &'static str,
    quick: bool,
    host: Host,
    measures: Vec<Measure>,
    /// What was left out, and why.
    skipped: Vec<String>,
}

impl Report {
    /// An empty report about this machine.
    pub(crate) fn new(quick: bool) -> Self {
        let (measures, skipped) = (Vec::new(), Vec::new());
        let version = env!("CARGO_PKG_VERSION");
        Self {
            format: FORMAT,
            version,
            quick,
            host: Host::look(),
            measures,
            skipped,
        }
    }

    /// Adds a number, and says so at once.
    pub(crate) fn add(&mut self, measure: Measure) {
        let [what, nodes, value, ..] = measure.cells();
        eprintln!("    {what}, {nodes} daemon(s): {value}");
        self.measures.push(measure);
    }

    /// Notes that something was left out.
    pub(crate) fn skip(&mut self, what: impl Into<String>) {
        let what = what.into();
        eprintln!("    {what}");
        self.skipped.push(what);
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// As a table.
    pub(crate) fn table(&self) -> String {
        let head = [
            "", "daemons", "value", "spread", "samples", "aim", "met", "load",
        ];
        let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
            .chain(self.measures.iter().map(Measure::cells))
            .collect();
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut text = format!("{}\n", self.host.line());
        let mut part = "";
        for (at, row) in rows.iter().enumerate() {
            let measure = at.checked_sub(1).and_then(|at| self.measures.get(at));
            if let Some(measure) = measure.filter(|measure| measure.part != part) {
                part = measure.part;
                let _ = writeln!(text, "{part}");
            }
            let mut line = format!("  {:<1$}", row[0], widths[0]);
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                let _ = write!(line, "  {cell:>width$}");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        for skipped in &self.skipped {
            let _ = writeln!(text, "{skipped}");
        }
        text
    }
}

/// Three significant digits or so.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value == value.trunc() => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_tells_what_was_missed() {
        let mut report = Report::new(true);
        let sample = [1.0, 2.5, 12.0].into_iter().collect();
        report.add(Measure::median("a part", "x", 4, "ms", &sample).aim(Aim::Below(2.0)));
        report.add(Measure::one("a part", "longer", 0, "%", 61.2).aim(Aim::AtLeast(60.0)));
        report.skip("hq is not here: skipped");
        let table = report.table();
        let lines: Vec<_> = table.lines().skip(1).collect();
        assert_eq!(lines[1], "a part");
        assert!(
            lines[2].contains("2.50 ms   1..12") && lines[2].contains("MISSED"),
            "{table}"
        );
        assert_eq!(
            lines[2].find("MISSED").map(|at| at + 6),
            lines[3].find("yes").map(|at| at + 3)
        );
        assert!(lines[4].contains("hq"));
        assert!(
            report
                .json()
                .is_ok_and(|json| json.contains("\"at_least\": 60.0"))
        );
    }
}
