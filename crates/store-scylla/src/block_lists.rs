//! Block lists: one row an account.

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::blocklist::{BlockList, BlockLists};

use crate::error::corrupt;
use crate::store::Store;
use crate::values::jids;

const WHAT: &str = "a block list";

#[async_trait]
impl BlockLists for Store {
    async fn get(&self, owner: &BareJid) -> Result<BlockList> {
        let found = self.client.read(&self.client.statements.block_lists.get, (owner.as_str(),)).await?;
        let Some(row) = found.first::<(Option<Vec<String>>,)>() else { return Ok(BlockList::default()) };
        let items = row.ok_or(corrupt(WHAT)).and_then(|(items,)| jids(items, WHAT));
        Ok(BlockList { items: items.map_err(|_| self.client.corrupt(WHAT, found.place()))? })
    }

    async fn put(&self, owner: &BareJid, list: BlockList) -> Result<()> {
        let items: Vec<&str> = list.items.iter().map(|jid| jid.as_str()).collect();
        let values = (owner.as_str(), items, self.stamps.next());
        self.client.write(&self.client.statements.block_lists.put, values).await
    }
}
