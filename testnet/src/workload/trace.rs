//! Traces of real clusters, read by path: who submitted what and when. Four forms are known by
//! their columns; every row is checked, and what is cut short or goes back in time is refused with
//! its line.
//!
//! | columns | rows are |
//! | --- | --- |
//! | `submit_s, n_tasks, est_task_s, task_durations_s` | jobs, durations separated by spaces |
//! | `submit_ms, duration_ms, cores, mem_mb, task_type, mode` | tasks, as Dodoor writes them |
//! | `creation_time, duration_s, cpu_milli, memory_mib` | pods, as Alibaba writes them |
//! | `submit_s, duration_s` and perhaps `tasks, cpu, memory, class` | jobs; cores and bytes |
//!
//! For arrivals alone any table with `submit_s`, `submit_ms` or `creation_time` will do.

use std::path::Path;

use crate::scenario::error::{At, ScenarioError};
use crate::scenario::sheet::{Row, Sheet};

/// The most tasks of a workload.
pub const MOST_TASKS: usize = 5_000_000;

/// Rows of a trace that are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    /// Only rows with these texts in these columns.
    pub(crate) filter: Vec<(String, String)>,
    /// Only rows of this part of the time, from and to as shares of it.
    pub(crate) part: Option<(f64, f64)>,
}

/// A job of a trace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Traced {
    /// Seconds since the first job that is wanted.
    pub(crate) at: f64,
    /// Seconds that each task took.
    pub(crate) tasks: Vec<f64>,
    /// Cores and bytes of memory of each, where the trace says them.
    pub(crate) need: Option<(f64, f64)>,
    /// What kind of work, where the trace says it.
    pub(crate) class: Option<String>,
}

/// How the work of a row is written.
enum Form {
    Jobs {
        count: usize,
        durations: usize,
    },
    Dodoor {
        duration: usize,
        cores: usize,
        memory: usize,
        kind: usize,
        mode: usize,
    },
    Pods {
        duration: usize,
        cpu: usize,
        memory: usize,
    },
    Plain {
        duration: usize,
        tasks: Option<usize>,
        need: Option<(usize, usize)>,
        class: Option<usize>,
    },
    Arrivals,
}

/// Reads the jobs of a trace.
pub(crate) fn jobs(at: &At, path: &Path, wanted: &Wanted) -> Result<Vec<Traced>, ScenarioError> {
    let sheet = Sheet::open(at, path)?;
    let form = form(&sheet)?;
    read(at, path, sheet, wanted, &form)
}

/// Reads when the jobs of a trace came, in seconds since the first.
pub(crate) fn arrivals(at: &At, path: &Path, wanted: &Wanted) -> Result<Vec<f64>, ScenarioError> {
    let sheet = Sheet::open(at, path)?;
    let jobs = read(at, path, sheet, wanted, &Form::Arrivals)?;
    Ok(jobs.into_iter().map(|job| job.at).collect())
}

fn form(sheet: &Sheet) -> Result<Form, ScenarioError> {
    let column = |name: &str| sheet.column(name);
    if sheet.has("task_durations_s") {
        return Ok(Form::Jobs {
            count: column("n_tasks")?,
            durations: column("task_durations_s")?,
        });
    }
    if sheet.has("duration_ms") {
        return Ok(Form::Dodoor {
            duration: column("duration_ms")?,
            cores: column("cores")?,
            memory: column("mem_mb")?,
            kind: column("task_type")?,
            mode: column("mode")?,
        });
    }
    if sheet.has("cpu_milli") {
        return Ok(Form::Pods {
            duration: column("duration_s")?,
            cpu: column("cpu_milli")?,
            memory: column("memory_mib")?,
        });
    }
    let perhaps = |name: &str| sheet.has(name).then(|| column(name)).transpose();
    let need = match (perhaps("cpu")?, perhaps("memory")?) {
        (Some(cpu), Some(memory)) => Some((cpu, memory)),
        (Some(cpu), None) => Some((cpu, usize::MAX)),
        _ => None,
    };
    Ok(Form::Plain {
        duration: column("duration_s")?,
        tasks: perhaps("tasks")?,
        need,
        class: perhaps("class")?,
    })
}

