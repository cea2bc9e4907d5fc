//! Shapes of jobs as production clusters see them: tasks per job and their durations, by
//! generators fitted to a few quantiles of published traces. No trace is copied.
//!
//! Quantiles of the whole hide what matters: the few long jobs also have the most tasks. So each
//! shape is two populations, short and long jobs by the cut-off that Eagle (SoCC '16) uses for that
//! trace, each with its own quantiles; within one, tasks and durations hardly correlate (rank
//! correlation within 0.12). The last knot is not always the maximum but what meets the mean.
//!
//! * `yahoo` (after the trace YH1): 42 tasks a job; a tenth of the jobs, half of the tasks and 98% of the work are long
//!   (above 90.6 s). Tasks of short jobs differ among themselves by a standard deviation of 0.42 of
//!   the logarithm, of long jobs by 0.05. Median of all tasks about 94 s, 99th percentile hours.
//! * `google`: 31 tasks a job though the median job has one; 9% of the jobs and 79% of the work
//!   are long (above 1,129.5 s).
//! * `facebook`: jobs by their input: two thirds read less than one block of 256 MiB (median
//!   10 MB), the others up to 12 TB (30 GB at the 90th and 1.1 TB at the 99th percentile), a task
//!   per block. The trace has no durations: those here are assumed, log-normal about 20 s for whole
//!   blocks so that few jobs exceed the cut-off of 76.6 s, about 3 s for parts of one.
//! * `alibaba`: pods of one task; median 485 s, 90th percentile 1.8 h, 99th 26 h; 1 to 120 cores
//!   (median 11.3), 3.7 GiB of memory per core.

use super::spread::Spread;

/// Jobs of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Population {
    /// Of all jobs.
    pub(crate) share: f64,
    /// Tasks per job.
    pub(crate) tasks: Spread,
    /// Seconds of work: of a job's typical task, or of each if `per_task`.
    pub(crate) duration: Spread,
    /// Whether each task draws its own duration.
    pub(crate) per_task: bool,
    /// How a job's tasks differ: the standard deviation of the logarithm.
    pub(crate) within: f64,
}

/// Jobs as one cluster sees them.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) populations: Vec<Population>,
    /// Seconds above which a job's tasks are long.
    pub(crate) long_above: f64,
    /// Cores per task, where they differ.
    pub(crate) cores: Option<Spread>,
}

/// The names of the shapes.
pub(crate) const NAMES: [&str; 4] = ["yahoo", "google", "facebook", "alibaba"];

/// Bytes of memory per core in the shape `alibaba`.
pub(crate) const MEMORY_PER_CORE: f64 = 4.0e9;

/// Where the quantiles of a population lie.
const SHARES: [f64; 10] = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 1.0];

fn quantiles(values: [f64; 10]) -> Spread {
    Spread::Quantiles(SHARES.into_iter().zip(values).collect())
}

