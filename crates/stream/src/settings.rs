//! What a machine is told about the listener it serves.

use starling_jid::BareJid;
use starling_ports::authentication::Mechanism;
use starling_xml::{Framing, Limits};

use std::sync::Arc;
use std::time::Duration;

/// What protects the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Nothing yet: STARTTLS is required before anything else (RFC 6120 §5.3.1).
    StartTls,
    /// TLS of our own from the first byte.
    Direct,
    /// TLS that ended at a trusted proxy: without channel binding.
    Proxied,
    /// Nothing, and the listener is bound to loopback and allows it.
    Plain,
}

/// Everything that is the same for all connections of a listener.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The domains that are served.
    pub domains: Vec<BareJid>,
    /// What is offered, strongest first; -PLUS only where there is channel binding.
    pub mechanisms: Vec<Mechanism>,
    /// Whether XEP-0077 is offered before login.
    pub registration: bool,
    /// Whether XEP-0198 is offered: not where the transport acknowledges by itself, as BOSH does.
    pub sm: bool,
    /// More stream features after login, as canonical XML: what other parts of the server advertise (XEP-0115).
    pub features: String,
    /// Limits before login.
    pub before_login: Arc<Limits>,
    /// Limits after login.
    pub after_login: Arc<Limits>,
    /// How long a client may take to sign in; zero: for ever.
    pub login_within: Duration,
    /// How long a stanza may take from its first byte to its last; zero: for ever.
    pub stanza_within: Duration,
    /// How long a ping may stay unanswered before the client's TCP is asked instead (ADR 10).
    pub ping_within: Duration,
    /// 128 unguessable bits: stream ids, names of SASL exchanges.
    pub random: fn() -> u128,
    /// What protects the connection when it begins.
    pub security: Security,
    /// How the transport cuts elements.
    pub framing: Framing,
}
