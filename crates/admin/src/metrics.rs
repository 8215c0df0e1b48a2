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
