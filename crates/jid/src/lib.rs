//! XMPP addresses: bare and full JIDs in their canonical form (RFC 7622).
//!
//! An address is prepared once, when it is parsed; whoever holds a `BareJid` holds its one canonical form, so it is
//! the key of everything: routing, stores, caches.
#![forbid(unsafe_code)]

mod bare;
mod error;
pub mod escape;
mod full;
mod jid;
mod parts;
mod prep;

pub use bare::BareJid;
pub use error::JidError;
pub use full::FullJid;
pub use jid::Jid;
pub use prep::{prepare_password, prepare_username};
