//! A store whose answers come late, while messages flow: slow is not dead.

use std::time::Duration;

use starling_testkit::{Part, Proxy, Redis, cql_server};

use crate::kit::{Kit, rounds};
use crate::replies::{behind, proxies};

/// How late, in turn: as from far away, a little less than a call to Redis may take (2 s), and longer.
const LATE: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(1500), Duration::from_secs(4)];
/// For how long; shorter than sockets stay (60 s).
const LONG: Duration = Duration::from_secs(12);

/// Longer than a request to the CQL server may take (20 s here).
const CUT_OFF: Duration = Duration::from_secs(25);

/// Longer than a row may be owed (session-log rule 13: 5 s), and than a connection may be silent; shorter than a request may take.
const TOO_LATE: Duration = Duration::from_secs(7);

/// For both routers.
async fn delay(kit: Kit, proxies: &[Proxy; 2], rounds: usize) {
    kit.flow_of_all("at the beginning").await;
    for late in LATE.into_iter().cycle().take(rounds) {
        kit.moments.next().await;
        proxies.iter().for_each(|proxy| proxy.delay_replies(late));
        let before = kit.notes.open().accepted();
        tokio::time::sleep(LONG).await;
        let accepted = kit.notes.open().accepted() - before;
        println!("{accepted} messages were accepted in {LONG:?} with answers {late:?} late");
        proxies.iter().for_each(|proxy| proxy.delay_replies(Duration::ZERO));
        kit.flow_of_all("with answers in time again").await;
    }
    println!("{} messages were refused with `wait`", kit.notes.open().refusals());
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}

/// A call that takes too long was done all the same: it is looked for, not done again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_answers_late_is_slow_and_nothing_worse() {
    let directory = tempfile::tempdir().unwrap();
    let redis = Redis::start_somewhere(&directory.path().join("redis")).await.unwrap();
    let proxies = proxies(redis.address());
    let program = behind(&proxies, directory.path(), "STARLING_REDIS_URL", |at| format!("redis://{at}/0"));
    let kit = Kit::start_each(format!("url = \"redis://{}/0\"", redis.address()), program).await;
    delay(kit, &proxies, rounds(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cql_server_that_answers_late_is_slow_and_nothing_worse() {
    let directory = tempfile::tempdir().unwrap();
    let proxies = proxies(cql_server().parse().unwrap());
    let program = behind(&proxies, directory.path(), "STARLING_SCYLLA_NODES", |at| format!("[\"{at}\"]"));
    let kit = Kit::start_each(String::new(), program).await;
    delay(kit, &proxies, rounds(3)).await;
}

/// What one router and its store tell each other arrives when nobody waits for it any more, as TCP sends what was lost in a partition
/// when that is over. The other router goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_is_cut_off_from_the_cql_server_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let proxies = proxies(cql_server().parse().unwrap());
    let program = behind(&proxies, directory.path(), "STARLING_SCYLLA_NODES", |at| format!("[\"{at}\"]"));
    let kit = Kit::start_each(String::new(), program).await;
    kit.flow_of_all("at the beginning").await;
    for proxy in proxies.iter().cycle().take(rounds(2)) {
        kit.moments.next().await;
        proxy.delay(CUT_OFF);
        let long = tokio::time::sleep(CUT_OFF);
        kit.accept("while a router is cut off from its store").await;
        long.await;
        proxy.delay(Duration::ZERO);
        kit.flow_of_all("when it is not any more").await;
    }
    println!("{} messages were refused with `wait`", kit.notes.open().refusals());
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}

/// A slow store is waited for: while it takes what is owed nobody is refused, whichever router owes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routers_are_replaced_while_the_cql_server_is_slow_and_nobody_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let proxies = proxies(cql_server().parse().unwrap());
    let program = behind(&proxies, directory.path(), "STARLING_SCYLLA_NODES", |at| format!("[\"{at}\"]"));
    let mut kit = Kit::start_each(String::new(), program).await;
    kit.flow_of_all("at the beginning").await;
    for place in (0..2).cycle().take(rounds(2)) {
        kit.moments.next().await;
        proxies.iter().for_each(|proxy| proxy.delay_replies(TOO_LATE));
        tokio::time::sleep(LONG / 2).await;
        kit.cluster.stop(Part::Router(place)).await.unwrap();
        tokio::time::sleep(LONG / 2).await;
        proxies.iter().for_each(|proxy| proxy.delay_replies(Duration::ZERO));
        kit.flow_of_all("with answers in time again").await;
        kit.cluster.start_again(Part::Router(place)).await.unwrap();
        kit.flow("with all again").await;
    }
    assert_eq!(kit.notes.open().refusals(), 0, "what is acknowledged is not refused");
    kit.end().await;
}
