//! One of the three.

use std::ops::Deref;

use starling_jid::FullJid;

use crate::{Iq, Message, Parts, Presence, StanzaError};

/// One of the three stanzas.
#[derive(Debug, Clone)]
pub enum Stanza {
    /// `<message/>`
    Message(Message),
    /// `<presence/>`
    Presence(Presence),
    /// `<iq/>`
    Iq(Iq),
}

impl Deref for Stanza {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        match self {
            Self::Message(message) => message,
            Self::Presence(presence) => presence,
            Self::Iq(iq) => iq,
        }
    }
}

impl Stanza {
    /// The error that answers it; `None` for what must not be answered.
    pub fn bounce(&self, error: &StanzaError, own: &FullJid) -> Option<Stanza> {
        match self {
            Self::Message(message) => message.bounce(error, own).map(Stanza::Message),
            Self::Presence(presence) => presence.bounce(error, own).map(Stanza::Presence),
            Self::Iq(iq) => iq.bounce(error, own).map(Stanza::Iq),
        }
    }
}
