//! What is counted here. The only place that names these metrics.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use starling_stanza::Kind as Stanza;
use starling_stream::StreamCondition;

use crate::listeners::Kind;

/// Resolved once: counting is an addition.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Connections refused because their address has too many strangers.
    pub(crate) rejects: Counter,
    /// Connections refused because too many clients are here.
    pub(crate) full: Counter,
    /// TLS that did not come about.
    pub(crate) no_tls: Counter,
    /// Connections whose client was found dead.
    pub(crate) dead: Counter,
    /// Sessions that their store had forgotten, registered again.
    pub(crate) registered: Counter,
    /// Seconds from taking a batch of stanzas until an ack may cover it.
    pub(crate) ack: Histogram,
    streams: [Gauge; 3],
    sizes: [[Histogram; 3]; 2],
    received: [Counter; 3],
    sent: [Counter; 3],
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        describe_gauge!("xmpp_cm_connections", "Client sockets that are open, by listener");
        describe_gauge!(
            "xmpp_cm_connections_max",
            "Client sockets that file descriptors allow; +Inf where they have no limit"
        );
        describe_counter!("xmpp_cm_accepts_total", "Client sockets accepted, by listener");
        describe_counter!("xmpp_cm_rejects_total", "Connections refused, by reason");
        describe_counter!("xmpp_stanza_received_total", "Stanzas read from clients, by kind");
        describe_counter!("xmpp_stanza_sent_total", "Stanzas written to clients, by kind");
        describe_gauge!(
            "xmpp_cm_streams",
            "Streams that are open, by state: handshake, auth (signed in), bound"
        );
        describe_counter!(
            "xmpp_cm_registered_again_total",
            "Sessions that their store had forgotten, and that went on"
        );
        describe_counter!(
            "xmpp_cm_dead_total",
            "Connections ended because the client's TCP answered nothing"
        );
        describe_counter!(
            "xmpp_stream_errors_total",
            "Streams that the server ended with an error, by condition (RFC 6120 §4.9.3): connection-timeout is a client too slow to sign in or to end an element, policy-violation one that passed a limit"
        );
        describe_histogram!(
            "xmpp_ack_latency_seconds",
            "Time from taking a batch of a client's stanzas until all is durable and an ack may cover it"
        );
        describe_counter!(
            "xmpp_drain_evicted_total",
            "Sessions that a drain has sent away, by result: resumable (another node takes them up), ended (told to come again), stuck (not gone in their time)"
        );
        describe_counter!(
            "xmpp_outbound_overflows_total",
            "Stanzas that found the queue of a slow client full: they stay in the log of its session, and are read from there"
        );
        [Evicted::Resumable, Evicted::Ended, Evicted::Stuck].into_iter().for_each(|how| evicted(how, 0));
        overflowed(0);
        [StreamCondition::ConnectionTimeout, StreamCondition::PolicyViolation]
            .into_iter()
            .for_each(|condition| stream_errors(condition, 0));
        describe_histogram!("xmpp_stanza_size_bytes", "Sizes of stanzas, by kind and direction");
        let size = |direction: &'static str| {
            [Stanza::Message, Stanza::Presence, Stanza::Iq].map(|kind| {
                histogram!("xmpp_stanza_size_bytes", "kind" => kind.as_str(), "direction" => direction)
            })
        };
        let received = |kind: Stanza| counter!("xmpp_stanza_received_total", "kind" => kind.as_str());
        let sent = |kind: Stanza| counter!("xmpp_stanza_sent_total", "kind" => kind.as_str());
        Metrics {
            rejects: counter!("xmpp_cm_rejects_total", "reason" => "address"),
            full: counter!("xmpp_cm_rejects_total", "reason" => "full"),
            no_tls: counter!("xmpp_cm_rejects_total", "reason" => "tls"),
            dead: counter!("xmpp_cm_dead_total"),
            registered: counter!("xmpp_cm_registered_again_total"),
            ack: histogram!("xmpp_ack_latency_seconds"),
            streams: ["handshake", "auth", "bound"].map(|state| gauge!("xmpp_cm_streams", "state" => state)),
            sizes: ["in", "out"].map(size),
            received: [Stanza::Message, Stanza::Presence, Stanza::Iq].map(received),
            sent: [Stanza::Message, Stanza::Presence, Stanza::Iq].map(sent),
        }
    }

    /// Sockets open now that came by a listener of that kind.
    pub(crate) fn connections(kind: Kind) -> Gauge {
        gauge!("xmpp_cm_connections", "listener" => kind.as_str())
    }

    /// A listener of that kind is there, and nobody has come yet. To an autoscaler a pod that says nothing of its connections is full.
    pub(crate) fn begin(kind: Kind) {
        Metrics::connections(kind).increment(0.0);
        Metrics::accepts(kind).increment(0);
    }

    /// So many clients may be connected at once; `None` is without limit.
    pub(crate) fn room(clients: Option<u64>) {
        gauge!("xmpp_cm_connections_max").set(clients.map_or(f64::INFINITY, |clients| clients as f64));
    }

    /// Sockets accepted by a listener of that kind.
    pub(crate) fn accepts(kind: Kind) -> Counter {
        counter!("xmpp_cm_accepts_total", "listener" => kind.as_str())
    }

    /// Streams in that state.
    pub(crate) fn streams(&self, state: State) -> &Gauge {
        let [handshake, auth, bound] = &self.streams;
        match state {
            State::Handshake => handshake,
            State::Auth => auth,
            State::Bound => bound,
        }
    }

    pub(crate) fn received(&self, kind: Stanza, bytes: usize) {
        let [sizes, _] = &self.sizes;
        of(kind, &self.received).increment(1);
        of(kind, sizes).record(bytes as f64);
    }

    pub(crate) fn sent(&self, kind: Stanza, bytes: usize) {
        let [_, sizes] = &self.sizes;
        of(kind, &self.sent).increment(1);
        of(kind, sizes).record(bytes as f64);
    }
}

/// What becomes of a session that a drain sends away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evicted {
    /// It is resumed elsewhere (XEP-0198 §5).
    Resumable,
    /// Its stream is closed with an error.
    Ended,
    /// It is still here when its time is over.
    Stuck,
}

/// A drain is rare: nothing is resolved before.
pub(crate) fn evicted(how: Evicted, sessions: usize) {
    let result = match how {
        Evicted::Resumable => "resumable",
        Evicted::Ended => "ended",
        Evicted::Stuck => "stuck",
    };
    counter!("xmpp_drain_evicted_total", "result" => result).increment(sessions as u64);
}

/// Stanzas found no room.
pub(crate) fn overflowed(stanzas: u64) {
    counter!("xmpp_outbound_overflows_total").increment(stanzas);
}

/// The end of a stream is rare: nothing is resolved before.
pub(crate) fn stream_errors(condition: StreamCondition, streams: u64) {
    counter!("xmpp_stream_errors_total", "condition" => condition.as_str()).increment(streams);
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody has signed in yet.
    Handshake,
    /// It has no resource yet.
    Auth,
    /// It has a session.
    Bound,
}

fn of<T>(kind: Stanza, [message, presence, iq]: &[T; 3]) -> &T {
    match kind {
        Stanza::Message => message,
        Stanza::Presence => presence,
        Stanza::Iq => iq,
    }
}
