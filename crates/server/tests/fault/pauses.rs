//! A part that does nothing for a while, and goes on as if nothing had been: others have its sessions by then.

use std::time::Duration;

use starling_testkit::Part;

use crate::kit::{Kit, rounds};

/// Longer than a session's lease (15 s) and than a link may be silent (10 s).
const LONG: Duration = Duration::from_secs(20);

/// Its clients go elsewhere and send again what it had not acknowledged. What it reads from their old sockets when it goes on has
/// no effect: it holds those sessions no longer (session-log rule 21).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_manager_that_comes_back_is_fenced() {
    let mut kit = Kit::start_impatient().await;
    kit.flow("at the beginning").await;
    for _ in 0..rounds(1) {
        let part = Part::Manager(kit.moments.one_of(2));
        kit.moments.next().await;
        kit.cluster.pause(part).unwrap();
        let lapsed = tokio::time::sleep(LONG);
        kit.flow("while a manager does nothing").await;
        lapsed.await;
        kit.cluster.go_on(part).unwrap();
        kit.flow("when it goes on").await;
    }
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "always resumed: {streams:?}");
}

/// What it was asked is done by the other one; what it does itself when it goes on was done before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_router_that_comes_back_does_nothing_twice() {
    let mut kit = Kit::start().await;
    kit.flow("at the beginning").await;
    for _ in 0..rounds(1) {
        let part = Part::Router(kit.moments.one_of(2));
        kit.moments.next().await;
        kit.cluster.pause(part).unwrap();
        let silent = tokio::time::sleep(LONG);
        kit.flow("while a router does nothing").await;
        silent.await;
        kit.cluster.go_on(part).unwrap();
        kit.flow("when it goes on").await;
    }
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no socket was lost: {streams:?}");
}

/// Its connections stay, and nothing comes: nothing is acknowledged, and all sockets stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_does_nothing_for_a_while_is_a_pause() {
    let mut kit = Kit::start().await;
    kit.flow("at the beginning").await;
    for _ in 0..rounds(1) {
        kit.moments.next().await;
        kit.cluster.redis().pause().unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await; // what was under way has been answered
        let before = kit.notes.acked();
        tokio::time::sleep(Duration::from_secs(9)).await;
        let acked = kit.notes.acked() - before;
        kit.cluster.redis().go_on().unwrap();
        assert_eq!(acked, 0, "nothing is acknowledged without a commit");
        kit.flow_of_all("with Redis again").await;
    }
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}
