//! RFC 6121 §3 and appendix A: subscriptions; §4 and §8.5: where presence goes.

use starling_jid::{FullJid, Jid};
use starling_ports::roster::Subscription;
use starling_ports::sessions::{SessionView, View};
use starling_session_router::Plan;
use starling_stanza::PresenceType;

/// What a subscription stanza does to the roster of whoever sends it (appendix A.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbound {
    /// The new state.
    pub state: Subscription,
    /// Whether it goes on to the contact.
    pub routed: bool,
}

/// What a subscription stanza does to the roster of whoever gets it (appendix A.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbound {
    /// The new state.
    pub state: Subscription,
    /// Whether the user gets to see it.
    pub delivered: bool,
    /// What the server answers on the user's behalf.
    pub reply: Option<PresenceType>,
}

/// Appendix A.2. `None` for what is no subscription stanza.
pub fn outbound(old: Subscription, kind: PresenceType) -> Option<Outbound> {
    let mut state = old;
    let routed = match kind {
        PresenceType::Subscribe => {
            state.pending_out = !old.to;
            true
        }
        PresenceType::Unsubscribe => {
            state.to = false;
            state.pending_out = false;
            true
        }
        PresenceType::Subscribed if old.pending_in => {
            state.pending_in = false;
            state.from = true;
            true
        }
        PresenceType::Subscribed => {
            state.approved |= !old.from; // §3.4.2: in advance
            false
        }
        PresenceType::Unsubscribed => {
            state.approved = false;
            state.pending_in = false;
            state.from = false;
            old.pending_in || old.from
        }
        _ => return None,
    };
    Some(Outbound { state, routed })
}

/// Appendix A.3. `None` for what is no subscription stanza.
pub fn inbound(old: Subscription, kind: PresenceType) -> Option<Inbound> {
    let mut state = old;
    let mut reply = None;
    let delivered = match kind {
        PresenceType::Subscribe if old.from => {
            reply = Some(PresenceType::Subscribed); // §3.1.3: the contact has approved already
            false
        }
        PresenceType::Subscribe if old.approved => {
            state.from = true;
            reply = Some(PresenceType::Subscribed);
            false
        }
        PresenceType::Subscribe => {
            state.pending_in = true;
            !old.pending_in
        }
        PresenceType::Unsubscribe => {
            state.pending_in = false;
            state.from = false;
            let changes = old.pending_in || old.from;
            reply = changes.then_some(PresenceType::Unsubscribed); // A.3.2, note 1
            changes
        }
        PresenceType::Subscribed => {
            state.to |= old.pending_out;
            state.pending_out = false;
            old.pending_out
        }
        PresenceType::Unsubscribed => {
            state.to = false;
            state.pending_out = false;
            old.pending_out || old.to
        }
        _ => return None,
    };
    Some(Inbound { state, delivered, reply })
}

/// Whether a stanza that is handled again goes on to the contact, though it changes nothing now: the first time it may have
/// changed the roster and nothing else (session-log rule 1).
pub fn outbound_again(old: Subscription, kind: PresenceType) -> bool {
    match kind {
        PresenceType::Subscribed => old.from,
        PresenceType::Unsubscribed => !old.from,
        _ => false,
    }
}

/// The same for whether the user gets to see it: the roster is as it leaves it.
pub fn inbound_again(old: Subscription, kind: PresenceType) -> bool {
    match kind {
        PresenceType::Subscribe => old.pending_in,
        PresenceType::Unsubscribe => !old.pending_in && !old.from,
        PresenceType::Subscribed => old.to,
        PresenceType::Unsubscribed => !old.pending_out && !old.to,
        _ => false,
    }
}

/// §8.5: presence without a subscription in it, to a bare JID all available sessions, to a full one that one.
pub fn route(view: &View, from: &Jid, resource: Option<&str>) -> Plan {
    if super::is_blocked(view, from) {
        return Plan::default(); // XEP-0191 §3.4: silently
    }
    match resource {
        Some(resource) => Plan::to(view.session(resource).map(|session| session.id)),
        None => Plan::to(view.available().map(|session| session.id)),
    }
}

/// §4.6: whether a session has sent directed presence to `other`, itself or its account.
pub fn is_told(session: &SessionView, other: &FullJid) -> bool {
    let is_other = |to: &Jid| match to.resource() {
        Some(_) => to.as_str() == other.as_str(),
        None => *to == other.bare(),
    };
    session.directed.iter().any(is_other)
}

#[cfg(test)]
mod tests;
