//! How a node says that it lives, and hears of what it missed (session-log rules 7 and 9).

use starling_jid::BareJid;

use crate::ids::{Epoch, LogNumber, SessionId};

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
}

/// The answer to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// It has all that was handed out.
    Held,
    /// The log holds more than came to it, or could hand out more: pull.
    Behind,
    /// Not its session any more: the socket is dropped without a word.
    Over,
}
