//! How many sessions there are, where there are more than one renewal takes.

use starling_ports::nodes::{NodeReport, Nodes};
use starling_ports::sessions::Sessions;
use starling_ports::suite::fresh_user;
use starling_ports::suite::sessions::renewal_of;

use crate::talk::{NODE, online};
use crate::world::World;

/// A node renews 512 sessions in one call. What counts is what it says of itself, and each router says the same.
#[tokio::test]
async fn more_sessions_than_one_renewal_takes_are_all_counted() {
    const SESSIONS: usize = 600;
    let world = World::new();
    let (one, other) = (world.router().await, world.router().await);
    let mut renewals = Vec::new();
    for _ in 0..SESSIONS {
        let account = fresh_user();
        let desk = online(&*one, &account, "desk").await;
        renewals.push(renewal_of(&account, desk.id));
    }
    let of = |name: &str, sessions| NodeReport { name: name.to_owned(), sessions, ..NodeReport::default() };
    other.report(of("manager-1", SESSIONS as u64)).await.unwrap();
    other.report(of("manager-2", 5)).await.unwrap();
    for part in renewals.chunks(512) {
        assert_eq!(one.renew(NODE, part.to_vec()).await.unwrap().len(), part.len());
    }
    for router in [&one, &other] {
        assert_eq!(router.count().await.unwrap().attached, SESSIONS + 5);
    }
    one.report(of("manager-2", 0)).await.unwrap();
    assert_eq!(other.count().await.unwrap().attached, SESSIONS);
}
