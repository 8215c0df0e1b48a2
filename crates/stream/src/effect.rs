//! What goes into a machine and what comes out of it.

use starling_jid::BareJid;
use starling_ports::authentication::{Reply, Step};
use starling_ports::delivery::Command;
use starling_ports::ids::LogNumber;
use starling_ports::ingress::{BindError, Handling, RegisterError, Resume, SessionRef};
use starling_ports::sessions::{Claimed, Detach, SmBase};

use crate::error::StreamCondition;

/// What happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes of the client, after TLS.
    Bytes(&'a [u8]),
    /// One whole element, as a transport with frames of its own hands it in (RFC 7395 §3.3). Only where `wants_input`.
    Document(&'a [u8]),
    /// The transport cannot go on with this client: the stream ends with this error.
    Violation(StreamCondition, &'static str),
    /// The handshake is over.
    TlsStarted {
        /// `tls-exporter` data (RFC 9266): TLS 1.3 only.
        exporter: Option<[u8; 32]>,
    },
    /// The answer to `Effect::Authenticate`.
    Authenticated(Reply),
    /// The answer to `Effect::Register`.
    Registered(Result<(), RegisterError>),
    /// The answer to `Effect::Bind`.
    Bound(Result<SessionRef, BindError>),
    /// The answer to `Effect::Resume`; `None` if no store answered.
    Resumed(Option<Claimed>),
    /// The answer to `Effect::EnableSm`: seconds; `None` if no store answered.
    SmEnabled(Option<u32>),
    /// `Effect::SetInactive` is done.
    InactiveSet,
    /// The transport says that the client has its log up to here (XEP-0124 §9.2).
    Acknowledged(LogNumber),
    /// At `prove_at`: whether the client's TCP has acknowledged every byte that was written.
    Reached(bool),
    /// What became of submitted stanzas; `None` if no store answered.
    Handled(Option<Handling>),
    /// A router wants something of the session.
    Command(Command),
    /// A deadline has passed.
    Tick,
    /// The server stops.
    Drain,
    /// The client will send nothing more.
    Eof,
}

/// What has to be done outside. After the first five no input is read until the answer has come.
#[derive(Debug)]
pub enum Effect {
    /// A SASL message for whoever holds the keys.
    Authenticate(Box<Step>),
    /// Registers an account (XEP-0077).
    Register(Box<Register>),
    /// Binds a resource; `None` lets the server choose it.
    Bind {
        /// Whose.
        account: BareJid,
        /// As the client wrote it.
        resource: Option<String>,
    },
    /// Resumes a session.
    Resume(Box<Resume>),
    /// XEP-0198 begins.
    EnableSm {
        /// Whether the client wants to resume.
        resume: bool,
        /// Where the counters begin.
        base: SmBase,
    },
    /// XEP-0352.
    SetInactive(bool),
    /// Handshake now. Bytes already written go out in the open; nothing is read until `TlsStarted`.
    StartTls,
    /// The exchange is over without an answer.
    AbortExchange(u128),
    /// The session's socket is this one from now on: what is delivered to it may be written.
    Attached(Box<Attached>),
    /// The client has handled its log up to here.
    Acknowledge(LogNumber),
    /// The stream ends with this error, which is written; `Close` follows.
    Failed(StreamCondition),
    /// The connection ends when everything written has gone out.
    Close(Ending),
}

/// A session that begins or goes on here.
#[derive(Debug, Clone)]
pub struct Attached {
    /// Which.
    pub session: SessionRef,
    /// The last entry of its log that the client has.
    pub acknowledged: LogNumber,
}

/// An account to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// Where.
    pub domain: BareJid,
    /// As the client wrote it.
    pub username: String,
    /// As the client wrote it.
    pub password: String,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// What becomes of the session; `None` where there is none, or where it is no longer this connection's.
    pub detach: Option<Detach>,
    /// Whether the client is given time to read what was written.
    pub linger: bool,
}

/// Where a machine writes. The caller keeps it, so that an idle connection holds none.
#[derive(Debug, Default)]
pub struct Output {
    /// Bytes for the client.
    pub bytes: Vec<u8>,
    /// Where the elements in `bytes` end; kept with `Framing::Element` only.
    pub ends: Vec<usize>,
    /// In order.
    pub effects: Vec<Effect>,
}
