//! Why a measurement is not taken.

/// A measurement that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum LearnError {
    /// Times and speeds are above 0.
    #[error("{0} is not above 0")]
    NotPositive(f64),
    /// Neither infinite nor missing.
    #[error("{0} is not a finite number")]
    NotFinite(f64),
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
