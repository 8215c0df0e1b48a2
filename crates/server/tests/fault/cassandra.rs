//! The durable store dies, or does nothing, while messages flow (architecture §6). There is one node: no quorum is left.

use std::time::{Duration, Instant};

use serde_json::json;
use starling_testkit::{Cassandra, Cluster, ClusterOptions, Connection, Part, Received};

use crate::kit::{Kit, binary, rounds};

/// For so long streams are kept that wait for a store (session-log rule 25); a little less, because it is measured from outside.
const KEPT: Duration = Duration::from_secs(55);

/// What is committed waits to be stored, what comes then is refused with `wait`, and nothing is acknowledged that is not kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_cassandra_is_a_pause() {
    let cassandra = Cassandra::start().await.unwrap();
    let kit = Kit::start_on(cassandra.address()).await;
    kit.accept("at the beginning").await;
    let mut longest = Duration::ZERO;
    for _ in 0..rounds(1).min(5) {
        kit.moments.next().await;
        let begun = Instant::now();
        cassandra.kill().await.unwrap();
        cassandra.start_again().await.unwrap();
        longest = longest.max(begun.elapsed());
        println!("Cassandra was away for {:?}", begun.elapsed());
        kit.accept("with Cassandra again").await;
    }
    kept(kit, longest).await;
}

/// Its connections stay, and nothing comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cassandra_that_does_nothing_for_a_while_is_a_pause() {
    let cassandra = Cassandra::start().await.unwrap();
    let kit = Kit::start_on(cassandra.address()).await;
    kit.accept("at the beginning").await;
    let mut longest = Duration::ZERO;
    for _ in 0..rounds(1).min(5) {
        kit.moments.next().await;
        let begun = Instant::now();
        cassandra.pause().unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await; // what was under way has been answered
        let before = kit.notes.open().accepted();
        tokio::time::sleep(Duration::from_secs(9)).await;
        let accepted = kit.notes.open().accepted() - before;
        cassandra.go_on().unwrap();
        longest = longest.max(begun.elapsed());
        assert_eq!(accepted, 0, "nothing is acknowledged without a durable write");
        kit.accept("with Cassandra again").await;
    }
    kept(kit, longest).await;
}

/// Everything accepted is there, once and in order; nobody lost the stream by a pause that was short enough.
pub(crate) async fn kept(kit: Kit, longest: Duration) {
    let refused = kit.notes.open().refusals();
    println!("{refused} messages were refused with `wait`");
    let streams = kit.end().await;
    let is_short = longest < KEPT;
    assert!(!is_short || streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}

const PATIENCE: Duration = Duration::from_secs(120);
const PARTS: [Part; 2] = [Part::Router(0), Part::Manager(0)];

/// Routers notice after a while that the store is back: until then nobody signs in.
async fn enter(cluster: &Cluster, name: &str) -> Connection {
    let begun = Instant::now();
    loop {
        let mut connection = Connection::open(cluster.hosts().nth(0)).await.unwrap();
        match connection.login("localhost", name, "secret").await {
            Ok(_) => {
                connection.bind("desk").await.unwrap();
                return connection;
            }
            Err(refused) => assert!(begun.elapsed() < PATIENCE, "{refused}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Writes so many messages to Bob, who is not there, and waits until they are stored.
async fn write(cluster: &Cluster, numbers: std::ops::RangeInclusive<u32>) {
    let mut alice = enter(cluster, "alice").await;
    let message = |number| format!("<message to='bob@localhost' type='chat'><body>{number}</body></message>");
    let text: String = numbers.map(message).collect();
    alice.write(&format!("{text}<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")).await.unwrap();
    alice.element("iq").await.unwrap();
    alice.write("</stream:stream>").await.unwrap();
}

/// A cluster on that Cassandra, in which 50 messages wait for Bob.
async fn with_what_waits(cassandra: &Cassandra) -> Cluster {
    let options = ClusterOptions {
        managers: 1,
        routers: 1,
        cql: cassandra.address().to_owned(),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&binary(), &options).await.unwrap();
    for name in ["alice", "bob"] {
        let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
        cluster.control(add).await.unwrap();
    }
    write(&cluster, 1..=50).await;
    cluster
}

/// Its CQL store is as it was when 50 messages waited; Redis begins empty.
async fn goes_on_from_there(mut cluster: Cluster) {
    cluster.redis().kill().await.unwrap();
    cluster.redis().start_from(None).await.unwrap();
    for part in PARTS {
        cluster.start_again(part).await.unwrap();
    }
    write(&cluster, 61..=70).await;
    let mut bob = enter(&cluster, "bob").await;
    bob.write("<presence/>").await.unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < 60 {
        match bob.next(PATIENCE).await.unwrap() {
            Received::Element(tree, _) => bodies.extend(tree.child("body").map(|body| body.text.clone())),
            other => panic!("{other:?}"),
        }
    }
    let expected: Vec<_> = (1..=50).chain(61..=70).map(|number: u32| number.to_string()).collect();
    assert_eq!(bodies, expected, "what was there when it was copied, and what has come since it is back");
}

/// docs/how-to/backup.md, with one node: the CQL store goes back to a copy, Redis begins empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_restored_from_its_cassandra_and_an_empty_redis() {
    let cassandra = Cassandra::start().await.unwrap();
    let mut cluster = with_what_waits(&cassandra).await;
    cassandra.stop().await.unwrap();
    let backup = cassandra.copy().unwrap();
    cassandra.start_again().await.unwrap();
    write(&cluster, 51..=60).await;
    for part in PARTS {
        cluster.kill(part).await.unwrap();
    }
    cassandra.kill().await.unwrap();
    cassandra.start_from(&backup).await.unwrap();
    goes_on_from_there(cluster).await;
}

/// The same of `nodetool snapshot`, taken while all run: on the server that has the tables, then on one that has nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_restored_from_a_snapshot_and_an_empty_redis() {
    for has_tables in [true, false] {
        let cassandra = Cassandra::start_with_nodetool().await.unwrap();
        let mut cluster = with_what_waits(&cassandra).await;
        let snapshot = cassandra.snapshot(cluster.keyspace()).await.unwrap();
        write(&cluster, 51..=60).await;
        for part in PARTS {
            cluster.kill(part).await.unwrap();
        }
        cassandra.stop().await.unwrap();
        if !has_tables {
            cassandra.lose_all().unwrap();
            cassandra.start_again().await.unwrap();
            cluster.migrate(&binary()).unwrap();
            cassandra.stop().await.unwrap();
        }
        cassandra.put_back(cluster.keyspace(), &snapshot).unwrap();
        cassandra.start_again().await.unwrap();
        goes_on_from_there(cluster).await;
    }
}
