//! A store has no room while messages flow, on its disk or in memory (architecture §6): nothing is acknowledged that is not kept, and
//! all goes on by itself.

use std::time::{Duration, Instant};

use serde_json::json;
use starling_testkit::numbered::PATIENCE;
use starling_testkit::{Cassandra, Connection, Received, Redis, SmallDisk};

use crate::cassandra::kept;
use crate::kit::{Kit, rounds};

/// Redis takes nothing once it could not write its file, and goes on when it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_whose_disk_is_full_is_a_pause() {
    let disk = SmallDisk::mount_of(400);
    let mut redis = Redis::start_somewhere(&disk.path().join("redis")).await.unwrap();
    let kit = Kit::start_on_redis(format!("url = \"redis://{}/0\"", redis.address())).await;
    kit.flow_of_all("at the beginning").await;
    for _ in 0..rounds(2) {
        kit.moments.next().await;
        disk.fill();
        until_refused(&redis).await;
        tokio::time::sleep(Duration::from_secs(1)).await; // what was under way has been answered
        let before = kit.notes.acked();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let acked = kit.notes.acked() - before;
        disk.free();
        assert_eq!(acked, 0, "nothing is acknowledged without a commit");
        kit.flow_of_all("with room again").await;
        redis.kill().await.unwrap();
        redis.start_again().await.unwrap();
        kit.flow_of_all("after what it has written was read again").await;
    }
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}

async fn until_refused(redis: &Redis) {
    let begun = Instant::now();
    while !redis.cli(&["INFO", "persistence"]).await.unwrap().contains("aof_last_write_status:err") {
        assert!(begun.elapsed() < PATIENCE, "Redis still writes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A field of `INFO`, as a number.
async fn told(redis: &Redis, section: &str, field: &str) -> u64 {
    let text = redis.cli(&["INFO", section]).await.unwrap();
    let found = text.lines().find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(':'));
    found.unwrap_or("0").trim_start_matches("count=").trim().parse().unwrap()
}

/// How often Redis has refused for want of memory.
async fn refusals(redis: &Redis) -> u64 {
    told(redis, "errorstats", "errorstat_OOM").await
}

/// `maxmemory` with `noeviction`: what adds anything is refused; what was accepted is there, and comes when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_whose_memory_is_full_is_a_pause() {
    let directory = tempfile::tempdir().unwrap();
    let redis = Redis::start_somewhere(&directory.path().join("redis")).await.unwrap();
    let kit = Kit::start_on_redis(format!("url = \"redis://{}/0\"", redis.address())).await;
    kit.flow_of_all("at the beginning").await;
    for _ in 0..rounds(3) {
        kit.moments.next().await;
        let before = refusals(&redis).await;
        // Now it has twice what it may have, and acknowledgements do not free that much.
        let most = told(&redis, "memory", "used_memory").await / 2;
        redis.cli(&["CONFIG", "SET", "maxmemory", &most.to_string()]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await; // what was under way has been answered
        let accepted = kit.notes.open().accepted();
        tokio::time::sleep(Duration::from_secs(9)).await;
        let accepted = kit.notes.open().accepted() - accepted;
        let refused = refusals(&redis).await - before;
        redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
        println!("Redis refused {refused} calls; {accepted} messages were accepted meanwhile");
        assert!(refused > 0, "it had room");
        assert_eq!(accepted, 0, "nothing is acknowledged without a commit");
        kit.flow_of_all("with room again").await;
    }
    println!("{} messages were refused with `wait`", kit.notes.open().refusals());
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}

/// Cassandra's own, with all that it writes. It ends when it cannot write: `commit_failure_policy: die` says so, and its log is mapped
/// into memory, where there is no other way. It is started again as a supervisor does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cassandra_whose_disk_is_full_is_a_pause() {
    let disk = SmallDisk::mount_of(512);
    let cassandra = Cassandra::start_in(disk.path()).await.unwrap();
    let kit = Kit::start_on(cassandra.address()).await;
    kit.accept("at the beginning").await;
    let mut zoe = zoe(&kit).await;
    let mut longest = Duration::ZERO;
    for _ in 0..rounds(1).min(5) {
        kit.moments.next().await;
        let begun = Instant::now();
        disk.fill();
        until_stopped(&kit).await;
        let before = kit.notes.open().accepted();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let accepted = kit.notes.open().accepted() - before;
        let refusal = answer(&mut zoe).await;
        println!("Cassandra answers: {}; who writes now hears {refusal}", cassandra.is_there().await);
        disk.free();
        assert_eq!(accepted, 0, "nothing is acknowledged without a durable write");
        assert_eq!(refusal, "wait resource-constraint");
        cassandra.start_again().await.unwrap();
        longest = longest.max(begun.elapsed());
        kit.accept("with room again").await;
    }
    zoe.write("</stream:stream>").await.unwrap();
    kept(kit, longest).await;
}

/// Somebody who was there before, of whom nothing is on its way.
async fn zoe(kit: &Kit) -> Connection {
    let add = json!({"op": "user-add", "jid": "zoe@localhost", "password": "secret"});
    kit.cluster.control(add).await.unwrap();
    let mut zoe = Connection::open(kit.cluster.hosts().nth(0)).await.unwrap();
    zoe.login("localhost", "zoe", "secret").await.unwrap();
    zoe.bind("desk").await.unwrap();
    zoe
}

/// What the error says that a message comes to: its type and its condition.
async fn answer(zoe: &mut Connection) -> String {
    let message = "<message to='rita@localhost' type='chat' id='full'><body>now</body></message>";
    zoe.write(message).await.unwrap();
    loop {
        match zoe.next(PATIENCE).await.unwrap() {
            Received::Element(tree, _) if tree.attr("id") == Some("full") => {
                let error = tree.child("error").unwrap();
                let condition = error.children.first().map_or("", |child| child.name.as_str());
                return format!("{} {condition}", error.attr("type").unwrap_or_default());
            }
            Received::Element(..) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Returns when nothing was accepted for two seconds: what it has room for in files that it has is no fault.
async fn until_stopped(kit: &Kit) {
    let (begun, mut last, mut since) = (Instant::now(), 0, Instant::now());
    while since.elapsed() < Duration::from_secs(2) {
        assert!(begun.elapsed() < PATIENCE, "it still writes");
        let accepted = kit.notes.open().accepted();
        if accepted != last {
            (last, since) = (accepted, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
