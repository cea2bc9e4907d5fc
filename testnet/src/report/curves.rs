//! What the plots show: means over seeds, as points.

use super::Policy;
use crate::outcome::Moment;

/// No more points than this along an axis of time: with more, noise hides the course.
const POINTS: f64 = 120.0;

/// A point of a curve.
pub(super) type Point = (f64, f64);

/// What of a moment is drawn: its weight in a mean and its value, given the seconds since the last.
pub(super) type Reading = fn(&Moment, f64) -> (f64, f64);

/// How many seconds make one point: at least the time between two moments.
pub(super) fn step(policies: &[Policy]) -> f64 {
    let runs = || policies.iter().flat_map(|policy| &policy.runs);
    let end = runs().map(|run| run.end.as_secs_f64()).fold(0.0, f64::max);
    let gaps = runs().filter_map(|run| {
        let between = run.course.get(1)?.at.saturating_sub(run.course.first()?.at);
        Some(between.as_secs_f64())
    });
    gaps.fold(end / POINTS, f64::max).max(1e-6)
}

/// A reading over time in seconds, mean over a policy's seeds and over the moments of each step.
pub(super) fn over_time(policy: &Policy, step: f64, reading: Reading) -> Vec<Point> {
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for run in &policy.runs {
        let mut before = 0.0;
        for moment in &run.course {
            let at = moment.at.as_secs_f64();
            let (weight, value) = reading(moment, at - before);
            before = at;
            if !(value.is_finite() && weight > 0.0) {
                continue;
            }
            // A moment on the edge between two steps belongs to the earlier one.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let slot = (at / step - 1e-6).ceil().max(0.0) as usize;
            if sums.len() <= slot {
                sums.resize(slot + 1, (0.0, 0.0));
            }
            sums[slot].0 += weight;
            sums[slot].1 += weight * value;
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let point = |(slot, (weight, sum)): (usize, (f64, f64))| {
        (weight > 0.0).then(|| (slot as f64 * step, sum / weight))
    };
    sums.into_iter().enumerate().filter_map(point).collect()
}

/// The share of tasks, in percent, whose response does not exceed a value in seconds: each quantile
/// is the mean over seeds. Values of 0 have no place on a logarithmic axis and are left out.
pub(super) fn responses(policy: &Policy) -> Vec<Point> {
    let runs: Vec<_> = policy
        .runs
        .iter()
        .map(|run| &run.response)
        .filter(|response| !response.value.is_empty())
        .collect();
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    let mut points = Vec::new();
    for (at, per_mille) in first.per_mille.iter().enumerate() {
        let values = runs.iter().filter_map(|run| run.value.get(at).copied());
        let values: Vec<f64> = values.collect();
        #[allow(clippy::cast_precision_loss)]
        let share = *per_mille as f64 / 10.0;
        match super::stats::mean(&values) {
            Some(value) if value > 0.0 => points.push((value, share)),
            _ => {}
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::super::sample::report;
    use super::*;

    #[test]
    fn curves_are_means_over_seeds() {
        let mut report = report();
        let each = step(&report.policies);
        assert!((each - 2.0).abs() < 1e-9, "{each}");
        for (at, run) in (1..).zip(&mut report.policies[0].runs) {
            run.course.truncate(100);
            for moment in &mut run.course {
                (moment.waiting, moment.messages) = (at, 7);
                moment.ended = at - 1;
                moment.response = if at == 1 { f64::NAN } else { f64::from(at) };
            }
        }
        let policy = &report.policies[0];
        let waiting = over_time(policy, 1.0, |m, _| (1.0, f64::from(m.waiting)));
        assert_eq!((waiting.len(), waiting[0]), (100, (1.0, 2.0)));
        // Two seconds a point: the weights are 0, 1, 2; not a number has none.
        let response = over_time(policy, 2.0, |m, _| (f64::from(m.ended), m.response));
        assert_eq!((response.len(), response[0]), (50, (2.0, 8.0 / 3.0)));
        #[allow(clippy::cast_precision_loss)]
        let rate = over_time(policy, 2.0, |m, since| (since, m.messages as f64 / since));
        assert_eq!(rate[49], (100.0, 7.0));
    }

    #[test]
    fn a_distribution_rises_to_all() {
        let report = report();
        let points = responses(&report.policies[0]);
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 < b.1));
        assert_eq!(points.last().map(|point| point.1), Some(100.0));
        let mut empty = report.policies[0].clone();
        empty.runs.clear();
        assert!(responses(&empty).is_empty());
    }
}
