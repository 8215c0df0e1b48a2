//! How a node says that it lives, and hears of what it missed (session-log rules 7 and 9).

use starling_jid::BareJid;

use crate::ids::{ArchiveId, Epoch, Life, LogNumber, SessionId};

/// What a node says of a session whose socket it holds (rules 7 and 9).
#[derive(Debug, Clone)]
pub struct Renewal {
    /// Whose.
    pub account: BareJid,
    /// Which.
    pub session: SessionId,
    /// By which claim.
    pub epoch: Epoch,
    /// The highest number of its log that came to the node.
    pub last: LogNumber,
    /// What its client has acknowledged: a router that was told before, and has not written it yet, may be dead by now.
    pub acknowledged: LogNumber,
    /// In which life of the store it was renewed last. `None`: the node keeps nothing to register it again with.
    pub life: Option<Life>,
}

/// The answer to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// How the session stands.
    pub standing: Standing,
    /// The present life of the store that holds it.
    pub life: Life,
    /// Up to here the position is saved: an acknowledgement of anything below is not forgotten any more.
    pub saved: Option<ArchiveId>,
}

/// How a session stands with the one that says it holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has all that was handed out.
    Held,
    /// The log holds more than came to it, or could hand out more: pull.
    Behind,
    /// Not its session any more: the socket is dropped without a word.
    Over,
    /// The store has come back with less than it had, and does not know the session: it is to be registered again.
    Unknown,
    /// The part of the store that has it does not answer: it was not renewed, and nobody else can take it meanwhile.
    Away,
}
