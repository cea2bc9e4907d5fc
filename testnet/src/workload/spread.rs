//! How amounts spread: task durations, tasks per job, downtimes. Each spread knows its mean, so
//! that a load can be turned into a rate.

use crate::scenario::dice::Dice;
use crate::scenario::error::ScenarioError;
use crate::scenario::reader::Value;

/// A distribution of positive amounts, in whatever unit its user has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spread {
    Fixed(f64),
    /// By its mean.
    Exponential(f64),
    /// Whole numbers from 1, by their mean.
    Geometric(f64),
    Uniform(f64, f64),
    LogNormal {
        median: f64,
        sigma: f64,
    },
    /// From `least` up, at most `most`; falls off with the power `alpha`.
    Pareto {
        least: f64,
        alpha: f64,
        most: Option<f64>,
    },
    /// Log-linear between quantiles `(share below, value)`, the first at 0 and the last at 1.
    Quantiles(Vec<(f64, f64)>),
    Mixture {
        long_share: f64,
        short: Box<Self>,
        long: Box<Self>,
    },
}

const KEYS: [&str; 11] = [
    "fixed",
    "exponential",
    "geometric",
    "uniform",
    "median",
    "sigma",
    "pareto",
    "alpha",
    "most",
    "short",
    "long",
];

impl Spread {
    /// Reads a spread whose amounts `unit` reads: a bare amount, or a table that names its kind.
    pub(crate) fn read(
        value: &Value<'_>,
        unit: &dyn Fn(&Value<'_>) -> Result<f64, ScenarioError>,
    ) -> Result<Self, ScenarioError> {
        if !value.is_table() {
            return unit(value).map(Self::Fixed);
        }
        let known: Vec<&str> = KEYS.into_iter().chain(["long_share"]).collect();
        let table = value.table(&known)?;
        let kinds = [
            "fixed",
            "exponential",
            "geometric",
            "uniform",
            "median",
            "pareto",
            "short",
        ];
        let Some((kind, amount)) = table.one_of(&kinds)? else {
            return Err(table.at.error(
                "it names no distribution",
                format!("write one of {}", kinds.join(", ")),
            ));
        };
        let others: &[&str] = match kind {
            "median" => &["sigma"],
            "pareto" => &["alpha", "most"],
            "short" => &["long", "long_share"],
            _ => &[],
        };
        let may: Vec<&str> = others.iter().copied().chain([kind]).collect();
        let table = table.only(&may)?;
        Ok(match kind {
            "exponential" => Self::Exponential(unit(&amount)?),
            "geometric" => {
                let mean = unit(&amount)?;
                if mean < 1.0 {
                    return Err(amount.wrong("is below 1", "write a mean of at least 1"));
                }
                Self::Geometric(mean)
            }
            "uniform" => {
                let [least, most] = amount.two("two bounds, for example [1, 10]")?;
                let (low, high) = (unit(&least)?, unit(&most)?);
                if high < low {
                    return Err(most.wrong("is below the lower bound", "put the smaller first"));
                }
                Self::Uniform(low, high)
            }
            "median" => Self::LogNormal {
                median: unit(&amount)?,
                sigma: table
                    .need(
                        "sigma",
                        "the standard deviation of the logarithm, for example 0.5",
                    )?
                    .at_least_zero("0.5")?,
            },
            "pareto" => {
                let least = unit(&amount)?;
                let alpha = table.need("alpha", "the tail's power, for example 1.5")?;
                let most = table.get("most");
                let power = alpha.above_zero("1.5")?;
                if power <= 1.0 && most.is_none() {
                    return Err(alpha.wrong(
                        "has no mean",
                        "write a power above 1, or a largest amount as `most`",
                    ));
                }
                let most = match most {
                    None => None,
                    Some(value) => {
                        let most = unit(&value)?;
                        if most <= least {
                            return Err(value.wrong("is not above the least", "write more"));
                        }
                        Some(most)
                    }
                };
                Self::Pareto {
                    least,
                    alpha: power,
                    most,
                }
            }
            "short" => Self::Mixture {
                short: Box::new(Self::read(&amount, unit)?),
                long: Box::new(Self::read(
                    &table.need("long", "how the long ones spread")?,
                    unit,
                )?),
                long_share: table
                    .need("long_share", "their share, for example 0.05")?
                    .share()?,
            },
            _ => Self::Fixed(unit(&amount)?),
        })
    }

    /// Draws one.
    pub(crate) fn draw(&self, dice: &mut Dice) -> f64 {
        match self {
            Self::Fixed(value) => *value,
            Self::Exponential(mean) => mean * dice.exponential(),
            Self::Geometric(mean) if *mean <= 1.0 => 1.0,
            Self::Geometric(mean) => {
                1.0 + libm::floor(-dice.exponential() / libm::log(1.0 - 1.0 / mean))
            }
            Self::Uniform(least, most) => dice.between(*least, *most),
            Self::LogNormal { median, sigma } => median * libm::exp(sigma * dice.normal()),
            Self::Pareto { least, alpha, most } => {
                let cut = most.map_or(0.0, |most| libm::pow(least / most, *alpha));
                let above = 1.0 - dice.unit() * (1.0 - cut);
                least * libm::pow(above, -1.0 / alpha)
            }
            Self::Quantiles(knots) => at(knots, dice.unit()),
            Self::Mixture {
                long_share,
                short,
                long,
            } => {
                if dice.unit() < *long_share {
                    long.draw(dice)
                } else {
                    short.draw(dice)
                }
            }
        }
    }

    /// Draws a whole number of at least 1; its mean is that of the spread, if that is at least 1
    /// everywhere.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn draw_count(&self, dice: &mut Dice) -> u64 {
        let amount = self.draw(dice).clamp(1.0, 1e9);
        let whole = libm::floor(amount);
        // A fraction is a chance of one more; whole amounts need no chance.
        let more = amount > whole && dice.unit() < amount - whole;
        whole as u64 + u64::from(more)
    }

