//! When jobs come: gaps of mean 1, to be divided by a rate.

use std::path::Path;

use super::trace::{self, Wanted};
use crate::scenario::amount;
use crate::scenario::dice::Dice;
use crate::scenario::error::ScenarioError;
use crate::scenario::reader::{Table, Value};

/// The most variation that can be asked for; measured traces have 1.1 to 25.
const MOST_COV: f64 = 100.0;

/// How the gaps between jobs spread.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arrivals {
    /// All alike.
    Even,
    Poisson,
    /// Hyper-exponential: with the chance `p` a gap of rate `2 p`, else one of rate `2 (1 - p)`, so
    /// that bursts and lulls take equal time (balanced means, Morse 1958). Its coefficient of
    /// variation is met exactly in the limit.
    Bursty {
        p: f64,
    },
    /// The gaps of a trace over and over.
    Traced {
        gaps: Vec<f64>,
        /// Seconds.
        mean: f64,
    },
}

impl Arrivals {
    pub(crate) fn read(workload: &Table<'_>, base: &Path) -> Result<Self, ScenarioError> {
        let Some(value) = workload.get("arrivals") else {
            return Ok(Self::Poisson);
        };
        if !value.is_table() {
            return match value.text("\"poisson\", \"even\", { cov = 5 } or { trace = \"..\" }")? {
                "poisson" => Ok(Self::Poisson),
                "even" => Ok(Self::Even),
                text => Err(value.wrong(
                    "is no kind of arrivals",
                    &format!(
                        "{}; or write {{ cov = 5 }} or {{ trace = \"..\" }}",
                        amount::instead(text, ["poisson", "even"])
                    ),
                )),
            };
        }
        let table = value.table(&["cov", "trace", "scale", "filter", "part"])?;
        match table.one_of(&["cov", "trace"])? {
            Some(("cov", value)) => {
                table.only(&["cov"])?;
                let cov = value.number("a coefficient of variation such as 5")?;
                if !(1.0..=MOST_COV).contains(&cov) {
                    return Err(value.wrong(
                        "is outside 1 to 100",
                        "write a coefficient of variation of the gaps, for example 5",
                    ));
                }
                let squared = cov * cov;
                let p = f64::midpoint(1.0, libm::sqrt((squared - 1.0) / (squared + 1.0)));
                Ok(Self::Bursty { p })
            }
            Some((_, file)) => {
                let scale = table.get("scale");
                if let (Some(scale), Some((pace, _))) =
                    (&scale, workload.one_of_any(&["load", "rate"]))
                {
                    return Err(scale.at.error(
                        format!("`{pace}` says how fast they come"),
                        "leave one of them out",
                    ));
                }
                let scale = scale.map_or(Ok(1.0), |value| value.above_zero("0.1"))?;
                let path = file.path(base)?;
                let times = trace::arrivals(&file.at, &path, &wanted(&table)?)?;
                let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
                let span = times.last().copied().unwrap_or(0.0);
                if span <= 0.0 {
                    return Err(file.at.error_within(
                        &path,
                        None,
                        "all its jobs come at once",
                        "choose a trace or `part` with at least two times",
                    ));
                }
                let mean = span / count(gaps.len());
                Ok(Self::Traced {
                    gaps: gaps.into_iter().map(|gap| gap / mean).collect(),
                    mean: mean * scale,
                })
            }
            None => Err(table.at.error(
                "it says no arrivals",
                "write { cov = 5 } or { trace = \"..\" }",
            )),
        }
    }

    /// The gap before job number `index`, of mean 1.
    pub(crate) fn gap(&self, index: usize, dice: &mut Dice) -> f64 {
        match self {
            Self::Even => 1.0,
            Self::Poisson => dice.exponential(),
            Self::Bursty { p } => {
                let rate = if dice.unit() < *p { *p } else { 1.0 - p };
                dice.exponential() / (2.0 * rate)
            }
            // The first job of a trace comes at once.
            Self::Traced { gaps, .. } => match index.checked_sub(1) {
                None => 0.0,
                Some(index) => gaps[index % gaps.len()],
            },
        }
    }

    /// Jobs per second, where the arrivals know it themselves.
    pub(crate) const fn own_rate(&self) -> Option<f64> {
        match self {
            Self::Traced { mean, .. } => Some(1.0 / *mean),
            _ => None,
        }
    }
}

/// Which rows of a trace are wanted: `filter` and `part`.
pub(crate) fn wanted(table: &Table<'_>) -> Result<Wanted, ScenarioError> {
    let mut wanted = Wanted::default();
    if let Some(filter) = table.get("filter") {
        for (column, value) in filter.any_table()?.entries() {
            let text = value.text("the text that a row must have in that column")?;
            wanted.filter.push((column, text.to_owned()));
        }
    }
    if let Some(part) = table.get("part") {
        let [from, to]: [Value<'_>; 2] =
            part.two("two shares of the time, for example [0, 0.5]")?;
        let (start, end) = (from.share()?, to.share()?);
        if end <= start {
            return Err(to.wrong("is not above the first", "write for example [0, 0.5]"));
        }
        wanted.part = Some((start, end));
    }
    Ok(wanted)
}

#[allow(clippy::cast_precision_loss)]
const fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::dice::Purpose;

    #[test]
    fn the_variation_asked_for_is_met() {
        for (cov, n) in [(1.1, 50_000), (3.7, 100_000), (6.7, 300_000)] {
            let squared: f64 = cov * cov;
            let p = f64::midpoint(1.0, libm::sqrt((squared - 1.0) / (squared + 1.0)));
            let arrivals = Arrivals::Bursty { p };
            let mut dice = Dice::new(11, Purpose::Arrivals);
            let gaps: Vec<f64> = (0..n).map(|i| arrivals.gap(i, &mut dice)).collect();
            let mean = gaps.iter().sum::<f64>() / count(n);
            let variance = gaps.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count(n);
            let met = libm::sqrt(variance) / mean;
            assert!((mean - 1.0).abs() < 0.05, "{cov}: mean {mean}");
            assert!((met / cov - 1.0).abs() < 0.05, "{cov}: {met}");
        }
    }
}
