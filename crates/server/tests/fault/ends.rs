//! What it costs the CQL store when sessions end that nobody has resumed: an account's that end together are one end.

use std::time::{Duration, Instant};

use starling_testkit::{Cluster, ClusterOptions, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::costs::{Asked, add, enter_as};
use crate::kit::binary;

const ACCOUNTS: usize = 5;
const SESSIONS: usize = 10;
const CONFIG: &str = "[im]\nresume-within = \"4s\"\n";
const PATIENCE: Duration = Duration::from_secs(60);
/// Whether nothing is kept of any account: no session, and nothing that others are to hear of one.
const REST: &str = "EVAL \"for _, k in ipairs(redis.call('KEYS', 's:*')) do if redis.call('PTTL', k) < 0 then return 0 end end return 1\" 0\r\nQUIT\r\n";

async fn is_at_rest(cluster: &Cluster) -> bool {
    let mut socket = TcpStream::connect(cluster.redis_address()).await.unwrap();
    socket.write_all(REST.as_bytes()).await.unwrap();
    let mut said = String::new();
    socket.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with(':'), "{said}");
    said.starts_with(":1")
}

/// They are a phone that changes networks, a laptop that was shut, ten times: they have no contact, so nobody hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_end_together_cost_the_store_what_one_costs() {
    let options = ClusterOptions { config: CONFIG.to_owned(), ..ClusterOptions::default() };
    let cluster = Cluster::start(&binary(), &options).await.unwrap();
    let mut devices: Vec<Connection> = Vec::new();
    for account in 0..ACCOUNTS {
        let name = format!("user{account}");
        add(&cluster, &name).await;
        for number in 0..SESSIONS {
            devices.push(enter_as(&cluster, &name, &format!("device{number}"), number).await);
        }
    }
    assert!(!is_at_rest(&cluster).await);
    let (before, begun) = (Asked::so_far(&cluster).await, Instant::now());
    devices.into_iter().for_each(Connection::cut);
    while !is_at_rest(&cluster).await {
        assert!(begun.elapsed() < PATIENCE, "its sessions have not ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (ended, took) = (Asked::so_far(&cluster).await, begun.elapsed());
    tokio::time::sleep(took).await; // what routers do anyway in that time
    let idle = Asked::so_far(&cluster).await;
    let of = |operation: &str| {
        let (took, idle) =
            (ended.of(operation) - before.of(operation), idle.of(operation) - ended.of(operation));
        let all = ACCOUNTS * SESSIONS;
        println!("{all} sessions end in {took} CQL {operation}s, of which routers do about {idle} anyway");
        took.saturating_sub(idle)
    };
    let (reads, writes) = (of("read"), of("write"));
    let each = (ACCOUNTS * SESSIONS) as u64;
    // Where a look at what is over comes between them, they are two ends. What routers do anyway comes in its own time.
    assert!(reads < each, "{reads} reads: one roster is read for all of an account");
    assert!(writes < each / 2, "{writes} writes: the account was there last once");
}
