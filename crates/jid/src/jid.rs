//! Any address.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::parts::Parts;
use crate::{BareJid, FullJid, JidError};

/// A bare or a full JID (RFC 7622 §3.1). Cheap to clone.
#[derive(Clone)]
pub struct Jid(Parts);

impl Jid {
    /// Parses and prepares.
    pub fn new(text: &str) -> Result<Jid, JidError> {
        Parts::parse(text).map(Jid)
    }
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        self.0.whole()
    }
    /// Without the resource; nothing is allocated.
    pub fn bare(&self) -> BareJid {
        BareJid(self.0.clone())
    }
    /// As a full JID, if it has a resource.
    pub fn to_full(&self) -> Option<FullJid> {
        self.0.has_resource().then(|| FullJid(self.0.clone()))
    }
    /// Whether it has no resource.
    pub fn is_bare(&self) -> bool {
        !self.0.has_resource()
    }
    /// The localpart.
    pub fn local(&self) -> Option<&str> {
        self.0.local()
    }
    /// The domainpart.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }
    /// The resourcepart.
    pub fn resource(&self) -> Option<&str> {
        self.0.resource()
    }
}

impl From<BareJid> for Jid {
    fn from(jid: BareJid) -> Jid {
        // The parts may be those of the full JID that it was taken from.
        if jid.0.has_resource() { Jid::new(jid.as_str()).unwrap_or(Jid(jid.0)) } else { Jid(jid.0) }
    }
}

impl From<FullJid> for Jid {
    fn from(jid: FullJid) -> Jid {
        Jid(jid.0)
    }
}

impl PartialEq<BareJid> for Jid {
    fn eq(&self, other: &BareJid) -> bool {
        self.as_str() == other.as_str()
    }
}

impl PartialEq<FullJid> for Jid {
    fn eq(&self, other: &FullJid) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jid({})", self.as_str())
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Jid) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Jid {}

impl Hash for Jid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Jid) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Jid) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl FromStr for Jid {
    type Err = JidError;
    fn from_str(text: &str) -> Result<Jid, JidError> {
        Jid::new(text)
    }
}
