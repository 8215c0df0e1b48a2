//! What is measured of administration. The only place that names its metrics.

use metrics::{counter, describe_counter};

/// What the names mean, once a process.
pub(crate) fn describe() {
    describe_counter!(
        "starling_admin_commands_total",
        "Commands of administrators, by outcome: done, or why not"
    );
    counter!("starling_admin_commands_total", "outcome" => "done").increment(0);
}

pub(crate) fn asked(outcome: &'static str) {
    counter!("starling_admin_commands_total", "outcome" => outcome).increment(1);
}

/// A listener's own, at 0 from its start.
pub(crate) fn describe_places(listener: &'static str) {
    describe_counter!(
        "starling_admin_connections_ended_total",
        "Connections without a token that made way for others, because a listener of administration had no place left, by listener"
    );
    counter!("starling_admin_connections_ended_total", "listener" => listener).increment(0);
}

pub(crate) fn made_way(listener: &'static str) {
    counter!("starling_admin_connections_ended_total", "listener" => listener).increment(1);
}