    /// The mean.
    pub(crate) fn mean(&self) -> f64 {
        match self {
            Self::Fixed(mean) | Self::Exponential(mean) | Self::Geometric(mean) => *mean,
            Self::Uniform(least, most) => f64::midpoint(*least, *most),
            Self::LogNormal { median, sigma } => median * libm::exp(sigma * sigma / 2.0),
            Self::Pareto {
                least,
                alpha,
                most: None,
            } => least * alpha / (alpha - 1.0),
            Self::Pareto {
                least,
                alpha,
                most: Some(most),
            } => {
                let scale = 1.0 - libm::pow(least / most, *alpha);
                if (alpha - 1.0).abs() < 1e-9 {
                    least / scale * libm::log(most / least)
                } else {
                    let rest = 1.0 - libm::pow(least / most, alpha - 1.0);
                    least * alpha / (alpha - 1.0) * rest / scale
                }
            }
            Self::Quantiles(knots) => knots.windows(2).map(|pair| piece(pair[0], pair[1])).sum(),
            Self::Mixture {
                long_share,
                short,
                long,
            } => long_share * long.mean() + (1.0 - long_share) * short.mean(),
        }
    }

    /// The same with every amount multiplied.
    pub(crate) fn scaled(&self, by: f64) -> Self {
        match self {
            Self::Fixed(value) => Self::Fixed(value * by),
            Self::Exponential(mean) => Self::Exponential(mean * by),
            Self::Geometric(mean) => Self::Geometric((mean * by).max(1.0)),
            Self::Uniform(least, most) => Self::Uniform(least * by, most * by),
            Self::LogNormal { median, sigma } => Self::LogNormal {
                median: median * by,
                sigma: *sigma,
            },
            Self::Pareto { least, alpha, most } => Self::Pareto {
                least: least * by,
                alpha: *alpha,
                most: most.map(|most| most * by),
            },
            Self::Quantiles(knots) => {
                Self::Quantiles(knots.iter().map(|(share, x)| (*share, x * by)).collect())
            }
            Self::Mixture {
                long_share,
                short,
                long,
            } => Self::Mixture {
                long_share: *long_share,
                short: Box::new(short.scaled(by)),
                long: Box::new(long.scaled(by)),
            },
        }
    }

