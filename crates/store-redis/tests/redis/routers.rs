//! Two routers at one account, and what each of them must hear of the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use starling_ports::StoreError;
use starling_ports::blocklist::{BlockList, BlockLists};
use starling_ports::clock::{Clock, SystemClock};
use starling_ports::ids::{Handled, LogNumber};
use starling_ports::sessions::{
    Change, Changed, Claim, Claimed, CommitReply, Detach, Outcome, Role, SenderKey, Sessions,
};
use starling_ports::suite::fresh_user;

use crate::talk::{NODE, archived, commit, deliver, message, online, resumable, soon};
use crate::world::World;

/// Rules 1, 3 and the ids: whoever writes, each message has one id and one number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routers_that_write_at_once_lose_and_double_nothing() {
    const EACH: u64 = 40;
    let world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    let desk = online(&*one, &account, "desk").await;
    let mut writers = tokio::task::JoinSet::new();
    for (sender, router) in [(1, one.clone()), (2, other.clone())] {
        let (store, account) = (world.store.clone(), account.clone());
        writers.spawn(async move {
            let mut ids = Vec::new();
            for number in 1..=EACH {
                ids.push(deliver(&*router, &store, &account, message(sender, number, &[desk.id])).await);
            }
            ids
        });
    }
    let mut ids: Vec<_> = writers.join_all().await;
    assert!(ids.iter().all(|ids| ids.is_sorted()), "what one sender wrote is in its order");
    let mut all: Vec<_> = ids.drain(..).flatten().collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len() as u64, 2 * EACH);
    let pulled = other.pull(&account, desk.id, desk.epoch, LogNumber(0), 1000).await.unwrap();
    let numbers: Vec<u64> = pulled.entries.iter().map(|entry| entry.number.0).collect();
    assert_eq!(numbers, (1..=2 * EACH).collect::<Vec<_>>());
    let rows: Vec<_> = archived(&*one, &world.store, &account).await.into_iter().map(|row| row.id).collect();
    assert_eq!(rows, all);
}

/// Rule 13: a router that takes over a lane learns once what was answered, and again when it is told that others may have decided.
#[tokio::test]
async fn who_takes_over_a_lane_knows_what_was_answered() {
    let world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    let desk = online(&*one, &account, "desk").await;
    assert!(one.answered(&account, desk.id, false).await.unwrap().is_empty());
    for number in [3, 4] {
        let mut answer = message(1, number, &[desk.id]);
        answer.key = answer.key.map(|key| SenderKey { session: desk.id, role: Role::Answer, ..key });
        answer.keep = None;
        commit(&*one, &account, answer).await.unwrap();
    }
    assert!(
        one.answered(&account, desk.id, false).await.unwrap().is_empty(),
        "what it has said itself it knows"
    );
    assert_eq!(other.answered(&account, desk.id, false).await.unwrap(), [3, 4]);
    assert!(other.answered(&account, desk.id, false).await.unwrap().is_empty());
    assert_eq!(one.answered(&account, desk.id, true).await.unwrap(), [3, 4]);
}

/// Two routers meet an account of which there is no record: what the slower one had in mind is forgotten.
#[tokio::test]
async fn two_that_begin_a_record_at_once_go_on_with_one() {
    let world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    for router in [&one, &other] {
        router.view(&account).await.unwrap();
    }
    for (sender, router) in [(1, &one), (2, &other), (3, &one)] {
        commit(&**router, &account, message(sender, 1, &[])).await.unwrap();
    }
    assert_eq!(archived(&*other, &world.store, &account).await.len(), 3);
}

/// For an administrator: those of all routers, each once, and no more than were asked for.
#[tokio::test]
async fn sessions_of_all_routers_are_listed_once() {
    const ACCOUNTS: usize = 30;
    let world = World::new();
    let (one, other) = (world.router().await, world.router().await);
    let mut expected = Vec::new();
    for number in 0..ACCOUNTS {
        let account = fresh_user();
        let router = if number % 2 == 0 { &one } else { &other };
        let desk = resumable(&**router, &account, "desk").await;
        if number % 3 == 0 {
            // It waits, so two indexes name it.
            router.detach(&account, desk.id, desk.epoch, Detach::Lost).await.unwrap();
        }
        expected.push(desk.id);
    }
    expected.sort();
    let third = world.router().await;
    for router in [&one, &other, &third] {
        let mut listed: Vec<_> =
            router.list(None, 1000).await.unwrap().iter().map(|session| session.id).collect();
        listed.sort();
        assert_eq!(listed, expected);
        assert_eq!(router.list(None, 7).await.unwrap().len(), 7);
    }
}

