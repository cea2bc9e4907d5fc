//! Reads and checks the table `[workload]`.

use std::path::Path;

use starling_placement::Resources;

use super::arrivals::{Arrivals, wanted};
use super::detail::{ONE_CORE, class, home, need, services};
use super::shape::{NAMES, Population, shape};
use super::spread::Spread;
use super::trace::{self, MOST_TASKS, Traced};
use super::{Pace, Source, Workload};
use crate::scenario::amount;
use crate::scenario::error::ScenarioError;
use crate::scenario::reader::{Table, Value};
use crate::scenario::truth::find;

const KEYS: [&str; 20] = [
    "load",
    "rate",
    "exact",
    "arrivals",
    "tasks",
    "duration",
    "per",
    "within",
    "shape",
    "trace",
    "need",
    "class",
    "home",
    "long_above",
    "services",
    "length",
    "jobs",
    "warmup",
    "cooldown",
    "limit",
];

impl Workload {
    /// Reads the table; classes and platforms are those of the truth.
    pub(crate) fn read(
        root: &Table<'_>,
        classes: &[String],
        platforms: &[String],
        base: &Path,
    ) -> Result<Self, ScenarioError> {
        let value = root.need(
            "workload",
            "a table [workload] with load, duration and length",
        )?;
        let table = value.table(&KEYS)?;
        let (pace, pace_at) = match table.one_of(&["load", "rate"])? {
            Some(("load", value)) => (
                Pace::Load(value.above_zero("a load such as 0.9")?),
                value.at,
            ),
            Some((_, value)) => (
                Pace::Rate(value.above_zero("a rate above 0, for example 4.5")?),
                value.at,
            ),
            None => (Pace::Own, table.missing("load")),
        };
        let (source, long_above) = source(&table, classes, platforms, base)?;
        let time = |key: &str| table.get(key).map(|value| value.time()).transpose();
        let most = u64::try_from(MOST_TASKS).unwrap_or(u64::MAX);
        let count = |key: &str| {
            table.get(key).map_or(Ok(MOST_TASKS), |value| {
                value
                    .count(1, most)
                    .map(|n| usize::try_from(n).unwrap_or(MOST_TASKS))
            })
        };
        let long_above = match table.get("long_above") {
            Some(value) => Some(value.seconds()?),
            None => long_above,
        };
        let workload = Self {
            at: table.at.clone(),
            pace,
            pace_at,
            need: table.get("need").map(|value| need(&value)).transpose()?,
            need_at: table.place("need"),
            exact: table.get("exact").map_or(Ok(false), |value| value.flag())?,
            class: class(&table, classes, &source)?,
            home: home(&table)?,
            long_above,
            services: services(&table, classes)?,
            warmup: time("warmup")?.unwrap_or_default(),
            length: time("length")?,
            cooldown: time("cooldown")?.unwrap_or_default(),
            jobs: count("jobs")?,
            limit: count("limit")?,
            source,
        };
        workload.check(&table)?;
        Ok(workload)
    }

    fn check(&self, table: &Table<'_>) -> Result<(), ScenarioError> {
        let drawn = matches!(self.source, Source::Drawn { .. });
        let paced = matches!(self.pace, Pace::Load(_)) && self.length.is_some();
        if self.exact && !(drawn && paced) {
            return Err(table.place("exact").error(
                "only a load of drawn jobs over a `length` can be met exactly",
                "write `load` and `length`, or leave it out",
            ));
        }
        match &self.source {
            Source::None if self.services.is_empty() => Err(table.at.error(
                "there is no work",
                "write `duration` and `load`, a `shape`, a `trace` or [[workload.services]]",
            )),
            Source::None => match table.one_of_any(&["load", "rate", "arrivals"]) {
                Some((_, value)) => Err(value.at.error(
                    "there is no way to compute it: no job has a length",
                    "write `duration`, or a `shape` or `trace`",
                )),
                None => Ok(()),
            },
            Source::Drawn { arrivals, .. } => {
                if matches!(self.pace, Pace::Own) && arrivals.own_rate().is_none() {
                    return Err(table.at.error(
                        "nothing says how many jobs come",
                        "write a `load` such as 0.9 or a `rate` in jobs per second",
                    ));
                }
                if self.length.is_none() && !table.has("jobs") && !table.has("limit") {
                    return Err(table.at.error(
                        "nothing says when the jobs end",
                        "write `length`, for example length = \"10m\", or a number of `jobs`",
                    ));
                }
                Ok(())
            }
            Source::Traced { time_scale, .. } if *time_scale != 1.0 => {
                match table.one_of_any(&["load", "rate"]) {
                    Some((pace, value)) => Err(value.at.error(
                        format!("`{pace}` contradicts the trace's `time_scale`"),
                        "leave one of them out",
                    )),
                    None => Ok(()),
                }
            }
            Source::Traced { .. } => Ok(()),
        }
    }

    /// What a task reserves where neither trace nor shape say it.
    pub(super) fn need(&self) -> Resources {
        self.need.unwrap_or(ONE_CORE)
    }
}

