//! Lifeguard's local health (Dadgar et al. 2018): a node that finds itself slow, or accuses others
//! who then turn out to live, gives its suspicions more time before it trusts them. Unlike
//! Lifeguard it does not slow its probes down: they cost little, and evidence is what is lacking.

use std::time::Duration;

/// The multiplier is one more.
const WORST: u32 = 3;

/// How far this node may trust its own accusations.
#[derive(Debug, Default)]
pub(crate) struct Health {
    score: u32,
}

impl Health {
    /// A probe was answered in time.
    pub(crate) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// An accusation proved wrong, or the process was starved.
    pub(crate) fn worse(&mut self) {
        self.score = (self.score + 1).min(WORST);
    }

    /// A time-out of a suspicion, given the present health.
    pub(crate) fn scale(&self, timeout: Duration) -> Duration {
        timeout * (1 + self.score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_multiplier_stays_between_one_and_four() {
        let (mut health, second) = (Health::default(), Duration::from_secs(1));
        health.better();
        assert_eq!(health.scale(second), second);
        (0..10).for_each(|_| health.worse());
        assert_eq!(health.scale(second), 4 * second);
        (0..3).for_each(|_| health.better());
        assert_eq!(health.scale(second), second);
    }
}
