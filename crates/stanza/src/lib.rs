//! The three stanzas and their errors (RFC 6120 §8).
#![forbid(unsafe_code)]

pub mod added;
mod condition;
mod draft;
mod error;
mod iq;
mod message;
mod parts;
mod presence;
mod stanza;
mod wire;

pub use condition::Condition;
pub use draft::{Carried, Draft, Refusal};
pub use error::{ErrorType, StanzaError};
pub use iq::{Iq, IqType};
pub use message::{Message, MessageType};
pub use parts::{Head, Kind, Parts};
pub use presence::{Presence, PresenceType};
pub use stanza::Stanza;
pub use wire::Wire;
