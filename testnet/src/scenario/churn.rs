//! The table `[churn]`: machines that come and go by chance or as a file of failures says, and
//! links that flap.

use std::path::Path;
use std::time::Duration;

use super::amount;
use super::dice::{Dice, Purpose};
use super::error::{At, ScenarioError};
use super::fault::Who;
use super::reader::{Table, Value};
use super::sheet::Sheet;
use crate::workload::spread::Spread;

/// The checked table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Churn {
    /// Failures of a machine per second that it is up.
    rate: f64,
    downtime: Option<Spread>,
    failures: Vec<Failure>,
    pub(crate) tasks: bool,
    pub(crate) from: Duration,
    pub(crate) until: Option<Duration>,
    pub(crate) flaps: Vec<Flap>,
    pub(crate) at: Option<At>,
}

/// A failure of a file: when, whose, for how long; seconds, scaled.
#[derive(Clone, Debug)]
struct Failure {
    at: f64,
    node: usize,
    down: f64,
}

/// Links that go up and down.
#[derive(Clone, Debug)]
pub(crate) struct Flap {
    pub(crate) who: Who,
    pub(crate) every: Duration,
    pub(crate) down: Duration,
}

/// A machine that is down for a while.
pub(crate) struct Outage {
    pub(crate) machine: u32,
    pub(crate) at: Duration,
    pub(crate) down: Duration,
}

/// The most outages of a run.
const MOST_OUTAGES: usize = 1_000_000;

impl Churn {
    pub(crate) fn read(root: &Table<'_>, base: &Path) -> Result<Self, ScenarioError> {
        let known = [
            "rate", "downtime", "tasks", "from", "until", "failures", "system", "scale", "flap",
        ];
        let Some(table) = root.table("churn", &known)? else {
            return Ok(Self::default());
        };
        let time = |key: &str| table.get(key).map(|value| value.time()).transpose();
        let mut churn = Self {
            tasks: table.get("tasks").map_or(Ok(true), |value| value.flag())?,
            from: time("from")?.unwrap_or_default(),
            until: time("until")?,
            at: Some(table.at.clone()),
            ..Self::default()
        };
        if let Some(until) = table.get("until")
            && churn.until <= Some(churn.from)
        {
            return Err(until.wrong("is not after `from`", "write a later time"));
        }
        if let Some(value) = table.get("rate") {
            churn.rate = per_second(&value)?;
            let spread = |value: Value<'_>| Spread::read(&value, &|value| value.seconds());
            let downtime = table.get("downtime").map(spread).transpose()?;
            churn.downtime = Some(downtime.unwrap_or(Spread::Exponential(30.0)));
        } else if let Some(downtime) = table.get("downtime") {
            return Err(downtime
                .at
                .error("it belongs to `rate`", "write rate = \"20%/min\""));
        }
        if let Some(value) = table.get("failures") {
            churn.failures = failures(&table, &value, base)?;
        } else if let Some((key, value)) = table.one_of_any(&["system", "scale"]) {
            return Err(value.at.error(
                format!("`{key}` belongs to `failures`"),
                "name a file of failures, or leave it out",
            ));
        }
        if let Some(value) = table.get("flap") {
            let list = if value.is_list() {
                value.list()?
            } else {
                vec![value]
            };
            for value in list {
                churn.flaps.push(flap(&value)?);
            }
        }
        Ok(churn)
    }

    /// Who is down when, until `end`.
    pub(crate) fn outages(
        &self,
        machines: usize,
        seed: u64,
        end: Duration,
    ) -> Result<Vec<Outage>, ScenarioError> {
        let until = self.until.unwrap_or(end);
        let mut dice = Dice::new(seed, Purpose::Churn);
        let mut outages = Vec::new();
        let mut add = |machine: usize, at: f64, down: f64| {
            if let (Ok(machine), Some(at), Some(down)) = (
                u32::try_from(machine),
                amount::seconds(at),
                amount::seconds(down),
            ) {
                outages.push(Outage { machine, at, down });
            }
            if outages.len() <= MOST_OUTAGES {
                return Ok(());
            }
            let problem = format!("more than {MOST_OUTAGES} outages are above the limit");
            let error =
                |at: &At| at.error(problem.clone(), "write a lower rate or an earlier `until`");
            self.at.as_ref().map_or(Ok(()), |at| Err(error(at)))
        };
        if let (Some(downtime), true) = (&self.downtime, self.rate > 0.0) {
            for machine in 0..machines {
                let mut now = self.from.as_secs_f64();
                loop {
                    now += dice.exponential() / self.rate;
                    if now >= until.as_secs_f64() {
                        break;
                    }
                    let down = downtime.draw(&mut dice);
                    add(machine, now, down)?;
                    now += down;
                }
            }
        }
        for failure in &self.failures {
            let at = self.from.as_secs_f64() + failure.at;
            if at < until.as_secs_f64() && machines > 0 {
                add(failure.node % machines, at, failure.down)?;
            }
        }
        Ok(outages)
    }
}

