//! What is counted here. The only place that names these metrics.

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};
use starling_ports::authentication::{Mechanism, Reply, SaslFailure};
use starling_ports::delivery::Entry;
use starling_ports::ids::Timestamp;
use starling_stanza::Kind;

/// Resolved once: measuring is a write to memory.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Seconds from the first look at a view until all is committed, stored and pushed.
    pub(crate) route: Histogram,
    /// Decisions that stood, and those that were made anew because the view had changed.
    pub(crate) hit: Counter,
    pub(crate) stale: Counter,
    live: Histogram,
    pulled: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        describe_histogram!(
            "xmpp_route_duration_seconds",
            "Time to decide, commit, store and push a batch of stanzas at one account"
        );
        describe_counter!(
            "xmpp_route_decisions_total",
            "Decisions by result: hit (committed as made), stale (the view had changed, made anew)"
        );
        describe_histogram!(
            "xmpp_message_delivery_duration_seconds",
            "Time from a message's commit until the node of a session has it, by path: live, or pulled from where it waited"
        );
        let decisions = |result: &'static str| counter!("xmpp_route_decisions_total", "result" => result);
        let delivery =
            |path: &'static str| histogram!("xmpp_message_delivery_duration_seconds", "path" => path);
        Metrics {
            route: histogram!("xmpp_route_duration_seconds"),
            hit: decisions("hit"),
            stale: decisions("stale"),
            live: delivery("live"),
            pulled: delivery("pulled"),
        }
    }

    /// Messages among these entries go to their sessions now.
    pub(crate) fn delivered<'a>(
        &self,
        is_pulled: bool,
        now: Timestamp,
        entries: impl Iterator<Item = &'a Entry>,
    ) {
        let path = if is_pulled { &self.pulled } else { &self.live };
        for entry in entries.filter(|entry| entry.committed.wire.kind() == Kind::Message) {
            path.record(now.since(entry.committed.at));
        }
    }
}

/// To be said once, before logins are counted.
pub(crate) fn describe_logins() {
    describe_counter!("xmpp_auth_attempts_total", "SASL exchanges that ended, by mechanism and result");
    for mechanism in Mechanism::ALL {
        logins(mechanism, SUCCESS).increment(0);
        logins(mechanism, SaslFailure::NotAuthorized.condition()).increment(0);
    }
}

/// An exchange has ended, unless it only goes on.
pub(crate) fn login(mechanism: Mechanism, reply: &Reply) {
    let result = match reply {
        Reply::Challenge(_) => return,
        Reply::Success { .. } => SUCCESS,
        Reply::Failure(failure) => failure.condition(),
    };
    logins(mechanism, result).increment(1);
}

const SUCCESS: &str = "success";

fn logins(mechanism: Mechanism, result: &'static str) -> Counter {
    counter!("xmpp_auth_attempts_total", "mechanism" => mechanism.as_str(), "result" => result)
}
