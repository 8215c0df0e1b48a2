//! What a message costs the stores (session log §2), counted by Redis itself and by the routers' metrics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use starling_testkit::{Cluster, ClusterOptions, Connection, Received, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::binary;

const MESSAGES: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// What all routers have asked since they run, by the name of the call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    scripts: u64,
    redis: BTreeMap<String, u64>,
    cql: BTreeMap<String, u64>,
}

impl Asked {
    pub(crate) async fn so_far(cluster: &Cluster) -> Asked {
        let mut asked = Asked { scripts: scripts(cluster).await, ..Asked::default() };
        for address in cluster.metrics() {
            let page =
                http(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
            for line in page.unwrap().lines() {
                let Some((metric, count)) = line.rsplit_once(' ') else { continue };
                let Some((name, labels)) = metric.split_once('{') else { continue };
                let calls = match name {
                    "starling_redis_request_duration_seconds_count" => &mut asked.redis,
                    "starling_cql_request_duration_seconds_count" => &mut asked.cql,
                    _ => continue,
                };
                *calls.entry(labels.trim_end_matches('}').to_owned()).or_default() +=
                    count.parse::<u64>().unwrap();
            }
        }
        asked
    }

    /// How many CQL statements of that kind.
    pub(crate) fn of(&self, operation: &str) -> u64 {
        self.cql.get(&format!("operation=\"{operation}\"")).copied().unwrap_or_default()
    }

    /// How many CQL statements since then.
    pub(crate) fn cql_since(&self, before: &Asked) -> u64 {
        self.cql.values().sum::<u64>() - before.cql.values().sum::<u64>()
    }

    /// Since then, for each message; by name only what is more than one in fifty.
    fn since(&self, before: &Asked, what: &str) -> (f64, f64) {
        let each = |count: u64| count as f64 / MESSAGES as f64;
        let more = |now: &BTreeMap<String, u64>, then: &BTreeMap<String, u64>, store: &str| {
            let mut sum = 0.0;
            for (name, count) in now {
                let each = each(count - then.get(name).copied().unwrap_or_default());
                if each > 0.02 {
                    println!("{what}: {each:.2} {store} {name}");
                }
                sum += each;
            }
            sum
        };
        more(&self.redis, &before.redis, "Redis");
        let (scripts, statements) =
            (each(self.scripts - before.scripts), more(&self.cql, &before.cql, "CQL"));
        println!("{what}: {scripts:.2} scripts on Redis and {statements:.2} CQL statements a message");
        (scripts, statements)
    }
}

/// What a message has cost each store, and the time it took.
struct Cost {
    scripts: f64,
    statements: f64,
    seconds: f64,
}

/// Nobody else is there, so all that Redis runs for an account is for these messages.
async fn cost(archive: bool) -> Cost {
    let config = format!("[im]\narchive = {archive}\n");
    let options = ClusterOptions { config, ..ClusterOptions::default() };
    let cluster = Cluster::start(&binary(), &options).await.unwrap();
    let mut alice = enter(&cluster, "alice", 0).await;
    let mut bob = enter(&cluster, "bob", 1).await;
    for number in 0..20 {
        talk(&mut alice, &mut bob, number).await; // both accounts are known, and the indexes name them
    }
    let (before, begun) = (Asked::so_far(&cluster).await, Instant::now());
    for number in 20..20 + MESSAGES {
        talk(&mut alice, &mut bob, number).await;
    }
    let seconds = begun.elapsed().as_secs_f64() / MESSAGES as f64;
    let what = format!("archive {archive}, {:.1} messages a second", 1.0 / seconds);
    let (scripts, statements) = Asked::so_far(&cluster).await.since(&before, &what);
    Cost { scripts, statements, seconds }
}

/// A session that may be resumed.
async fn enter(cluster: &Cluster, name: &str, host: usize) -> Connection {
    add(cluster, name).await;
    enter_as(cluster, name, "x", host).await
}

pub(crate) async fn add(cluster: &Cluster, name: &str) {
    let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
    cluster.control(add).await.unwrap();
}

/// The same of an account that there is.
pub(crate) async fn enter_as(cluster: &Cluster, name: &str, resource: &str, host: usize) -> Connection {
    let mut connection = Connection::open(cluster.hosts().nth(host)).await.unwrap();
    connection.login("localhost", name, "secret").await.unwrap();
    connection.bind(resource).await.unwrap();
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
    let mut socket = TcpStream::connect(cluster.redis_address()).await.unwrap();
    socket.write_all(b"INFO commandstats\r\nQUIT\r\n").await.unwrap();
    let mut said = String::new();
    socket.read_to_string(&mut said).await.unwrap();
    let calls =
        |line: &str| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse::<u64>().ok();
    said.lines().find_map(calls).unwrap()
}

impl Cost {
    /// Before delivery one call, before the acknowledgement one more. That rows are stored rides with the next message, or goes
    /// alone after 30 ms, at either end, where messages come so slowly. Every second Bob's acknowledgements are written by his own
    /// router, which meets Alice's, and is met: five calls; and the position is noted.
    fn check_scripts(&self) {
        let alone = (2.0 * self.seconds / 0.030).min(2.0);
        let most = 2.1 + alone + 8.0 * self.seconds;
        assert!((2.0..=most).contains(&self.scripts), "{} of {most} scripts a message", self.scripts);
    }

    /// `rows` are written for each; every second positions are saved, and both routers ask whether the store is there.
    fn check_statements(&self, rows: f64) {
        let most = rows + 0.1 + 40.0 * self.seconds;
        let count = self.statements;
        assert!((rows..=most).contains(&count), "{count} of {most} statements a message");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_costs_the_stores_little() {
    let cost = cost(true).await;
    cost.check_scripts();
    cost.check_statements(2.0);
}

/// Without an archive only the receiver's row is written, and it is gone when it was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_an_archive_costs_less() {
    let cost = cost(false).await;
    cost.check_scripts();
    cost.check_statements(1.0);
}