/// A shape by its name.
pub(crate) fn shape(name: &str) -> Option<Shape> {
    let population = |share, within, tasks, duration| Population {
        share,
        tasks: quantiles(tasks),
        duration: quantiles(duration),
        per_task: false,
        within,
    };
    Some(match name {
        "yahoo" => Shape {
            long_above: 90.6,
            cores: None,
            populations: vec![
                population(
                    0.905,
                    0.42,
                    [1.0, 3.0, 7.0, 15.0, 29.0, 49.0, 63.0, 81.0, 100.0, 500.0],
                    [0.05, 2.6, 5.6, 13.5, 26.7, 42.4, 54.2, 67.5, 77.2, 89.6],
                ),
                population(
                    0.095,
                    0.05,
                    [
                        1.0, 3.0, 8.0, 24.0, 250.0, 740.0, 1_120.0, 1_540.0, 2_060.0, 3_040.0,
                    ],
                    [
                        91.0, 152.0, 331.0, 716.0, 1_470.0, 2_620.0, 3_930.0, 5_460.0, 6_320.0,
                        17_300.0,
                    ],
                ),
            ],
        },
        "google" => Shape {
            long_above: 1_129.5,
            cores: None,
            populations: vec![
                population(
                    0.91,
                    0.05,
                    [1.0, 1.0, 1.0, 1.0, 5.0, 20.0, 43.0, 384.0, 950.0, 1_500.0],
                    [
                        11.4, 28.0, 60.0, 90.0, 184.0, 379.0, 585.0, 880.0, 989.0, 1_129.0,
                    ],
                ),
                population(
                    0.09,
                    0.03,
                    [
                        1.0, 1.0, 1.0, 1.0, 6.0, 90.0, 212.0, 976.0, 1_600.0, 4_950.0,
                    ],
                    [
                        1_130.0, 1_250.0, 1_380.0, 1_900.0, 3_390.0, 9_380.0, 14_700.0, 30_700.0,
                        46_900.0, 200_000.0,
                    ],
                ),
            ],
        },
        "facebook" => Shape {
            long_above: 76.6,
            cores: None,
            populations: vec![
                Population {
                    share: 0.67,
                    tasks: Spread::Fixed(1.0),
                    duration: Spread::LogNormal {
                        median: 3.0,
                        sigma: 0.6,
                    },
                    per_task: false,
                    within: 0.0,
                },
                Population {
                    share: 0.33,
                    tasks: Spread::Quantiles(vec![
                        (0.0, 1.0),
                        (0.25, 6.5),
                        (0.70, 114.0),
                        (0.97, 4_150.0),
                        (1.0, 43_700.0),
                    ]),
                    duration: Spread::LogNormal {
                        median: 20.0,
                        sigma: 0.8,
                    },
                    per_task: false,
                    within: 0.3,
                },
            ],
        },
        "alibaba" => Shape {
            long_above: 6_517.0,
            cores: Some(Spread::Quantiles(vec![
                (0.0, 1.0),
                (0.05, 3.15),
                (0.5, 11.3),
                (0.9, 16.4),
                (0.99, 32.0),
                (1.0, 120.0),
            ])),
            populations: vec![Population {
                share: 1.0,
                tasks: Spread::Fixed(1.0),
                duration: Spread::Quantiles(vec![
                    (0.0, 5.0),
                    (0.05, 40.0),
                    (0.25, 145.0),
                    (0.5, 485.0),
                    (0.9, 6_517.0),
                    (0.99, 94_573.0),
                    (1.0, 12_537_496.0),
                ]),
                per_task: false,
                within: 0.0,
            }],
        },
        _ => return None,
    })
}

impl Population {
    /// The mean work of a job, in seconds at speed 1.
    pub(crate) fn work(&self) -> f64 {
        self.tasks.mean().max(1.0) * self.duration.mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::dice::{Dice, Purpose};

    fn near(value: f64, aim: f64, within: f64, what: &str) {
        assert!(
            (value / aim - 1.0).abs() < within,
            "{what}: {value} is not {aim}"
        );
    }

    fn mean(name: &str, of: impl Fn(&Population) -> f64) -> f64 {
        let shape = shape(name);
        let populations = shape.map(|shape| shape.populations).unwrap_or_default();
        populations.iter().map(|one| one.share * of(one)).sum()
    }

    #[test]
    fn shapes_meet_the_facts_they_were_fitted_to() {
        near(mean("yahoo", |p| p.tasks.mean()), 42.2, 0.1, "yahoo tasks");
        near(mean("yahoo", Population::work), 28_617.0, 0.1, "yahoo work");
        near(
            mean("google", |p| p.tasks.mean()),
            31.3,
            0.1,
            "google tasks",
        );
        near(
            mean("google", Population::work),
            43_993.0,
            0.2,
            "google work",
        );
        near(
            mean("alibaba", Population::work),
            25_785.0,
            0.25,
            "alibaba work",
        );
    }

    #[test]
    fn quantiles_of_all_yahoo_tasks_come_out() {
        let Some(yahoo) = shape("yahoo") else {
            panic!("no yahoo")
        };
        let mut dice = Dice::new(5, Purpose::Sizes);
        let mut durations: Vec<(f64, f64)> = Vec::new();
        let mut total = 0.0;
        for population in &yahoo.populations {
            let jobs = 4_000;
            for _ in 0..jobs {
                let weight = population.share / f64::from(jobs) * population.tasks.draw(&mut dice);
                durations.push((population.duration.draw(&mut dice), weight));
                total += weight;
            }
        }
        durations.sort_by(|a, b| a.0.total_cmp(&b.0));
        let quantile = |share: f64| {
            let mut below = 0.0;
            for (duration, weight) in &durations {
                below += weight;
                if below >= share * total {
                    return *duration;
                }
            }
            f64::NAN
        };
        // Measured: 69 to 94 s and 1,530 to 2,810 s.
        assert!((50.0..150.0).contains(&quantile(0.5)), "{}", quantile(0.5));
        assert!(
            (1_300.0..3_200.0).contains(&quantile(0.9)),
            "{}",
            quantile(0.9)
        );
    }
}
