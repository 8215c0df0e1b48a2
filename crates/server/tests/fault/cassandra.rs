//! The durable store dies, or does nothing, while messages flow (architecture §6). There is one node: no quorum is left.

use std::time::{Duration, Instant};

use starling_testkit::Cassandra;

use crate::kit::{Kit, rounds};

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
async fn kept(kit: Kit, longest: Duration) {
    let refused = kit.notes.open().refusals();
    println!("{refused} messages were refused with `wait`");
    let streams = kit.end().await;
    let is_short = longest < KEPT;
    assert!(!is_short || streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}
