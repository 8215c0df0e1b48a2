//! Replies that are lost, a Redis that is killed, and one that is emptied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use starling_jid::{BareJid, Jid};
use starling_ports::ids::{Epoch, Handled, Life, LogNumber};
use starling_ports::sessions::{
    Availability, Bound, Change, Changed, Outcome, Portrait, Registered, Registration, Renewal, Sessions,
    SmBase, Standing,
};
use starling_ports::suite::sessions::renewal_of;
use starling_ports::suite::{fresh_user, wire};
use starling_store_redis::Config;

use crate::proxy::Proxy;
use crate::talk::{NODE, archived, commit, deliver, message, online, resumable};
use crate::world::World;

#[tokio::test]
async fn what_was_written_is_not_done_again_when_the_reply_is_lost() {
    let world = World::new();
    let account = fresh_user();
    let proxy = Proxy::start(world.server.port).await;
    let url = format!("redis://{}/0", proxy.address);
    let router = world.router_with(Config { url, ..world.config() }).await;
    proxy.lose_one();
    let desk = online(&*router, &account, "desk").await;
    assert!(proxy.has_lost());
    assert!(desk.replaced.is_none(), "it was bound once");

    proxy.lose_one();
    let outcome = commit(&*router, &account, message(1, 1, &[desk.id])).await.unwrap();
    assert!(proxy.has_lost());
    let Outcome::Done { id: Some(id), row: Some(_), handed } = outcome else { panic!("{outcome:?}") };
    assert_eq!((handed.len(), handed[0].entry.number), (1, LogNumber(1)));
    assert_eq!(
        archived(&*router, &world.store, &account).await.iter().map(|row| row.id).collect::<Vec<_>>(),
        [id]
    );

    let to = Jid::new("carol@example.org/a").unwrap();
    let directed = Change::Directed { to: to.clone(), available: true };
    router.change(&account, desk.id, desk.epoch, directed).await.unwrap();
    proxy.lose_one();
    let left = router.change(&account, desk.id, desk.epoch, Change::Presence(None)).await.unwrap();
    assert!(proxy.has_lost());
    let Changed::Left { directed } = left else { panic!("who is to be told is known: {left:?}") };
    assert_eq!(directed, [to]);
}

/// Architecture §6: Redis, kill -9 and restart. A pause; nothing that was answered is lost, nothing doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_started_again_loses_and_doubles_nothing() {
    const EACH: u64 = 60;
    let mut world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    let desk = resumable(&*one, &account, "desk").await;
    let done = Arc::new(AtomicU64::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for (sender, router) in [(1, one.clone()), (2, other.clone())] {
        let (store, account, done) = (world.store.clone(), account.clone(), done.clone());
        writers.spawn(async move {
            let mut ids = Vec::new();
            for number in 1..=EACH {
                ids.push(deliver(&*router, &store, &account, message(sender, number, &[desk.id])).await);
                done.fetch_add(1, Ordering::SeqCst);
            }
            ids
        });
    }
    for round in 1..=2 {
        crate::talk::soon("commits are under way", async || done.load(Ordering::SeqCst) > round * EACH / 2)
            .await;
        world.server.kill();
        assert!(world.server.run(), "it starts on its port again");
    }
    let mut all: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    all.sort();
    let rows: Vec<_> = archived(&*one, &world.store, &account).await.into_iter().map(|row| row.id).collect();
    assert_eq!(rows, all, "each has one row");
    let epoch = register(&*one, &account, &desk).await; // nothing of it has come to its node
    let mut texts = Vec::new();
    let mut after = LogNumber(0);
    loop {
        let pulled = one.pull(&account, desk.id, epoch, after, 1000).await.unwrap();
        for entry in &pulled.entries {
            assert_eq!(entry.number.0, after.0 + 1, "no number is left out");
            after = entry.number;
            texts.push(entry.committed.id.unwrap());
        }
        if !pulled.more {
            break;
        }
    }
    texts.sort();
    assert_eq!(texts, all, "and comes to the session once");
}

/// A node that got nothing of the session's log registers it again (rule 9).
async fn register(router: &dyn Sessions, account: &BareJid, session: &Bound) -> Epoch {
    let said = Registration {
        session: session.id,
        jid: account.with_resource("desk").unwrap(),
        node: NODE,
        epoch: session.epoch,
        life: Life::UNKNOWN,
        token: 1,
        portrait: Portrait {
            available: Some(Arc::new(Availability { priority: 0, presence: wire("") })),
            ..Portrait::default()
        },
        resume: Some(std::time::Duration::from_secs(300)),
        base: SmBase::default(),
        handled: Handled(0),
        acknowledged: LogNumber(0),
        entries: Vec::new(),
        done: Vec::new(),
    };
    let registered = router.register(said).await.unwrap();
    let Registered::Again { epoch } = registered else { panic!("{registered:?}") };
    epoch
}

/// Architecture §6: Redis, emptied. At most a reconnect; every acknowledged message comes to a device.
#[tokio::test]
async fn an_emptied_redis_costs_a_reconnect_and_no_message() {
    let world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    let desk = resumable(&*one, &account, "desk").await;
    let mut ids = Vec::new();
    for number in 1..=5 {
        ids.push(deliver(&*one, &world.store, &account, message(1, number, &[desk.id])).await);
    }
    one.acknowledge(&account, desk.id, desk.epoch, LogNumber(2)).await.unwrap();
    one.save().await.unwrap(); // the position is in its store
    world.server.ask::<String>(&["FLUSHALL"]);
    let renewal = Renewal { last: LogNumber(5), ..renewal_of(&account, desk.id) };
    assert_eq!(one.renew(NODE, vec![renewal]).await.unwrap()[0].standing, Standing::Over);
    let next = deliver(&*other, &world.store, &account, message(2, 1, &[])).await;
    assert!(ids.iter().all(|id| *id < next), "ids go on above those of the archive");
    let phone = online(&*other, &account, "phone").await;
    let pulled = other.pull(&account, phone.id, phone.epoch, LogNumber(0), 100).await.unwrap();
    let came: Vec<_> = pulled.entries.iter().filter_map(|entry| entry.committed.id).collect();
    assert_eq!(came, [&ids[2..], &[next]].concat());
    assert!(pulled.entries.iter().all(|entry| entry.late));
}
