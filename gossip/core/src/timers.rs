//! One ordered index of everything that will be due, so that the next deadline costs nothing to
//! know and an event costs O(log n). The obvious alternative, a scan of all members for the
//! soonest, would make each frame cost O(n).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use starling_wire::{NodeId, Time};

/// What may become due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Outputs wait that an input without an output list caused.
    Flush,
    /// The next exchange with a random member.
    Exchange,
    /// Exchanges owed to peers whose link is new.
    Owed,
    /// The own record: a change waits, or it has to be signed anew.
    Publish,
    /// Static parts are still missing.
    Statics,
    /// The address book has changed.
    Book,
    /// Own observations may be worth telling.
    Observe,
    /// Observations are to be saved.
    Save,
    /// Members that this node works with are missing.
    Seek,
    /// A watched node may have been silent for too long.
    Watch(NodeId),
    /// A ping is to be repeated, or has not been answered.
    Ping(NodeId),
    /// A suspicion becomes a death.
    Suspicion(NodeId),
    /// A port that refused is to be tried again.
    Refused(NodeId),
    /// The next attempt of the dial loop.
    Dial(NodeId),
    /// A dial had no outcome.
    DialTimeout(NodeId),
}

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    now: Time,
    at: BTreeMap<Timer, Time>,
    queue: BTreeSet<(Time, Timer)>,
}

impl Timers {
    /// From here on nothing may be set to `now` or before: so each timer fires at most once in a
    /// tick, and a tick always makes progress.
    pub(crate) fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// Sets or moves a timer.
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.cancel(timer);
        let at = at.max(self.now + Duration::from_micros(1));
        self.at.insert(timer, at);
        self.queue.insert((at, timer));
    }

    /// Sets a timer, or moves it if it would fire later.
    pub(crate) fn set_sooner(&mut self, timer: Timer, at: Time) {
        if self.at.get(&timer).is_none_or(|held| *held > at) {
            self.set(timer, at);
        }
    }

    /// Sets a timer unless it is set.
    pub(crate) fn set_if_idle(&mut self, timer: Timer, at: Time) {
        if !self.is_set(timer) {
            self.set(timer, at);
        }
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at.contains_key(&timer)
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.queue.remove(&(at, timer));
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.at.clear();
        self.queue.clear();
    }

    /// When the soonest timer fires.
    pub(crate) fn first(&self) -> Option<Time> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The next timer that is due.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }

    /// Puts off every timer that `which` names.
    pub(crate) fn delay(&mut self, by: Duration, which: impl Fn(Timer) -> bool) {
        let moved: Vec<(Timer, Time)> = self
            .at
            .iter()
            .filter(|(timer, _)| which(**timer))
            .map(|(timer, at)| (*timer, *at))
            .collect();
        for (timer, at) in moved {
            self.set(timer, at + by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_and_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Book, Time(30));
        timers.set(Timer::Exchange, Time(20));
        timers.set(Timer::Exchange, Time(10));
        timers.set_sooner(Timer::Exchange, Time(15));
        assert_eq!(timers.first(), Some(Time(10)));
        timers.advance(Time(12));
        assert_eq!(timers.pop(Time(12)), Some(Timer::Exchange));
        timers.set(Timer::Exchange, Time(5));
        assert_eq!(timers.pop(Time(12)), None);
        assert_eq!(timers.first(), Some(Time(13)));
        timers.delay(Duration::from_micros(50), |timer| timer == Timer::Exchange);
        assert_eq!(timers.pop(Time(40)), Some(Timer::Book));
        assert_eq!(timers.pop(Time(40)), None);
        assert_eq!(timers.first(), Some(Time(63)));
    }
}
