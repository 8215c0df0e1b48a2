//! A large archive of one owner: a page costs the same wherever it is.

use std::time::{Duration, Instant};

use starling_jid::BareJid;
use starling_ports::archive::{Archive, Query, Row, Table};
use starling_ports::suite::{fresh_user, row, wire};
use starling_store_scylla::{Config, Store};

use crate::server::{fresh, say, store_of};

const PAGE: u64 = 100;
/// One of so many is from somebody else.
const RARE: u64 = 10_000;

fn rare() -> BareJid {
    BareJid::new("rare@example.org").unwrap()
}

async fn fill(store: &Store, owner: &BareJid, count: u64) {
    let wire = wire("a message as people write them, neither long nor short");
    for start in (1..=count).step_by(1000) {
        let rows = (start..start + 1000).map(|number| {
            let row = Row { wire: wire.clone(), ..row(number, "") };
            if number.is_multiple_of(RARE) { Row { with: rare(), ..row } } else { row }
        });
        store.put(Table::Archive, owner, rows.collect()).await.unwrap();
    }
}

/// Every row once and in order; a page is one look at which partitions there are, and one statement for each that it touches,
/// and for one row more than it has.
async fn pages(store: &Store, owner: &BareJid, count: u64, backwards: bool, pages: u64) {
    let mut end = None;
    for page in 0..pages {
        let query = match backwards {
            true => Query { backwards, before: end, ..Query::default() },
            false => Query { after: end, ..Query::default() },
        };
        let before = store.statements();
        let found = store.page(Table::Archive, owner, &query, PAGE as usize).await.unwrap();
        let cost = store.statements() - before;
        assert!(cost <= 4, "page {page}: {cost} statements");
        let first = if backwards { count - (page + 1) * PAGE + 1 } else { page * PAGE + 1 };
        let numbers = found.rows.iter().map(|row| row.id.number);
        assert!(numbers.eq(first..first + PAGE), "page {page}");
        end = if backwards { found.rows.first() } else { found.rows.last() }.map(|row| row.id);
    }
}

#[tokio::test]
async fn a_page_of_a_large_archive_costs_what_one_of_a_small_one_does() {
    let count: u64 = std::env::var("STARLING_TEST_ARCHIVE_ROWS").map_or(20_000, |text| text.parse().unwrap());
    // Twenty partitions.
    let store = store_of(&Config { bucket: Duration::from_micros(count / 20), ..fresh().await }).await;
    let owner = fresh_user();
    let begun = Instant::now();
    fill(&store, &owner, count).await;
    say(&format!("{count} rows written within {:?}", begun.elapsed()));
    for backwards in [false, true] {
        let begun = Instant::now();
        pages(&store, &owner, count, backwards, count / PAGE).await;
        say(&format!("all pages within {:?}, backwards: {backwards}", begun.elapsed()));
    }
    let total = count / RARE;
    for backwards in [false, true] {
        let before = store.statements();
        let query = Query { with: Some(rare()), backwards, ..Query::default() };
        let page = store.page(Table::Archive, &owner, &query, 100).await.unwrap();
        assert_eq!(page.rows.len() as u64, total);
        // Each partition is asked for ids, and once more if there are any: nobody else's rows are read.
        let cost = store.statements() - before;
        assert!(cost <= 1 + 21 + total, "{cost} statements");
    }
}
