//! What waits between two steps of SASL: bounded in number, and in time where there are so many.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Exchanges under way at once; one more is told to come back.
pub(crate) const MAX_EXCHANGES: usize = 100_000;
/// How long one is kept, where there are so many: nobody breaks off those of a connection manager that has died.
pub(crate) const EXCHANGE_WITHIN: Duration = Duration::from_secs(600);

/// Exchanges whose first challenge is out, by the identifier of the exchange.
pub(crate) struct Exchanges<T> {
    begun: HashMap<u128, (Instant, T)>,
    /// Before it none of those that were there at the last look is too old: whoever finds no room does not look at all of them again.
    look_at: Instant,
}

impl<T> Default for Exchanges<T> {
    fn default() -> Exchanges<T> {
        Exchanges { begun: HashMap::new(), look_at: Instant::now() }
    }
}

impl<T> Exchanges<T> {
    /// False if there are too many, none of them too old.
    pub(crate) fn begin(&mut self, exchange: u128, what: T) -> bool {
        let now = Instant::now();
        if self.begun.len() >= MAX_EXCHANGES && now >= self.look_at {
            self.forget_old(now);
        }
        let has_room = self.begun.len() < MAX_EXCHANGES;
        if has_room {
            self.begun.insert(exchange, (now, what));
        }
        has_room
    }

    /// What was begun, once.
    pub(crate) fn end(&mut self, exchange: u128) -> Option<T> {
        self.begun.remove(&exchange).map(|(_, what)| what)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.begun.len()
    }

    fn forget_old(&mut self, now: Instant) {
        self.begun.retain(|_, (begun, _)| now.duration_since(*begun) < EXCHANGE_WITHIN);
        let oldest = self.begun.values().map(|(begun, _)| *begun).min();
        self.look_at = oldest.unwrap_or(now) + EXCHANGE_WITHIN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin_all(exchanges: &mut Exchanges<()>, range: std::ops::Range<usize>) -> usize {
        range.filter(|exchange| exchanges.begin(*exchange as u128, ())).count()
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_looks_again_when_the_oldest_is_too_old() {
        let mut exchanges = Exchanges::default();
        let half = MAX_EXCHANGES / 2;
        begin_all(&mut exchanges, 0..half);
        tokio::time::advance(Duration::from_secs(60)).await;
        begin_all(&mut exchanges, half..MAX_EXCHANGES);

        assert!(!exchanges.begin(0, ()));
        assert_eq!(exchanges.look_at - Instant::now(), EXCHANGE_WITHIN - Duration::from_secs(60));

        tokio::time::advance(EXCHANGE_WITHIN - Duration::from_secs(60)).await;
        assert!(exchanges.begin(0, ()));
        assert_eq!(exchanges.len(), MAX_EXCHANGES - half + 1);
        assert_eq!(exchanges.end(0), Some(()));
        assert_eq!(exchanges.end(0), None);
    }
}
