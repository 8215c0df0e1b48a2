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
    match (item.local(), item.resource()) {
        (_, Some(_)) => item == jid,
        (Some(_), None) => item.local() == jid.local() && item.domain() == jid.domain(),
        (None, None) => item.domain() == jid.domain(), // the domain and everybody there
    }
}

/// The block lists. What returned `Ok` outlives the process.
#[async_trait]
pub trait BlockLists: Send + Sync + 'static {
    /// The list; empty for who never made one.
    async fn get(&self, owner: &BareJid) -> Result<BlockList>;
    /// Replaces it.
    async fn put(&self, owner: &BareJid, list: BlockList) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XEP-0191 §6.
    #[test]
    fn an_item_blocks_as_far_as_it_says() {
        let jids =
            ["a.example", "a.example/r", "u@a.example", "u@a.example/r", "u@a.example/s", "v@a.example/r"];
        for (item, blocked) in [
            ("u@a.example/r", vec!["u@a.example/r"]),
            ("u@a.example", vec!["u@a.example", "u@a.example/r", "u@a.example/s"]),
            ("a.example/r", vec!["a.example/r"]),
            ("a.example", jids.to_vec()),
            ("b.example", vec![]),
        ] {
            let list = BlockList { items: vec![Jid::new(item).unwrap()] };
            let matched: Vec<&str> =
                jids.into_iter().filter(|jid| list.blocks(&Jid::new(jid).unwrap())).collect();
            assert_eq!(matched, blocked, "{item}");
        }
    }
}
