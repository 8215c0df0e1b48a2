//! The names of the portable format (XEP-0227 1.1), and what this server adds to it.

pub(super) const PIE: &str = "urn:xmpp:pie:0";
pub(super) const ARCHIVE: &str = "urn:xmpp:pie:0#mam";
pub(super) const SCRAM: &str = "urn:xmpp:pie:0#scram";
/// What the format has no place for. Elements of another namespace may stand anywhere in it: others pass over them.
pub(super) const OWN: &str = "urn:starling:account:0";
