//! An archive of 1,000,000 messages, paged from both ends: alone in its process, because it looks at its memory.
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

const ROWS: u64 = 1_000_000;
/// One of so many is from somebody else.
const RARE: u64 = 100_000;
const PAGE: usize = 1000;

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

fn message(number: u64, wire: &Wire) -> Row {
    let row = Row { wire: wire.clone(), ..row(number, "") };
    if number.is_multiple_of(RARE) { Row { with: rare(), ..row } } else { row }
}

async fn fill(store: &Store, owner: &BareJid) {
    let wire = wire("a message as people write them, neither long nor short");
    for start in (1..=ROWS).step_by(5_000) {
        let rows = (start..start + 5_000).map(|number| message(number, &wire)).collect();
        store.put(Table::Archive, owner, rows).await.unwrap();
    }
}

/// Walks from one end to the other. Every row comes once and in order, and no page reads more than itself plus one row.
async fn walk(store: &Store, owner: &BareJid, backwards: bool) {
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
        let first = if backwards { ROWS + 1 - count - numbers.len() as u64 } else { count + 1 };
        assert!(numbers.iter().copied().eq(first..first + numbers.len() as u64), "from {first}");
        count += numbers.len() as u64;
        end = if backwards { page.rows.first() } else { page.rows.last() }.map(|row| row.id);
        if page.complete {
            break;
        }
    }
    assert_eq!(count, ROWS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_rows_are_paged_from_both_ends_at_flat_memory() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data_dir: dir.path().to_owned(), sync: false, ..Config::default() };
    let store = Store::open(&config, Arc::new(Early), NodeId::default()).unwrap();
    let owner = fresh_user();
    let begun = Instant::now();
    fill(&store, &owner).await;
    println!("filled within {:?}, {} MiB", begun.elapsed(), resident());

    store.view(&owner).await.unwrap(); // loads what the account's slot knows, which is no page
    let before = resident();
    for backwards in [false, true] {
        walk(&store, &owner, backwards).await;
        println!("walked within {:?}, {} MiB", begun.elapsed(), resident());
        assert!(resident() < before + 100, "{} MiB became {}", before, resident());
    }

    // Somebody who wrote ten times among a million is found at once, from both ends.
    for backwards in [false, true] {
        let query = Query { with: Some(rare()), backwards, ..Query::default() };
        let read = store.rows_read();
        let page = store.page(Table::Archive, &owner, &query, 4).await.unwrap();
        let numbers: Vec<u64> = page.rows.iter().map(|row| row.id.number / RARE).collect();
        assert_eq!(numbers, if backwards { [7, 8, 9, 10] } else { [1, 2, 3, 4] });
        assert_eq!(store.rows_read() - read, 5);
    }
    store.close();
}
