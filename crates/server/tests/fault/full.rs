//! The disk of Redis is full while messages flow (architecture §6): nothing is acknowledged that is not kept, and all goes on by itself.

use std::time::{Duration, Instant};

use starling_testkit::numbered::PATIENCE;
use starling_testkit::{Redis, SmallDisk};

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
