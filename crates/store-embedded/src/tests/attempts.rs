//! Attempts to sign in: forgotten in time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use starling_ports::attempts::{Attempts, FORGOTTEN_AFTER, Tried};
use starling_ports::ids::NodeId;

use super::{Hands, bob, config};
use crate::Store;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn what_nobody_tried_for_a_while_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Arc::new(Hands(AtomicU64::new(1_000_000)));
    let store = Store::open(&config(dir.path()), hands.clone(), NodeId::default()).unwrap();
    for _ in 0..4 {
        store.begin(&bob(), PEER).await.unwrap();
        store.failed(PEER).await.unwrap();
    }
    hands.turn(FORGOTTEN_AFTER - Duration::from_secs(1));
    assert_eq!(store.begin(&bob(), PEER).await.unwrap(), Tried { pair: 5, account: 5, address: 4 });
    hands.turn(FORGOTTEN_AFTER);
    assert_eq!(store.begin(&bob(), PEER).await.unwrap(), Tried { pair: 1, account: 1, address: 0 });
}
