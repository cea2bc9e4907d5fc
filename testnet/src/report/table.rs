//! The table for the terminal: policies as rows, some measures as columns.

use std::fmt::Write as _;

use super::stats::Estimate;
use super::{Name, Policy, Report, named};

/// Shown where the runs have them and nobody asked for others.
const USUAL: [&str; 11] = [
    "response_mean",
    "response_p99",
    "job_response_p90",
    "short_job_response_p90",
    "slowdown_mean",
    "performance_mean",
    "utilisation",
    "live_per_task",
    "spread_bytes_per_machine_second",
    "view_age_mean",
    "lost",
];

/// Columns that repeat another where every job has one task.
pub(super) const OF_JOBS: &str = "job_response_p90";

/// Headings are broken beyond so many characters.
const HEADING: usize = 12;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[1;32m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

impl Report {
    /// The usual columns, as far as the runs have them. In colour the best of each is green, and
    /// what must not be, red.
    pub fn table(&self, color: bool) -> String {
        let usual: Vec<_> = USUAL
            .into_iter()
            .filter(|column| self.jobs_matter() || *column != OF_JOBS)
            .collect();
        self.table_of(&usual, color)
    }

    /// Chosen measures as columns; names that no run has a number for are left out.
    pub fn table_of(&self, columns: &[&str], color: bool) -> String {
        let paint = |style: &str, text: String| match color && !text.trim().is_empty() {
            true => format!("{style}{text}{PLAIN}"),
            false => text,
        };
        let size = self.size();
        let mut text = paint(BOLD, format!("{}: {size}", printable(&self.facts.name)));
        text.push('\n');
        let columns: Vec<_> = columns
            .iter()
            .filter_map(|name| Column::new(self, named(name)?))
            .collect();
        let names: Vec<_> = self.policies.iter().map(|p| printable(&p.name)).collect();
        let first = names.iter().map(|name| name.chars().count());
        let first = first.chain(["policy".len()]).max().unwrap_or_default();
        let height = columns.iter().map(|column| column.heading.len());
        for at in (0..height.max().unwrap_or(1)).rev() {
            let label = if at == 0 { "policy" } else { "" };
            let mut line = format!("{label:<first$}");
            for column in &columns {
                let cell = column.heading.iter().rev().nth(at);
                let _ = write!(line, "  {:>1$}", cell.map_or("", |cell| cell), column.width);
            }
            text += &paint(DIM, line.trim_end().to_owned());
            text.push('\n');
        }
        for (at, name) in names.iter().enumerate() {
            let _ = write!(text, "{name:<first$}");
            for column in &columns {
                let cell = format!("{:>1$}", column.cells[at], column.width);
                let style = column.style(at);
                let cell = style.map_or_else(|| cell.clone(), |style| paint(style, cell.clone()));
                let _ = write!(text, "  {cell}");
            }
            text.push('\n');
        }
        for run in self.runs() {
            for violation in &run.violations {
                let (policy, seed) = (printable(&run.policy), run.seed);
                let line = format!("{policy}, seed {seed}: {}", printable(violation));
                text += &paint(RED, line);
                text.push('\n');
            }
        }
        text
    }

    /// One line per run: what must be equal wherever and whenever it is repeated.
    pub fn digests(&self) -> String {
        let mut text = String::new();
        for run in self.runs() {
            let (policy, digest) = (printable(&run.policy), printable(&run.digest));
            let (seed, events) = (run.seed, run.events);
            let _ = writeln!(
                text,
                "{policy}, seed {seed}: {events} events, digest {digest}"
            );
        }
        text
    }
}

struct Column {
    name: &'static Name,
    estimates: Vec<Option<Estimate>>,
    cells: Vec<String>,
    heading: Vec<String>,
    width: usize,
    best: Option<f64>,
}

impl Column {
    /// None if no policy has the measure.
    fn new(report: &Report, name: &'static Name) -> Option<Self> {
        let of = |policy: &Policy| policy.estimate(name.name);
        let estimates: Vec<_> = report.policies.iter().map(of).collect();
        estimates.iter().flatten().next()?;
        let best = best(name, &estimates);
        let cell = |estimate: &Option<Estimate>| {
            estimate.map_or_else(|| "-".to_owned(), |estimate| estimate.to_string())
        };
        let cells: Vec<_> = estimates.iter().map(cell).collect();
        let heading = heading(name);
        let widths = cells
            .iter()
            .chain(&heading)
            .map(|cell| cell.chars().count());
        let width = widths.max()?;
        Some(Self {
            name,
            estimates,
            cells,
            heading,
            width,
            best,
        })
    }

    fn style(&self, at: usize) -> Option<&'static str> {
        let mean = self.estimates[at]?.mean;
        if self.name.name == "lost" {
            return (mean > 0.0).then_some(RED);
        }
        (Some(mean) == self.best).then_some(GREEN)
    }
}

/// A measure's name in lines of a few words, and its unit.
fn heading(name: &Name) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in name.name.split('_') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < HEADING => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.extend((!name.unit.is_empty()).then(|| name.unit.to_owned()));
    lines
}

/// The best mean of several that differ by more than rounding does.
pub(super) fn best(name: &Name, row: &[Option<Estimate>]) -> Option<f64> {
    let means = || row.iter().flatten().map(|estimate| estimate.mean);
    let (low, high) = (means().reduce(f64::min)?, means().reduce(f64::max)?);
    let differ = high - low > 1e-9 * high.abs().max(low.abs());
    name.less_is_better
        .filter(|_| differ)
        .map(|less| if less { low } else { high })
}

/// Without control characters: names come from files, and a terminal obeys them.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::report;

    #[test]
    fn columns_are_aligned_with_and_without_colour() {
        let mut report = report();
        report.policies[1].name = "p2c \x1b[31m".to_owned();
        let plain = report.table(false);
        assert!(!plain.contains('\x1b'), "{plain}");
        let lines: Vec<_> = plain.lines().collect();
        assert!(lines[0].contains("100 machines") && lines[0].contains("3 seeds"));
        let (top, rows) = lines.split_at(lines.len() - 3);
        assert!(top.iter().any(|line| line.contains("performance")));
        assert!(top.last().is_some_and(|line| line.starts_with("policy  ")));
        assert_eq!(
            plain.matches("job").count(),
            1,
            "every job has one task: {plain}"
        );
        let ends: Vec<_> = rows.iter().map(|row| row.chars().count()).collect();
        assert!(ends.iter().all(|end| *end == ends[0]), "{plain}");
        assert!(rows[0].starts_with("random") && rows[0].contains(" ±"));
        let widest = lines.iter().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 132), "{plain}");
        let colored = report.table(true);
        assert!(colored.contains("\x1b[1;32m"));
        let bare = colored
            .split('\x1b')
            .map(|part| part.split_once('m').map_or(part, |(_, rest)| rest));
        // The first part has no escape before it, and an "m" of its own is in no danger: it is empty.
        assert_eq!(bare.collect::<String>(), plain);
    }

    #[test]
    fn violations_and_lost_tasks_are_told() {
        let mut report = report();
        report.policies[0].runs[1].violations = vec!["a task\nwas lost".to_owned()];
        let table = report.table_of(&["response_mean", "lost", "no_such"], true);
        assert!(table.contains("random, seed 2: a task was lost"), "{table}");
        assert!(!table.contains("no_such"));
        let digests = report.digests();
        assert_eq!(digests.lines().count(), 9);
        assert!(digests.contains("starling, seed 3: 42 events, digest 0000000000000003"));
    }
}
