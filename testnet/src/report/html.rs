//! The page: one file that needs nothing else, with tables, plots and what it takes to repeat them.

use std::fmt::Write as _;

use super::figures::{Figure, figures};
use super::plot::PlotError;
use super::stats::number;
use super::table::{OF_JOBS, best};
use super::{Facts, Report, ink, names};

const STYLE: &str = include_str!("report.css");

/// Compared with the first policy, where the runs have them.
const COMPARED: [&str; 5] = [
    "response_mean",
    "response_p99",
    "job_response_p90",
    "short_job_response_p90",
    "performance_mean",
];

impl Report {
    /// The whole page. It refers to nothing outside itself, and all text in it that came from files
    /// is escaped.
    ///
    /// # Errors
    ///
    /// If a plot cannot be drawn.
    pub fn html(&self) -> Result<String, PlotError> {
        let title = escape(&self.facts.name);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <style>\n{STYLE}{}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n",
            ink::style(self.policies.len())
        );
        self.facts(&mut page);
        page += "</header>\n";
        self.violations(&mut page);
        for figure in figures(self)? {
            self.figure(&mut page, &figure);
        }
        self.comparison(&mut page);
        self.measures(&mut page);
        self.runs_table(&mut page);
        let _ = writeln!(
            page,
            "<section>\n<h2>Repeat it</h2>\n<pre>{}</pre>\n<details><summary>The \
             scenario</summary>\n<pre>{}</pre></details>\n</section>\n<footer>starling-testnet {}\
             </footer>\n</body>\n</html>",
            escape(&self.command),
            escape(&self.scenario),
            env!("CARGO_PKG_VERSION"),
        );
        Ok(page)
    }

    fn facts(&self, page: &mut String) {
        let Facts {
            cores,
            jobs,
            warmup,
            measured_until,
            ..
        } = self.facts;
        let (size, cores) = (self.size(), number(cores));
        let _ = writeln!(
            page,
            "<p>{size}. {cores} cores, {jobs} jobs; measured are those submitted from {warmup} s \
             to {measured_until} s. Intervals are of 95 %, over the seeds, by Student's t.</p>"
        );
    }

    fn violations(&self, page: &mut String) {
        let all: Vec<_> = self
            .runs()
            .flat_map(|run| run.violations.iter().map(move |what| (run, what)))
            .collect();
        if all.is_empty() {
            return;
        }
        let _ = writeln!(page, "<section class=\"bad\">\n<h2>Violations</h2>\n<ul>");
        for (run, what) in all {
            let (policy, what) = (escape(&run.policy), escape(what));
            let _ = writeln!(page, "<li><b>{policy}</b>, seed {}: {what}</li>", run.seed);
        }
        page.push_str("</ul>\n</section>\n");
    }

    fn figure(&self, page: &mut String, figure: &Figure) {
        let _ = writeln!(
            page,
            "<figure>\n<h2>{}</h2>\n<div class=\"plot\">\n{}</div>",
            escape(figure.title),
            figure.svg
        );
        page.push_str("<figcaption>");
        if figure.legend {
            for policy in &figure.policies {
                if let Some(known) = self.policies.get(*policy) {
                    let (key, name) = (ink::key(*policy), escape(&known.name));
                    let _ = write!(page, "<span>{key} {name}</span> ");
                }
            }
        }
        if !figure.note.is_empty() {
            let _ = write!(page, "<p>{}</p>", escape(&figure.note));
        }
        page.push_str("</figcaption>\n</figure>\n");
    }

    /// All measures, policies as columns.
    fn measures(&self, page: &mut String) {
        page.push_str("<section>\n<h2>All measures</h2>\n<div class=\"wide\"><table>\n<thead><tr>");
        page.push_str("<th>measure</th><th>unit</th>");
        for policy in &self.policies {
            let _ = write!(page, "<th class=\"n\">{}</th>", escape(&policy.name));
        }
        page.push_str("<th>meaning</th></tr></thead>\n<tbody>\n");
        for name in names() {
            let row: Vec<_> = self
                .policies
                .iter()
                .map(|p| p.estimate(name.name))
                .collect();
            if row.iter().all(Option::is_none) {
                continue;
            }
            let _ = write!(page, "<tr><th>{}</th><td>{}</td>", name.name, name.unit);
            let best = best(name, &row);
            for estimate in row {
                let class = if estimate.is_some_and(|e| Some(e.mean) == best) {
                    "n best"
                } else {
                    "n"
                };
                let cell = estimate.map_or_else(String::new, |e| e.to_string());
                let _ = write!(page, "<td class=\"{class}\">{cell}</td>");
            }
            let _ = writeln!(page, "<td class=\"dim\">{}</td></tr>", escape(name.meaning));
        }
        page.push_str("</tbody></table></div>\n</section>\n");
    }

    /// Ratios to the first policy, seed by seed.
    fn comparison(&self, page: &mut String) {
        let Some((first, others)) = self.policies.split_first() else {
            return;
        };
        let ratio = |measure, policy| {
            let paired = self.compare(measure, policy, &first.name)?;
            paired.ratio
        };
        let columns: Vec<_> = COMPARED
            .into_iter()
            .filter(|measure| *measure != OF_JOBS || self.jobs_matter())
            .filter(|measure| others.iter().any(|p| ratio(measure, &p.name).is_some()))
            .collect();
        if columns.is_empty() {
            return;
        }
        let _ = write!(
            page,
            "<section>\n<h2>Compared with {}</h2>\n<p>Ratios of the same seed, their mean and \
             interval.</p>\n<div class=\"wide\"><table>\n<thead><tr><th>policy</th>",
            escape(&first.name)
        );
        for measure in &columns {
            let _ = write!(page, "<th class=\"n\">{measure}</th>");
        }
        page.push_str("</tr></thead>\n<tbody>\n");
        for policy in others {
            let _ = write!(page, "<tr><th>{}</th>", escape(&policy.name));
            for measure in &columns {
                let cell = ratio(measure, &policy.name);
                let cell = cell.map_or_else(String::new, |ratio| ratio.to_string());
                let _ = write!(page, "<td class=\"n\">{cell}</td>");
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</tbody></table></div>\n</section>\n");
    }

    fn runs_table(&self, page: &mut String) {
        page.push_str(
            "<section>\n<h2>Runs</h2>\n<details><summary>Seeds and digests</summary>\n<div \
             class=\"wide\"><table>\n<thead><tr><th>policy</th><th class=\"n\">seed</th><th \
             class=\"n\">events</th><th class=\"n\">end, s</th><th>digest</th><th \
             class=\"n\">violations</th></tr></thead>\n<tbody>\n",
        );
        for run in self.runs() {
            let _ = writeln!(
                page,
                "<tr><th>{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
                 class=\"n\">{:.3}</td><td><code>{}</code></td><td class=\"n\">{}</td></tr>",
                escape(&run.policy),
                run.seed,
                run.events,
                run.end.as_secs_f64(),
                escape(&run.digest),
                run.violations.len(),
            );
        }
        page.push_str("</tbody></table></div></details>\n");
        if !self.facts.faults.is_empty() {
            page.push_str("<details><summary>Faults of the first seed</summary>\n<ul>\n");
            for fault in &self.facts.faults {
                let _ = writeln!(page, "<li>{} s: {}</li>", fault.at, escape(&fault.what));
            }
            page.push_str("</ul></details>\n");
        }
        page.push_str("</section>\n");
    }
}

/// Text as HTML shows it, in an element or in a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::sample::report;
    use super::*;

    /// Whether every element is closed, in order.
    fn closed(page: &str) -> Result<(), String> {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = page;
        while let Some((_, tag)) = rest.split_once('<') {
            let (tag, after) = tag.split_once('>').ok_or("a tag without an end")?;
            rest = after;
            let name = tag.split_whitespace().next().unwrap_or_default();
            if name == "!doctype" || name == "meta" || tag.ends_with('/') {
                continue;
            }
            if let Some(name) = name.strip_prefix('/') {
                if open.pop() != Some(name) {
                    return Err(format!("</{name}> closes another"));
                }
            } else {
                open.push(name);
            }
        }
        if open.is_empty() {
            Ok(())
        } else {
            Err(format!("{open:?} stay open"))
        }
    }

    #[test]
    fn the_page_is_closed_escaped_and_alone() {
        let mut report = report();
        report.policies[2].runs[0].violations = vec!["1 < 2 & \"so\"".to_owned()];
        let page = report.html().unwrap();
        closed(&page).unwrap();
        assert!(page.matches("<svg ").count() > 8 && !page.contains("<script"));
        assert!(page.contains("<h1>a partition &lt;of halves&gt;</h1>"));
        assert!(page.contains("p2c &lt;live&gt;") && !page.contains("<live>"));
        assert!(page.contains("1 &lt; 2 &amp; &quot;so&quot;"));
        assert!(page.contains(&escape(&report.command)));
        let bare = page.replace("http://www.w3.org/2000/svg", "");
        for outside in ["http", "//", "url(", "@import", "src=", "href="] {
            assert!(!bare.contains(outside), "{outside}");
        }
        assert_eq!(page, report.html().unwrap());
    }

    #[test]
    fn what_closes_nothing_is_found() {
        assert!(closed("<p><svg/></p>").is_ok());
        assert!(closed("<p><b></p>").is_err() && closed("<p>").is_err());
    }

    #[test]
    fn runs_of_nothing_make_a_page() {
        let empty = Report::new(String::new(), "command".to_owned(), Vec::new());
        closed(&empty.html().unwrap()).unwrap();
        let mut bare = report();
        for policy in &mut bare.policies {
            policy.runs.truncate(1);
            for run in &mut policy.runs {
                (run.course, run.response) = Default::default();
                run.measures = super::super::Measures::default();
            }
        }
        let page = bare.html().unwrap();
        closed(&page).unwrap();
        assert!(!page.contains("<figure>") && page.contains("seed 1"));
    }
}
