//! A stanza error: a value of the protocol, not a failure of ours (RFC 6120 §8.3).

use starling_xml::{Element, ns};

use crate::Condition;

/// What the sender should do about it (RFC 6120 §8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Try again after giving credentials.
    Auth,
    /// Do not try again.
    Cancel,
    /// It was only a warning.
    Continue,
    /// Try again with other data.
    Modify,
    /// Try again later.
    Wait,
}

impl ErrorType {
    /// The value of the attribute `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }
}

/// Why a stanza was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender should do.
    pub kind: ErrorType,
    /// What went wrong.
    pub condition: Condition,
    /// A sentence for a person.
    pub text: Option<Box<str>>,
    /// An application-specific condition, where a XEP defines one (RFC 6120 §8.3.4).
    pub specific: Option<Box<Element>>,
}

impl StanzaError {
    /// An error of type `kind`.
    pub fn new(kind: ErrorType, condition: Condition) -> StanzaError {
        StanzaError { kind, condition, text: None, specific: None }
    }
    /// Do not try again.
    pub fn cancel(condition: Condition) -> StanzaError {
        StanzaError::new(ErrorType::Cancel, condition)
    }
    /// Try again with other data.
    pub fn modify(condition: Condition) -> StanzaError {
        StanzaError::new(ErrorType::Modify, condition)
    }
    /// Try again later.
    pub fn wait(condition: Condition) -> StanzaError {
        StanzaError::new(ErrorType::Wait, condition)
    }
    /// Try again after giving credentials.
    pub fn auth(condition: Condition) -> StanzaError {
        StanzaError::new(ErrorType::Auth, condition)
    }
    /// The same with a sentence for a person.
    pub fn with_text(mut self, text: &str) -> StanzaError {
        self.text = Some(text.into());
        self
    }
    /// The same with a condition of a XEP.
    pub fn with_specific(mut self, specific: Element) -> StanzaError {
        self.specific = Some(Box::new(specific));
        self
    }
    /// The `<error/>` element.
    pub fn to_element(&self) -> Element {
        let mut error = Element::new(ns::CLIENT, "error")
            .with_attr("type", self.kind.as_str())
            .with_child(Element::new(ns::STANZAS, self.condition.as_str()));
        if let Some(text) = &self.text {
            error = error.with_child(Element::new(ns::STANZAS, "text").with_text(text));
        }
        match &self.specific {
            Some(specific) => error.with_child((**specific).clone()),
            None => error,
        }
    }
}
