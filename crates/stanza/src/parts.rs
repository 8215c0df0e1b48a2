//! What the three stanzas have in common: a parsed head, and content that is carried as it came.

use std::sync::Arc;

use bytes::Bytes;
use starling_jid::{FullJid, Jid};
use starling_xml::{Element, Ns, Payloads, ns};

use crate::{StanzaError, Wire};

/// Which of the three stanzas it is (RFC 6120 §8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<message/>`: push.
    Message,
    /// `<presence/>`: publish and subscribe.
    Presence,
    /// `<iq/>`: request and response.
    Iq,
}

impl Kind {
    /// The element's local name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Iq => "iq",
        }
    }
}

/// The attributes of a stanza, parsed once at the edge, and the names of its payloads.
#[derive(Debug, Clone)]
pub struct Head {
    pub(crate) kind: Kind,
    pub(crate) type_name: &'static str,
    pub(crate) from: Jid,
    pub(crate) to: Option<Jid>,
    pub(crate) id: Option<Box<str>>,
    pub(crate) lang: Option<Box<str>>,
    pub(crate) payloads: Payloads,
}

/// A stanza on its way: immutable, cheap to clone.
#[derive(Debug, Clone)]
pub struct Parts {
    pub(crate) head: Arc<Head>,
    pub(crate) children: Bytes, // canonical XML, checked once at the edge, shared by every copy
}

impl Parts {
    /// A stanza that the server itself sends.
    pub(crate) fn own(
        kind: Kind,
        type_name: &'static str,
        from: Jid,
        to: Option<Jid>,
        children: &[Element],
    ) -> Parts {
        let mut content = Vec::new();
        let mut payloads = Payloads::default();
        for child in children {
            child.write(&mut content, ns::CLIENT);
            payloads.push(child.ns(), child.local());
        }
        let head = Head { kind, type_name, from, to, id: None, lang: None, payloads };
        Parts { head: Arc::new(head), children: content.into() }
    }
    /// Which stanza it is.
    pub fn kind(&self) -> Kind {
        self.head.kind
    }
    /// The value of the attribute `type`; empty where RFC 6121 has the attribute absent.
    pub fn type_name(&self) -> &'static str {
        self.head.type_name
    }
    /// Who sent it: stamped by the server, so it is true.
    pub fn from(&self) -> &Jid {
        &self.head.from
    }
    /// To whom, as the sender wrote it.
    pub fn to(&self) -> Option<&Jid> {
        self.head.to.as_ref()
    }
    /// The sender's own id for it.
    pub fn id(&self) -> Option<&str> {
        self.head.id.as_deref()
    }
    /// `xml:lang`.
    pub fn lang(&self) -> Option<&str> {
        self.head.lang.as_deref()
    }
    /// The content, canonical, standing in the namespace `jabber:client`.
    pub fn children(&self) -> &Bytes {
        &self.children
    }
    /// The names of the direct children.
    pub fn payloads(&self) -> &Payloads {
        &self.head.payloads
    }
    /// Whether it carries `<name xmlns='ns'/>`. A look into the head: no XML is read.
    pub fn has(&self, ns: Ns, name: &str) -> bool {
        self.head.payloads.has(ns, name)
    }
    /// The payload as a tree, for a module that must look inside. Parses, so ask `has` first.
    pub fn payload(&self, ns: Ns, name: &str) -> Option<Element> {
        if !self.has(ns, name) {
            return None;
        }
        starling_xml::child(&self.children, ns::CLIENT, ns, name)
    }
    /// The bytes that travel.
    pub fn wire(&self) -> Wire {
        Wire::of(self)
    }
    pub(crate) fn with(&self, payload: &Element) -> Parts {
        let mut head = (*self.head).clone();
        head.payloads.push(payload.ns(), payload.local());
        let mut content = Vec::with_capacity(self.children.len() + 128);
        content.extend_from_slice(&self.children);
        payload.write(&mut content, ns::CLIENT);
        Parts { head: Arc::new(head), children: content.into() }
    }
    /// The same without those direct children that `drop` names.
    pub(crate) fn without(&self, drop: impl Fn(&Element) -> bool) -> Parts {
        let Some(children) = starling_xml::without(&self.children, ns::CLIENT, drop) else {
            return self.clone();
        };
        let mut head = (*self.head).clone();
        head.payloads = Payloads::of(&children, ns::CLIENT);
        Parts { head: Arc::new(head), children }
    }
    pub(crate) fn to_other(&self, to: Option<Jid>) -> Parts {
        let mut head = (*self.head).clone();
        head.to = to;
        Parts { head: Arc::new(head), children: self.children.clone() }
    }
    pub(crate) fn sent_by(&self, from: Jid) -> Parts {
        let mut head = (*self.head).clone();
        head.from = from;
        Parts { head: Arc::new(head), children: self.children.clone() }
    }
    pub(crate) fn with_id(&self, id: Option<&str>) -> Parts {
        let mut head = (*self.head).clone();
        head.id = id.map(Into::into);
        Parts { head: Arc::new(head), children: self.children.clone() }
    }
    /// The error that answers it, sent by whom it was sent to (RFC 6120 §8.3.1). `None` for what must not be answered.
    pub(crate) fn bounce(&self, error: &StanzaError, own: &FullJid) -> Option<Parts> {
        let unanswerable = match self.head.kind {
            Kind::Iq => matches!(self.head.type_name, "result" | "error"),
            Kind::Message | Kind::Presence => self.head.type_name == "error",
        };
        if unanswerable {
            return None;
        }
        let from = self.head.to.clone().unwrap_or_else(|| own.bare().into());
        let parts =
            Parts::own(self.head.kind, "error", from, Some(self.head.from.clone()), &[error.to_element()]);
        Some(parts.with_id(self.head.id.as_deref()))
    }
}
