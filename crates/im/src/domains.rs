//! Which domains are served here.

use std::sync::Arc;

use parking_lot::RwLock;
use starling_jid::BareJid;

/// The domains; all handles see a change.
#[derive(Debug, Clone)]
pub struct Domains(Arc<RwLock<Arc<[BareJid]>>>);

impl Domains {
    /// These.
    pub fn new(domains: impl IntoIterator<Item = BareJid>) -> Domains {
        Domains(Arc::new(RwLock::new(domains.into_iter().collect())))
    }
    /// From now on these.
    pub fn replace(&self, domains: impl IntoIterator<Item = BareJid>) {
        *self.0.write() = domains.into_iter().collect();
    }
    /// Whether it is one of them.
    pub fn serves(&self, domain: &str) -> bool {
        self.0.read().iter().any(|served| served.as_str() == domain)
    }
    /// All of them.
    pub fn list(&self) -> Arc<[BareJid]> {
        self.0.read().clone()
    }
}
