//! What a run measures while it goes on: latencies of each operation, errors, who is connected.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// So many different errors are told apart.
const ERRORS: usize = 30;

/// A histogram of microseconds, up to an hour, with three digits.
#[expect(clippy::expect_used, reason = "constant bounds, which the library allows")]
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("1 to an hour, three digits")
}

/// Whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// One kind of operation.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) latency: Histogram<u64>,
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    interval: Histogram<u64>,
    /// A point for each interval.
    pub(crate) series: Vec<Point>,
}

/// What one interval brought of one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// Seconds since the run began.
    pub(crate) at: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

impl Operation {
    fn new() -> Self {
        let (latency, interval) = (histogram(), histogram());
        Self { latency, first: Instant::now(), last: Instant::now(), interval, series: Vec::new() }
    }
}

/// Everything that clients saw, but for the order of messages.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    operations: Mutex<BTreeMap<&'static str, Operation>>,
    errors: Mutex<BTreeMap<String, u64>>,
    connected: AtomicI64,
}

impl Recorder {
    /// Operations that took so many microseconds each.
    pub(crate) fn took(&self, operation: &'static str, micros: impl IntoIterator<Item = u64>) {
        let mut operations = lock(&self.operations);
        let found = operations.entry(operation).or_insert_with(Operation::new);
        for micros in micros {
            found.latency.saturating_record(micros.max(1));
            found.interval.saturating_record(micros.max(1));
        }
        found.last = Instant::now();
    }

    /// Something that should not have happened, in words without numbers of their own.
    pub(crate) fn error(&self, what: &str) {
        let mut errors = lock(&self.errors);
        let what = if errors.len() < ERRORS || errors.contains_key(what) { what } else { "others" };
        *errors.entry(what.to_owned()).or_default() += 1;
    }

    /// So many clients came, or left.
    pub(crate) fn connected(&self, change: i64) {
        self.connected.fetch_add(change, Ordering::Relaxed);
    }

    /// How many are there.
    pub(crate) fn clients(&self) -> i64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Each error with its count.
    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        lock(&self.errors).clone()
    }

    /// Adds what another process has measured.
    pub(crate) fn merge(
        &self,
        operation: &'static str,
        measured: &Histogram<u64>,
        first: Instant,
        last: Instant,
    ) {
        let mut operations = lock(&self.operations);
        let is_new = !operations.contains_key(operation);
        let found = operations.entry(operation).or_insert_with(Operation::new);
        for all in [&mut found.latency, &mut found.interval] {
            let _ = all.add(measured); // the same bounds, as it was read into such a one
        }
        found.first = if is_new { first } else { found.first.min(first) };
        found.last = if is_new { last } else { found.last.max(last) };
    }

    /// So many errors of one kind, which another process has seen.
    pub(crate) fn errors_of(&self, what: &str, count: u64) {
        (0..count).for_each(|_| self.error(what));
    }

    /// Ends an interval whose histograms are for another process, those that have anything; with the first and the last moment of all.
    pub(crate) fn drain(&self) -> Vec<(&'static str, Histogram<u64>, Instant, Instant)> {
        let mut operations = lock(&self.operations);
        let some = operations.iter_mut().filter(|(_, operation)| !operation.interval.is_empty());
        let drained = some.map(|(name, operation)| {
            (*name, std::mem::replace(&mut operation.interval, histogram()), operation.first, operation.last)
        });
        drained.collect()
    }

    /// The errors since the last look.
    pub(crate) fn drain_errors(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut lock(&self.errors))
    }

    /// The operations so far.
    pub(crate) fn operations(&self) -> MutexGuard<'_, BTreeMap<&'static str, Operation>> {
        lock(&self.operations)
    }

    /// Ends an interval of `length` which began `at` seconds after the run; what it brought.
    pub(crate) fn tick(&self, at: f64, length: Duration) -> Vec<(&'static str, Point)> {
        let mut operations = lock(&self.operations);
        let points = operations.iter_mut().map(|(name, operation)| {
            let interval = &operation.interval;
            let point = Point {
                at,
                per_second: interval.len() as f64 / length.as_secs_f64().max(0.001),
                p50_us: interval.value_at_quantile(0.5),
                p99_us: interval.value_at_quantile(0.99),
            };
            operation.interval.reset();
            operation.series.push(point);
            (*name, point)
        });
        points.collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_its_own_rate_and_percentiles_and_the_whole_keeps_all() {
        let recorder = Recorder::default();
        recorder.took("delivery", 1..=100);
        let first = recorder.tick(0.0, Duration::from_secs(2));
        recorder.took("delivery", [5000]);
        let second = recorder.tick(2.0, Duration::from_secs(2));

        assert_eq!((first[0].1.per_second, first[0].1.p50_us, first[0].1.p99_us), (50.0, 50, 99));
        assert_eq!((second[0].1.per_second, second[0].1.p50_us), (0.5, 5003), "three digits");
        let operations = recorder.operations();
        let whole = &operations["delivery"];
        assert_eq!((whole.latency.len(), whole.series.len()), (101, 2));
    }

    #[test]
    fn errors_are_counted_by_their_words_and_bounded_in_kinds() {
        let recorder = Recorder::default();
        (0..100).for_each(|number| recorder.error(&format!("error {number}")));
        recorder.error("error 0");
        let errors = recorder.errors();
        assert_eq!((errors.len(), errors["error 0"], errors["others"]), (ERRORS + 1, 2, 70));
    }
}
