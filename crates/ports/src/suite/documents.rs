//! For `Documents`.

use bytes::Bytes;

use super::fresh_user;
use crate::documents::{Document, Documents};

/// Each under its own name; a put replaces.
pub async fn documents_do_not_mix(store: &dyn Documents) {
    let owner = fresh_user();
    let private = |ns: &str, name: &str| Document::Private(ns.into(), name.into());
    let all =
        [Document::Vcard, private("a:b", "c"), private("a", "c"), private("a:b", "d"), private("x y", "c")];
    assert_eq!(store.size(&owner).await.unwrap(), 0);
    for (number, document) in all.iter().enumerate() {
        assert_eq!(store.get(&owner, document).await.unwrap(), None);
        store.put(&owner, document, Bytes::from(format!("<old n='{number}'/>"))).await.unwrap();
        store.put(&owner, document, Bytes::from(format!("<x n='{number}'/>"))).await.unwrap();
    }
    for (number, document) in all.iter().enumerate() {
        let expected = Bytes::from(format!("<x n='{number}'/>"));
        assert_eq!(store.get(&owner, document).await.unwrap(), Some(expected));
    }
    let size = store.size(&owner).await.unwrap();
    assert!((all.len() * 10..all.len() * 40).contains(&size), "{size}");
}
