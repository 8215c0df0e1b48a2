//! How many calls a step costs, and which keys it leaves.

use std::time::Duration;

use starling_ports::ids::{Handled, LogNumber};
use starling_ports::sessions::{CommitReply, Detach, Sessions};
use starling_ports::suite::fresh_user;
use starling_store_redis::Config;

use crate::talk::{commit, deliver, message, online, resumable, soon};
use crate::world::World;

#[tokio::test]
async fn a_view_costs_one_call_and_a_commit_on_it_another() {
    let world = World::new();
    let account = fresh_user();
    let quiet = || Config { lease: Duration::from_secs(3600), ..world.config() };
    let (one, other) = (world.router_with(quiet()).await, world.router_with(quiet()).await);
    let desk = online(&*one, &account, "desk").await;
    // Each says once a minute that it may owe something there.
    commit(&*one, &account, message(1, 1, &[desk.id])).await.unwrap();
    commit(&*other, &account, message(2, 1, &[desk.id])).await.unwrap();
    commit(&*one, &account, message(1, 2, &[desk.id])).await.unwrap();
    let begun = one.calls();
    for number in 3..=12 {
        commit(&*one, &account, message(1, number, &[desk.id])).await.unwrap();
    }
    assert_eq!(one.calls() - begun, 20);
    commit(&*other, &account, message(2, 2, &[desk.id])).await.unwrap();
    let begun = one.calls();
    commit(&*one, &account, message(1, 13, &[desk.id])).await.unwrap();
    assert_eq!(one.calls() - begun, 3, "a look, what another router wrote, and the commit");
    commit(&*other, &account, message(2, 3, &[desk.id])).await.unwrap();
    let begun = one.calls();
    commit(&*one, &account, message(1, 14, &[desk.id])).await.unwrap();
    assert_eq!(one.calls() - begun, 3, "it was the present one again when it was written");
    let begun = one.calls();
    for _ in 0..10 {
        one.view(&account).await.unwrap();
    }
    assert_eq!(one.calls() - begun, 10, "a view asks whether it still holds");
}

/// Session log §2: before delivery one call, before the sender's `<a/>` one more.
#[tokio::test]
async fn a_message_costs_a_call_at_each_end() {
    let world = World::new();
    let (alice, bob) = (fresh_user(), fresh_user());
    let quiet = || Config { lease: Duration::from_secs(3600), ..world.config() };
    let router = world.router_with(quiet()).await;
    let phone = resumable(&*router, &alice, "phone").await;
    let desk = online(&*router, &bob, "desk").await;
    let send = async |number: u64| {
        let begun = router.calls();
        let view = router.known_view(&bob, Duration::MAX).await.unwrap();
        let planned = vec![message(phone.id.0, number, &[desk.id])];
        let CommitReply::Done(_) = router.commit(&bob, view.version, planned, None).await.unwrap() else {
            panic!("nobody else writes")
        };
        let before_delivery = router.calls() - begun;
        let view = router.known_view(&alice, Duration::MAX).await.unwrap();
        let saved = Some((phone.id, phone.epoch, Handled(number)));
        let planned = vec![message(9, number, &[])];
        let CommitReply::Done(_) = router.commit(&alice, view.version, planned, saved).await.unwrap() else {
            panic!("nobody else writes")
        };
        router.settle(&alice, &[], saved).await.unwrap();
        (before_delivery, router.calls() - begun)
    };
    send(1).await; // each says once a minute that it may owe something there
    for number in 2..=10 {
        assert_eq!(send(number).await, (1, 2));
    }
}

/// Rule 10 and issue of memory: while there is a session its record stays; afterwards nothing stays for longer than a day.
#[tokio::test]
async fn no_key_of_an_account_outlives_it() {
    let world = World::new();
    let account = fresh_user();
    let router = world.router().await;
    let desk = resumable(&*router, &account, "desk").await;
    deliver(&*router, &world.store, &account, message(1, 1, &[desk.id])).await;
    let records = || world.server.ask::<Vec<String>>(&["KEYS", "?:{*"]);
    let rests = |key: &String| world.server.ask::<i64>(&["TTL", key]);
    let of_account = |key: &&String| key.starts_with("s:") || key.starts_with("b:");
    assert!(records().iter().filter(of_account).count() == 2);
    assert!(records().iter().filter(of_account).all(|key| rests(key) == -1), "they stay");
    router.acknowledge(&account, desk.id, desk.epoch, LogNumber(1)).await.unwrap();
    let detached = router.detach(&account, desk.id, desk.epoch, Detach::Closed).await.unwrap();
    let owed = detached.ended().unwrap().farewell.unwrap();
    assert!(records().iter().filter(of_account).all(|key| rests(key) == -1), "its end is not told yet");
    router.settle_farewell(&owed).await.unwrap();
    soon("the record rests", async || {
        let keys: Vec<_> = records().into_iter().filter(|key| of_account(&key)).collect();
        keys.len() == 1 && (1..=24 * 3600).contains(&rests(&keys[0]))
    })
    .await;
}
