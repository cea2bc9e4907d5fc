//! What gossip may spend: bytes per second, both directions together, whatever the cluster's size
//! (compare Scuttlebutt's flow control, van Renesse et al. 2008). A token bucket allows a burst of
//! five seconds, so that a joiner learns everything at once; a sliding window of ten seconds keeps
//! the mean within the budget in spite of it. What must go at once (pings, suspicions) goes and is
//! charged; exchanges wait until the charge is paid off. A node that starts has an
//! allowance besides, once in its life: it has everything to learn, and its seed many to introduce.

use std::time::Duration;

use starling_wire::Time;

const BURST_SECONDS: i64 = 5;
/// The budget of so many seconds may be spent besides at the start of a node's life.
const ALLOWANCE_SECONDS: i64 = 16;
const ALLOWED_FOR: Duration = Duration::from_secs(15);
/// No more than that is ever to be paid off.
const DEBT_SECONDS: i64 = 3;
const WINDOW_SECONDS: i64 = 10;
/// One more than the window: the oldest second is only partly inside.
const SLOTS: usize = 11;
const MICRO: i64 = 1_000_000;

/// What was spent and what is left.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Bytes per second.
    rate: i64,
    /// Millionths of a byte; below zero after unavoidable spending.
    tokens: i64,
    refilled: Time,
    /// Bytes of the allowance that are left, and until when.
    allowance: i64,
    allowed_until: Time,
    spent: [i64; SLOTS],
    /// The second that the newest slot counts.
    second: u64,
}

impl Budget {
    pub(crate) fn new(bytes_per_second: u32, now: Time) -> Self {
        let rate = i64::from(bytes_per_second);
        Self {
            rate,
            tokens: rate * BURST_SECONDS * MICRO,
            refilled: now,
            allowance: rate * ALLOWANCE_SECONDS,
            allowed_until: now + ALLOWED_FOR,
            spent: [0; SLOTS],
            second: now.as_micros() / 1_000_000,
        }
    }

    /// Charges a frame sent or received.
    pub(crate) fn spend(&mut self, now: Time, bytes: usize) {
        self.refill(now);
        let mut bytes = i64::try_from(bytes).unwrap_or(i64::MAX).min(1 << 32);
        if now < self.allowed_until {
            let free = bytes.min(self.allowance);
            self.allowance -= free;
            bytes -= free;
        }
        let floor = -self.rate * DEBT_SECONDS * MICRO;
        self.tokens = (self.tokens - bytes * MICRO).max(floor);
        let slot = self.slot();
        self.spent[slot] = self.spent[slot].saturating_add(bytes);
    }

    /// How many bytes may be spent now.
    pub(crate) fn available(&mut self, now: Time) -> usize {
        self.refill(now);
        let allowance = if now < self.allowed_until {
            self.allowance
        } else {
            0
        };
        let tokens = (self.tokens / MICRO).min(self.window_left()).max(0);
        usize::try_from(tokens + allowance).unwrap_or(0)
    }

    /// How long until about `bytes` may be spent.
    pub(crate) fn wait(&mut self, now: Time, bytes: usize) -> Duration {
        self.refill(now);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX).min(1 << 32);
        let missing = (bytes - self.tokens / MICRO).max(0);
        let wait = u64::try_from(missing * 1_000 / self.rate.max(1)).unwrap_or(0);
        let window = if self.window_left() < bytes { 1_000 } else { 0 };
        Duration::from_millis(wait.max(window).clamp(50, 3_000))
    }

    fn window_left(&self) -> i64 {
        let spent = self
            .spent
            .iter()
            .fold(0_i64, |sum, slot| sum.saturating_add(*slot));
        // A twentieth is kept for what must go at once.
        self.rate * WINDOW_SECONDS * 19 / 20 - spent.min(1 << 60)
    }

    fn slot(&self) -> usize {
        usize::try_from(self.second % SLOTS as u64).unwrap_or(0)
    }

    fn refill(&mut self, now: Time) {
        let passed = now.since(self.refilled).as_micros().min(10_000_000);
        let passed = i64::try_from(passed).unwrap_or(0);
        self.refilled = self.refilled.max(now);
        let full = self.rate * BURST_SECONDS * MICRO;
        self.tokens = (self.tokens + passed * self.rate).min(full);
        let second = now.as_micros() / 1_000_000;
        let behind = second.saturating_sub(self.second);
        if behind >= SLOTS as u64 {
            self.spent = [0; SLOTS];
            self.second = second;
        }
        while self.second < second {
            self.second += 1;
            let slot = self.slot();
            self.spent[slot] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_of_ten_seconds_exceeds_the_budget() {
        let mut budget = Budget::new(4096, Time::ZERO);
        let mut spent = Vec::new();
        for ms in 15_000..55_000_u64 {
            let now = Time::from_millis(ms);
            if budget.available(now) >= 300 {
                budget.spend(now, 300);
                spent.push((ms, 300));
            }
        }
        for start in (15_000..45_000).step_by(250) {
            let sum: usize = spent
                .iter()
                .filter(|(ms, _)| (start..start + 10_000).contains(ms))
                .map(|(_, bytes)| bytes)
                .sum();
            assert!(sum <= 40_960, "{sum} from {start}");
        }
        let total: usize = spent.iter().map(|(_, bytes)| bytes).sum();
        assert!(total > 40 * 4096 * 8 / 10, "{total}");
    }

    #[test]
    fn the_allowance_is_spent_once() {
        let mut budget = Budget::new(1_000, Time::ZERO);
        assert_eq!(budget.available(Time::ZERO), 16_000 + 5_000);
        budget.spend(Time::ZERO, 20_000);
        assert_eq!(budget.available(Time::ZERO), 1_000);
        assert_eq!(budget.available(Time::from_millis(60_000)), 5_000);
    }

    #[test]
    fn absurd_sizes_and_times_do_no_harm() {
        let mut budget = Budget::new(u32::MAX, Time(u64::MAX / 2));
        for _ in 0..20 {
            budget.spend(Time(u64::MAX), usize::MAX);
        }
        assert_eq!(budget.available(Time(u64::MAX)), 0);
        let _ = budget.wait(Time(0), usize::MAX);
    }
}
