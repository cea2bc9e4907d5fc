//! How hard the host was pressed while a task ran: sums over time, so that the mean over any span
//! takes two readings and no history.

use std::time::Duration;

use starling_placement::Pressure;
use starling_wire::Time;

/// The resources whose pressure slows tasks down. Memory is not among them: that a host's memory is
/// full is no contention.
const SLOWING: [(usize, &str); 3] = [(0, "cpu"), (2, "io"), (3, "network")];
/// Up to this pressure, a quarter of the greatest, a host counts as quiet.
const QUIET: u64 = 63;

/// What an ended task taught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Measurement {
    /// The class's name; empty if that is not known.
    pub(crate) class: String,
    /// How long it ran.
    pub(crate) ran: Duration,
    /// The resource that was pressed hardest meanwhile and the quarter that its mean pressure fell
    /// into, 2 to 4; none if the host was quiet.
    pub(crate) pressed: Option<(&'static str, u8)>,
}

/// Pressure summed over time.
#[derive(Debug, Default)]
pub(super) struct Pressed {
    present: [u8; 4],
    /// Pressure times microseconds, up to `at`.
    sums: [u64; 4],
    at: Time,
}

impl Pressed {
    /// The sensors were read: what they show holds until the next reading.
    pub(super) fn sample(&mut self, pressure: Pressure, now: Time) {
        self.sums = self.sum_at(now);
        self.at = self.at.max(now);
        self.present = pressure.into();
    }

    /// The sums up to now.
    pub(super) fn sum_at(&self, now: Time) -> [u64; 4] {
        let passed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        let mut sums = self.sums;
        for (sum, pressure) in sums.iter_mut().zip(self.present) {
            *sum = sum.saturating_add(passed.saturating_mul(pressure.into()));
        }
        sums
    }

    /// The resource that was pressed hardest between a time with those sums and now, and how hard;
    /// none if none was.
    pub(super) fn since(
        &self,
        sums: [u64; 4],
        from: Time,
        now: Time,
    ) -> Option<(&'static str, u8)> {
        let passed = u64::try_from(now.since(from).as_micros()).ok()?.max(1);
        let now = self.sum_at(now);
        let means = SLOWING.map(|(at, name)| (now[at].saturating_sub(sums[at]) / passed, name));
        let (mean, name) = means.into_iter().max_by_key(|(mean, _)| *mean)?;
        let level = u8::try_from(mean.min(255) / (QUIET + 1) + 1).unwrap_or(4);
        (mean > QUIET).then_some((name, level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_the_span_that_is_asked_for() {
        let (second, at) = (Duration::from_secs(1), Time::ZERO);
        let mut pressed = Pressed::default();
        pressed.sample([200, 255, 0, 0].into(), at);
        let start = pressed.sum_at(at + second);
        assert_eq!(
            pressed.since(start, at + second, at + 2 * second),
            Some(("cpu", 4))
        );
        pressed.sample([0, 255, 100, 0].into(), at + 2 * second);
        // Half at 200, half at 0, and io half at 100.
        let end = at + 3 * second;
        assert_eq!(pressed.since(start, at + second, end), Some(("cpu", 2)));
        let late = pressed.sum_at(at + 2 * second);
        assert_eq!(pressed.since(late, at + 2 * second, end), Some(("io", 2)));
        pressed.sample([63, 255, 0, 0].into(), end);
        let quiet = pressed.sum_at(end);
        assert_eq!(pressed.since(quiet, end, end + second), None);
    }

    #[test]
    fn clocks_that_jump_do_no_harm() {
        let mut pressed = Pressed::default();
        pressed.sample([255; 4].into(), Time(u64::MAX));
        pressed.sample([255; 4].into(), Time::ZERO);
        let start = pressed.sum_at(Time(u64::MAX));
        assert_eq!(pressed.since(start, Time(5), Time(1)), None);
    }
}
