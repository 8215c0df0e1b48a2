//! Replies that are lost, a Redis that is killed, and one that is emptied.

use std::time::Duration;

use starling_jid::Jid;
use starling_ports::ids::LogNumber;
use starling_ports::sessions::{Change, Changed, Claim, Claimed, Outcome, Renewal, Sessions, Standing};
use starling_ports::suite::fresh_user;
use starling_ports::suite::sessions::renewal_of;
use starling_store_redis::Config;

use crate::proxy::Proxy;
use crate::talk::{NODE, archived, commit, deliver, message, online, resumable};
use crate::world::World;
use crate::writers::Writers;

#[tokio::test]
async fn what_was_written_is_not_done_again_when_the_reply_is_lost() {
    let world = World::new();
    let account = fresh_user();
    let proxy = Proxy::start(world.server.port).await;
    let url = format!("redis://starling@{}/0", proxy.address);
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
    let Changed::Left(farewell) = left else { panic!("who is to be told is known: {left:?}") };
    assert_eq!(farewell.directed, [to]);
}

/// Architecture §6: Redis, kill -9 and restart. A pause; nothing that was answered is lost, nothing doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_started_again_loses_and_doubles_nothing() {
    let mut world = World::new();
    let account = fresh_user();
    let routers = [world.router().await, world.router().await];
    let desk = resumable(&*routers[0], &account, "desk").await;
    let writers = Writers::begin(&routers, &world.store, &account, &desk);
    for _ in 1..=2 {
        writers.more(30).await;
        world.server.kill();
        assert!(world.server.run(), "it starts on its port again");
    }
    writers.more(30).await;
    writers.end(&*routers[0], &world.store, &account, &desk).await;
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

/// Rule 9: its node may register it within seconds, and the client goes on with it.
#[tokio::test]
async fn nobody_is_told_that_a_session_is_over_who_asked_while_redis_was_away_and_forgot_it() {
    let mut world = World::new();
    let account = fresh_user();
    let router = world.router().await;
    let desk = resumable(&*router, &account, "desk").await;
    world.server.kill();
    let claim = Claim { account, session: desk.id, node: NODE, h: 0, token: 1 };
    let come_back = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.server.come_back_as(tempfile::tempdir().unwrap());
    };
    let (claimed, ()) = tokio::join!(router.claim(claim), come_back);
    assert!(matches!(claimed, Ok(Claimed::Doubtful)), "{claimed:?}");
}
