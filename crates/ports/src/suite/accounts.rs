//! For `Accounts`.

use super::fresh_user;
use crate::accounts::{Accounts, Created, Credentials, ScramKeys};
use crate::ids::Timestamp;

/// Keys that differ by `seed`.
pub fn credentials(seed: u8) -> Credentials {
    let keys = |length: usize| ScramKeys {
        iterations: 4096 + u32::from(seed),
        salt: vec![seed; 16],
        stored: vec![seed.wrapping_add(1); length],
        server: vec![seed.wrapping_add(2); length],
    };
    Credentials { sha1: Some(keys(20)), sha256: Some(keys(32)) }
}

/// The first wins; the second changes nothing.
pub async fn a_name_is_given_once(store: &dyn Accounts) {
    let user = fresh_user();
    assert_eq!(store.get(&user).await.unwrap(), None);
    assert_eq!(store.create(&user, credentials(1), Timestamp(5)).await.unwrap(), Created::Yes);
    assert_eq!(store.create(&user, credentials(2), Timestamp(6)).await.unwrap(), Created::Exists);
    let account = store.get(&user).await.unwrap().unwrap();
    assert_eq!((account.credentials, account.created, account.suspended), (credentials(1), 5, false));
}

/// Each change keeps the rest.
pub async fn keys_and_suspension_change_apart(store: &dyn Accounts) {
    let user = fresh_user();
    assert!(!store.set_credentials(&user, credentials(1)).await.unwrap());
    assert!(!store.set_suspended(&user, true).await.unwrap());
    assert_eq!(store.get(&user).await.unwrap(), None);
    store.create(&user, credentials(1), Timestamp(5)).await.unwrap();
    assert!(store.set_suspended(&user, true).await.unwrap());
    assert!(store.set_credentials(&user, credentials(2)).await.unwrap());
    let account = store.get(&user).await.unwrap().unwrap();
    assert_eq!((account.credentials, account.created, account.suspended), (credentials(2), 5, true));
    assert!(store.set_suspended(&user, false).await.unwrap());
    assert!(!store.get(&user).await.unwrap().unwrap().suspended);
}

/// What another server has made may have one set of keys, or none.
pub async fn keys_may_be_missing(store: &dyn Accounts) {
    let (user, whole) = (fresh_user(), credentials(1));
    let kept = async || store.get(&user).await.unwrap().unwrap().credentials;
    store.create(&user, Credentials::default(), Timestamp(5)).await.unwrap();
    assert_eq!(kept().await, Credentials::default());
    for some in
        [Credentials { sha256: None, ..whole.clone() }, Credentials { sha1: None, ..whole.clone() }, whole]
    {
        assert!(store.set_credentials(&user, some.clone()).await.unwrap());
        assert_eq!(kept().await, some);
    }
}

/// A removed account is gone, and its name is free.
pub async fn a_removed_account_is_gone(store: &dyn Accounts) {
    let user = fresh_user();
    assert!(!store.remove(&user).await.unwrap());
    store.create(&user, credentials(1), Timestamp(5)).await.unwrap();
    assert!(store.remove(&user).await.unwrap());
    assert_eq!(store.get(&user).await.unwrap(), None);
    assert_eq!(store.create(&user, credentials(3), Timestamp(9)).await.unwrap(), Created::Yes);
}

/// All names, in order, page by page.
pub async fn names_are_listed_in_order(store: &dyn Accounts) {
    let mut users: Vec<_> = (0..5).map(|_| fresh_user()).collect();
    for user in &users {
        store.create(user, credentials(1), Timestamp(5)).await.unwrap();
    }
    users.sort();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        listed.extend(page);
    }
    assert!(listed.is_sorted());
    listed.retain(|user| users.contains(user));
    assert_eq!(listed, users);
}
