//! Presence: availability and subscriptions (RFC 6121 §3, §4).

use std::ops::Deref;

use starling_jid::{FullJid, Jid};
use starling_xml::{Element, ns};

use crate::{Kind, Parts, StanzaError};

/// What a presence stanza says (RFC 6121 §4.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PresenceType {
    /// No `type`: the sender is there.
    Available,
    /// The sender is no longer there.
    Unavailable,
    /// The sender wants to see the other's presence.
    Subscribe,
    /// The sender lets the other see.
    Subscribed,
    /// The sender no longer wants to see.
    Unsubscribe,
    /// The sender no longer lets the other see.
    Unsubscribed,
    /// A server asks for the presence of one of its users' contacts.
    Probe,
    /// An answer that something went wrong.
    Error,
}

/// Never changes; a client's words become one in `Draft::stamp`.
#[derive(Debug, Clone)]
pub struct Presence(pub(crate) Parts);

impl Deref for Presence {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Presence {
    /// A presence that the server itself sends.
    pub fn own(kind: PresenceType, from: Jid, to: Option<Jid>, children: &[Element]) -> Presence {
        Presence(Parts::own(Kind::Presence, kind.as_str(), from, to, children))
    }
    /// What it says.
    pub fn presence_type(&self) -> PresenceType {
        PresenceType::parse(self.0.type_name()).unwrap_or(PresenceType::Available)
    }
    /// RFC 6121 §4.7.2.3: between -128 and 127; 0 where absent or not a number in that range.
    pub fn priority(&self) -> i8 {
        self.payload(ns::CLIENT, "priority")
            .and_then(|element| element.text().trim().parse().ok())
            .unwrap_or(0)
    }
    /// The same to somebody else: a broadcast reaches each contact under the contact's own address.
    pub fn to_other(&self, to: Jid) -> Presence {
        Presence(self.0.to_other(Some(to)))
    }
    /// The same from the bare JID: subscriptions belong to the account (RFC 6121 §3.1.2).
    pub fn of_account(&self) -> Presence {
        Presence(self.0.sent_by(self.from().bare().into()))
    }
    /// The same under another id.
    pub fn with_id(&self, id: Option<&str>) -> Presence {
        Presence(self.0.with_id(id))
    }
    /// The error that answers it; `None` for an error.
    pub fn bounce(&self, error: &StanzaError, own: &FullJid) -> Option<Presence> {
        self.0.bounce(error, own).map(Presence)
    }
}

impl PresenceType {
    /// The value of the attribute; `Available` is written by its absence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "",
            Self::Unavailable => "unavailable",
            Self::Subscribe => "subscribe",
            Self::Subscribed => "subscribed",
            Self::Unsubscribe => "unsubscribe",
            Self::Unsubscribed => "unsubscribed",
            Self::Probe => "probe",
            Self::Error => "error",
        }
    }
    /// `None` for a value that RFC 6121 does not define.
    pub fn parse(text: &str) -> Option<PresenceType> {
        Some(match text {
            "" => Self::Available,
            "unavailable" => Self::Unavailable,
            "subscribe" => Self::Subscribe,
            "subscribed" => Self::Subscribed,
            "unsubscribe" => Self::Unsubscribe,
            "unsubscribed" => Self::Unsubscribed,
            "probe" => Self::Probe,
            "error" => Self::Error,
            _ => return None,
        })
    }
}
