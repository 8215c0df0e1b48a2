//! What is counted here. The only place that names these metrics.

use metrics::{Histogram, counter, describe_counter, describe_histogram, histogram};
use starling_ports::authentication::{Mechanism, Reply};

/// Resolved once: measuring is a write to memory.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Seconds from the first look at a view until all is committed, stored and pushed.
    pub(crate) route: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        describe_histogram!(
            "xmpp_route_duration_seconds",
            "Time to decide, commit, store and push a batch of stanzas at one account"
        );
        Metrics { route: histogram!("xmpp_route_duration_seconds") }
    }
}

/// To be said once, before logins are counted.
pub(crate) fn describe_logins() {
    describe_counter!("xmpp_auth_attempts_total", "SASL exchanges that ended, by mechanism and result");
}

/// An exchange has ended, unless it only goes on.
pub(crate) fn login(mechanism: Mechanism, reply: &Reply) {
    let result = match reply {
        Reply::Challenge(_) => return,
        Reply::Success { .. } => "success",
        Reply::Failure(failure) => failure.condition(),
    };
    counter!("xmpp_auth_attempts_total", "mechanism" => mechanism.as_str(), "result" => result).increment(1);
}
