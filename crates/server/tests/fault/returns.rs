//! Clients that lose patience with a Redis that is away, and come back as soon as it does.

use std::time::Duration;

use starling_testkit::numbered::SILENCE;

use crate::kit::{Kit, rounds};

/// Clients that do not wait for Redis come back while their sessions wait to be registered again: they may have to begin anew, and
/// what was under way comes again. Nothing is lost or done twice by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_wait_for_a_killed_redis_lose_nothing() {
    let mut kit = Kit::start_impatient().await;
    kit.flow("at the beginning").await;
    for _ in 0..rounds(3) {
        kit.moments.next().await;
        kit.cluster.redis().kill().await.unwrap();
        tokio::time::sleep(SILENCE + Duration::from_secs(2)).await;
        kit.cluster.redis().start_again().await.unwrap();
        kit.flow("with Redis again").await;
    }
    let streams = kit.end().await;
    println!("streams begun: {streams:?}");
}
