//! Request and response (RFC 6120 §8.2.3).

use std::ops::Deref;

use starling_jid::{FullJid, Jid};
use starling_xml::{Element, ns};

use crate::{Kind, Parts, StanzaError};

/// Which half of the exchange it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IqType {
    /// Asks.
    Get,
    /// Asks to change something.
    Set,
    /// Answers.
    Result,
    /// Answers that it cannot be.
    Error,
}

/// Never changes; a client's words become one in `Draft::stamp`.
#[derive(Debug, Clone)]
pub struct Iq(pub(crate) Parts);

impl Deref for Iq {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Iq {
    /// A request of the server's own, such as a roster push.
    pub fn own(kind: IqType, from: Jid, to: Option<Jid>, id: &str, payload: Element) -> Iq {
        Iq(Parts::own(Kind::Iq, kind.as_str(), from, to, &[payload]).with_id(Some(id)))
    }
    /// Which half of the exchange it is.
    pub fn iq_type(&self) -> IqType {
        IqType::parse(self.0.type_name()).unwrap_or(IqType::Error)
    }
    /// Whether somebody waits for an answer.
    pub fn is_request(&self) -> bool {
        matches!(self.iq_type(), IqType::Get | IqType::Set)
    }
    /// The one payload of a request, as a tree.
    pub fn request(&self) -> Option<Element> {
        let nodes = Element::parse_children(self.children(), ns::CLIENT).ok()?;
        nodes.into_iter().find_map(|node| match node {
            starling_xml::Node::Element(element) => Some(element),
            starling_xml::Node::Text(_) => None,
        })
    }
    /// The answer, from whom it was asked; `own` stands in where the request had no `to`.
    pub fn result(&self, payload: Option<Element>, own: &FullJid) -> Iq {
        let from = self.to().cloned().unwrap_or_else(|| own.bare().into());
        let children: Vec<Element> = payload.into_iter().collect();
        let parts = Parts::own(Kind::Iq, "result", from, Some(self.from().clone()), &children);
        Iq(parts.with_id(self.id()))
    }
    /// The answer that it cannot be; `None` if it is itself an answer.
    pub fn bounce(&self, error: &StanzaError, own: &FullJid) -> Option<Iq> {
        self.0.bounce(error, own).map(Iq)
    }
}

impl IqType {
    /// The value of the attribute `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Result => "result",
            Self::Error => "error",
        }
    }
    /// `None` for a value that RFC 6120 does not define.
    pub fn parse(text: &str) -> Option<IqType> {
        Some(match text {
            "get" => Self::Get,
            "set" => Self::Set,
            "result" => Self::Result,
            "error" => Self::Error,
            _ => return None,
        })
    }
}
