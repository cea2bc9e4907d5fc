//! How far predictions were off: expected against actual run times of tasks that ended well.

use std::time::Duration;

use starling_placement::Predicted;
use starling_placement::learn::EIGHTY;

/// The running mean forgets: it is over about so many tasks.
const MEMORY: f64 = 64.0;

/// Predictions of this node as an owner, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Predictions {
    /// Tasks whose run time was predicted when they were placed, and that ended well.
    pub count: u64,
    /// Those of them that ran as long as eight in ten were expected to.
    pub within: u64,
    /// The running mean of the absolute logarithm of actual over predicted time; 0.1 is about 10%.
    pub error: f64,
}

impl Predictions {
    /// A task that was expected to take this long has run.
    pub(super) fn add(&mut self, predicted: &Predicted, ran: Duration) {
        let Some(seconds) = predicted.seconds.filter(|_| !ran.is_zero()) else {
            return;
        };
        let off = libm::log(ran.as_secs_f64() / seconds).abs();
        if !off.is_finite() {
            return;
        }
        self.count += 1;
        self.within += u64::from(off <= EIGHTY * predicted.deviation);
        #[allow(clippy::cast_precision_loss)]
        let share = 1.0 / (self.count as f64).min(MEMORY);
        self.error += (off - self.error) * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_placement::Origin;

    #[test]
    fn errors_are_averaged_and_intervals_counted() {
        let mut told = Predictions::default();
        let mut predicted = Predicted {
            speed: 1.0,
            slowdown: 1.0,
            harm: 0.0,
            seconds: Some(10.0),
            deviation: 0.1,
            speed_from: Origin::Own,
            slowdown_from: None,
        };
        told.add(&predicted, Duration::from_secs(11));
        told.add(&predicted, Duration::from_secs(20));
        told.add(&predicted, Duration::ZERO);
        predicted.seconds = None;
        told.add(&predicted, Duration::from_secs(1));
        assert_eq!((told.count, told.within), (2, 1));
        let mean = f64::midpoint(libm::log(1.1), libm::log(2.0));
        assert!((told.error - mean).abs() < 1e-9, "{told:?}");
    }
}
