//! A message on its way (RFC 6121 §5).

use std::ops::Deref;

use starling_jid::{FullJid, Jid};
use starling_xml::{Element, ns};

use crate::{Kind, Parts, StanzaError};

/// How a message wants to be shown and kept (RFC 6121 §5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// Alone, outside a conversation; also what an unknown type means.
    Normal,
    /// Part of a conversation of two.
    Chat,
    /// From or to a room.
    Groupchat,
    /// A notice nobody answers.
    Headline,
    /// An answer that something went wrong.
    Error,
}

/// Never changes; a client's words become one in `Draft::stamp`.
#[derive(Debug, Clone)]
pub struct Message(pub(crate) Parts);

impl Deref for Message {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Message {
    /// A message that the server itself sends.
    pub fn own(kind: MessageType, from: Jid, to: Option<Jid>, children: &[Element]) -> Message {
        Message(Parts::own(Kind::Message, kind.as_str(), from, to, children))
    }
    /// The value of `type`, where absent and unknown mean `Normal`.
    pub fn message_type(&self) -> MessageType {
        MessageType::parse(self.0.type_name())
    }
    /// Whether it has a `<body/>`.
    pub fn has_body(&self) -> bool {
        self.has(ns::CLIENT, "body")
    }
    /// A copy that also carries `payload`; `self` stays what it was.
    pub fn with(&self, payload: &Element) -> Message {
        Message(self.0.with(payload))
    }
    /// A copy without the direct children that `drop` names.
    pub fn without(&self, drop: impl Fn(&Element) -> bool) -> Message {
        Message(self.0.without(drop))
    }
    /// The error that answers it; `None` for an error, which is never answered.
    pub fn bounce(&self, error: &StanzaError, own: &FullJid) -> Option<Message> {
        self.0.bounce(error, own).map(Message)
    }
}

impl MessageType {
    /// The value of the attribute; `Normal` is written by its absence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::Chat => "chat",
            Self::Groupchat => "groupchat",
            Self::Headline => "headline",
            Self::Error => "error",
        }
    }
    /// RFC 6121 §5.2.2: what is not understood is `normal`.
    pub fn parse(text: &str) -> MessageType {
        match text {
            "chat" => Self::Chat,
            "groupchat" => Self::Groupchat,
            "headline" => Self::Headline,
            "error" => Self::Error,
            _ => Self::Normal,
        }
    }
}