/// Where jobs come from, and the seconds above which they are long, if that is known of them.
fn source(
    table: &Table<'_>,
    classes: &[String],
    platforms: &[String],
    base: &Path,
) -> Result<(Source, Option<f64>), ScenarioError> {
    let drawn = ["tasks", "per", "within"];
    match table.one_of(&["duration", "shape", "trace"])? {
        None => {
            if let Some((key, value)) = table.one_of_any(&drawn) {
                return Err(value.at.error(
                    format!("`{key}` belongs to `duration`, which is missing"),
                    "write duration = { exponential = \"100ms\" }",
                ));
            }
            Ok((Source::None, None))
        }
        Some(("duration", value)) => {
            let per = table.get("per");
            let per_task = match per
                .as_ref()
                .map(|value| value.text("\"job\" or \"task\""))
                .transpose()?
            {
                None | Some("task") => true,
                Some("job") => false,
                Some(_) => {
                    let value = per.as_ref().unwrap_or(&value);
                    return Err(value.wrong("is neither", "write \"job\" or \"task\""));
                }
            };
            let within = table.get("within");
            if let (Some(within), true) = (&within, per_task) {
                return Err(within.at.error(
                    "each task draws a duration of its own anyway",
                    "write per = \"job\", or leave it out",
                ));
            }
            let tasks = |value: &Value<'_>| {
                let number = value.number("a number of tasks from 1, for example 100")?;
                if number < 1.0 {
                    return Err(value.wrong("is below 1", "write a number of tasks from 1"));
                }
                Ok(number)
            };
            let population = Population {
                share: 1.0,
                tasks: match table.get("tasks") {
                    Some(value) => Spread::read(&value, &tasks)?,
                    None => Spread::Fixed(1.0),
                },
                duration: Spread::read(&value, &|value| value.seconds())?,
                per_task,
                within: within.map_or(Ok(0.0), |value| value.at_least_zero("0.3"))?,
            };
            let source = Source::Drawn {
                arrivals: Arrivals::read(table, base)?,
                populations: vec![population],
                cores: None,
            };
            Ok((source, None))
        }
        Some((kind, value)) => {
            let own: &[&str] = if kind == "shape" {
                &drawn
            } else {
                &["tasks", "per", "within", "arrivals"]
            };
            if let Some((key, other)) = table.one_of_any(own) {
                return Err(other.at.error(
                    format!("`{key}` contradicts `{kind}`, which says it already"),
                    "leave it out",
                ));
            }
            if kind == "shape" {
                shaped(&value, table, base)
            } else {
                Ok((traced(&value, classes, platforms, base)?, None))
            }
        }
    }
}

/// Jobs of one of the shipped shapes.
fn shaped(
    value: &Value<'_>,
    workload: &Table<'_>,
    base: &Path,
) -> Result<(Source, Option<f64>), ScenarioError> {
    let (name, table) = if value.is_table() {
        let table = value.table(&["name", "size_scale", "long_share", "tasks_at_most"])?;
        (table.need("name", "name = \"yahoo\"")?, Some(table))
    } else {
        (value.clone(), None)
    };
    let text = name.text("the name of a shape, for example \"yahoo\"")?;
    let Some(mut shape) = shape(text) else {
        return Err(name.at.error(
            format!("there is no shape `{text}`"),
            amount::instead(text, NAMES),
        ));
    };
    let get = |key: &str| table.as_ref().and_then(|table| table.get(key));
    let scale = get("size_scale").map_or(Ok(1.0), |value| value.above_zero("0.01"))?;
    if let Some(value) = get("long_share") {
        let share = value.share()?;
        let [short, long] = &mut shape.populations[..] else {
            return Err(value.wrong("needs short and long jobs", "leave it out for this shape"));
        };
        (short.share, long.share) = (1.0 - share, share);
    }
    if let Some(value) = get("tasks_at_most") {
        let most = value.number("a number of tasks from 1, for example 500")?;
        if most < 1.0 {
            return Err(value.wrong("is below 1", "write a number of tasks from 1"));
        }
        for population in &mut shape.populations {
            population.tasks = population.tasks.capped(most);
        }
    }
    for population in &mut shape.populations {
        population.duration = population.duration.scaled(scale);
    }
    let source = Source::Drawn {
        arrivals: Arrivals::read(workload, base)?,
        populations: shape.populations,
        cores: shape.cores,
    };
    Ok((source, Some(shape.long_above * scale)))
}

/// Jobs of a trace.
fn traced(
    value: &Value<'_>,
    classes: &[String],
    platforms: &[String],
    base: &Path,
) -> Result<Source, ScenarioError> {
    let keys = [
        "file",
        "filter",
        "part",
        "time_scale",
        "size_scale",
        "measured_on",
        "unknown_class",
    ];
    let table = value.table(&keys)?;
    let file = table.need("file", "file = \"trace.csv\"")?;
    let path = file.path(base)?;
    let scale = |key: &str| {
        table
            .get(key)
            .map_or(Ok(1.0), |value| value.above_zero("0.1"))
    };
    let measured_on = match table.get("measured_on") {
        Some(value) => {
            let name = value.text("the name of a platform")?;
            u16::try_from(find(&value, name, platforms, "platform")?).ok()
        }
        None => None,
    };
    let (time_scale, size_scale) = (scale("time_scale")?, scale("size_scale")?);
    let skip = match table.get("unknown_class") {
        None => false,
        Some(value) => match value.text("\"refuse\" or \"skip\"")? {
            "refuse" => false,
            "skip" => true,
            _ => return Err(value.wrong("is neither", "write \"refuse\" or \"skip\"")),
        },
    };
    let mut jobs = trace::jobs(&file.at, &path, &wanted(&table)?)?;
    let known = |job: &Traced| {
        let class = job.class.as_ref()?;
        classes.iter().position(|name| name == class)
    };
    if skip {
        jobs.retain(|job| known(job).is_some());
        if jobs.is_empty() {
            return Err(file.at.error_within(
                &path,
                None,
                "the truth knows the class of no row",
                "leave `unknown_class` out, or choose another truth",
            ));
        }
    }
    let found: Option<Vec<u16>> = jobs
        .iter()
        .map(|job| known(job).and_then(|i| u16::try_from(i).ok()))
        .collect();
    Ok(Source::Traced {
        jobs,
        classes: found,
        time_scale,
        size_scale,
        measured_on,
    })
}
