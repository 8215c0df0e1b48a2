//! What is counted here. The only place that names these metrics.

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};

/// Resolved once, by the thread that writes.
pub(crate) struct Metrics {
    /// Seconds that a group took, its fsync with it.
    pub(crate) write: Histogram,
    /// How many waited for one group.
    pub(crate) waiting: Histogram,
    /// Groups that could not be written.
    pub(crate) failures: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        describe_histogram!("starling_store_write_duration_seconds", "Time to write a group, fsync included");
        describe_histogram!(
            "starling_store_group_requests",
            "Requests that one group, and so one fsync, answered"
        );
        describe_counter!("starling_store_failures_total", "Groups that could not be written");
        Metrics {
            write: histogram!("starling_store_write_duration_seconds"),
            waiting: histogram!("starling_store_group_requests"),
            failures: counter!("starling_store_failures_total"),
        }
    }
}
