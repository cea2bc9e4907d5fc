//! A row's results as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use starling_testnet::report::stats::Estimate;

use super::results::{Judged, Results, Verdict};
use super::row::{Row, cell};

const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// The row as a block: its table, what was found of its aims, what went wrong.
pub(super) fn block(row: &Row, results: &Results, judged: &[Judged], color: bool) -> String {
    let paint = |style: &str, text: &str| match color {
        true => format!("{style}{text}{PLAIN}"),
        false => text.to_owned(),
    };
    let mut out = format!("{}\n{}\n", paint(BOLD, row.name), row.about);
    if !results.0.is_empty() {
        out += &cells(row, results);
    }
    for judged in judged {
        let (word, style) = match judged.verdict {
            Verdict::Met => ("met   ", GREEN),
            Verdict::Missed => ("MISSED", RED),
            Verdict::Open => ("OPEN  ", RED),
        };
        let found = judged.found.map_or_else(|| "no number".to_owned(), shown);
        let close = if judged.close {
            " (the interval reaches over the bound)"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "  {} {}; found {found}{close}",
            paint(style, word),
            judged.aim
        );
    }
    for runs in &results.0 {
        for run in &runs.runs {
            for violation in &run.violations {
                let (setting, policy, seed) = (&runs.setting, runs.policy, run.seed);
                let line = format!("  VIOLATION {setting}, {policy}, seed {seed}: {violation}");
                let _ = writeln!(out, "{}", paint(RED, &line));
            }
        }
    }
    for skipped in &row.skipped {
        let _ = writeln!(out, "  skipped: {skipped}");
    }
    out
}

fn shown(estimate: Estimate) -> String {
    estimate.to_string()
}

fn cells(row: &Row, results: &Results) -> String {
    let mut lines = vec![vec!["setting".to_owned(), "policy".to_owned()]];
    lines[0].extend(row.columns.iter().map(|column| column.head.to_owned()));
    let mut last = "";
    for runs in &results.0 {
        let setting = if runs.setting == last {
            ""
        } else {
            &runs.setting
        };
        let mut line = vec![setting.to_owned(), runs.policy.to_owned()];
        for column in &row.columns {
            let cell = cell(runs.setting.as_str(), runs.policy, column.measure);
            let found = results.estimate(&cell);
            line.push(found.map_or_else(|| "-".to_owned(), shown));
        }
        lines.push(line);
        last = &runs.setting;
    }
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max();
    let widths: Vec<usize> = (0..lines[0].len()).filter_map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let mut text = String::from("  ");
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = match at {
                0 | 1 => write!(text, "{cell:<width$}  "),
                _ => write!(text, "{cell:>width$}  "),
            };
        }
        out += text.trim_end();
        out.push('\n');
    }
    out
}

/// Everything about a row, for programs.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    name: &'a str,
    about: &'a str,
    settings: Vec<SettingJson<'a>>,
    aims: &'a [Judged],
    skipped: &'a [String],
}

#[derive(Serialize)]
struct SettingJson<'a> {
    name: &'a str,
    scenario: &'a str,
    mean_service_s: f64,
    centre_dies_halfway: bool,
    policies: Vec<PolicyJson<'a>>,
}

#[derive(Serialize)]
struct PolicyJson<'a> {
    policy: &'a str,
    measures: BTreeMap<&'static str, Estimate>,
    runs: Vec<RunJson<'a>>,
}

#[derive(Serialize)]
struct RunJson<'a> {
    seed: u64,
    values: &'a BTreeMap<&'static str, f64>,
    violations: &'a [String],
    digest: &'a str,
}

impl<'a> Json<'a> {
    /// Of a row and what came of it.
    pub(super) fn new(row: &'a Row, results: &'a Results, aims: &'a [Judged]) -> Self {
        let policies = |name: &str| {
            let of = results.0.iter().filter(|runs| runs.setting == name);
            of.map(|runs| {
                let names = runs.runs.iter().flat_map(|run| run.values.keys().copied());
                let measures = names
                    .filter_map(|name| {
                        let cell = cell(runs.setting.as_str(), runs.policy, name);
                        Some((name, results.estimate(&cell)?))
                    })
                    .collect();
                let runs_json = runs.runs.iter().map(|run| RunJson {
                    seed: run.seed,
                    values: &run.values,
                    violations: &run.violations,
                    digest: &run.digest,
                });
                PolicyJson {
                    policy: runs.policy,
                    measures,
                    runs: runs_json.collect(),
                }
            })
            .collect()
        };
        let settings = row.settings.iter().map(|setting| SettingJson {
            name: &setting.name,
            scenario: &setting.text,
            mean_service_s: setting.service,
            centre_dies_halfway: setting.centre_dies,
            policies: policies(&setting.name),
        });
        Self {
            name: row.name,
            about: &row.about,
            settings: settings.collect(),
            aims,
            skipped: &row.skipped,
        }
    }
}