#[tokio::test]
async fn a_decision_on_an_old_view_is_made_again() {
    let world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    let old = other.view(&account).await.unwrap();
    let desk = online(&*one, &account, "desk").await;
    let stale = other.commit(&account, old.version, vec![message(1, 1, &[])], None).await.unwrap();
    let CommitReply::Stale(view) = stale else { panic!("{stale:?}") };
    assert_eq!(view.session("desk").map(|session| session.id), Some(desk.id));
}

/// Rule 3: the retry reaches another router, which has never heard of it.
#[tokio::test]
async fn a_retry_at_another_router_is_answered() {
    let world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    let desk = online(&*one, &account, "desk").await;
    other.view(&account).await.unwrap();
    let first = commit(&*one, &account, message(1, 1, &[desk.id])).await.unwrap();
    let Outcome::Done { id, row: Some(_), .. } = first else { panic!("{first:?}") };
    let again = commit(&*other, &account, message(1, 1, &[desk.id])).await.unwrap();
    let Outcome::Seen { id: known, row: Some(_), handed } = again else { panic!("{again:?}") };
    assert_eq!((known, handed.len()), (id, 1), "its row is still owed: it goes along");
}

/// Rule 21, and rule 6 across routers.
#[tokio::test]
async fn a_session_is_resumed_at_another_router() {
    let world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    let desk = resumable(&*one, &account, "desk").await;
    other.view(&account).await.unwrap();
    deliver(&*one, &world.store, &account, message(1, 1, &[desk.id])).await;
    one.settle(&account, &[], Some((desk.id, desk.epoch, Handled(9)))).await.unwrap();
    let claim = Claim { account: account.clone(), session: desk.id, node: NODE, h: 0, token: 5 };
    let claimed = other.claim(claim).await.unwrap();
    let Claimed::Resumed { epoch, handled, acknowledged, .. } = claimed else { panic!("{claimed:?}") };
    assert_eq!((handled, acknowledged), (Handled(9), LogNumber(0)));
    let pulled = other.pull(&account, desk.id, epoch, LogNumber(0), 10).await.unwrap();
    assert_eq!(pulled.entries.len(), 1);
    let fenced = one.change(&account, desk.id, desk.epoch, Change::Presence(None)).await.unwrap();
    assert!(matches!(fenced, Changed::Fenced));
    assert!(other.acknowledge(&account, desk.id, epoch, LogNumber(1)).await.unwrap());
    soon("nothing waits any more", async || {
        one.list(Some(&account), 10).await.unwrap()[0].unacknowledged == 0
    })
    .await;
}

/// Rule 23: whoever changes the list dies before it says so.
#[tokio::test]
async fn while_lists_are_changed_nobody_decides_on_old_ones() {
    let world = World::new();
    let account = fresh_user();
    let (one, other) = (world.router().await, world.router().await);
    online(&*one, &account, "desk").await;
    let before = other.view(&account).await.unwrap().version;
    let blocked = BlockList { items: vec![starling_jid::Jid::new("mallory@example.org").unwrap()] };
    one.unsettle(&account).await.unwrap();
    world.store.put(&account, blocked.clone()).await.unwrap();
    assert_eq!(*one.view(&account).await.unwrap().blocked, blocked);
    let stale = other.commit(&account, before, vec![message(1, 1, &[])], None).await.unwrap();
    let CommitReply::Stale(view) = stale else { panic!("{stale:?}") };
    assert_eq!(*view.blocked, blocked);
    other.refresh(&account).await.unwrap();
    let settled = other.view(&account).await.unwrap();
    assert!(settled.version > view.version);
    assert_eq!(*settled.blocked, blocked);
}

/// Rules 7 and 11: a node that says nothing for a lease has lost its sockets.
#[tokio::test]
async fn sessions_of_a_silent_node_are_let_go() {
    let world = World::new();
    let account = fresh_user();
    let config = || {
        let lease = std::time::Duration::from_secs(1);
        starling_store_redis::Config { lease, ..world.config() }
    };
    let (one, other) = (world.router_with(config()).await, world.router_with(config()).await);
    let desk = resumable(&*one, &account, "desk").await;
    let phone = online(&*one, &account, "phone").await;
    one.renew(NODE, Vec::new()).await.unwrap();
    let gone = tokio::sync::Mutex::new(Vec::new());
    soon("the phone has ended", async || {
        let ended = other.expire(SystemClock.now(), 100).await.unwrap();
        gone.lock().await.extend(ended.ended.into_iter().map(|ended| ended.id));
        !gone.lock().await.is_empty()
    })
    .await;
    assert_eq!(*gone.lock().await, [phone.id]);
    let left = one.list(Some(&account), 10).await.unwrap();
    assert!(left.len() == 1 && left[0].id == desk.id && !left[0].attached, "the desk waits: {left:?}");
}

/// Overwrites all that a record says.
const SPOIL: &str = r"
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if field ~= 'v' and field ~= 'i' then redis.call('HSET', KEYS[1], field, 'spoiled') end
end
return 0
";

