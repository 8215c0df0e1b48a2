//! A store does what it is asked and its answers are lost, while messages flow: the outcome of a commit, or of a write, is not known.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use starling_testkit::{Part, Proxy, Redis, cql_server, wrapped};

use crate::kit::{Kit, binary, rounds};

/// For how long they are lost, in turn: shorter and longer than a call may take.
const LOST: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(400), Duration::from_secs(3)];

/// Between each of two routers and one store.
pub(crate) fn proxies(store: SocketAddr) -> [Proxy; 2] {
    [Proxy::start(store).unwrap(), Proxy::start(store).unwrap()]
}

/// Each router finds its store, which `variable` names, behind the proxy of its place.
pub(crate) fn behind<'a>(
    proxies: &'a [Proxy; 2],
    directory: &'a Path,
    variable: &'a str,
    name: impl Fn(SocketAddr) -> String + 'a,
) -> impl Fn(Part) -> PathBuf + 'a {
    move |part| {
        let Part::Router(place) = part else { return binary() };
        let proxy = proxies.get(place).unwrap();
        let environment = [(variable, name(proxy.address()))];
        wrapped(&binary(), directory, &format!("router-{place}"), &environment, None).unwrap()
    }
}

/// The other router goes on meanwhile, with the same accounts.
async fn lose(kit: &Kit, proxies: &[Proxy; 2], rounds: usize) {
    kit.accept("at the beginning").await;
    for (proxy, during) in proxies.iter().cycle().zip(LOST.into_iter().cycle()).take(rounds) {
        kit.moments.next().await;
        let lost = proxy.lose_replies(during).await;
        assert!(lost > 0, "nothing was answered");
        kit.accept(&format!("when {lost} bytes of answers were lost in {during:?}")).await;
    }
}

async fn end(kit: Kit) {
    println!("{} messages were refused with `wait`", kit.notes.open().refusals());
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}

/// A commit of which it is not known whether it was done is looked for before anything later (session-log rules 1 and 8).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_of_redis_that_are_lost_are_not_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let redis = Redis::start_somewhere(&directory.path().join("redis")).await.unwrap();
    let proxies = proxies(redis.address());
    let program = behind(&proxies, directory.path(), "STARLING_REDIS_URL", |at| format!("redis://{at}/0"));
    let kit = Kit::start_each(format!("url = \"redis://{}/0\"", redis.address()), program).await;
    lose(&kit, &proxies, rounds(6)).await;
    end(kit).await;
}

/// A row of which it is not known whether it is stored is written again, with the same timestamp (rule 14).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_of_the_cql_server_that_are_lost_are_not_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let proxies = proxies(cql_server().parse().unwrap());
    let program = behind(&proxies, directory.path(), "STARLING_SCYLLA_NODES", |at| format!("[\"{at}\"]"));
    let kit = Kit::start_each(String::new(), program).await;
    lose(&kit, &proxies, rounds(6)).await;
    end(kit).await;
}
