//! CQL timestamps of what is not ordered by an archive id: the clock, but never twice and never back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970, as CQL counts them; each is higher than those before it.
pub(crate) struct Stamps(AtomicI64);

impl Stamps {
    pub(crate) fn new() -> Stamps {
        Stamps(AtomicI64::new(0))
    }

    pub(crate) fn next(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.above(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
    }

    /// The driver would stamp each attempt anew, and a late one could then undo what came after it. So a stamp is bound
    /// once, with the values.
    fn above(&self, now: i64) -> i64 {
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
        last.map_or(now, |last| now.max(last + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_only_grow() {
        let stamps = Stamps::new();
        let given: Vec<i64> = [100, 50, 100, 200, 199].map(|now| stamps.above(now)).to_vec();
        assert_eq!(given, [100, 101, 102, 200, 201]);
    }
}
