//! What is counted here. The only place that names these metrics.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

/// The calls that a message makes.
pub(crate) const WRITE: &str = "write";
pub(crate) const READ: &str = "read";
pub(crate) const LOOK: &str = "look";
/// What is made anew.
pub(crate) const REMOVE: &str = "remove";

fn duration(name: &'static str) -> Histogram {
    histogram!("starling_redis_request_duration_seconds", "operation" => name)
}

fn failures(name: &'static str) -> Counter {
    counter!("starling_redis_failures_total", "operation" => name)
}

/// Resolved once, but for those with a label that are seldom needed.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Connections made.
    pub(crate) connections: Counter,
    /// Steps decided again, because another router had written.
    pub(crate) conflicts: Counter,
    /// Bytes of logs that are kept.
    pub(crate) kept: Gauge,
    write: Histogram,
    read: Histogram,
    look: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        describe_counter!("starling_redis_connections_total", "Connections made to Redis");
        describe_counter!(
            "starling_redis_conflicts_total",
            "Steps that were decided again because another router had changed the account"
        );
        describe_histogram!(
            "starling_redis_request_duration_seconds",
            "Time until Redis answered a call, or did not"
        );
        describe_gauge!(
            "starling_redis_kept_bytes",
            "What a session router keeps of the logs of all accounts, so that it need not read them for each step"
        );
        describe_counter!("starling_redis_failures_total", "Calls that Redis refused or did not answer");
        [WRITE, READ, LOOK].into_iter().for_each(|name| failures(name).increment(0));
        Metrics {
            connections: counter!("starling_redis_connections_total"),
            conflicts: counter!("starling_redis_conflicts_total"),
            kept: gauge!("starling_redis_kept_bytes"),
            write: duration(WRITE),
            read: duration(READ),
            look: duration(LOOK),
        }
    }

    /// A call has ended.
    pub(crate) fn call(&self, name: &'static str, took: Duration, done: bool) {
        match name {
            WRITE => self.write.record(took),
            READ => self.read.record(took),
            LOOK => self.look.record(took),
            _ => duration(name).record(took),
        }
        if !done {
            failures(name).increment(1);
        }
    }
}
