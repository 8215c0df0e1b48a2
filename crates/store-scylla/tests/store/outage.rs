//! A server that stops, hangs or is killed: an error in time, no answered write is lost, and all goes on when it is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_jid::BareJid;
use starling_ports::StoreError;
use starling_ports::archive::{Archive, Query, Table};
use starling_ports::suite::{fresh_user, row};
use starling_store_scylla::{Config, Store};

use crate::server::{OwnServer, fresh_at, say, store_of};

const DEADLINE: Duration = Duration::from_secs(2);

/// Writes one row after the other until one is refused; the numbers of those that were answered, and how long the last took.
async fn write_until_refused(store: &Store, owner: &BareJid, from: u64) -> (Vec<u64>, Duration) {
    let mut answered = Vec::new();
    for number in from.. {
        let begun = Instant::now();
        match store.put(Table::Archive, owner, vec![row(number, "hello")]).await {
            Ok(()) => answered.push(number),
            Err(error) => {
                assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
                return (answered, begun.elapsed());
            }
        }
    }
    unreachable!("the numbers do not end")
}

/// Tries until it is answered again, without anybody doing anything about it.
async fn write_until_answered(store: &Store, owner: &BareJid, number: u64) {
    let end = Instant::now() + Duration::from_secs(240);
    while store.put(Table::Archive, owner, vec![row(number, "hello")]).await.is_err() {
        assert!(Instant::now() < end, "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn has_all(store: &Store, owner: &BareJid, answered: &[u64]) {
    let page = store.page(Table::Archive, owner, &Query::default(), 1_000_000).await.unwrap();
    let found: Vec<u64> = page.rows.iter().map(|row| row.id.number).collect();
    let lost: Vec<&u64> = answered.iter().filter(|number| found.binary_search(number).is_err()).collect();
    assert!(lost.is_empty(), "{lost:?} of {} answered rows are lost", answered.len());
}

/// One round: rows are written, the server gets `signal` amid them, `mend` brings it back.
async fn survives(store: &Arc<Store>, server: &OwnServer, signal: &'static str, mend: impl FnOnce()) {
    let owner = fresh_user();
    let mut writing = tokio::task::JoinSet::new();
    writing.spawn({
        let (store, owner) = (store.clone(), owner.clone());
        async move { write_until_refused(&store, &owner, 1).await }
    });
    // Amid the writing, whenever that is: after so many rows.
    while store.page(Table::Archive, &owner, &Query::default(), 200).await.unwrap().complete {
        tokio::task::yield_now().await;
    }
    server.signal(signal);
    let (mut answered, took) = writing.join_next().await.unwrap().unwrap();
    assert!(answered.len() >= 200 && took < DEADLINE * 3, "{} rows, then {took:?}", answered.len());
    let begun = Instant::now();
    let failed = store.page(Table::Archive, &owner, &Query::default(), 10).await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
    assert!(begun.elapsed() < DEADLINE * 3, "{:?}", begun.elapsed());
    mend();
    let next = answered.last().unwrap() + 2; // the one that was refused may be there, or not
    write_until_answered(store, &owner, next).await;
    answered.push(next);
    has_all(store, &owner, &answered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_or_dies_is_reported_in_time_and_loses_nothing() {
    if std::env::var_os("STARLING_TEST_CQL").is_some() {
        say("one test runs on a Cassandra of its own all the same: it is stopped and killed");
    }
    let server = OwnServer::start("");
    let config = Config { request_timeout: DEADLINE, ..fresh_at(&server.address) };
    let slowly = Config { request_timeout: Duration::from_secs(20), ..config.clone() };
    store_of(&slowly).await;
    let store = Store::connect(&config).await.unwrap();
    survives(&store, &server, "-STOP", || server.signal("-CONT")).await;
    survives(&store, &server, "-KILL", || server.start_again()).await;
}
