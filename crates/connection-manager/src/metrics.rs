//! What is counted here. The only place that names these metrics.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Resolved once: counting is an addition.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Sockets open now.
    pub(crate) connections: Gauge,
    /// Sockets accepted.
    pub(crate) accepted: Counter,
    /// Stanzas read from clients.
    pub(crate) stanzas: Counter,
    /// Entries written to clients.
    pub(crate) delivered: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        describe_gauge!("starling_connections", "Client sockets that are open");
        describe_counter!("starling_connections_accepted_total", "Client sockets accepted");
        describe_counter!("starling_stanzas_received_total", "Stanzas read from clients");
        describe_counter!("starling_stanzas_delivered_total", "Stanzas written to clients");
        Metrics {
            connections: gauge!("starling_connections"),
            accepted: counter!("starling_connections_accepted_total"),
            stanzas: counter!("starling_stanzas_received_total"),
            delivered: counter!("starling_stanzas_delivered_total"),
        }
    }
}
