//! A master of a Redis Cluster that is lost, and that nobody replaces, while messages flow at the others.

use std::time::{Duration, Instant};

use serde_json::json;
use starling_testkit::{Connection, RedisCluster, record_of};

use crate::kit::{Kit, accounts, rounds};

/// More than two leases.
const LONG: Duration = Duration::from_secs(35);
/// The index of the nodes that say they live.
const NODES: &str = "nodes";

/// Nobody whose account lies elsewhere is cut, or seen to come and go, though the leases of their nodes, the index of accounts with
/// open deadlines and the session of a neighbour are lost with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_master_of_a_redis_cluster_stops_only_its_accounts() {
    for round in 0..rounds(1) {
        let directory = tempfile::tempdir().unwrap();
        let mut redis = RedisCluster::start_without_replicas(directory.path()).await.unwrap();
        let lost = (redis.master_of(NODES).await.unwrap() + round) % 3;
        for account in accounts() {
            redis.keep_away(&account, lost).await.unwrap();
        }
        let kit = Kit::start_on_redis(redis.config() + "accept-no-replicas = true\n").await;
        let neighbour = come_to(&redis, lost, &kit).await;
        kit.flow("at the beginning").await;
        kit.moments.next().await;
        redis.nodes[lost].kill().await.unwrap();
        let begun = Instant::now();
        while begun.elapsed() < LONG {
            kit.flow_of_all("without one master").await;
        }
        redis.nodes[lost].start_again().await.unwrap();
        kit.flow_of_all("with all masters again").await;
        drop(neighbour);
        let streams = kit.end().await;
        assert!(streams.iter().all(|streams| *streams == 1), "every session went on: {streams:?}");
    }
}

/// Somebody whose account lies at that master: both managers hold sessions of such accounts.
async fn come_to(redis: &RedisCluster, master: usize, kit: &Kit) -> Vec<Connection> {
    let (mut there, mut number) = (Vec::new(), 0);
    while there.len() < 2 {
        number += 1;
        let name = format!("neighbour{number}");
        let jid = format!("{name}@localhost");
        if redis.master_of(&record_of(&jid)).await.unwrap() != master {
            continue;
        }
        kit.cluster.control(json!({"op": "user-add", "jid": jid, "password": "secret"})).await.unwrap();
        let mut connection = Connection::open(kit.cluster.hosts().nth(there.len())).await.unwrap();
        connection.login("localhost", &name, "secret").await.unwrap();
        connection.bind("desk").await.unwrap();
        there.push(connection);
    }
    there
}
