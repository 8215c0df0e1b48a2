//! What is counted here. The only place that names these metrics.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use starling_stanza::Kind as Stanza;

use crate::listeners::Kind;

/// Resolved once: counting is an addition.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Connections refused because their address has too many strangers.
    pub(crate) rejects: Counter,
    received: [Counter; 3],
    sent: [Counter; 3],
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        describe_gauge!("xmpp_cm_connections", "Client sockets that are open, by listener");
        describe_counter!("xmpp_cm_accepts_total", "Client sockets accepted, by listener");
        describe_counter!("xmpp_cm_rejects_total", "Connections refused, by reason");
        describe_counter!("xmpp_stanza_received_total", "Stanzas read from clients, by kind");
        describe_counter!("xmpp_stanza_sent_total", "Stanzas written to clients, by kind");
        let received = |kind: Stanza| counter!("xmpp_stanza_received_total", "kind" => kind.as_str());
        let sent = |kind: Stanza| counter!("xmpp_stanza_sent_total", "kind" => kind.as_str());
        Metrics {
            rejects: counter!("xmpp_cm_rejects_total", "reason" => "address"),
            received: [Stanza::Message, Stanza::Presence, Stanza::Iq].map(received),
            sent: [Stanza::Message, Stanza::Presence, Stanza::Iq].map(sent),
        }
    }

    /// Sockets open now that came by a listener of that kind.
    pub(crate) fn connections(kind: Kind) -> Gauge {
        gauge!("xmpp_cm_connections", "listener" => kind.as_str())
    }

    /// Sockets accepted by a listener of that kind.
    pub(crate) fn accepts(kind: Kind) -> Counter {
        counter!("xmpp_cm_accepts_total", "listener" => kind.as_str())
    }

    pub(crate) fn received(&self, kind: Stanza) {
        let [message, presence, iq] = &self.received;
        of(kind, message, presence, iq).increment(1);
    }

    pub(crate) fn sent(&self, kind: Stanza) {
        let [message, presence, iq] = &self.sent;
        of(kind, message, presence, iq).increment(1);
    }
}

fn of<'a>(kind: Stanza, message: &'a Counter, presence: &'a Counter, iq: &'a Counter) -> &'a Counter {
    match kind {
        Stanza::Message => message,
        Stanza::Presence => presence,
        Stanza::Iq => iq,
    }
}
