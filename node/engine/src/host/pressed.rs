//! How hard the host was pressed while a task ran: sums over time, so that the mean over any span
//! takes two readings and no history; and what a task adds, from the readings before and after it
//! came or went.

use std::time::Duration;

use starling_placement::resources::milli_excess;
use starling_placement::{Excess, Pressure};
use starling_wire::Time;

/// A reading tells of what runs now if nothing has come or gone for so many readings: sensors show
/// the mean since the reading before.
const STEADY: u32 = 2;

/// What an ended task taught.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measurement {
    /// The class's name; empty if that is not known.
    pub(crate) class: String,
    /// What was measured.
    pub(crate) what: Measured,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Measured {
    /// A task ran so long, under this mean excess, its own included.
    Ran(Duration, Excess),
    /// The host's excess grew by this when a task came, or shrank by it when it went.
    Exerted(Excess),
}

/// Excess summed over time.
#[derive(Debug, Default)]
pub(super) struct Pressed {
    /// In thousandths.
    present: [u32; 4],
    /// The same times microseconds, up to `at`.
    sums: [u64; 4],
    at: Time,
    /// Readings since a task last came or went.
    readings: u32,
    /// A lone task that came or went since readings were steady: its class, whether it came, and the
    /// excess before.
    moved: Option<(String, bool, [u32; 4])>,
}

impl Pressed {
    /// The sensors were read: what they show holds until the next reading. What a task was found to
    /// exert, if that shows now.
    pub(super) fn sample(&mut self, pressure: Pressure, now: Time) -> Option<Measurement> {
        self.sums = self.sum_at(now);
        self.at = self.at.max(now);
        self.present = <[u8; 4]>::from(pressure).map(milli_excess);
        self.readings = self.readings.saturating_add(1);
        if self.readings != STEADY {
            return None;
        }
        let (class, came, before) = self.moved.take()?;
        let mut exerted = Excess::default();
        for (at, exerted) in exerted.iter_mut().enumerate() {
            let grown = f64::from(self.present[at]) - f64::from(before[at]);
            *exerted = if came { grown } else { -grown } / 1e3;
        }
        Some(Measurement {
            class,
            what: Measured::Exerted(exerted),
        })
    }

    /// A task came or went.
    pub(super) fn moved(&mut self, class: String, came: bool) {
        let steady = self.readings >= STEADY;
        self.readings = 0;
        self.moved = steady.then_some((class, came, self.present));
    }

    /// The sums up to now.
    pub(super) fn sum_at(&self, now: Time) -> [u64; 4] {
        let passed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        let mut sums = self.sums;
        for (sum, excess) in sums.iter_mut().zip(self.present) {
            *sum = sum.saturating_add(passed.saturating_mul(excess.into()));
        }
        sums
    }

    /// The mean excess between a time with those sums and now.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn since(&self, sums: [u64; 4], from: Time, now: Time) -> Excess {
        let passed = u64::try_from(now.since(from).as_micros()).unwrap_or(u64::MAX);
        let now = self.sum_at(now);
        let mean = |at: usize| {
            let sum = now[at].saturating_sub(sums[at]);
            (sum as f64 / passed.max(1) as f64 / 1e3).min(16.0)
        };
        [mean(0), mean(1), mean(2), mean(3)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_the_span_that_is_asked_for() {
        let (second, at) = (Duration::from_secs(1), Time::ZERO);
        let mut pressed = Pressed::default();
        // 204 of 255 are four fifths: an excess of 4; 51 are one fifth: a quarter.
        pressed.sample([204, 0, 0, 0].into(), at);
        let start = pressed.sum_at(at + second);
        assert_eq!(
            pressed.since(start, at + second, at + 2 * second),
            [4.0, 0.0, 0.0, 0.0]
        );
        pressed.sample([0, 0, 51, 0].into(), at + 2 * second);
        let end = at + 3 * second;
        assert_eq!(
            pressed.since(start, at + second, end),
            [2.0, 0.0, 0.125, 0.0]
        );
    }

    #[test]
    fn clocks_that_jump_do_no_harm() {
        let mut pressed = Pressed::default();
        pressed.sample([255; 4].into(), Time(u64::MAX));
        pressed.sample([255; 4].into(), Time::ZERO);
        let start = pressed.sum_at(Time(u64::MAX));
        assert_eq!(pressed.since(start, Time(5), Time(1)), [0.0; 4]);
    }

    #[test]
    fn what_a_task_exerts_shows_if_nothing_else_moved() {
        let mut pressed = Pressed::default();
        let read =
            |pressed: &mut Pressed, cpu: u8| pressed.sample([cpu, 0, 0, 0].into(), Time::ZERO);
        for cpu in [51, 51] {
            assert_eq!(read(&mut pressed, cpu), None);
        }
        pressed.moved("encode".to_owned(), true);
        // The first reading is partly of before.
        assert_eq!(read(&mut pressed, 90), None);
        let found = read(&mut pressed, 127).unwrap();
        let Measured::Exerted([cpu, ..]) = found.what else {
            panic!("{found:?}");
        };
        assert!(
            found.class == "encode" && (cpu - 0.742).abs() < 0.01,
            "{cpu}"
        );
        assert_eq!(read(&mut pressed, 127), None);
        // Two moves at a time cannot be told apart.
        pressed.moved("encode".to_owned(), false);
        pressed.moved("backup".to_owned(), true);
        assert_eq!(
            (read(&mut pressed, 60), read(&mut pressed, 60)),
            (None, None)
        );
        pressed.moved("backup".to_owned(), false);
        read(&mut pressed, 60);
        let found = read(&mut pressed, 0).unwrap();
        assert!(matches!(found.what, Measured::Exerted([cpu, ..]) if cpu > 0.3));
    }
}
