//! How fast a client is read: a token bucket, in time since its connection began.

use std::time::Duration;

/// Fills at a rate up to a burst. Never refuses: what is taken too much has to be waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    level: i64,
    at: Duration,
}

/// The rate of one kind of thing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) per_second: u32, // 0: unlimited
    pub(crate) at_once: u32,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Bucket {
        Bucket { level: i64::from(rate.at_once), at: Duration::ZERO }
    }

    /// Takes `amount` at `now`.
    pub(crate) fn take(&mut self, rate: Rate, now: Duration, amount: usize) {
        if rate.per_second == 0 {
            return;
        }
        let elapsed = now.saturating_sub(self.at);
        let gained = elapsed.as_micros().saturating_mul(u128::from(rate.per_second)) / 1_000_000;
        if gained > 0 {
            let gained = i64::try_from(gained).unwrap_or(i64::MAX);
            self.level = self.level.saturating_add(gained).min(i64::from(rate.at_once));
            self.at = now;
        }
        self.level = self.level.saturating_sub(i64::try_from(amount).unwrap_or(i64::MAX));
    }

    /// Until when nothing is to be read, if that lies in the future.
    pub(crate) fn paused_until(&self, rate: Rate, now: Duration) -> Option<Duration> {
        if rate.per_second == 0 || self.level >= 0 {
            return None;
        }
        let micros = self.level.unsigned_abs().saturating_mul(1_000_000) / u64::from(rate.per_second);
        Some(self.at + Duration::from_micros(micros)).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, at_once: 5 };

    #[test]
    fn a_burst_is_free_and_the_rest_waits() {
        let mut bucket = Bucket::new(RATE);
        bucket.take(RATE, Duration::ZERO, 5);
        assert_eq!(bucket.paused_until(RATE, Duration::ZERO), None);
        bucket.take(RATE, Duration::ZERO, 2);
        assert_eq!(bucket.paused_until(RATE, Duration::ZERO), Some(Duration::from_millis(200)));
        assert_eq!(bucket.paused_until(RATE, Duration::from_millis(200)), None);
    }

    #[test]
    fn rest_fills_it_up_to_the_burst_only() {
        let mut bucket = Bucket::new(RATE);
        bucket.take(RATE, Duration::from_secs(60), 6);
        assert_eq!(bucket.paused_until(RATE, Duration::from_secs(60)), Some(Duration::from_millis(60_100)));
    }

    #[test]
    fn many_small_steps_gain_as_much_as_one() {
        let mut bucket = Bucket::new(RATE);
        bucket.take(RATE, Duration::ZERO, 15);
        for millis in (0..1000).step_by(7) {
            bucket.take(RATE, Duration::from_millis(millis), 0);
        }
        assert_eq!(bucket.paused_until(RATE, Duration::from_secs(2)), None);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let unlimited = Rate { per_second: 0, at_once: 0 };
        let mut bucket = Bucket::new(unlimited);
        bucket.take(unlimited, Duration::ZERO, usize::MAX);
        assert_eq!(bucket.paused_until(unlimited, Duration::ZERO), None);
    }
}
