//! Numbers with bounds.

use serde::Deserialize;

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(crate) struct Number<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Number<MIN, MAX> {
    /// The number.
    pub(crate) fn get(self) -> u64 {
        self.0
    }

    /// As a size.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The nearest that is within the bounds.
    pub(crate) fn clamp(number: u64) -> Self {
        Self(number.clamp(MIN, MAX))
    }
}

impl<const MIN: u64, const MAX: u64> TryFrom<i64> for Number<MIN, MAX> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        let found = u64::try_from(number).ok().filter(|number| (MIN..=MAX).contains(number));
        found.map(Self).ok_or_else(|| format!("{number} is not between {MIN} and {MAX}"))
    }
}

/// The default of a field.
pub(super) fn bounded<const DEFAULT: u64, const MIN: u64, const MAX: u64>() -> Number<MIN, MAX> {
    Number::clamp(DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_within_its_bounds() {
        assert_eq!(Number::<1, 10>::try_from(10).map(Number::get), Ok(10));
        assert!(Number::<1, 10>::try_from(11).is_err() && Number::<1, 10>::try_from(0).is_err());
        assert!(Number::<1, 10>::try_from(-1).is_err());
        assert_eq!((Number::<1, 10>::clamp(0).get(), Number::<1, 10>::clamp(99).size()), (1, 10));
    }
}
