//! From the socket to whoever decides: what a connection manager may ask.

use async_trait::async_trait;
use starling_jid::{BareJid, FullJid};
use starling_stanza::Draft;

use crate::Result;
use crate::delivery::Outgoing;
use crate::ids::{Epoch, Handled, LogNumber, NodeId, SessionId};
use crate::sessions::{Claimed, Detach, Portrait, Registered, Registration, Renewal, Renewed, SmBase};
use crate::trace::Carried;

/// A session as its owner names it.
#[derive(Debug, Clone)]
pub struct SessionRef {
    /// Which.
    pub id: SessionId,
    /// Its address.
    pub jid: FullJid,
    /// By which claim.
    pub epoch: Epoch,
}

/// A stanza of a lane with its number on the sender's stream, from 1.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The number.
    pub number: u64,
    /// What the client said.
    pub draft: Draft,
    /// Where it is followed.
    pub trace: Carried,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// Everything up to here is durable, its replies are in the sender's log: it may be acknowledged.
    Done(Handled),
    /// The session is no longer this connection's: the socket is dropped without a word.
    Fenced,
    /// The stream ends: a `from` that is not the sender's (RFC 6120 §8.1.2.1).
    InvalidFrom,
}

/// The answer to a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What became of it.
    pub handling: Handling,
    /// What the session has said of itself so far, if the batch may have changed that: else its node would have to ask.
    pub portrait: Option<Portrait>,
}

impl From<Handling> for Answered {
    fn from(handling: Handling) -> Answered {
        Answered { handling, portrait: None }
    }
}

/// A wish to resume, of a connection that has signed in.
#[derive(Debug, Clone)]
pub struct Resume {
    /// Who signed in.
    pub account: BareJid,
    /// `previd`.
    pub session: SessionId,
    /// The client's `h`.
    pub h: u32,
    /// Names the connection.
    pub token: u128,
}

/// Why a resource could not be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Not a resource (RFC 6120 §7.7.2.1).
    #[error("bad request")]
    BadRequest,
    /// As many as one account may have (RFC 6120 §7.6.2.1).
    #[error("too many sessions")]
    ResourceConstraint,
    /// The account is gone or suspended since it signed in.
    #[error("not allowed")]
    NotAllowed,
    /// A store did not answer.
    #[error("try again")]
    Unavailable,
}

/// The next entries of a session's log, rendered.
#[derive(Debug, Clone, Default)]
pub struct PulledBatch {
    /// In order.
    pub entries: Vec<Outgoing>,
    /// Whether more wait.
    pub more: bool,
}

/// In-band registration before login (XEP-0077 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// Somebody has that name.
    #[error("conflict")]
    Conflict,
    /// No name, no password, or not a localpart.
    #[error("not acceptable")]
    NotAcceptable,
    /// Not offered here.
    #[error("not allowed")]
    NotAllowed,
    /// Too many from this address, or a store did not answer.
    #[error("resource constraint")]
    ResourceConstraint,
}

/// The one way in. In one process this is `im::pipeline` itself; between nodes it is the link.
#[async_trait]
pub trait Ingress: Send + Sync + 'static {
    /// Binds a resource (RFC 6120 §7); `None` lets the server choose one.
    async fn bind(
        &self,
        account: &BareJid,
        resource: Option<&str>,
        node: NodeId,
    ) -> Result<SessionRef, BindError>;

    /// Resumes a session (XEP-0198 §5).
    async fn resume(&self, resume: Resume, node: NodeId) -> Result<Claimed>;

    /// Handles stanzas of one lane, in order: decides, commits, stores, delivers. One call at a time a session; once it
    /// returns `Done`, what it covers survives the kill of any one process.
    async fn submit(&self, session: &SessionRef, batch: Vec<Submitted>) -> Result<Answered>;

    /// The same for a batch that may have been handled before, by whomever: its answer was lost.
    async fn submit_again(&self, session: &SessionRef, batch: Vec<Submitted>) -> Result<Answered>;

    /// XEP-0198 begins behind `base`; the client asked whether it may resume. Returns for how many seconds it may, 0 if
    /// not at all.
    async fn enable_sm(&self, session: &SessionRef, resume: bool, base: SmBase) -> Result<u32>;

    /// XEP-0352: the client is inactive, or active again.
    async fn set_inactive(&self, session: &SessionRef, inactive: bool) -> Result<()>;

    /// The client has handled its log up to `upto`. `false` if that is known to be more than it was sent.
    async fn acknowledge(&self, session: &SessionRef, upto: LogNumber) -> Result<bool>;

    /// What comes after `after` in the session's log.
    async fn pull(&self, session: &SessionRef, after: LogNumber, limit: usize) -> Result<PulledBatch>;

    /// The socket is gone. `false`: there is no such session under this claim.
    async fn detach(&self, session: &SessionRef, why: Detach) -> Result<bool>;

    /// `node` lives, and holds these sessions (session-log rules 7 and 9): one answer for each, in order.
    async fn renew(&self, node: NodeId, sessions: Vec<Renewal>) -> Result<Vec<Renewed>>;

    /// A session that `renew` did not know goes on (session-log rule 9).
    async fn register_again(&self, registration: Registration) -> Result<Registered>;

    /// Registers an account in-band, before login. `peer` is for the rate limit.
    async fn register(
        &self,
        domain: &BareJid,
        username: &str,
        password: &str,
        peer: std::net::IpAddr,
    ) -> Result<(), RegisterError>;

    /// Whether in-band registration is offered.
    fn offers_registration(&self) -> bool;

    /// What a session has said of itself so far, for its node to keep.
    async fn portrait(&self, session: &SessionRef) -> Result<Portrait>;
}
