//! A large archive, paged from both ends: alone in its process, because it looks at its memory.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::sync::Arc;
use std::time::Instant;

use starling_jid::BareJid;
use starling_ports::archive::{Archive, Query, Row, Table};
use starling_ports::clock::Clock;
use starling_ports::ids::{ArchiveId, NodeId, Timestamp};
use starling_ports::sessions::Sessions;
use starling_ports::suite::{fresh_user, row, wire};
use starling_stanza::Wire;
use starling_store_embedded::{Config, Store};

/// How many are put at once.
const GROUP: u64 = 5_000;
const PAGE: usize = 1000;

/// How many rows there are: `make test` asks for a million.
fn rows() -> u64 {
    let rows = std::env::var("STARLING_ARCHIVE_ROWS").map_or(100_000, |rows| rows.parse().unwrap());
    assert!(rows >= 10 * GROUP && rows.is_multiple_of(10 * GROUP), "STARLING_ARCHIVE_ROWS: {rows}");
    rows
}

/// Stands still.
struct Early;

impl Clock for Early {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000)
    }
}

/// Megabytes that this process holds now.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096 / (1024 * 1024)
}

fn rare() -> BareJid {
    BareJid::new("rare@example.org").unwrap()
}

fn message(number: u64, every: u64, wire: &Wire) -> Row {
    let row = Row { wire: wire.clone(), ..row(number, "") };
    if number.is_multiple_of(every) { Row { with: rare(), ..row } } else { row }
}

/// Ten rows are from somebody else.
async fn fill(store: &Store, owner: &BareJid, count: u64) {
    let wire = wire("a message as people write them, neither long nor short");
    for start in (1..=count).step_by(GROUP as usize) {
        let rows = (start..start + GROUP).map(|number| message(number, count / 10, &wire)).collect();
        store.put(Table::Archive, owner, rows).await.unwrap();
    }
}

/// Walks from one end to the other. Every row comes once and in order, and no page reads more than itself plus one row.
async fn walk(store: &Store, owner: &BareJid, rows: u64, backwards: bool) {
    let (mut count, mut end): (u64, Option<ArchiveId>) = (0, None);
    loop {
        let query = match backwards {
            true => Query { backwards, before: end, ..Query::default() },
            false => Query { after: end, ..Query::default() },
        };
        let before = store.rows_read();
        let page = store.page(Table::Archive, owner, &query, PAGE).await.unwrap();
        assert!(store.rows_read() - before <= PAGE as u64 + 1);
        let numbers: Vec<u64> = page.rows.iter().map(|row| row.id.number).collect();
        let first = if backwards { rows + 1 - count - numbers.len() as u64 } else { count + 1 };
        assert!(numbers.iter().copied().eq(first..first + numbers.len() as u64), "from {first}");
        count += numbers.len() as u64;
        end = if backwards { page.rows.first() } else { page.rows.last() }.map(|row| row.id);
        if page.complete {
            break;
        }
    }
    assert_eq!(count, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_archive_is_paged_from_both_ends_at_flat_memory() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data_dir: dir.path().to_owned(), sync: false, ..Config::default() };
    let store = Store::open(&config, Arc::new(Early), NodeId::default()).unwrap();
    let owner = fresh_user();
    let (rows, begun) = (rows(), Instant::now());
    fill(&store, &owner, rows).await;
    println!("{rows} rows filled within {:?}, {} MiB", begun.elapsed(), resident());

    store.view(&owner).await.unwrap(); // loads what the account's slot knows, which is no page
    let before = resident();
    for backwards in [false, true] {
        walk(&store, &owner, rows, backwards).await;
        println!("walked within {:?}, {} MiB", begun.elapsed(), resident());
        assert!(resident() < before + 100, "{} MiB became {}", before, resident());
    }

    // Somebody who wrote ten times among so many is found at once, from both ends.
    for backwards in [false, true] {
        let query = Query { with: Some(rare()), backwards, ..Query::default() };
        let read = store.rows_read();
        let page = store.page(Table::Archive, &owner, &query, 4).await.unwrap();
        let numbers: Vec<u64> = page.rows.iter().map(|row| row.id.number / (rows / 10)).collect();
        assert_eq!(numbers, if backwards { [7, 8, 9, 10] } else { [1, 2, 3, 4] });
        assert_eq!(store.rows_read() - read, 5);
    }
    store.close();
}
