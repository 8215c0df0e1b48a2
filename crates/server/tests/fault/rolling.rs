//! P7: all connection managers are replaced one after the other, then all session routers, by SIGTERM, while messages flow.

use starling_testkit::Part;

use crate::kit::{Kit, rounds};

async fn replace(kit: &mut Kit, part: Part) {
    kit.moments.next().await;
    kit.cluster.stop(part).await.unwrap();
    kit.flow("while it is away").await;
    kit.cluster.start_again(part).await.unwrap();
    kit.flow("with all again").await;
}

/// Nothing is lost or doubled, no contact sees anybody go, and every client resumes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_is_not_noticed() {
    let mut kit = Kit::start().await;
    kit.flow("at the beginning").await;
    for _ in 0..rounds(1) {
        for place in 0..2 {
            replace(&mut kit, Part::Manager(place)).await;
        }
        for place in 0..2 {
            replace(&mut kit, Part::Router(place)).await;
        }
    }
    assert_eq!(kit.notes.open().refusals(), 0, "no message comes back");
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "always resumed: {streams:?}");
}
