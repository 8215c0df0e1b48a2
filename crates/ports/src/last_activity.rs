//! When an account was last there (XEP-0012).

use async_trait::async_trait;
use starling_jid::BareJid;

use crate::Result;
use crate::ids::Timestamp;

/// When it went, and what it said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastActivity {
    /// When the last session ended.
    pub at: Timestamp,
    /// The status of its last presence.
    pub status: Option<Box<str>>,
}

/// The last activity of all accounts. A kill may lose the newest.
#[async_trait]
pub trait LastActivities: Send + Sync + 'static {
    /// `None` for who was never there.
    async fn get(&self, owner: &BareJid) -> Result<Option<LastActivity>>;
    /// Replaces it.
    async fn put(&self, owner: &BareJid, last: LastActivity) -> Result<()>;
}
