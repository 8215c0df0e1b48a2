//! Contact lists (RFC 6121 §2) and their versions.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use starling_jid::BareJid;

use crate::Result;

/// A contact, with both halves of the subscription and what is pending (RFC 6121 §2.1.2, appendix A).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub jid: BareJid,
    /// The user's own name for it.
    pub name: Option<Box<str>>,
    /// In the order the client gave.
    pub groups: Vec<Box<str>>,
    /// The subscription's state.
    pub state: Subscription,
    /// Which version of the roster changed it last.
    pub version: u64,
    /// A subscription request that waits for the user's answer, as it came (RFC 6121 §3.1.3); such a contact may be
    /// unknown to the user otherwise, then `listed` is false.
    pub request: Option<bytes::Bytes>,
    /// Whether it is in the roster that the user sees: false for a mere pending request or pre-approval.
    pub listed: bool,
}

/// The state of a subscription from the user's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Subscription {
    /// The user sees the contact's presence.
    pub to: bool,
    /// The contact sees the user's presence.
    pub from: bool,
    /// The user has asked and waits (`ask='subscribe'`).
    pub pending_out: bool,
    /// The contact has asked and waits.
    pub pending_in: bool,
    /// The user has approved in advance (`approved='true'`).
    pub approved: bool,
}

impl Subscription {
    /// The value of the attribute `subscription`.
    pub fn as_str(self) -> &'static str {
        match (self.to, self.from) {
            (false, false) => "none",
            (true, false) => "to",
            (false, true) => "from",
            (true, true) => "both",
        }
    }
}

/// How many removals are remembered for answering with what changed since.
const REMOVED: usize = 256;

/// A whole roster.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// Grows by one with every change; never falls.
    pub version: u64,
    /// In the order of their JIDs.
    pub contacts: Vec<Contact>,
    /// What was removed, and by which version: for answering with what changed since. Bounded; `since` says how far it reaches.
    pub removed: Vec<(BareJid, u64)>,
    /// Versions above it can be answered with changes only.
    pub since: u64,
}

impl Roster {
    /// How many contacts the user sees; the others are strangers who wait for an answer.
    pub fn listed(&self) -> usize {
        self.contacts.iter().filter(|contact| contact.listed).count()
    }
    /// The contact `jid`.
    pub fn contact(&self, jid: &BareJid) -> Option<&Contact> {
        self.contacts
            .binary_search_by(|contact| contact.jid.cmp(jid))
            .ok()
            .and_then(|at| self.contacts.get(at))
    }
    /// The next version: `edits` in their order, each changed contact with the new version.
    pub fn after(&self, edits: Vec<Edit>) -> Roster {
        let mut next = self.clone();
        next.version += 1;
        for edit in edits {
            let jid = match &edit {
                Edit::Put(contact) => contact.jid.clone(),
                Edit::Remove(jid) => jid.clone(),
            };
            let place = next.contacts.binary_search_by(|contact| contact.jid.cmp(&jid));
            match (edit, place) {
                (Edit::Put(mut contact), place) => {
                    contact.version = next.version;
                    next.removed.retain(|(removed, _)| *removed != jid);
                    match place {
                        Ok(at) => next.contacts.splice(at..=at, [contact]).for_each(drop),
                        Err(at) => next.contacts.insert(at, contact),
                    }
                }
                (Edit::Remove(_), Ok(at)) => {
                    next.contacts.remove(at);
                    next.removed.push((jid, next.version));
                }
                (Edit::Remove(_), Err(_)) => {}
            }
        }
        let forgotten = next.removed.len().saturating_sub(REMOVED);
        if let Some((_, version)) = next.removed.drain(..forgotten).next_back() {
            next.since = version;
        }
        next
    }
}

/// What a write did.
#[derive(Debug, Clone)]
pub enum Written {
    /// The roster as it is now.
    Done(Arc<Roster>),
    /// It was changed meanwhile: decide again on this one.
    Stale(Arc<Roster>),
}

/// One change.
#[derive(Debug, Clone)]
pub enum Edit {
    /// The contact becomes this; `version` is set by the store.
    Put(Contact),
    /// It is gone.
    Remove(BareJid),
}

/// The rosters. What returned `Ok` outlives the process.
#[async_trait]
pub trait Rosters: Send + Sync + 'static {
    /// The roster; an empty one for who never had any.
    async fn get(&self, owner: &BareJid) -> Result<Arc<Roster>>;
    /// Makes `edits` one step of the roster, if it is still at `version`.
    async fn write(&self, owner: &BareJid, version: u64, edits: Vec<Edit>) -> Result<Written>;
}
