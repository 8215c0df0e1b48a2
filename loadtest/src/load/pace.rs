//! When a message may be sent: when one before it has arrived (closed loop), or when it is due (open loop).

use crate::load::Stage;
use crate::recorder::micros;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};

/// The pace of one sender.
#[derive(Debug, Clone)]
pub(crate) enum Pace {
    Closed(Arc<Semaphore>),
    Open(Arc<Due>),
}

/// How many messages of one sender are due by now, and by which plan.
#[derive(Debug)]
pub(crate) struct Due {
    due: AtomicU64,
    changed: Notify,
    /// Its place among all senders, and how many they are: they take turns.
    place: u64,
    of: u64,
    per_second: u64,
    /// So many are due at one time.
    burst: u64,
}

impl Due {
    /// Sender `place` of `of`, which together send `per_second`, each `burst` at a time.
    pub(crate) fn new(place: u64, of: u64, per_second: u64, burst: u64) -> Self {
        Self {
            due: AtomicU64::new(0),
            changed: Notify::new(),
            place,
            of: of.max(1),
            per_second: per_second.max(1),
            burst: burst.max(1),
        }
    }

    /// When its message `number` is due, in microseconds from the beginning.
    fn at(&self, number: u64) -> u64 {
        let turn = u128::from(self.place + number / self.burst * self.of) * u128::from(self.burst);
        u64::try_from(turn * 1_000_000 / u128::from(self.per_second)).unwrap_or(u64::MAX)
    }
}

impl Pace {
    /// Waits until more than `sent` may be sent; how many more, or none at `stop`.
    pub(crate) async fn room(&self, sent: u64, most: usize, stop: Instant) -> Option<u64> {
        match self {
            Self::Closed(window) => {
                timeout_at(stop, window.acquire()).await.ok()?.ok()?.forget();
                let more = window.forget_permits(most);
                Some(1 + u64::try_from(more).unwrap_or(0))
            }
            Self::Open(due) => loop {
                let more = due.due.load(Ordering::Acquire).saturating_sub(sent);
                if more > 0 {
                    return Some(more.min(u64::try_from(most).unwrap_or(u64::MAX)));
                }
                timeout_at(stop, due.changed.notified()).await.ok()?;
            },
        }
    }

    /// When message `number` counts as sent: when it was due, however late it is (coordinated omission).
    pub(crate) fn at(&self, number: u64, began: Instant) -> u64 {
        match self {
            Self::Closed(_) => micros(began.elapsed()),
            Self::Open(due) => due.at(number),
        }
    }

    /// The receiver has got so many.
    pub(crate) fn arrived(&self, count: usize) {
        if let Self::Closed(window) = self {
            window.add_permits(count);
        }
    }
}

/// Tells each sender when its messages are due, until the run ends. Blocks: timers of the runtime are a millisecond coarse.
pub(crate) fn keep(senders: &[Arc<Due>], stage: &Stage, began: Instant) {
    let Some(Due { per_second, burst, .. }) = senders.first().map(AsRef::as_ref) else { return };
    let step = Duration::from_secs(1).as_nanos() * u128::from(*burst) / u128::from(*per_second);
    let mut told = 0_u128;
    while stage.clock.goes_on() {
        let due = 1 + began.elapsed().as_nanos() / step.max(1);
        for turn in told..due {
            let Some(sender) = senders.get(usize::try_from(turn % senders.len().max(1) as u128).unwrap_or(0))
            else {
                return;
            };
            sender.due.fetch_add(*burst, Ordering::Release);
            sender.changed.notify_one();
        }
        told = due;
        let next = Duration::from_nanos(u64::try_from(due * step).unwrap_or(u64::MAX));
        std::thread::sleep(next.saturating_sub(began.elapsed()).min(Duration::from_millis(100)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_take_turns_by_the_plan() {
        let (first, second) = (Due::new(0, 2, 1000, 1), Due::new(1, 2, 1000, 1));
        assert_eq!([first.at(0), second.at(0), first.at(1), second.at(1)], [0, 1000, 2000, 3000]);
    }

    #[test]
    fn a_burst_is_due_at_one_time() {
        let (first, second) = (Due::new(0, 2, 1000, 4), Due::new(1, 2, 1000, 4));
        assert_eq!([first.at(0), first.at(3), second.at(0), second.at(3)], [0, 0, 4000, 4000]);
        assert_eq!([first.at(4), second.at(7)], [8000, 12_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_message_counts_from_when_it_was_due() {
        let due = Arc::new(Due::new(0, 1, 10, 1));
        due.due.store(3, Ordering::Release);
        let (pace, began) = (Pace::Open(due), Instant::now());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(pace.room(1, 100, began + Duration::from_secs(9)).await, Some(2));
        assert_eq!(pace.room(3, 100, began + Duration::from_secs(9)).await, None);
        assert_eq!(pace.at(2, began), 200_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_loop_sends_when_something_has_arrived() {
        let pace = Pace::Closed(Arc::new(Semaphore::new(4)));
        let stop = Instant::now() + Duration::from_secs(1);
        assert_eq!(pace.room(0, 100, stop).await, Some(4));
        pace.arrived(2);
        assert_eq!(pace.room(4, 100, stop).await, Some(2));
        assert_eq!(pace.room(6, 100, stop).await, None);
    }
}
