//! A stanza as the client wrote it, not yet believed.

use std::sync::Arc;

use bytes::Bytes;
use starling_jid::{BareJid, FullJid, Jid};
use starling_xml::{Payloads, Raw, ns};

use crate::{
    Condition, Head, Iq, IqType, Kind, Message, MessageType, Parts, Presence, PresenceType, Stanza,
    StanzaError,
};

/// What a client sent: well-formed and within limits, but its `from` is only a claim.
#[derive(Debug, Clone)]
pub struct Draft {
    kind: Kind,
    type_name: &'static str,
    id: Option<Box<str>>,
    lang: Option<Box<str>>,
    to: Option<Jid>,
    from: Option<Box<str>>,
    refusal: Option<StanzaError>,
    children: Bytes,
    payloads: Payloads,
}

/// Why the stream ends instead of the stanza being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not one of the three stanzas (RFC 6120 §4.9.3.24).
    #[error("unsupported stanza type")]
    UnsupportedStanzaType,
    /// A stanza of another content namespace (RFC 6120 §4.9.3.10).
    #[error("invalid namespace")]
    InvalidNamespace,
    /// A `from` that is not the sender's (RFC 6120 §8.1.2.1, §4.9.3.9).
    #[error("invalid from")]
    InvalidFrom,
}

/// All of a draft, as it travels from the node that read it to the one that handles it.
#[derive(Debug, Clone, Copy)]
pub struct Carried<'a> {
    /// Which stanza.
    pub kind: Kind,
    /// See `Draft::type_name`.
    pub type_name: &'a str,
    /// See `Draft::id`.
    pub id: Option<&'a str>,
    /// `xml:lang`.
    pub lang: Option<&'a str>,
    /// See `Draft::to`.
    pub to: Option<&'a str>,
    /// As the client claims.
    pub from: Option<&'a str>,
    /// Why it must be answered by an error of type `modify`.
    pub refusal: Option<Condition>,
    /// See `Draft::children`.
    pub children: &'a Bytes,
}

impl Draft {
    /// What another node needs to have the same draft.
    pub fn carried(&self) -> Carried<'_> {
        Carried {
            kind: self.kind,
            type_name: self.type_name,
            id: self.id.as_deref(),
            lang: self.lang.as_deref(),
            to: self.to.as_ref().map(Jid::as_str),
            from: self.from.as_deref(),
            refusal: self.refusal.as_ref().map(|error| error.condition),
            children: &self.children,
        }
    }

    /// The draft that another node read; `None` if none is like that.
    pub fn of_carried(carried: Carried<'_>) -> Option<Draft> {
        Some(Draft {
            kind: carried.kind,
            type_name: type_name(carried.kind, carried.type_name)?,
            id: carried.id.map(Into::into),
            lang: carried.lang.map(Into::into),
            to: carried.to.map(Jid::new).transpose().ok()?,
            from: carried.from.map(Into::into),
            refusal: carried.refusal.map(StanzaError::modify),
            payloads: Payloads::of(carried.children, ns::CLIENT),
            children: carried.children.clone(),
        })
    }

    /// Reads the attributes of a top-level element. What is wrong inside a stanza does not end the stream: `refusal` says it.
    pub fn read(raw: Raw) -> Result<Draft, Refusal> {
        let name = &raw.head.name;
        let kind = match name.local() {
            "message" => Kind::Message,
            "presence" => Kind::Presence,
            "iq" => Kind::Iq,
            _ => return Err(Refusal::UnsupportedStanzaType),
        };
        if name.ns() != ns::CLIENT {
            return Err(Refusal::InvalidNamespace);
        }
        let mut refusal = None;
        let to = match raw.head.attribute("to").map(Jid::new) {
            None => None,
            Some(Ok(to)) => Some(to),
            Some(Err(_)) => {
                refusal = Some(StanzaError::modify(Condition::JidMalformed));
                None
            }
        };
        let type_name = match type_name(kind, raw.head.attribute("type").unwrap_or_default()) {
            Some(type_name) => type_name,
            None => {
                refusal.get_or_insert(StanzaError::modify(Condition::BadRequest));
                if kind == Kind::Iq { IqType::Get.as_str() } else { "" }
            }
        };
        let id: Option<Box<str>> = raw.head.attribute("id").map(Into::into);
        if kind == Kind::Iq {
            let count = raw.payloads.iter().count();
            let is_request = matches!(type_name, "get" | "set");
            if id.is_none() || (is_request && count != 1) || (type_name == "result" && count > 1) {
                refusal.get_or_insert(StanzaError::modify(Condition::BadRequest)); // RFC 6120 §8.2.3
            }
        }
        Ok(Draft {
            kind,
            type_name,
            id,
            lang: raw.head.attribute_ns(ns::XML, "lang").map(Into::into),
            to,
            from: raw.head.attribute("from").map(Into::into),
            refusal,
            children: raw.children,
            payloads: raw.payloads,
        })
    }

    /// Which stanza it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is wrong with it, if it must be answered by an error whatever it says.
    pub fn refusal(&self) -> Option<&StanzaError> {
        self.refusal.as_ref()
    }

    /// Its content, canonical.
    pub fn children(&self) -> &Bytes {
        &self.children
    }

    /// The id that the client gave it.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// To whom.
    pub fn to(&self) -> Option<&Jid> {
        self.to.as_ref()
    }

    /// The value of `type`; empty where absent or, for messages, unknown.
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }

    /// Makes it true: from now on it comes from `sender`, and never changes. A claimed `from` other than the
    /// sender's full or bare JID is refused (RFC 6120 §8.1.2.1).
    pub fn stamp(self, sender: &FullJid) -> Result<Stanza, Refusal> {
        if let Some(claimed) = &self.from {
            let claimed = Jid::new(claimed).map_err(|_| Refusal::InvalidFrom)?;
            if claimed.as_str() != sender.as_str() && claimed.as_str() != sender.bare().as_str() {
                return Err(Refusal::InvalidFrom);
            }
        }
        Ok(self.sent_by(sender.clone().into()))
    }

    /// As another server has stamped and kept it: the `from` that it carries is believed, and `sender` is it where it carries none.
    /// `None` for one that could not have been sent.
    pub fn kept_elsewhere(self, sender: &BareJid) -> Option<Stanza> {
        let from = match &self.from {
            Some(from) => Jid::new(from).ok()?,
            None => sender.clone().into(),
        };
        self.refusal.is_none().then(|| self.sent_by(from))
    }

    fn sent_by(self, from: Jid) -> Stanza {
        let head = Head {
            kind: self.kind,
            type_name: self.type_name,
            from,
            to: self.to,
            id: self.id,
            lang: self.lang,
            payloads: self.payloads,
        };
        let parts = Parts { head: Arc::new(head), children: self.children };
        match self.kind {
            Kind::Message => Stanza::Message(Message(parts)),
            Kind::Presence => Stanza::Presence(Presence(parts)),
            Kind::Iq => Stanza::Iq(Iq(parts)),
        }
    }
}

fn type_name(kind: Kind, text: &str) -> Option<&'static str> {
    match kind {
        Kind::Message => Some(MessageType::parse(text).as_str()),
        Kind::Presence => PresenceType::parse(text).map(PresenceType::as_str),
        Kind::Iq => IqType::parse(text).map(IqType::as_str),
    }
}
