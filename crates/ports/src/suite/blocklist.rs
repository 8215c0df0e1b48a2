//! For `BlockLists`.

use starling_jid::Jid;

use super::fresh_user;
use crate::blocklist::{BlockList, BlockLists};

/// The newest list replaces the others.
pub async fn the_newest_list_is_there(store: &dyn BlockLists) {
    let owner = fresh_user();
    assert_eq!(store.get(&owner).await.unwrap(), BlockList::default());
    let items =
        ["example.net", "mallory@example.org", "eve@example.org/desk"].map(|jid| Jid::new(jid).unwrap());
    let list = BlockList { items: items.to_vec() };
    store.put(&owner, list.clone()).await.unwrap();
    assert_eq!(store.get(&owner).await.unwrap(), list);
    store.put(&owner, BlockList::default()).await.unwrap();
    assert_eq!(store.get(&owner).await.unwrap(), BlockList::default());
}
