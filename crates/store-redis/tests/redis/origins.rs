//! Origin-ids of a record that others have written meanwhile: they are many, are not read again, and hold all the same (rule 4).

use std::collections::BTreeMap;
use std::sync::Arc;

use starling_jid::BareJid;
use starling_ports::accounts::{Accounts, Credentials};
use starling_ports::archive::Born;
use starling_ports::ids::{ArchiveId, Life, LogNumber, Timestamp};
use starling_ports::sessions::{CommitReply, Origin, Outcome, Planned, Sessions as _};
use starling_ports::suite::fresh_user;
use starling_store_redis::Sessions;

use crate::talk::{commit, message, resumable};
use crate::world::World;

/// More than a record has where it is read as a whole.
const MANY: u64 = 100;

/// From a session that nobody has heard of: only its origin-id tells that it comes again.
fn with_origin(sender: u64, origin: u64) -> Planned {
    let origin = Some(Origin { digest: u128::from(origin) });
    Planned { origin, ..message(1000 + u128::from(sender), 1, &[]) }
}

async fn first(router: &Sessions, account: &BareJid, sender: u64, origin: u64) -> ArchiveId {
    let outcome = commit(router, account, with_origin(sender, origin)).await.unwrap();
    let Outcome::Done { id: Some(id), .. } = outcome else { panic!("{origin}: {outcome:?}") };
    id
}

async fn again(router: &Sessions, account: &BareJid, sender: u64, origin: u64) -> ArchiveId {
    let outcome = commit(router, account, with_origin(sender, origin)).await.unwrap();
    let Outcome::Seen { id: Some(id), .. } = outcome else { panic!("{origin}: {outcome:?}") };
    id
}

/// The first router has committed that many; the second one has read the record then. What they became, by origin-id.
async fn know_many(routers: &[Arc<Sessions>; 2], account: &BareJid) -> BTreeMap<u64, ArchiveId> {
    let mut ids = BTreeMap::new();
    for origin in 0..MANY {
        ids.insert(origin, first(&routers[0], account, origin, origin).await);
    }
    routers[1].view(account).await.unwrap();
    ids
}

fn whole_reads(world: &World) -> u64 {
    let said: String = world.server.ask(&["INFO", "commandstats"]);
    let line = said.lines().find_map(|line| line.strip_prefix("cmdstat_hgetall:calls="));
    line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
}

/// The record's field `name`; the names of all of them.
fn record(world: &World, name: &str) -> (String, Vec<u8>, Vec<Vec<u8>>) {
    let [key] = &world.server.ask::<Vec<String>>(&["KEYS", "s:*"])[..] else { panic!("one account") };
    (key.clone(), world.server.ask(&["HGET", key, name]), world.server.ask(&["HKEYS", key]))
}

/// Whether the index names each field that is no origin-id, and no other.
fn has_exact_index(world: &World) -> bool {
    let (_, stamps, names) = record(world, "v");
    let (_, index, _) = record(world, "n");
    let (stamp, mut map) = index.split_at_checked(8).unwrap_or_default();
    let many = rmp::decode::read_map_len(&mut map).unwrap();
    let is_named = |name: &&Vec<u8>| map.windows(name.len()).any(|text| text == **name);
    let others: Vec<_> = names.iter().filter(|name| name[0] != b'o' && **name != b"n").collect();
    stamps.starts_with(stamp) && others.len() == many as usize && others.iter().all(is_named)
}

#[tokio::test]
async fn an_index_names_what_is_read_again() {
    let world = World::new();
    let account = fresh_user();
    let routers = [world.router().await, world.router().await];
    let desk = resumable(&*routers[0], &account, "desk").await;
    for number in 1..=MANY {
        let origin = Some(Origin { digest: u128::from(number) });
        let mut planned = Planned { origin, ..message(8, number, &[]) };
        planned.keep.as_mut().unwrap().deliverable = false; // nothing but its origin-id stays
        commit(&*routers[0], &account, planned).await.unwrap();
    }
    routers[0].store_owed(&account).await.unwrap();
    routers[1].view(&account).await.unwrap();
    for number in 0..50_u64 {
        let router = &*routers[(number % 2) as usize];
        commit(router, &account, message(7, 1 + number, &[desk.id])).await.unwrap();
        if number.is_multiple_of(7) {
            // Rows are stored, and entries acknowledged: fields go.
            router.store_owed(&account).await.unwrap();
            router.acknowledge(&account, desk.id, desk.epoch, LogNumber(number)).await.unwrap();
        }
        assert!(number == 0 || has_exact_index(&world), "{number}");
        if number == 30 {
            // A program that knows of no index has written: its stamp is before those of the others.
            let (key, ..) = record(&world, "v");
            let write =
                "return redis.call('HSET', KEYS[1], 'v', 'another!' .. redis.call('HGET', KEYS[1], 'v'))";
            world.server.ask::<i64>(&["EVAL", write, "1", &key]);
            assert!(!has_exact_index(&world));
        }
    }
}

