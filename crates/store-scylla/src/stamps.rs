//! CQL timestamps of what is not ordered by an archive id: the time of all session routers, but never twice and never back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use starling_ports::clock::{Clock, SystemClock};

/// Microseconds since 1970, as CQL counts them; each is higher than those before it.
#[derive(Default)]
pub(crate) struct Stamps {
    last: AtomicI64,
    clock: OnceLock<Arc<dyn Clock>>,
}

impl Stamps {
    /// Goes by this clock from now on. The first one stays.
    pub(crate) fn keep_time(&self, clock: Arc<dyn Clock>) {
        let _ = self.clock.set(clock);
    }

    pub(crate) fn next(&self) -> i64 {
        let now = self.clock.get().map_or_else(|| SystemClock.now(), |clock| clock.now());
        self.above(i64::try_from(now.0).unwrap_or(i64::MAX))
    }

    /// The driver would stamp each attempt anew, and a late one could then undo what came after it. So a stamp is bound
    /// once, with the values.
    fn above(&self, now: i64) -> i64 {
        let last =
            self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
        last.map_or(now, |last| now.max(last + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_only_grow() {
        let stamps = Stamps::default();
        let given: Vec<i64> = [100, 50, 100, 200, 199].map(|now| stamps.above(now)).to_vec();
        assert_eq!(given, [100, 101, 102, 200, 201]);
    }
}
