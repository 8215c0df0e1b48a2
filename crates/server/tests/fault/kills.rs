//! kill -9 of each role, again and again, while messages flow: P1, P2, P3, P6.

use std::time::Duration;

use starling_testkit::Part;

use crate::kit::{Kit, rounds};

/// Its clients resume on the other one; nobody sees them go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_connection_manager_is_not_noticed() {
    let mut kit = Kit::start().await;
    kit.flow("at the beginning").await;
    for _ in 0..rounds(3) {
        let part = Part::Manager(kit.moments.one_of(2));
        kit.moments.next().await;
        kit.cluster.kill(part).await.unwrap();
        kit.flow("with one manager").await;
        kit.cluster.start_again(part).await.unwrap();
        kit.flow("with both again").await;
    }
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "always resumed: {streams:?}");
}

/// What it had not answered is done by the other one, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_session_router_is_not_noticed() {
    let mut kit = Kit::start().await;
    kit.flow("at the beginning").await;
    for _ in 0..rounds(3) {
        let part = Part::Router(kit.moments.one_of(2));
        kit.moments.next().await;
        kit.cluster.kill(part).await.unwrap();
        kit.flow("with one router").await;
        kit.cluster.start_again(part).await.unwrap();
        kit.flow("with both again").await;
    }
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no socket was lost: {streams:?}");
}

/// A pause: nothing is acknowledged without a commit, and the sessions are still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_is_a_pause() {
    let mut kit = Kit::start().await;
    kit.flow("at the beginning").await;
    for _ in 0..rounds(3) {
        kit.moments.next().await;
        kit.cluster.redis().kill().await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        kit.cluster.redis().start_again().await.unwrap();
        kit.flow_of_all("with Redis again").await;
    }
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}