/// Failures per machine and second.
fn per_second(value: &Value<'_>) -> Result<f64, ScenarioError> {
    const RIGHT: &str = "write failures per machine and time, for example \"20%/min\" or \"0.5/h\"";
    let text = value.text("failures per machine and time, for example \"20%/min\"")?;
    amount::rate(text).map_err(|problem| value.wrong(problem, RIGHT))
}

fn flap(value: &Value<'_>) -> Result<Flap, ScenarioError> {
    let table = value.table(&[
        "machines", "share", "count", "zone", "group", "every", "down",
    ])?;
    let every = table.need("every", "every = \"10s\"")?;
    let down = table.need("down", "down = \"2s\"")?;
    every.seconds()?;
    let flap = Flap {
        who: Who::some(&table)?,
        every: every.time()?,
        down: down.time()?,
    };
    if flap.down >= flap.every {
        return Err(down.wrong("is not shorter than `every`", "write a shorter time"));
    }
    Ok(flap)
}

/// Failures of one system of a file in the form of LANL's: `system, node, start, down_min`.
fn failures(
    table: &Table<'_>,
    file: &Value<'_>,
    base: &Path,
) -> Result<Vec<Failure>, ScenarioError> {
    let scale = table
        .get("scale")
        .map_or(Ok(1.0), |value| value.above_zero("0.001"))?;
    let wanted = table
        .get("system")
        .map(|value| value.count(0, u64::from(u32::MAX)))
        .transpose()?
        .map(|system| system.to_string());
    let path = file.path(base)?;
    let sheet = Sheet::open(&file.at, &path)?;
    let system = sheet.column("system")?;
    let node = sheet.column("node")?;
    let start = sheet.column("start")?;
    let down = sheet.column("down_min")?;
    let mut found: Vec<Failure> = Vec::new();
    sheet.each(|row| {
        if wanted
            .as_deref()
            .is_some_and(|wanted| row.text(system) != wanted)
        {
            return Ok(true);
        }
        let at = minutes(row.text(start)).ok_or_else(|| {
            let problem = format!("start: `{}` is not a time", row.text(start));
            row.error(&problem, "write it as 1997-01-23T07:15")
        })?;
        found.push(Failure {
            at: at * 60.0 * scale,
            node: whole(row.number(node)?),
            down: row.number(down)? * 60.0 * scale,
        });
        Ok(true)
    })?;
    found.sort_by(|a, b| a.at.total_cmp(&b.at));
    let Some(first) = found.first().map(|failure| failure.at) else {
        let wanted = wanted.unwrap_or_default();
        let at = table.place("system");
        return Err(at.error_within(
            &path,
            None,
            format!("it has no failure of system {wanted}"),
            "write the number of a system that is in it",
        ));
    };
    found.iter_mut().for_each(|failure| failure.at -= first);
    Ok(found)
}

/// Minutes since 1970 of `1997-01-23T07:15`, by the proleptic Gregorian calendar.
fn minutes(text: &str) -> Option<f64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute) = (time.next()??, time.next()??);
    let valid = (1900..3000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute);
    if !valid {
        return None;
    }
    // Years begin in March, so that the leap day is a year's last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let minutes = (days - 719_469) * 1_440 + hour * 60 + minute;
    i32::try_from(minutes).ok().map(f64::from)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> usize {
    number as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        assert_eq!(minutes("1970-01-01T00:00"), Some(0.0));
        assert_eq!(minutes("2000-03-01T00:01"), Some(11_017.0 * 1_440.0 + 1.0));
        assert_eq!(minutes("1997-13-23T07:15"), None);
        assert_eq!(minutes("yesterday"), None);
    }
}
