//! Clients that lose their sockets about when Redis comes back: it knows nothing of their sessions before these are registered again.

use std::time::Duration;

use starling_testkit::numbered::SILENCE;

use crate::kit::{Kit, rounds};

/// How Redis comes back.
#[derive(Debug, Clone, Copy)]
enum Comes {
    /// As it was, but another one: what it knows may be too old.
    Again,
    /// With nothing.
    Empty,
}

/// XEP-0198 §5: whoever comes back within its time goes on with its session, also where the store of sessions has forgotten it and
/// no renewal has told its node yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_are_lost_when_redis_is_back_are_resumed() {
    all_resume(|kit| kit.cut(), |_| ()).await;
}

/// The same while it is away: nobody could be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_are_lost_while_redis_is_away_are_resumed() {
    all_resume(|_| (), |kit| kit.cut()).await;
}

async fn all_resume(when_back: impl Fn(&Kit), when_away: impl Fn(&Kit)) {
    let mut kit = Kit::start_on_wires().await;
    kit.flow("at the beginning").await;
    for comes in [Comes::Again, Comes::Empty].into_iter().cycle().take(rounds(2)) {
        kit.cluster.redis().kill().await.unwrap();
        when_away(&kit);
        match comes {
            Comes::Again => kit.cluster.redis().start_again().await.unwrap(),
            Comes::Empty => kit.cluster.redis().start_from(None).await.unwrap(),
        }
        when_back(&kit);
        kit.flow_of_all(&format!("with Redis back: {comes:?}")).await;
    }
    all_went_on(&kit.end().await);
}

fn all_went_on(streams: &[u32]) {
    assert!(streams.iter().all(|streams| *streams == 1), "streams of each client: {streams:?}");
}

/// Clients that do not wait for Redis come back when they can be let in, and go on with their sessions.
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
    all_went_on(&kit.end().await);
}
