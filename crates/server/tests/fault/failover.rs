//! A Redis in whose place another one steps, while messages flow: slots that move, masters that die, replicas that lag.

use std::time::Duration;

use starling_testkit::{RedisCluster, Sentinels};

use crate::kit::{Kit, rounds};

/// Longer than until every session was renewed once (5 s): before, its node does not know in which life of Redis it is, and cannot
/// register it again.
const RENEWED: Duration = Duration::from_secs(12);

async fn begin(redis: String) -> Kit {
    let kit = Kit::start_on_redis(redis).await;
    let renewed = tokio::time::sleep(RENEWED);
    kit.flow("at the beginning").await;
    renewed.await;
    kit
}

/// Architecture §6: nothing acknowledged is lost, and each time it costs a session its stream at most.
async fn at_most_a_reconnect(kit: Kit) {
    let streams = kit.end().await;
    println!("streams of each client: {streams:?}");
    assert!(streams.iter().all(|streams| *streams as usize <= 1 + rounds(1)), "{streams:?}");
}

/// What is in them is verified where it has come to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_are_a_pause() {
    let directory = tempfile::tempdir().unwrap();
    let redis = RedisCluster::start(directory.path()).await.unwrap();
    let kit = begin(redis.config()).await;
    for round in 0..rounds(1) {
        let masters = redis.masters().await.unwrap();
        let (from, to) = (masters[round % 3], masters[(round + 1) % 3]);
        kit.moments.next().await;
        for slot in redis.slots_with_accounts(from).await.unwrap() {
            redis.move_slot(slot, from, to, Duration::from_millis(100)).await.unwrap();
        }
        kit.flow_of_all("with slots moved").await;
    }
    at_most_a_reconnect(kit).await;
}

/// Its replica takes over; nothing is written there before the dead one is back as its replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_of_a_redis_cluster_is_a_pause() {
    replace_masters(false).await;
}

/// The same with a replica that lacks the last messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lagging_replica_in_its_masters_place_is_a_pause() {
    replace_masters(true).await;
}

#[expect(clippy::indexing_slicing, reason = "there are three masters, and a node at each of their places")]
async fn replace_masters(lags: bool) {
    let directory = tempfile::tempdir().unwrap();
    let mut redis = RedisCluster::start(directory.path()).await.unwrap();
    let kit = begin(redis.config()).await;
    for round in 0..rounds(1) {
        let master = redis.masters().await.unwrap()[round % 3];
        let replica = if lags {
            let replica = redis.leave_behind(master).await.unwrap();
            kit.flow_of_all("while a replica lags").await;
            replica
        } else {
            redis.replica_of(master).await.unwrap()
        };
        kit.moments.next().await;
        redis.nodes[master].kill().await.unwrap();
        redis.promoted(replica).await.unwrap();
        redis.nodes[master].start_again().await.unwrap();
        kit.flow_of_all("with another master").await;
        redis.settled().await.unwrap();
    }
    at_most_a_reconnect(kit).await;
}

/// Whom they name is master; the dead one comes back as its replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_sentinels_replace_is_a_pause() {
    let directory = tempfile::tempdir().unwrap();
    let mut site = Sentinels::start(directory.path()).await.unwrap();
    let kit = begin(site.config()).await;
    for round in 0..rounds(1) {
        let (dead, other) = (round % 2, (round + 1) % 2);
        kit.moments.next().await;
        site.data[dead].kill().await.unwrap();
        site.promoted(other).await.unwrap();
        site.data[dead].start_again().await.unwrap();
        site.follows(dead).await.unwrap();
        kit.flow_of_all("with another master").await;
    }
    at_most_a_reconnect(kit).await;
}