/// What is over ends, and what is owed is stored, though the records of other accounts cannot be read.
#[tokio::test]
async fn a_record_that_cannot_be_read_holds_up_no_other_account() {
    let world = World::new();
    let lease = std::time::Duration::from_secs(1);
    let config = starling_store_redis::Config { lease, ..world.config() };
    let other = world.router_with(config.clone()).await;
    let (one, stop) = world.mortal_router(config).await;
    let (mut accounts, mut sessions) = (BTreeSet::new(), BTreeMap::new());
    for _ in 0..16 {
        let account = fresh_user();
        let phone = resumable(&*one, &account, "phone").await;
        one.detach(&account, phone.id, phone.epoch, Detach::Lost).await.unwrap();
        let desk = online(&*one, &account, "desk").await;
        commit(&*one, &account, message(1, 1, &[desk.id])).await.unwrap();
        sessions.extend([(phone.id, account.clone()), (desk.id, account.clone())]);
        accounts.insert(account);
    }
    one.renew(NODE, Vec::new()).await.unwrap();
    stop.cancel();
    drop(one);
    for record in world.server.ask::<Vec<String>>(&["KEYS", "s:*"]).iter().step_by(2) {
        world.server.ask::<u64>(&["EVAL", SPOIL, "1", record]);
    }
    let mut read = BTreeSet::new();
    for account in accounts {
        match other.view(&account).await {
            Ok(_) => drop(read.insert(account)),
            Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "{error}"),
        }
    }
    assert_eq!(read.len(), 8);
    let found = tokio::sync::Mutex::new(BTreeSet::new());
    soon("what is owed is stored", async || {
        let late = other.overdue(SystemClock.now(), 100).await.unwrap();
        found.lock().await.extend(late.into_iter().map(|(account, _)| account));
        *found.lock().await == read
    })
    .await;
    sessions.retain(|_, account| read.contains(account));
    let sessions = tokio::sync::Mutex::new(sessions);
    let later = SystemClock.now().after(std::time::Duration::from_secs(3600));
    soon("what is over has ended", async || {
        for ended in other.expire(later, 100).await.unwrap().ended {
            sessions.lock().await.remove(&ended.id).expect("once");
        }
        sessions.lock().await.is_empty()
    })
    .await;
}

/// What a router has not written yet when it stops is written, though the records of other accounts cannot be read.
#[tokio::test]
async fn what_waits_is_written_past_a_record_that_cannot_be_read() {
    let world = World::new();
    let (one, other) = (world.router().await, world.router().await);
    let mut desks = Vec::new();
    for _ in 0..16 {
        let account = fresh_user();
        let desk = resumable(&*one, &account, "desk").await;
        deliver(&*one, &world.store, &account, message(1, 1, &[desk.id])).await;
        desks.push((account, desk));
    }
    for record in world.server.ask::<Vec<String>>(&["KEYS", "s:*"]).iter().step_by(2) {
        world.server.ask::<u64>(&["EVAL", SPOIL, "1", record]);
        world.server.ask::<u64>(&["HSET", record, "v", "somebody else's!"]); // so it is read again
    }
    for (account, desk) in &desks {
        assert!(one.acknowledge(account, desk.id, desk.epoch, LogNumber(1)).await.unwrap());
    }
    one.save().await.unwrap();
    let mut read = 0;
    for (account, _) in &desks {
        let Ok(view) = other.view(account).await else { continue };
        assert_eq!(view.waiting, 0, "its acknowledgement is written");
        read += 1;
    }
    assert_eq!(read, 8);
}

/// Rule 13: what a router owed that is no more is stored by another one.
#[tokio::test]
async fn what_a_dead_router_owed_is_stored_by_another() {
    let world = World::new();
    let account = fresh_user();
    let lease = std::time::Duration::from_secs(1);
    let config = starling_store_redis::Config { lease, ..world.config() };
    let other = world.router_with(config.clone()).await;
    let (one, stop) = world.mortal_router(config).await;
    let desk = online(&*one, &account, "desk").await;
    commit(&*one, &account, message(1, 1, &[desk.id])).await.unwrap();
    stop.cancel();
    let dead: Arc<_> = one;
    drop(dead);
    let stored = tokio::sync::Mutex::new(Vec::new());
    soon("the row is stored", async || {
        let late = other.overdue(SystemClock.now(), 100).await.unwrap();
        stored.lock().await.extend(late);
        !stored.lock().await.is_empty()
    })
    .await;
    let stored = stored.into_inner();
    assert!(stored[0].0 == account && stored[0].1.len() == 1, "it is pushed too: {stored:?}");
    assert_eq!(archived(&*other, &world.store, &account).await.len(), 1);
}
