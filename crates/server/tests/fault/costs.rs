//! What a message costs the stores (session log §2), counted by Redis itself and by the routers' metrics.

use std::time::Duration;

use serde_json::json;
use starling_testkit::{Cluster, ClusterOptions, Connection, Received, cql_server, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::binary;

const MESSAGES: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// Nobody else is there, so all that Redis runs for an account is for these messages.
async fn cost(archive: bool) -> (f64, f64) {
    let config = format!("[im]\narchive = {archive}\n");
    let options = ClusterOptions { managers: 2, routers: 2, cql: cql_server(), config };
    let cluster = Cluster::start(&binary(), &options).await.unwrap();
    let mut alice = enter(&cluster, "alice", 0).await;
    let mut bob = enter(&cluster, "bob", 1).await;
    for number in 0..20 {
        talk(&mut alice, &mut bob, number).await; // both accounts are known, and the indexes name them
    }
    let before = (scripts(&cluster).await, statements(&cluster).await);
    for number in 20..20 + MESSAGES {
        talk(&mut alice, &mut bob, number).await;
    }
    let after = (scripts(&cluster).await, statements(&cluster).await);
    let each = |before: u64, after: u64| (after - before) as f64 / MESSAGES as f64;
    let (redis, cql) = (each(before.0, after.0), each(before.1, after.1));
    println!("archive {archive}: {redis:.2} scripts on Redis and {cql:.2} CQL statements a message");
    (redis, cql)
}

/// A session that may be resumed.
async fn enter(cluster: &Cluster, name: &str, host: usize) -> Connection {
    let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
    cluster.control(add).await.unwrap();
    let mut connection = Connection::open(cluster.hosts().nth(host)).await.unwrap();
    connection.login("localhost", name, "secret").await.unwrap();
    connection.bind("x").await.unwrap();
    connection.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>").await.unwrap();
    until(&mut connection, "presence").await;
    connection
}

/// One message, which Bob acknowledges, and the server to Alice.
async fn talk(alice: &mut Connection, bob: &mut Connection, number: u64) {
    let message =
        format!("<message to='bob@localhost' type='chat' id='{number}'><body>hello</body></message>");
    alice.write(&format!("{message}<r xmlns='urn:xmpp:sm:3'/>")).await.unwrap();
    until(bob, "message").await;
    bob.write(&format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", number + 2)).await.unwrap(); // and its presence
    until(alice, "a").await;
}

/// What comes before it says nothing here.
async fn until(connection: &mut Connection, name: &str) {
    loop {
        match connection.next(PATIENCE).await.unwrap() {
            Received::Element(tree, _) if tree.name == name => return,
            Received::Element(..) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// How many scripts Redis has run: every read and write of an account is one.
async fn scripts(cluster: &Cluster) -> u64 {
    let mut socket = TcpStream::connect(cluster.redis.address()).await.unwrap();
    socket.write_all(b"INFO commandstats\r\nQUIT\r\n").await.unwrap();
    let mut said = String::new();
    socket.read_to_string(&mut said).await.unwrap();
    let calls =
        |line: &str| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse::<u64>().ok();
    said.lines().find_map(calls).unwrap()
}

/// How many CQL statements the routers have had answered.
async fn statements(cluster: &Cluster) -> u64 {
    let mut sum = 0;
    for address in cluster.metrics() {
        let page =
            http(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        let count = |line: &str| {
            let counts = line.starts_with("starling_cql_request_duration_seconds_count");
            line.rsplit(' ').next().filter(|_| counts)?.parse::<u64>().ok()
        };
        sum += page.unwrap().lines().filter_map(count).sum::<u64>();
    }
    sum
}

/// Before delivery one call and one row, before the acknowledgement one more of each. Beyond these: Bob's acknowledgement is
/// written by his own router and met by Alice's, and positions are saved once a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_costs_the_stores_little() {
    let (redis, cql) = cost(true).await;
    assert!((2.0..=6.0).contains(&redis), "{redis} scripts a message");
    assert!((2.0..=3.0).contains(&cql), "{cql} statements a message");
    let (redis, cql) = cost(false).await;
    assert!((2.0..=6.0).contains(&redis), "{redis} scripts a message without an archive");
    assert!(cql <= 3.0, "{cql} statements a message without an archive");
}
