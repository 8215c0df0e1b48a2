//! What is counted here. The only place that names these metrics.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};

use crate::client::Kind;

/// Resolved once.
pub(crate) struct Metrics {
    read: Operation,
    write: Operation,
    decision: Operation,
    /// Rows that cannot be read.
    pub(crate) corrupt: Counter,
}

struct Operation {
    duration: Histogram,
    failures: Counter,
}

impl Operation {
    fn new(name: &'static str) -> Operation {
        Operation {
            duration: histogram!("starling_cql_request_duration_seconds", "operation" => name),
            failures: counter!("starling_cql_failures_total", "operation" => name),
        }
    }
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        describe_histogram!(
            "starling_cql_request_duration_seconds",
            "Time until a CQL statement was answered"
        );
        describe_counter!("starling_cql_failures_total", "CQL statements that were refused or not answered");
        describe_counter!("starling_cql_corrupt_rows_total", "Rows that were stored and cannot be read");
        Metrics {
            read: Operation::new("read"),
            write: Operation::new("write"),
            decision: Operation::new("decision"),
            corrupt: counter!("starling_cql_corrupt_rows_total"),
        }
    }

    pub(crate) fn answered(&self, kind: Kind, after: Duration, is_ok: bool) {
        let operation = match kind {
            Kind::Read => &self.read,
            Kind::Write => &self.write,
            Kind::Decision => &self.decision,
        };
        operation.duration.record(after.as_secs_f64());
        if !is_ok {
            operation.failures.increment(1);
        }
    }
}
