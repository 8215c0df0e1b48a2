//! A master of a Redis Cluster that is lost, and that nobody replaces, while messages flow at the others.

use std::time::{Duration, Instant};

use serde_json::json;
use starling_testkit::{Connection, RedisCluster, record_of};

use crate::kit::{Kit, accounts, rounds};

/// More than two leases.
const LONG: Duration = Duration::from_secs(35);
/// The index of the nodes that say they live.
const NODES: &str = "nodes";
const MASTERS: usize = 3;

/// Nobody whose account lies elsewhere is cut, or seen to come and go, though the leases of their nodes, the index of accounts with
/// open deadlines and the session of a neighbour are lost with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_master_of_a_redis_cluster_stops_only_its_accounts() {
    let rounds = rounds(1);
    for place in 0..rounds.min(MASTERS) {
        let directory = tempfile::tempdir().unwrap();
        let mut redis = RedisCluster::start_without_replicas(directory.path()).await.unwrap();
        let lost = (redis.master_of(NODES).await.unwrap() + place) % MASTERS;
        for account in accounts() {
            redis.keep_away(&account, lost).await.unwrap();
        }
        let kit = Kit::start_on_redis(redis.config() + "accept-no-replicas = true\n").await;
        kit.flow("at the beginning").await;
        let mut neighbours = Neighbours(0);
        for _ in (place..rounds).step_by(MASTERS) {
            lose(&mut redis, lost, &kit, &mut neighbours).await;
        }
        let streams = kit.end().await;
        assert!(streams.iter().all(|streams| *streams == 1), "every session went on: {streams:?}");
    }
}

async fn lose(redis: &mut RedisCluster, lost: usize, kit: &Kit, neighbours: &mut Neighbours) {
    let neighbours = neighbours.come(redis, lost, kit).await;
    kit.moments.next().await;
    redis.nodes.get_mut(lost).unwrap().kill().await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        kit.flow_of_all("without one master").await;
    }
    redis.nodes.get_mut(lost).unwrap().start_again().await.unwrap();
    kit.flow_of_all("with all masters again").await;
    drop(neighbours);
}

/// Whose accounts lie at that master; so many names are taken.
struct Neighbours(usize);

impl Neighbours {
    /// Both managers hold sessions of such accounts.
    async fn come(&mut self, redis: &RedisCluster, master: usize, kit: &Kit) -> Vec<Connection> {
        let mut there = Vec::new();
        while there.len() < 2 {
            self.0 += 1;
            let name = format!("neighbour{}", self.0);
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
}
