//! An address without a resource: an account, or a domain.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::parts::Parts;
use crate::{FullJid, JidError};

/// `local@domain`, or only `domain` (RFC 7622 §3.1). Cheap to clone; equal only if it is the same account.
#[derive(Clone)]
pub struct BareJid(pub(crate) Parts);

impl BareJid {
    /// Parses and prepares; a resourcepart is refused.
    pub fn new(text: &str) -> Result<BareJid, JidError> {
        let parts = Parts::parse(text)?;
        if parts.has_resource() { Err(JidError::NotBare) } else { Ok(BareJid(parts)) }
    }
    /// From its parts, each prepared.
    pub fn from_parts(local: Option<&str>, domain: &str) -> Result<BareJid, JidError> {
        Parts::new(local, domain, None).map(BareJid)
    }
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        self.0.bare()
    }
    /// The localpart; a domain has none.
    pub fn local(&self) -> Option<&str> {
        self.0.local()
    }
    /// The domainpart.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }
    /// Whether it is a mere domain.
    pub fn is_domain(&self) -> bool {
        self.0.local().is_none()
    }
    /// The address of its domain.
    pub fn to_domain(&self) -> BareJid {
        BareJid::new(self.domain()).unwrap_or_else(|_| self.clone())
    }
    /// This account's address with a resource.
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        Parts::new(self.local(), self.domain(), Some(resource)).map(FullJid)
    }
}

impl fmt::Display for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BareJid({})", self.as_str())
    }
}

impl PartialEq for BareJid {
    fn eq(&self, other: &BareJid) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for BareJid {}

impl Hash for BareJid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for BareJid {
    fn partial_cmp(&self, other: &BareJid) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BareJid {
    fn cmp(&self, other: &BareJid) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl FromStr for BareJid {
    type Err = JidError;
    fn from_str(text: &str) -> Result<BareJid, JidError> {
        BareJid::new(text)
    }
}
