//! Whom a user blocks (XEP-0191).

use async_trait::async_trait;
use starling_jid::{BareJid, Jid};

use crate::Result;

/// The blocked addresses of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockList {
    /// In order, each once.
    pub items: Vec<Jid>,
}

impl BlockList {
    /// XEP-0191 §2 (by XEP-0016 §2.1): a full JID, a bare JID, `domain/resource` or a domain matches.
    pub fn blocks(&self, jid: &Jid) -> bool {
        !self.items.is_empty() && self.items.iter().any(|item| matches(item, jid))
    }
}

fn matches(item: &Jid, jid: &Jid) -> bool {
    item.domain() == jid.domain()
        && (item.local().is_none() || item.local() == jid.local())
        && (item.resource().is_none() || item.resource() == jid.resource())
}

/// The block lists. What returned `Ok` outlives the process.
#[async_trait]
pub trait BlockLists: Send + Sync + 'static {
    /// The list; empty for who never made one.
    async fn get(&self, owner: &BareJid) -> Result<BlockList>;
    /// Replaces it.
    async fn put(&self, owner: &BareJid, list: BlockList) -> Result<()>;
}