    /// Quantiles with nothing above `most`; other spreads stay as they are.
    pub(crate) fn capped(&self, most: f64) -> Self {
        let Self::Quantiles(knots) = self else {
            return self.clone();
        };
        let mut kept: Vec<(f64, f64)> = Vec::new();
        for &(share, value) in knots {
            if value <= most {
                kept.push((share, value));
                continue;
            }
            let share = kept.last().map_or(0.0, |&(before, low)| {
                before + (share - before) * libm::log(most / low) / libm::log(value / low)
            });
            kept.push((share, most));
            kept.push((1.0, most));
            break;
        }
        Self::Quantiles(kept)
    }
}

/// The value below which a share of a piecewise log-linear distribution lies.
fn at(knots: &[(f64, f64)], share: f64) -> f64 {
    let next = knots.partition_point(|(upto, _)| *upto <= share);
    let (Some(low), Some(high)) = (
        next.checked_sub(1).and_then(|i| knots.get(i)),
        knots.get(next),
    ) else {
        return knots.last().map_or(0.0, |knot| knot.1);
    };
    let part = (share - low.0) / (high.0 - low.0);
    low.1 * libm::exp(part * libm::log(high.1 / low.1))
}

/// What one piece of a piecewise log-linear distribution adds to its mean.
fn piece(low: (f64, f64), high: (f64, f64)) -> f64 {
    let steep = libm::log(high.1 / low.1);
    let mean = if steep.abs() < 1e-9 {
        low.1
    } else {
        (high.1 - low.1) / steep
    };
    (high.0 - low.0) * mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::dice::Purpose;

    #[test]
    fn every_spread_meets_its_mean() {
        let quantiles = Spread::Quantiles(vec![(0.0, 1.0), (0.5, 15.0), (0.9, 57.0), (1.0, 300.0)]);
        let spreads = [
            Spread::Fixed(3.0),
            Spread::Exponential(4.0),
            Spread::Geometric(6.0),
            Spread::Uniform(1.0, 9.0),
            Spread::LogNormal {
                median: 2.0,
                sigma: 0.6,
            },
            Spread::Pareto {
                least: 1.0,
                alpha: 3.5,
                most: None,
            },
            Spread::Pareto {
                least: 1.0,
                alpha: 1.0,
                most: Some(50.0),
            },
            Spread::Pareto {
                least: 2.0,
                alpha: 0.7,
                most: Some(90.0),
            },
            quantiles.capped(100.0),
            quantiles,
            Spread::Mixture {
                long_share: 0.1,
                short: Box::new(Spread::Exponential(1.0)),
                long: Box::new(Spread::Fixed(30.0)),
            },
        ];
        let mut dice = Dice::new(3, Purpose::Sizes);
        for spread in spreads {
            let n = 40_000;
            let sum: f64 = (0..n).map(|_| spread.draw(&mut dice)).sum();
            let mean = sum / f64::from(n);
            assert!(
                (mean / spread.mean() - 1.0).abs() < 0.03,
                "{spread:?}: {mean} is not {}",
                spread.mean()
            );
        }
    }

    #[test]
    fn counts_keep_the_mean_and_the_cap() {
        let spread = Spread::Quantiles(vec![(0.0, 1.0), (0.8, 5.0), (1.0, 4_000.0)]).capped(40.0);
        let mut dice = Dice::new(4, Purpose::Sizes);
        let counts: Vec<u64> = (0..40_000).map(|_| spread.draw_count(&mut dice)).collect();
        let sum: u64 = counts.iter().sum();
        let sum = f64::from(u32::try_from(sum).unwrap_or(0));
        assert!((sum / 40_000.0 / spread.mean() - 1.0).abs() < 0.02);
        assert_eq!(counts.iter().max(), Some(&40));
        assert_eq!(counts.iter().min(), Some(&1));
    }
}
