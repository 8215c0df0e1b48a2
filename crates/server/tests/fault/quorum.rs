//! Three nodes of the durable store with three copies of each row, of which some die while messages flow (architecture §6).

use std::time::{Duration, Instant};

use starling_testkit::Cassandra;

use crate::cassandra::kept;
use crate::kit::{Kit, rounds};

const NODES: usize = 3;

async fn begin() -> (Cassandra, Kit) {
    let cassandra = Cassandra::start_nodes(NODES).await.unwrap();
    let kit = Kit::start_on_three(cassandra.address()).await;
    kit.accept("at the beginning").await;
    (cassandra, kit)
}

/// Two of three are a quorum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cassandra_that_dies_and_leaves_a_quorum_is_not_noticed() {
    let (cassandra, kit) = begin().await;
    // Always the same one: the others need not have heard that it is back.
    let victim = 1 + kit.moments.one_of(NODES);
    for _ in 0..rounds(1).min(5) {
        kit.moments.next().await;
        let refused = kit.notes.open().refusals();
        cassandra.kill_node(victim).await.unwrap();
        kit.flow_of_all(&format!("without node {victim}")).await;
        assert_eq!(kit.notes.open().refusals(), refused, "nobody was told to wait");
        cassandra.start_again().await.unwrap();
        kit.flow_of_all("with three nodes again").await;
    }
    kept(kit, Duration::ZERO).await;
}

/// One of three is none: nothing is acknowledged without a durable write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cassandras_that_die_and_leave_no_quorum_are_a_pause() {
    let (cassandra, kit) = begin().await;
    let left = kit.moments.one_of(NODES);
    let mut longest = Duration::ZERO;
    for _ in 0..rounds(1).min(5) {
        kit.moments.next().await;
        let begun = Instant::now();
        for node in (0..NODES).filter(|node| *node != left) {
            cassandra.kill_node(1 + node).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await; // what was under way has been answered
        let before = kit.notes.open().accepted();
        tokio::time::sleep(Duration::from_secs(9)).await;
        let accepted = kit.notes.open().accepted() - before;
        cassandra.start_again().await.unwrap();
        longest = longest.max(begun.elapsed());
        println!("there was no quorum for {:?}", begun.elapsed());
        assert_eq!(accepted, 0, "nothing is acknowledged without a durable write");
        kit.accept("with three nodes again").await;
    }
    kept(kit, longest).await;
}
