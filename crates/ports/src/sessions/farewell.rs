//! Who is still to hear that a session is gone: kept in the slot until all have heard it (session-log rule 18).

use starling_jid::{FullJid, Jid};
use starling_stanza::Wire;

use crate::ids::SessionId;

/// What is owed to others when a session is no longer available, or has ended. Whoever is about to say it may die: what is not said
/// in time is said by another. It may be said more than once, so who says it says what is true by then: somebody else may be there
/// under that address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// Which session; it may still be there, and not available.
    pub session: SessionId,
    /// Its address.
    pub jid: FullJid,
    /// Whether all who see the presence of its account believe it available (RFC 6121 §4.5.2).
    pub to_all: bool,
    /// Whom it sent directed presence (RFC 6121 §4.6.3).
    pub directed: Vec<Jid>,
    /// Requests that it never answered: they bounce.
    pub requests: Vec<Wire>,
    /// How often somebody was to say it before. Who was to say it then cannot settle it.
    pub turn: u64,
}

impl Farewell {
    /// Whether nobody waits for it.
    pub fn is_empty(&self) -> bool {
        !self.to_all && self.directed.is_empty() && self.requests.is_empty()
    }
}
