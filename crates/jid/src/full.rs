//! An address with a resource: one session of an account.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::parts::Parts;
use crate::{BareJid, JidError};

/// `local@domain/resource` or `domain/resource` (RFC 7622 §3.1). Cheap to clone.
#[derive(Clone)]
pub struct FullJid(pub(crate) Parts);

impl FullJid {
    /// Parses and prepares; the resourcepart must be there.
    pub fn new(text: &str) -> Result<FullJid, JidError> {
        let parts = Parts::parse(text)?;
        if parts.has_resource() { Ok(FullJid(parts)) } else { Err(JidError::NotFull) }
    }
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        self.0.whole()
    }
    /// Without the resource; nothing is allocated.
    pub fn bare(&self) -> BareJid {
        BareJid(self.0.clone())
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
    pub fn resource(&self) -> &str {
        self.0.resource().unwrap_or_default()
    }
}

impl fmt::Display for FullJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for FullJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FullJid({})", self.as_str())
    }
}

impl PartialEq for FullJid {
    fn eq(&self, other: &FullJid) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for FullJid {}

impl Hash for FullJid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for FullJid {
    fn partial_cmp(&self, other: &FullJid) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FullJid {
    fn cmp(&self, other: &FullJid) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl FromStr for FullJid {
    type Err = JidError;
    fn from_str(text: &str) -> Result<FullJid, JidError> {
        FullJid::new(text)
    }
}
