//! From whoever decides to whoever holds the socket.

use bytes::Bytes;
use starling_stanza::Wire;

use crate::ids::{ArchiveId, Epoch, LogNumber, NodeId, SessionId, Timestamp};
use crate::sessions::{Renewal, Renewed, Standing};
use crate::trace::Carried;

/// A stanza as it is written to one session.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its place in the session's log.
    pub number: LogNumber,
    /// The stanza.
    pub wire: Wire,
    /// Canonical XML that is appended to its content: the stanza-id, a delay.
    pub more: Bytes,
    /// Whether the node writes the session's own full JID where the stanza has no `to` (one copy for many sessions).
    pub address: bool,
    /// Whether it had waited for this session: the client is asked at once whether it has got it.
    pub late: bool,
    /// Its archive id, if it has one: what its node says of it when it registers the session again.
    pub id: Option<ArchiveId>,
    /// Where it is followed.
    pub trace: Carried,
}

/// What a router wants of a session beside its stanzas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Something waits in the log: pull it.
    Pull,
    /// Another session has bound this resource (RFC 6120 §7.7.2.2): `<conflict/>`.
    Conflict,
    /// The account may no longer be signed in: `<not-authorized/>`, `<policy-violation/>` …: the stream error's condition.
    Close(&'static str),
    /// Claimed by another connection: the socket is dropped without a word (rule 21).
    Fenced,
}

/// Why a delivery did not reach the node. The entries are still in the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// No such node, or a former life of it.
    #[error("the node is gone")]
    Gone,
    /// Its queue is full: it will pull.
    #[error("the node's queue is full")]
    Full,
}

/// One session to reach.
#[derive(Debug, Clone)]
pub struct Target {
    /// Which one.
    pub session: SessionId,
    /// Whom the router takes for its owner: a hub that holds it under another epoch drops the push (rule 21).
    pub epoch: Epoch,
    /// What it is to write.
    pub outgoing: Outgoing,
}

/// Hands stanzas to the node that holds the sessions. In one process the connection manager's hub does this itself.
///
/// Never waits for a socket. A push is a hint: on any error, and when a session's outbox is full, the entry is still in
/// its log, and the pump fetches it from there by `pull`.
pub trait Delivery: Send + Sync + 'static {
    /// Delivers to sessions of one node.
    fn deliver(&self, node: NodeId, targets: Vec<Target>) -> Result<(), DeliverError>;
    /// Tells a session something.
    fn command(
        &self,
        node: NodeId,
        session: SessionId,
        epoch: Epoch,
        command: Command,
    ) -> Result<(), DeliverError>;
}

/// Who holds sockets: what it must say of its sessions to keep them (session-log rules 7 and 9).
pub trait Holder: Delivery {
    /// Every session that has a socket here, with the highest number of its log that came to it.
    fn holdings(&self) -> Vec<Renewal>;
    /// What became of the renewal of a session: it pulls, is dropped without a word, or is registered again.
    fn renewed(&self, node: NodeId, session: SessionId, epoch: Epoch, renewed: &Renewed) {
        let command = match renewed.standing {
            Standing::Held | Standing::Away => return,
            Standing::Behind => Command::Pull,
            // Nothing is kept here of which it could be registered again.
            Standing::Over | Standing::Unknown => Command::Fenced,
        };
        let _ = self.command(node, session, epoch, command); // it may have gone meanwhile
    }
}

/// A stanza that lies in an account's stream, shared by the logs of all sessions that it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its archive id, if it has one.
    pub id: Option<ArchiveId>,
    /// When it was received.
    pub at: Timestamp,
    /// The stanza.
    pub wire: Wire,
}

/// How a session gets to see a committed stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// As it is.
    Original,
    /// Wrapped by XEP-0280: another device of the account received it.
    CarbonReceived,
    /// Wrapped by XEP-0280: another device of the account sent it.
    CarbonSent,
}

/// One entry of a session's log, numbered.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number.
    pub number: LogNumber,
    /// What.
    pub committed: std::sync::Arc<Committed>,
    /// How.
    pub copy: Copy,
    /// Whether it comes late: offline, or after a lost session; then it carries a `<delay/>` (XEP-0203).
    pub late: bool,
    /// Whether the stanza-id is told: only where XEP-0313 will know it (the archive is on).
    pub archived: bool,
}
