//! The one place where this crate reads the clock. It works on real processes, which take real
//! time; nothing here decides what the engine decides.

use std::time::Instant;

/// The time now.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
