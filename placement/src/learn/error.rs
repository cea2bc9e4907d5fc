//! Why a measurement is not taken.

/// A measurement that cannot be taken, or is not believed yet.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum LearnError {
    /// Times and speeds are above 0.
    #[error("{0} is not above 0")]
    NotPositive(f64),
    /// Neither infinite nor missing.
    #[error("{0} is not a finite number")]
    NotFinite(f64),
    /// It is too far from what was measured before; believed once it is repeated.
    #[error("it is {factor:.1} times what was measured before: set aside until it is repeated")]
    Inconsistent {
        /// How many times what was measured before, or less than 1.
        factor: f64,
    },
    /// There is no room for one more column.
    #[error("there are {limit} columns already")]
    TooManyColumns {
        /// The most there may be.
        limit: usize,
    },
}

/// The logarithm of a time or a speed, if it is one.
pub(super) fn logarithm(value: f64) -> Result<f64, LearnError> {
    if !value.is_finite() {
        return Err(LearnError::NotFinite(value));
    }
    if value <= 0.0 {
        return Err(LearnError::NotPositive(value));
    }
    Ok(libm::log(value))
}
