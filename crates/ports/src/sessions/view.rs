//! What decisions about an account are made on.

use std::sync::Arc;

use starling_jid::{BareJid, FullJid, Jid};
use starling_stanza::Wire;

use super::Keep;
use crate::archive::Table;
use crate::blocklist::BlockList;
use crate::ids::{NodeId, SessionId};
use crate::preferences::Preferences;

/// Which state of an account a decision was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ViewVersion(pub u64);

/// What a session has asked for. A bag of named bits, not of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// XEP-0280 is on.
    pub carbons: bool,
    /// It asked for the roster: it gets roster pushes (RFC 6121 §2.1.6).
    pub interested: bool,
    /// It asked for the block list: it gets its pushes (XEP-0191 §3.2).
    pub blocklist: bool,
    /// XEP-0198 is on.
    pub sm: bool,
    /// It may be resumed.
    pub resumable: bool,
    /// XEP-0352: the client is inactive; what is not urgent waits.
    pub inactive: bool,
}

/// The availability of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    /// RFC 6121 §4.7.2.3.
    pub priority: i8,
    /// The last available presence, as its contacts see it, without `to`.
    pub presence: Wire,
}

/// A session as a decision sees it.
#[derive(Debug, Clone)]
pub struct SessionView {
    /// Which one.
    pub id: SessionId,
    /// Its address.
    pub jid: FullJid,
    /// Its owner, for directing a delivery; a change of it changes no view (rule 24).
    pub node: NodeId,
    /// What it asked for.
    pub flags: Flags,
    /// `None`: no available presence sent (RFC 6121 §4.2).
    pub available: Option<Arc<Availability>>,
    /// Whether a socket holds it now; otherwise it waits for resumption.
    pub attached: bool,
    /// Whom it has sent directed presence and not taken it back (RFC 6121 §4.6): they may know that it is there. A change of
    /// it alone need not change the view's version.
    pub directed: Arc<Vec<Jid>>,
}

/// What decisions about an account are made on. Immutable; a newer one has a higher version.
#[derive(Debug, Clone)]
pub struct View {
    /// Compared by `commit`.
    pub version: ViewVersion,
    /// Whose.
    pub account: BareJid,
    /// Whether there is such an account.
    pub exists: bool,
    /// Its sessions, in the order of binding.
    pub sessions: Vec<SessionView>,
    /// Whom it blocks (XEP-0191).
    pub blocked: Arc<BlockList>,
    /// What it wants archived (XEP-0441).
    pub preferences: Arc<Preferences>,
    /// How many messages wait past the position, at least; for the quota.
    pub waiting: usize,
    /// How many bytes they take, at least.
    pub waiting_bytes: usize,
    /// How many bytes are archived, nearly; for the quota.
    pub archived_bytes: u64,
}

impl View {
    /// The session bound to `resource`.
    pub fn session(&self, resource: &str) -> Option<&SessionView> {
        self.sessions.iter().find(|session| session.jid.resource() == resource)
    }
    /// One more message is to be kept: for who decides on several at once.
    pub fn count(&mut self, keep: &Keep, bytes: usize) {
        if keep.deliverable {
            self.waiting += 1;
            self.waiting_bytes += bytes;
        }
        if keep.table == Table::Archive {
            self.archived_bytes += bytes as u64;
        }
    }
    /// Sessions with available presence.
    pub fn available(&self) -> impl Iterator<Item = &SessionView> {
        self.sessions.iter().filter(|session| session.available.is_some())
    }
}
