//! Pages over many partitions: what a page costs, and that none is missed at their borders.

use std::time::Duration;

use starling_jid::BareJid;
use starling_ports::archive::{Archive, Query, Row, Table};
use starling_ports::suite::{fresh_user, row};
use starling_store_scylla::{Config, Store};

use crate::server::{fresh, store_of};

async fn filled(store: &Store, table: Table, numbers: impl Iterator<Item = u64>) -> (BareJid, Vec<Row>) {
    let owner = fresh_user();
    let rows: Vec<Row> = numbers.map(|number| row(number, &format!("body {number}"))).collect();
    store.put(table, &owner, rows.clone()).await.unwrap();
    (owner, rows)
}

/// All pages, in the order in which they were asked for.
pub(crate) async fn walk(
    store: &Store,
    table: Table,
    owner: &BareJid,
    query: Query,
    limit: usize,
) -> Vec<Vec<Row>> {
    let (mut query, mut pages) = (query, Vec::new());
    loop {
        let page = store.page(table, owner, &query, limit).await.unwrap();
        let edge = if query.backwards { page.rows.first() } else { page.rows.last() }.map(|row| row.id);
        *if query.backwards { &mut query.before } else { &mut query.after } = edge;
        pages.push(page.rows);
        if page.complete {
            return pages;
        }
    }
}

#[tokio::test]
async fn pages_cross_the_borders_of_partitions() {
    let store = store_of(&Config { bucket: Duration::from_micros(10), ..fresh().await }).await;
    // Partitions of ten ids: full ones, ones with a single row at either end, and long gaps.
    let numbers = (0..25).chain([29, 30, 39, 40, 100, 1_000, 1_009, 123_456]);
    for table in [Table::Archive, Table::Spool] {
        let (owner, rows) = filled(&store, table, numbers.clone()).await;
        for limit in [1, 3, 10, 100] {
            let forwards = walk(&store, table, &owner, Query::default(), limit).await;
            assert_eq!(forwards.concat(), rows, "{limit}");
            let query = Query { backwards: true, ..Query::default() };
            let backwards: Vec<_> =
                walk(&store, table, &owner, query, limit).await.into_iter().rev().collect();
            assert_eq!(backwards.concat(), rows, "{limit}");
        }
        assert_eq!(store.last(&owner).await.unwrap(), rows.last().map(|row| row.id));
        let bytes = rows.iter().map(|row| row.wire.len()).sum();
        assert_eq!(store.waiting(table, &owner, None, 1000).await.unwrap(), (rows.len(), bytes));
        let (count, _) = store.waiting(table, &owner, Some(rows[20].id), 6).await.unwrap();
        assert_eq!(count, 6);
    }
}

#[tokio::test]
async fn a_correspondent_is_found_across_partitions() {
    let store = store_of(&Config { bucket: Duration::from_micros(10), ..fresh().await }).await;
    let owner = fresh_user();
    let rare = BareJid::new("rare@example.org").unwrap();
    let mut rows: Vec<Row> = (0..100).map(|number| row(number, "hello")).collect();
    for row in rows.iter_mut().filter(|row| row.id.number % 17 == 3) {
        row.with = rare.clone();
    }
    store.put(Table::Archive, &owner, rows.clone()).await.unwrap();
    let theirs: Vec<Row> = rows.iter().filter(|row| row.with == rare).cloned().collect();
    for (limit, backwards) in [(1, false), (1, true), (4, false), (4, true), (6, true), (50, false)] {
        let query = Query { with: Some(rare.clone()), backwards, ..Query::default() };
        let mut pages = walk(&store, Table::Archive, &owner, query, limit).await;
        if backwards {
            pages.reverse();
        }
        assert_eq!(pages.concat(), theirs, "{limit} {backwards}");
    }
    // Nobody else's rows lead to one that is deleted.
    let id = theirs[2].id;
    store.delete(Table::Archive, &owner, &[id]).await.unwrap();
    let query = Query { with: Some(rare), ..Query::default() };
    let page = store.page(Table::Archive, &owner, &query, 50).await.unwrap();
    assert_eq!(page.rows.len(), theirs.len() - 1);
    assert!(page.rows.iter().all(|row| row.id != id));
}

/// XEP-0313 clients ask from a date on: what was before is not read.
#[tokio::test]
async fn a_time_in_a_long_archive_is_found_without_reading_what_was_before() {
    let hour = 3_600_000_000;
    let store = store_of(&Config { bucket: Duration::from_micros(hour * 24), ..fresh().await }).await;
    let (owner, rows) = filled(&store, Table::Archive, (1..=1000).map(|number| number * hour)).await;
    let before = store.statements();
    let query = Query { start: Some(rows[499].at), ..Query::default() };
    let page = store.page(Table::Archive, &owner, &query, 10).await.unwrap();
    assert_eq!(page.rows, rows[499..509]);
    assert!(store.statements() - before <= 3, "{}", store.statements() - before);
    let query = Query { end: Some(rows[499].at), backwards: true, ..Query::default() };
    let page = store.page(Table::Archive, &owner, &query, 10).await.unwrap();
    assert_eq!(page.rows, rows[490..500]);
}

/// As large as a stanza may be, beside small ones, and more of them than one batch may carry.
#[tokio::test]
async fn large_stanzas_are_kept() {
    let store = store_of(&fresh().await).await;
    let owner = fresh_user();
    let (large, medium) = ("x".repeat(262_000), "y".repeat(20_000));
    let body = |number: u64| match number % 4 {
        0 => large.as_str(),
        1 => medium.as_str(),
        _ => "small",
    };
    let rows: Vec<Row> = (1..=24).map(|number| row(number, body(number))).collect();
    store.put(Table::Archive, &owner, rows.clone()).await.unwrap();
    assert_eq!(walk(&store, Table::Archive, &owner, Query::default(), 10).await.concat(), rows);
}