fn read(
    at: &At,
    path: &Path,
    sheet: Sheet,
    wanted: &Wanted,
    form: &Form,
) -> Result<Vec<Traced>, ScenarioError> {
    let (time, unit) = if sheet.has("submit_ms") {
        (sheet.column("submit_ms")?, 1e-3)
    } else if sheet.has("creation_time") {
        (sheet.column("creation_time")?, 1.0)
    } else {
        (sheet.column("submit_s")?, 1.0)
    };
    let mut filter = Vec::new();
    for (name, text) in &wanted.filter {
        filter.push((sheet.column(name)?, text.as_str()));
    }
    let mut found: Vec<Traced> = Vec::new();
    let mut tasks = 0;
    sheet.each(|row| {
        if filter
            .iter()
            .any(|(column, text)| row.text(*column) != *text)
        {
            return Ok(true);
        }
        let now = row.number(time)? * unit;
        if let Some(before) = found.last()
            && now < before.at
        {
            return Err(row.error(
                &format!("the time goes back from {} s to {now} s", before.at),
                "sort the rows by time, or choose some by `filter`",
            ));
        }
        let job = form.job(row, now)?;
        tasks += job.tasks.len();
        if tasks > MOST_TASKS {
            return Err(row.error(
                &format!("more than {MOST_TASKS} tasks are above the limit"),
                "take a `part` of the trace",
            ));
        }
        found.push(job);
        Ok(true)
    })?;
    if let (Some((from, to)), Some(first), Some(last)) = (wanted.part, found.first(), found.last())
    {
        let (start, span) = (first.at, last.at - first.at);
        // The last row belongs to a part that goes to the end.
        let inside = |job: &Traced| {
            let share = if span > 0.0 {
                (job.at - start) / span
            } else {
                0.0
            };
            share >= from && (share < to || to >= 1.0)
        };
        found.retain(inside);
    }
    let Some(first) = found.first().map(|job| job.at) else {
        return Err(at.error_within(
            path,
            None,
            "no row is left",
            "check `filter` and `part` against the file",
        ));
    };
    found.iter_mut().for_each(|job| job.at -= first);
    Ok(found)
}

impl Form {
    fn job(&self, row: &Row<'_>, at: f64) -> Result<Traced, ScenarioError> {
        let mut job = Traced {
            at,
            tasks: Vec::new(),
            need: None,
            class: None,
        };
        match self {
            Self::Arrivals => {}
            Self::Jobs { count, durations } => {
                for duration in row.text(*durations).split_ascii_whitespace() {
                    job.tasks.push(row.parse(*durations, duration)?);
                }
                let count = row.number(*count)?;
                if job.tasks.len() != whole(count) {
                    let problem = format!(
                        "task_durations_s: {} durations of {count} tasks",
                        job.tasks.len()
                    );
                    return Err(row.cut_short(&problem));
                }
            }
            Self::Dodoor {
                duration,
                cores,
                memory,
                kind,
                mode,
            } => {
                job.tasks.push(row.number(*duration)? / 1_000.0);
                job.need = Some((
                    row.number(*cores)?,
                    row.number(*memory)? * f64::from(1_u32 << 20),
                ));
                // The profile of functions calls the largest size by another word.
                let mode = match row.text(*mode) {
                    "long" => "large",
                    mode => mode,
                };
                job.class = Some(format!("{}_{mode}", row.text(*kind)));
            }
            Self::Pods {
                duration,
                cpu,
                memory,
            } => {
                job.tasks.push(row.number(*duration)?);
                job.need = Some((
                    row.number(*cpu)? / 1_000.0,
                    row.number(*memory)? * f64::from(1_u32 << 20),
                ));
            }
            Self::Plain {
                duration,
                tasks,
                need,
                class,
            } => {
                let count = match tasks {
                    Some(column) => whole(row.number(*column)?),
                    None => 1,
                };
                if count == 0 || count > MOST_TASKS {
                    return Err(row.error(
                        &format!("tasks: {count} tasks are no job"),
                        &format!("write a number from 1 to {MOST_TASKS}"),
                    ));
                }
                job.tasks = vec![row.number(*duration)?; count];
                if let Some((cpu, memory)) = need {
                    let memory = if *memory == usize::MAX {
                        0.0
                    } else {
                        row.number(*memory)?
                    };
                    job.need = Some((row.number(*cpu)?, memory));
                }
                job.class = class.map(|column| row.text(column).to_owned());
            }
        }
        Ok(job)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> usize {
    number as usize
}
