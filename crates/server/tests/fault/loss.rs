//! Redis comes back with less than it had, while messages flow (session-log rules 8 and 9): an older file, or none.

use crate::kit::{Kit, rounds};

/// Everybody's sockets stay, and every session goes on where its client is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_older_is_a_pause() {
    let mut kit = Kit::start().await;
    kit.flow("at the beginning").await;
    for _ in 0..rounds(3) {
        let older = tempfile::tempdir().unwrap();
        kit.cluster.redis().copy(older.path()).unwrap();
        kit.flow("after the copy").await;
        kit.moments.next().await;
        kit.cluster.redis().kill().await.unwrap();
        kit.cluster.redis().start_from(Some(older.path())).await.unwrap();
        kit.flow_of_all("with an older Redis").await;
    }
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "every session went on: {streams:?}");
}

/// The same with nothing at all: what sockets hold is all that is known of sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_is_a_pause() {
    let mut kit = Kit::start().await;
    kit.flow("at the beginning").await;
    for _ in 0..rounds(3) {
        kit.moments.next().await;
        kit.cluster.redis().kill().await.unwrap();
        kit.cluster.redis().start_from(None).await.unwrap();
        kit.flow_of_all("with an empty Redis").await;
    }
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "every session went on: {streams:?}");
}
