//! What a decision says of one stanza at one account.

use starling_jid::Jid;
use starling_ports::delivery::Copy;
use starling_ports::ids::SessionId;
use starling_ports::sessions::Keep;
use starling_stanza::StanzaError;

/// Made by rules and modules on a view, carried out by the commit.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Whom it goes to, and how.
    pub targets: Vec<(SessionId, Copy)>,
    /// What is kept of it.
    pub keep: Option<Keep>,
    /// It does not wait for an inactive client (XEP-0352).
    pub urgent: bool,
    /// See `Planned::coalesce`.
    pub coalesce: Option<Jid>,
    /// It is refused: nothing is committed, the sender gets this error.
    pub refusal: Option<StanzaError>,
}

impl Plan {
    /// Nothing is done, and the sender is told why.
    pub fn refuse(error: StanzaError) -> Plan {
        Plan { refusal: Some(error), ..Plan::default() }
    }
    /// It goes to these sessions, as it is.
    pub fn to(sessions: impl IntoIterator<Item = SessionId>) -> Plan {
        let targets = sessions.into_iter().map(|session| (session, Copy::Original)).collect();
        Plan { targets, ..Plan::default() }
    }
    /// Whether the session gets it in any form.
    pub fn reaches(&self, session: SessionId) -> bool {
        self.targets.iter().any(|(target, _)| *target == session)
    }
    /// One more session.
    pub fn add(&mut self, session: SessionId, copy: Copy) {
        self.targets.push((session, copy));
    }
    /// Whether a commit would change anything.
    pub fn has_effect(&self) -> bool {
        self.refusal.is_none() && (!self.targets.is_empty() || self.keep.is_some())
    }
}
