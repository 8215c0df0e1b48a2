//! ADR 14, finding 6: a swap that was decided on a record which Redis has lost since does not replace another's.

use starling_jid::BareJid;
use starling_ports::delivery::Entry;
use starling_ports::ids::{ArchiveId, LogNumber};
use starling_ports::sessions::Sessions;
use starling_ports::suite::fresh_user;

use crate::talk::{archived, deliver, message, online};
use crate::world::World;

/// What comes to a device that signs in last.
async fn waiting(router: &dyn Sessions, account: &BareJid) -> Vec<ArchiveId> {
    let phone = online(router, account, "phone").await;
    let pulled = router.pull(account, phone.id, phone.epoch, LogNumber(0), 100).await.unwrap();
    pulled.entries.iter().filter_map(|entry| entry.committed.id).collect()
}

/// The connection is the same and Redis says that it is the same; only the account's record is as it was one write before.
/// Both routers have written the same number of times.
#[tokio::test]
async fn a_record_with_as_many_writes_is_not_taken_for_the_one_that_was_known() {
    let world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    let desk = online(&*one, &account, "desk").await;
    let deliver = async |router: &dyn Sessions, sender, number| {
        deliver(router, &world.store, &account, message(sender, number, &[desk.id])).await
    };
    for number in 1..=3 {
        deliver(&*one, 1, number).await;
    }
    let keys: Vec<String> = world.server.ask(&["KEYS", "[sb]:*"]);
    assert_eq!(keys.len(), 2, "the record and its bodies: {keys:?}");
    let copy = |from: &str, to: &str| world.server.ask::<bool>(&["COPY", from, to, "REPLACE"]);
    assert!(keys.iter().all(|key| copy(key, &format!("older {key}"))));
    let lost = deliver(&*one, 1, 4).await;
    assert!(keys.iter().all(|key| copy(&format!("older {key}"), key)));

    let others = deliver(&*other, 2, 1).await;
    let last = deliver(&*one, 1, 5).await;
    assert!(lost < others && others < last, "it is decided anew, behind what the other has written");
    for router in [&one, &other] {
        let pulled = router.pull(&account, desk.id, desk.epoch, LogNumber(0), 100).await.unwrap();
        let text = |entry: &Entry| String::from_utf8_lossy(entry.committed.wire.as_bytes()).into_owned();
        let texts: Vec<_> = pulled.entries.iter().map(text).collect();
        for (text, said) in texts.iter().zip(["1:1", "1:2", "1:3", "2:1", "1:5"]) {
            assert!(text.contains(&format!(">{said}<")), "nothing is replaced: {texts:?}");
        }
        assert_eq!(texts.len(), 5);
    }
}

/// Redis was killed and has forgotten its last write: what stands in the archive is no other's, and waits again.
#[tokio::test]
async fn what_a_router_knows_of_a_former_life_of_redis_replaces_nothing() {
    let mut world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(deliver(&*one, &world.store, &account, message(1, number, &[])).await);
    }
    let older = world.server.copy();
    ids.push(deliver(&*one, &world.store, &account, message(1, 4, &[])).await);
    world.server.come_back_as(older);
    ids.push(deliver(&*other, &world.store, &account, message(2, 1, &[])).await);
    ids.push(deliver(&*one, &world.store, &account, message(1, 5, &[])).await);
    assert!(
        ids.is_sorted() && ids.windows(2).all(|two| two[0] < two[1]),
        "no id is given out twice: {ids:?}"
    );
    let rows: Vec<_> = archived(&*other, &world.store, &account).await.iter().map(|row| row.id).collect();
    assert_eq!(rows, ids);
    assert_eq!(waiting(&*one, &account).await, ids, "each comes once");
    // Rule 3: the stanza whose commit was lost is known by its row.
    assert_eq!(deliver(&*other, &world.store, &account, message(1, 4, &[])).await, ids[3]);
}
