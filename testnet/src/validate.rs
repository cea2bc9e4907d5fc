//! Validation: the model is believed only after it reproduces what is known. Closed forms of
//! queueing theory, Sparrow's own set-up, the speed of gossip, and a fleet of two speeds, each
//! measured over several seeds and compared with a number that comes from elsewhere.

use std::fmt::Write as _;

mod finite;
mod gossip;
mod queues;
mod sparrow;
mod speeds;
mod stale;
mod stats;
mod workload;

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What it belongs to: `M/M/1`, `Sparrow`, `gossip rounds`, `gossip age`, `two speeds`
    /// or `stale choices`.
    pub group: String,
    /// What is measured, in words.
    pub what: String,
    /// What is known; for a check of growth, the bound.
    pub expected: f64,
    /// The mean over seeds.
    pub measured: f64,
    /// The greatest relative difference from what is known; not a number where `expected` is a
    /// bound.
    pub tolerance: f64,
    /// Half the width of the 95% confidence interval of the mean over seeds.
    pub half_width: f64,
    /// Whether it holds.
    pub pass: bool,
    /// Where the expected number comes from.
    pub source: String,
}

impl Check {
    /// A comparison that passes if the measured mean is within a relative tolerance.
    fn near(
        group: &str,
        what: String,
        expected: f64,
        sample: &stats::Sample,
        tolerance: f64,
        source: &str,
    ) -> Self {
        let measured = sample.mean();
        Self {
            group: group.to_owned(),
            what,
            expected,
            measured,
            tolerance,
            half_width: sample.half_width(),
            pass: (measured - expected).abs() <= tolerance * expected.abs(),
            source: source.to_owned(),
        }
    }
}

/// How many of what each check takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// For tests in a debug build.
    Small,
    /// For the published table.
    Full,
}

/// What is said about progress: the share that is done, 0 to 1, and what is about to be measured.
pub type Progress<'a> = &'a dyn Fn(f64, &str);

/// A comparison to be made, or several from the same runs.
struct Job {
    name: String,
    /// About how long it takes, in any unit.
    cost: f64,
    run: Box<dyn Fn() -> Vec<Check>>,
}

/// Makes all comparisons, or those whose group and name contain `filter` (case does not count).
/// `full` takes minutes and is what the published table needs; else a small set takes seconds, with
/// smaller fleets and fewer comparisons.
pub fn run(full: bool, filter: Option<&str>, progress: Option<Progress<'_>>) -> Vec<Check> {
    let size = if full { Size::Full } else { Size::Small };
    let mut jobs = queues::jobs(size);
    jobs.extend(sparrow::jobs(size));
    jobs.extend(gossip::jobs(size));
    jobs.extend(speeds::jobs(size));
    jobs.extend(stale::jobs(size));
    if let Some(filter) = filter {
        let filter = filter.to_lowercase();
        jobs.retain(|job| job.name.to_lowercase().contains(&filter));
    }
    let all: f64 = jobs.iter().map(|job| job.cost).sum();
    let mut done = 0.0;
    let mut checks = Vec::new();
    for job in jobs {
        if let Some(progress) = progress {
            progress(done / all, &job.name);
        }
        checks.extend((job.run)());
        done += job.cost;
    }
    checks
}

/// The comparisons as a table in Markdown, aligned as plain text.
pub fn table(checks: &[Check]) -> String {
    let heads = [
        "group", "what", "known", "measured", "95%", "off", "allowed", "holds", "source",
    ];
    let mut rows: Vec<Vec<String>> = vec![heads.map(str::to_owned).to_vec()];
    for check in checks {
        let bound = check.tolerance.is_nan();
        let off = 100.0 * (check.measured / check.expected - 1.0);
        rows.push(vec![
            check.group.clone(),
            check.what.clone(),
            number(check.expected),
            number(check.measured),
            if check.half_width.is_nan() {
                "-".to_owned()
            } else {
                format!("±{}", number(check.half_width))
            },
            if bound {
                "-".to_owned()
            } else {
                format!("{off:+.1}%")
            },
            if bound {
                "a bound".to_owned()
            } else {
                format!("{:.0}%", 100.0 * check.tolerance)
            },
            (if check.pass { "yes" } else { "NO" }).to_owned(),
            check.source.clone(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..heads.len()).filter_map(width).collect();
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(out, "| {cell:<width$} ");
        }
        out.push_str("|\n");
        if at == 0 {
            for width in &widths {
                let _ = write!(out, "| {} ", "-".repeat(*width));
            }
            out.push_str("|\n");
        }
    }
    out
}

/// Four digits that count.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 1_000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_set_holds() {
        let checks = run(false, None, None);
        for group in [
            "M/M/1",
            "Sparrow",
            "gossip rounds",
            "gossip age",
            "two speeds",
        ] {
            assert!(checks.iter().any(|check| check.group == group), "{group}");
        }
        let failed: Vec<&Check> = checks.iter().filter(|check| !check.pass).collect();
        assert!(failed.is_empty(), "{}", table(&checks));
    }

    #[test]
    fn a_table_is_aligned_and_says_what_failed() {
        let sample = stats::Sample::from(vec![2.0, 2.2]);
        let check = |expected| Check::near("g", "w".into(), expected, &sample, 0.02, "s");
        let (good, bad) = (check(2.1), check(3.0));
        assert!(good.pass && !bad.pass);
        let text = table(&[good, bad]);
        let lengths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(
            (text.matches(" NO ").count(), text.matches(" yes ").count()),
            (1, 1)
        );
    }

    #[test]
    fn a_filter_chooses_by_name() {
        let checks = run(false, Some("GOSSIP ROUNDS"), None);
        assert!(!checks.is_empty() && checks.iter().all(|c| c.group == "gossip rounds"));
        assert_eq!(run(false, Some("no such thing"), None), Vec::new());
    }
}