#[tokio::test]
async fn what_another_router_has_committed_is_known_without_reading_all_of_it() {
    let world = World::new();
    let account = fresh_user();
    let routers = [world.router().await, world.router().await];
    let (mut ids, mut sender) = (know_many(&routers, &account).await, 0);
    let before = whole_reads(&world);
    for origin in MANY..2 * MANY {
        let router = &*routers[(origin % 2) as usize];
        ids.insert(origin, first(router, &account, origin, origin).await);
        // What both know they answer without a look at all of it.
        sender += 1;
        assert_eq!(again(router, &account, 5000 + sender, origin % MANY).await, ids[&(origin % MANY)]);
    }
    assert_eq!(whole_reads(&world) - before, 0, "each has overtaken the other {MANY} times");
    for (origin, id) in &ids {
        sender += 1;
        let router = &*routers[((origin + 1) % 2) as usize];
        assert_eq!(
            again(router, &account, 5000 + sender, *origin).await,
            *id,
            "at the one that did not commit it"
        );
    }
}

/// A step that was overtaken has changed nothing: what it would have committed is not known, and what it took for too old is.
#[tokio::test]
async fn what_was_overtaken_is_not_remembered() {
    let world = World::new();
    let account = fresh_user();
    let routers = [world.router().await, world.router().await];
    know_many(&routers, &account).await;
    for n in 0..MANY {
        // It comes at both routers at once; one is the first.
        let [one, other] = [0, 1].map(|at| with_origin(6000 + 2 * n + at, 1000 + n));
        let (one, other) =
            tokio::join!(commit(&*routers[0], &account, one), commit(&*routers[1], &account, other));
        let (done, seen) = match (one.unwrap(), other.unwrap()) {
            (Outcome::Done { id: done, .. }, Outcome::Seen { id: seen, .. })
            | (Outcome::Seen { id: seen, .. }, Outcome::Done { id: done, .. }) => (done, seen),
            both => panic!("{both:?}"),
        };
        assert_eq!(done, seen);
    }
}

/// Rule 8: whoever asks whether something was committed is not told that it was not, because another router did it.
#[tokio::test]
async fn what_another_router_has_committed_is_not_undone() {
    let world = World::new();
    let account = fresh_user();
    let routers = [world.router().await, world.router().await];
    know_many(&routers, &account).await;
    // Known by its origin-id alone: it came without a key, is for nobody to collect, and its row is stored.
    let mut planned = with_origin(1, MANY);
    planned.key = None;
    planned.keep.as_mut().unwrap().deliverable = false;
    let outcome = commit(&*routers[0], &account, planned).await.unwrap();
    let Outcome::Done { id: Some(id), .. } = outcome else { panic!("{outcome:?}") };
    routers[0].store_owed(&account).await.unwrap();
    first(&routers[0], &account, MANY + 1, MANY + 1).await; // what is stored is noted with it
    first(&routers[1], &account, MANY + 2, MANY + 2).await; // it has read the record without its origin-ids
    let of_another_life = Born { life: Life(1), key: None };
    assert_eq!(routers[1].gone(&account, &[(id, of_another_life)]).await.unwrap(), []);
}

/// The messages of a removed account are not those of the one that has its name next.
#[tokio::test]
async fn what_a_removed_account_had_is_new_to_the_next() {
    let world = World::new();
    let account = fresh_user();
    let create = async || world.store.create(&account, Credentials::default(), Timestamp(1)).await.unwrap();
    create().await;
    let routers = [world.router().await, world.router().await];
    for router in &routers {
        router.refresh(&account).await.unwrap();
    }
    know_many(&routers, &account).await;
    first(&routers[0], &account, MANY, MANY).await;
    first(&routers[1], &account, MANY + 1, MANY + 1).await;
    world.store.remove(&account).await.unwrap();
    routers[0].refresh(&account).await.unwrap();
    create().await;
    routers[0].refresh(&account).await.unwrap();
    // All at once: the other has missed few writes.
    let planned = (2000..2000 + MANY).map(|origin| with_origin(origin, origin)).collect();
    let version = routers[0].view(&account).await.unwrap().version;
    let committed = routers[0].commit(&account, version, planned, None).await.unwrap();
    assert!(matches!(committed, CommitReply::Done(outcomes) if outcomes.len() as u64 == MANY));
    for origin in (0..MANY + 2).rev() {
        first(&routers[(origin % 2) as usize], &account, 7000 + origin, origin).await;
    }
}
