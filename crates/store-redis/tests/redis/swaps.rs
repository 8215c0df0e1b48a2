//! ADR 14, finding 6: a swap that was decided on a record which Redis has lost since does not replace another's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::{Archive, Page, Query, Row, Table};
use starling_ports::delivery::{Entry, Outgoing};
use starling_ports::ids::{ArchiveId, LogNumber};
use starling_ports::sessions::{Outcome, Sessions};
use starling_ports::suite::fresh_user;
use starling_store_embedded::Store;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::bytes::Bytes;

use crate::talk::{archived, commit, deliver, message, online, resumable};
use crate::world::World;
use crate::writers::register;

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

/// Writes a row when it may.
struct Slow {
    store: Arc<Store>,
    came: Arc<Notify>,
    may: Arc<Semaphore>,
}

#[async_trait]
impl Archive for Slow {
    async fn put(&self, table: Table, owner: &BareJid, rows: Vec<Row>) -> Result<()> {
        self.came.notify_one();
        self.may.acquire().await.unwrap().forget();
        self.store.put(table, owner, rows).await
    }
    async fn page(&self, table: Table, owner: &BareJid, query: &Query, limit: usize) -> Result<Page> {
        self.store.page(table, owner, query, limit).await
    }
    async fn get(&self, table: Table, owner: &BareJid, id: ArchiveId) -> Result<Option<Row>> {
        self.store.get(table, owner, id).await
    }
    async fn last(&self, owner: &BareJid) -> Result<Option<ArchiveId>> {
        self.store.last(owner).await
    }
    async fn delete(&self, table: Table, owner: &BareJid, ids: &[ArchiveId]) -> Result<()> {
        self.store.delete(table, owner, ids).await
    }
    async fn waiting(
        &self,
        table: Table,
        owner: &BareJid,
        after: Option<ArchiveId>,
        limit: usize,
    ) -> Result<(usize, usize)> {
        self.store.waiting(table, owner, after, limit).await
    }
}

/// Rule 8: a pull stores what it hands out, and Redis loses it meanwhile. Who has sent it commits it anew: the node would have both.
#[tokio::test]
async fn what_is_lost_while_a_pull_stores_it_is_not_handed_out() {
    let mut world = World::new();
    let account = fresh_user();
    let (came, may) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let slow = Slow { store: world.store.clone(), came: came.clone(), may: may.clone() };
    let (one, (other, _)) = (world.router().await, world.router_on(world.config(), Arc::new(slow)).await);
    let desk = online(&*one, &account, "desk").await;
    let older = world.server.copy();
    commit(&*one, &account, message(1, 1, &[desk.id])).await.unwrap(); // and dies before it stores it
    let mut pulling = JoinSet::new();
    let (owner, puller) = (account.clone(), other.clone());
    pulling.spawn(async move { puller.pull(&owner, desk.id, desk.epoch, LogNumber(0), 100).await });
    came.notified().await;
    world.server.come_back_as(older);
    deliver(&*one, &world.store, &account, message(2, 1, &[])).await; // nothing is known of the other by then
    tokio::time::sleep(Duration::from_millis(100)).await; // what a router has heard of Redis just now holds for it
    may.add_permits(1);
    let pulled = pulling.join_next().await.unwrap().unwrap().unwrap();
    let texts: Vec<_> = pulled.entries.iter().map(text).collect();
    assert!(!texts.iter().any(|text| text.contains(">1:1<")), "{texts:?}");
}

/// Rule 8: a client has what Redis has lost, and its row was stored when others had verified the account. It is not undone, nor done twice.
#[tokio::test]
async fn what_a_client_has_is_committed_though_its_row_came_late() {
    let mut world = World::new();
    let (one, other) = (world.router().await, world.router().await);
    for is_acknowledged in [false, true] {
        let account = fresh_user();
        let desk = resumable(&*one, &account, "desk").await;
        let older = world.server.copy();
        let committed = commit(&*one, &account, message(1, 1, &[desk.id])).await.unwrap();
        let Outcome::Done { id: Some(id), row: Some((table, row)), .. } = committed else {
            panic!("{committed:?}")
        };
        world.server.come_back_as(older);
        deliver(&*other, &world.store, &account, message(2, 1, &[])).await;
        world.store.put(table, &account, vec![row.clone()]).await.unwrap();
        let entry = Outgoing {
            number: LogNumber(1),
            wire: row.wire,
            more: Bytes::new(),
            address: true,
            late: false,
            id: Some(id),
            trace: None,
        };
        let log = if is_acknowledged { (1, Vec::new(), vec![id]) } else { (0, vec![entry], Vec::new()) };
        register(&*other, &account, &desk, log).await;
        assert_eq!(one.gone(&account, &[(id, row.born)]).await.unwrap(), []);
        assert_eq!(deliver(&*other, &world.store, &account, message(1, 1, &[])).await, id);
        let waiting = other.view(&account).await.unwrap().waiting;
        assert_eq!(waiting, 2 - usize::from(is_acknowledged), "with what the other has sent");
    }
}

fn text(entry: &Entry) -> String {
    String::from_utf8_lossy(entry.committed.wire.as_bytes()).into_owned()
}
