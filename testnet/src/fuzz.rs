//! Bad weather by seed: small clusters that crash, stand still, are cut apart and lose frames while
//! jobs come in, and what must hold when the weather has cleared. A seed that fails is kept by name.

mod fate;
mod faults;
mod run;

use std::panic::{AssertUnwindSafe, catch_unwind};

use run::Run;

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Daemons and machines crash and come back, stand still, are cut off, and frames are lost.
    Stormy,
    /// Besides, one machine burns down with its disk.
    Lethal,
    /// Machines crash, and one burns down, but the network is whole: nobody is wrongly held dead.
    Clear,
    /// As stormy, with cuts into three, daemons that stand still for long and clocks that differ;
    /// tasks may run at most once.
    Leased,
    /// Up to fifty machines whose clocks and disks differ, cuts that go one way or come and go, and
    /// jobs of all kinds.
    Wild,
}

impl Weather {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Stormy,
        Self::Lethal,
        Self::Clear,
        Self::Leased,
        Self::Wild,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stormy => "stormy",
            Self::Lethal => "lethal",
            Self::Clear => "clear",
            Self::Leased => "leased",
            Self::Wild => "wild",
        }
    }

    /// The weather of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|weather| weather.name() == name)
    }

    /// Whether one machine burns down.
    const fn burns(self) -> bool {
        matches!(self, Self::Lethal | Self::Clear)
    }
}

/// What a run has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Events handled.
    pub events: u64,
    /// Jobs that were acknowledged, and their tasks.
    pub jobs: u64,
    /// Their tasks.
    pub tasks: u64,
    /// Starts of tasks beyond one each.
    pub again: u64,
    /// Faults.
    pub faults: u64,
}

/// Plays one seed; the error says what did not hold. The same seed gives the same run.
pub fn play(seed: u64, weather: Weather) -> Result<Seen, String> {
    // An engine that panics is a finding like any other.
    let played = catch_unwind(AssertUnwindSafe(|| Run::new(seed, weather).play()));
    let result = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(text.unwrap_or_else(|| "a panic without words".to_owned()))
    });
    result.map_err(|problem| format!("{}, seed {seed}: {problem}", weather.name()))
}
