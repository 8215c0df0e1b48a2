//! The scenarios: each with a name, what it needs, and which figure of its report is the result.

use crate::options::Bench;
use crate::scenario::Invalid;

/// What is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Idle,
    Login,
    Chat { in_flight: usize, sm: bool },
    Presence,
    Offline,
    Relay { in_flight: usize },
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// For readers.
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
    pub(crate) tls: bool,
    pub(crate) archive: bool,
    /// What is safe when the sender is told so.
    pub(crate) durable: &'static str,
}

const NOTHING: &str = "nothing is acked";
const SPOOL: &str = "every acked message";
const BOTH: &str = "every acked message, in both archives";

const fn plain(name: &'static str, what: &'static str, kind: Kind) -> Scenario {
    Scenario { name, what, kind, tls: false, archive: false, durable: "" }
}

const fn chat(name: &'static str, what: &'static str, in_flight: usize, sm: bool) -> Scenario {
    let durable = if sm { SPOOL } else { NOTHING };
    Scenario { durable, ..plain(name, what, Kind::Chat { in_flight, sm }) }
}

/// All of them, in the order of the table.
pub(crate) const ALL: &[Scenario] = &[
    plain("relay-1", "bare relay of lines, 1 in flight", Kind::Relay { in_flight: 1 }),
    plain("relay-16", "bare relay of lines, 16 in flight", Kind::Relay { in_flight: 16 }),
    plain("idle-plain", "idle connection", Kind::Idle),
    Scenario { tls: true, ..plain("idle-tls", "idle connection, TLS 1.3", Kind::Idle) },
    plain("login-plain", "login, SCRAM-SHA-1", Kind::Login),
    Scenario { tls: true, ..plain("login-tls", "login, SCRAM-SHA-1, full TLS 1.3 handshake", Kind::Login) },
    chat("chat-1", "chat, 1 in flight", 1, false),
    Scenario { tls: true, ..chat("chat-1-tls", "chat, 1 in flight, TLS", 1, false) },
    chat("chat-1-sm", "chat, 1 in flight, XEP-0198", 1, true),
    chat("chat-16", "chat, 16 in flight", 16, false),
    Scenario { tls: true, ..chat("chat-16-tls", "chat, 16 in flight, TLS", 16, false) },
    chat("chat-16-sm", "chat, 16 in flight, XEP-0198", 16, true),
    Scenario { archive: true, ..chat("chat-16-archive", "chat, 16 in flight, both archives", 16, false) },
    Scenario {
        archive: true,
        durable: BOTH,
        ..chat("chat-1-archive-sm", "chat, 1 in flight, both archives, XEP-0198", 1, true)
    },
    Scenario {
        archive: true,
        durable: BOTH,
        ..chat("chat-16-archive-sm", "chat, 16 in flight, both archives, XEP-0198", 16, true)
    },
    plain("presence", "presence to 18 contacts, each delivery", Kind::Presence),
    Scenario { durable: SPOOL, ..plain("offline", "offline message, stored", Kind::Offline) },
];

impl Scenario {
    /// Whether it was asked for.
    pub(crate) fn is_wanted(&self, only: &[String]) -> bool {
        only.is_empty() || only.iter().any(|part| self.name.contains(part.as_str()))
    }

    /// How many accounts it needs.
    pub(crate) fn accounts(&self, bench: &Bench) -> usize {
        match self.kind {
            Kind::Idle => bench.connections,
            Kind::Relay { .. } => 0,
            Kind::Presence => 19,
            Kind::Offline => bench.users.min(200),
            _ => bench.users,
        }
    }

    /// The scenario's file, for a service on `port`.
    pub(crate) fn text(&self, bench: &Bench, port: u16) -> String {
        let load = match self.kind {
            Kind::Idle => "[hold]\n".to_owned(),
            Kind::Login => "[login]\n".to_owned(),
            Kind::Chat { in_flight, sm } => format!("[chat]\nin-flight = {in_flight}\nsm = {sm}\n"),
            Kind::Presence => "[presence]\ncontacts = 18\n".to_owned(),
            Kind::Offline => "[offline]\nmessages = 100\n".to_owned(),
            Kind::Relay { .. } => String::new(),
        };
        let transport = if self.tls { "starttls" } else { "plain" };
        format!(
            "about = \"{}\"\nseconds = {}\n[target]\naddresses = [\"127.0.0.1:{port}\"]\ntransport = \"{transport}\"\n\
             mechanism = \"scram-sha-1\"\n[accounts]\ncount = {}\nregister = false\n{load}",
            self.what,
            bench.seconds,
            self.accounts(bench),
        )
    }

    /// The names of its figures in the result, each with what a reader sees beside it, and divisor.
    pub(crate) fn figures(&self) -> &'static [(&'static str, &'static str, f64)] {
        match self.kind {
            Kind::Idle => &[("bytes-per-connection", "KiB", 1024.0)],
            Kind::Login => &[("server-cpu-us-per-operation", "ms", 1000.0)],
            Kind::Chat { .. } | Kind::Relay { .. } | Kind::Presence => {
                &[("server-cpu-us-per-operation", "µs", 1.0)]
            }
            Kind::Offline => &[
                ("server-cpu-us-per-stored", "µs", 1.0),
                ("server-cpu-us-per-collected", "µs collected", 1.0),
            ],
        }
    }
}

/// Accounts that log in and out before anything is measured: code and buffers that any connection needs are there then.
pub(crate) fn warm_up(port: u16) -> Result<crate::scenario::Scenario, Invalid> {
    let text = format!(
        "about = \"warm up\"\nseconds = 60\noperations = 200\n[target]\naddresses = [\"127.0.0.1:{port}\"]\n\
         mechanism = \"scram-sha-1\"\n[accounts]\ncount = 20\nregister = false\n[login]\n"
    );
    crate::scenario::parse("warm-up", &text)
}
