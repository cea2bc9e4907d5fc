//! The report for programs: JSON with everything, CSV with the measures.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::{Distribution, Facts, Measures, Policy, Report, Run, names};
use crate::outcome::Moment;

/// The form of the JSON; grows when it changes.
const FORMAT: u32 = 1;

impl Report {
    /// Everything, as one JSON object whose keys have a fixed order: `format`, `version`,
    /// `command`, `scenario` (its text), `facts`, `measures` (name, unit, meaning), and `policies`,
    /// each with `summary` (mean, half of the 95% interval and number of seeds by measure) and
    /// `runs`. A run's `response` and `course` are columns of equal length; times are seconds, and
    /// what is not a number is null.
    ///
    /// # Errors
    ///
    /// If the JSON cannot be written.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let meaning = names().iter().map(|name| Meaning {
            name: name.name,
            unit: name.unit,
            meaning: name.meaning,
        });
        let whole = Whole {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            command: &self.command,
            scenario: &self.scenario,
            facts: &self.facts,
            measures: meaning.collect(),
            policies: self.policies.iter().map(OnePolicy::of).collect(),
        };
        serde_json::to_string(&whole).map(|text| text + "\n")
    }

    /// The measures, one line per policy, seed and measure: `policy,seed,measure,unit,value`.
    /// Numbers that a run does not have are left out.
    ///
    /// # Errors
    ///
    /// If a line cannot be written.
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["policy", "seed", "measure", "unit", "value"])?;
        for run in self.runs() {
            let seed = run.seed.to_string();
            for name in names() {
                if let Some(value) = run.measures.get(name.name) {
                    let value = value.to_string();
                    writer.write_record([&run.policy, &seed, name.name, name.unit, &value])?;
                }
            }
        }
        let bytes = writer.into_inner().map_err(|e| e.into_error())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    format: u32,
    version: &'static str,
    command: &'a str,
    scenario: &'a str,
    facts: &'a Facts,
    measures: Vec<Meaning>,
    policies: Vec<OnePolicy<'a>>,
}

#[derive(Serialize)]
struct Meaning {
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
}

#[derive(Serialize)]
struct OnePolicy<'a> {
    name: &'a str,
    summary: Summary<'a>,
    runs: Vec<OneRun<'a>>,
}

impl<'a> OnePolicy<'a> {
    fn of(policy: &'a Policy) -> Self {
        Self {
            name: &policy.name,
            summary: Summary(policy),
            runs: policy.runs.iter().map(OneRun::of).collect(),
        }
    }
}

/// Estimates by measure, in the order of the names.
struct Summary<'a>(&'a Policy);

impl Serialize for Summary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for name in names() {
            if let Some(estimate) = self.0.estimate(name.name) {
                map.serialize_entry(name.name, &estimate)?;
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
struct OneRun<'a> {
    seed: u64,
    digest: &'a str,
    events: u64,
    end: f64,
    violations: &'a [String],
    faults: usize,
    measures: &'a Measures,
    response: &'a Distribution,
    course: Course,
}

impl<'a> OneRun<'a> {
    fn of(run: &'a Run) -> Self {
        Self {
            seed: run.seed,
            digest: &run.digest,
            events: run.events,
            end: run.end.as_secs_f64(),
            violations: &run.violations,
            faults: run.facts.faults.len(),
            measures: &run.measures,
            response: &run.response,
            course: Course::of(&run.course),
        }
    }
}

/// Moments by column, for their keys would be most of the file.
#[derive(Serialize)]
struct Course {
    at: Vec<f64>,
    up: Vec<u32>,
    running: Vec<u32>,
    waiting: Vec<u32>,
    view_age: Vec<f64>,
    ended: Vec<u32>,
    response: Vec<f64>,
    messages: Vec<u64>,
}

impl Course {
    fn of(course: &[Moment]) -> Self {
        Self {
            at: course.iter().map(|m| m.at.as_secs_f64()).collect(),
            up: course.iter().map(|m| m.up).collect(),
            running: course.iter().map(|m| m.running).collect(),
            waiting: course.iter().map(|m| m.waiting).collect(),
            view_age: course.iter().map(|m| m.view_age).collect(),
            ended: course.iter().map(|m| m.ended).collect(),
            response: course.iter().map(|m| m.response).collect(),
            messages: course.iter().map(|m| m.messages).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::report;

    #[test]
    fn json_parses_back_and_is_the_same_each_time() {
        let report = report();
        let text = report.json().unwrap();
        assert_eq!(text, report.json().unwrap());
        assert!(text.starts_with("{\"format\":1,\"version\":"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let policy = &value["policies"][1];
        assert_eq!(policy["name"], "p2c <live>");
        let estimate = report.policies[1].estimate("response_mean").unwrap();
        let summary = &policy["summary"]["response_mean"];
        let mean = summary["mean"].as_f64().unwrap();
        assert!((mean - estimate.mean).abs() < 1e-12 * mean, "{mean}");
        assert_eq!(summary["n"], 3);
        let course = &policy["runs"][0]["course"];
        assert_eq!(course["at"].as_array().unwrap().len(), 240);
        assert_eq!(course["view_age"].as_array().unwrap().len(), 240);
        assert!(course["view_age"][0].is_null(), "not a number is null");
        assert_eq!(value["scenario"], report.scenario);
    }

    #[test]
    fn csv_parses_back() {
        let report = report();
        let text = report.csv().unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(&reader.headers().unwrap()[2], "measure");
        let lines: Vec<_> = reader.records().map(Result::unwrap).collect();
        let line = lines
            .iter()
            .find(|l| &l[0] == "starling" && &l[1] == "2" && &l[2] == "response_p99")
            .unwrap();
        assert_eq!(&line[3], "s");
        let value: f64 = line[4].parse().unwrap();
        let run = &report.policy("starling").unwrap().runs[1];
        assert_eq!(Some(value), run.measures.get("response_p99"));
        let age = |policy| {
            let mut of = lines.iter().filter(|l| &l[0] == policy);
            of.any(|l| &l[2] == "view_age_mean")
        };
        assert!(age("starling") && !age("random"));
    }
}
