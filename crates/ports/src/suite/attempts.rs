//! For `Attempts`.

use std::net::IpAddr;

use super::fresh_user;
use crate::attempts::{Attempts, Tried};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const OTHER: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// Each by itself, though the other store, if it is another one, was asked in between.
pub async fn attempts_are_counted_wherever_they_come(one: &dyn Attempts, other: &dyn Attempts) {
    let (alice, bob) = (fresh_user(), fresh_user());
    assert_eq!(one.begin(&alice, PEER).await.unwrap(), Tried { pair: 1, account: 1, address: 0 });
    one.failed(PEER).await.unwrap();
    assert_eq!(other.begin(&alice, PEER).await.unwrap(), Tried { pair: 2, account: 2, address: 1 });
    other.failed(PEER).await.unwrap();
    assert_eq!(one.begin(&alice, OTHER).await.unwrap(), Tried { pair: 1, account: 3, address: 0 });
    one.failed(OTHER).await.unwrap();
    assert_eq!(other.begin(&bob, PEER).await.unwrap(), Tried { pair: 1, account: 1, address: 2 });
}

/// The address is not forgiven: from there others may be attacked.
pub async fn a_success_forgives_the_account(store: &dyn Attempts) {
    let (alice, bob) = (fresh_user(), fresh_user());
    for account in [&alice, &alice, &bob] {
        store.begin(account, PEER).await.unwrap();
        store.failed(PEER).await.unwrap();
    }
    store.begin(&alice, PEER).await.unwrap();
    store.succeeded(&alice, PEER).await.unwrap();
    assert_eq!(store.begin(&alice, PEER).await.unwrap(), Tried { pair: 1, account: 1, address: 3 });
    assert_eq!(store.begin(&bob, PEER).await.unwrap(), Tried { pair: 2, account: 2, address: 3 });
}

/// They count as failed while nobody knows how they end.
pub async fn attempts_under_way_count(store: &dyn Attempts) {
    let alice = fresh_user();
    for count in 1..=5 {
        assert_eq!(
            store.begin(&alice, PEER).await.unwrap(),
            Tried { pair: count, account: count, address: 0 }
        );
    }
}
