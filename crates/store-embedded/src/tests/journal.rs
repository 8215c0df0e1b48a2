//! The end of the journal: torn by a crash, or full of what was never written.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use starling_ports::StoreError;
use starling_ports::archive::{Archive, Query, Row, Table};
use starling_ports::suite::row;

use super::*;
use crate::disk::Space;
use crate::journal::Ends;

fn journal(dir: &Path) -> PathBuf {
    let paths = fs::read_dir(dir.join("store/db")).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).max().unwrap()
}

/// Where it ends.
fn end(dir: &Path) -> u64 {
    crate::journal::end(&File::open(journal(dir)).unwrap()).unwrap()
}

async fn rows(store: &Store) -> Vec<Row> {
    store.page(Table::Archive, &bob(), &Query::default(), 100).await.unwrap().rows
}

/// What was acknowledged is there, what was being written is dropped, and the store goes on.
#[tokio::test]
async fn a_torn_tail_is_dropped_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let acked: Vec<Row> = (1..=20).map(|number| row(number, "acknowledged")).collect();
    store.put(Table::Archive, &bob(), acked.clone()).await.unwrap();
    let sequence = fs::read(dir.path().join("store/sequence")).unwrap();
    let before = end(dir.path());
    // Written as far as it got when the machine died: nobody heard of it.
    store.put(Table::Archive, &bob(), vec![row(21, &"on its way ".repeat(20))]).await.unwrap();
    let after = end(dir.path());
    assert!(after > before + 200, "{before} {after}");

    let base = killed(dir.path());
    for (cut, garbage) in (before + 1..after).step_by(97).flat_map(|cut| [(cut, false), (cut, true)]) {
        let killed = killed(base.path());
        fs::write(killed.path().join("store/sequence"), &sequence).unwrap();
        let file = File::options().write(true).open(journal(killed.path())).unwrap();
        match garbage {
            true => file.write_all_at(&vec![0xa5; (after - cut) as usize], cut).unwrap(),
            false => file.set_len(cut).unwrap(),
        }
        let ends = Ends::of(&killed.path().join("store/db")).unwrap();
        let store = open(killed.path());
        assert_eq!(rows(&store).await, acked, "cut at {cut} of {before}..{after}, garbage: {garbage}");
        assert!(ends.torn() > 0, "and it is known that something was dropped");
        store.put(Table::Archive, &bob(), vec![row(22, "later")]).await.unwrap();
        drop(store);
        let ends = Ends::of(&killed.path().join("store/db")).unwrap();
        let store = open(killed.path());
        assert_eq!(ends.torn(), 0, "once");
        assert_eq!(rows(&store).await.len(), 21);
        assert!(store.check().unwrap().is_clean());
    }
}

/// Files of tables, which hold what the journal held once.
fn tables(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { tables(&path) } else { vec![path] }).collect()
}

/// Wherever it is: the store is refused, or what it hits is named and not served, or it hits nothing.
#[tokio::test]
async fn a_flipped_bit_in_a_table_is_named_and_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let all: Vec<Row> = (1..=60).map(|number| row(number, &format!("{number} {}", number * 7919))).collect();
    store.put(Table::Archive, &bob(), all.clone()).await.unwrap();
    store.disk.read().unwrap().space(Space::Archive).rotate_memtable_and_wait().unwrap();
    drop(store);
    let (base, mut noticed) = (killed(dir.path()), 0);
    let db = base.path().join("store/db/keyspaces");
    let largest = tables(&db).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let bytes = fs::read(&largest).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 16) {
        let damaged = killed(base.path());
        let mut flipped = bytes.clone();
        flipped[at] ^= 8;
        fs::write(damaged.path().join(largest.strip_prefix(base.path()).unwrap()), flipped).unwrap();
        let Ok(store) = try_open(damaged.path()) else {
            noticed += 1;
            continue;
        };
        let page = store.page(Table::Archive, &bob(), &Query::default(), 100).await;
        for row in &all {
            match store.get(Table::Archive, &bob(), row.id).await {
                Ok(got) => assert_eq!(got.as_ref(), Some(row), "byte {at}"),
                Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "byte {at}: {error:?}"),
            }
        }
        match page {
            Ok(page) => assert_eq!(page.rows, all, "byte {at}"),
            Err(error) => {
                noticed += 1;
                assert!(matches!(error, StoreError::Corrupt { .. }), "byte {at}: {error:?}");
                let report = store.check().unwrap();
                assert!(
                    report.places.iter().any(|place| place.starts_with("archive")),
                    "byte {at}: {report:?}"
                );
            }
        }
    }
    assert!(noticed > 8, "most of a table is what people wrote: {noticed}");
}

/// Cut off further than that it is no torn tail: what was acknowledged is missing, and that is said.
#[tokio::test]
async fn a_journal_cut_below_what_was_acknowledged_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 1..=3 {
        store.put(Table::Archive, &bob(), vec![row(number, "acknowledged")]).await.unwrap();
    }
    let killed = killed(dir.path());
    let file = File::options().write(true).open(journal(killed.path())).unwrap();
    file.set_len(end(killed.path()) - 20).unwrap();
    let error = try_open(killed.path()).unwrap_err();
    assert!(error.reason.contains("the journal is damaged"), "{error}");
}

/// How many bytes of the disk its newest journal has, and how many it uses.
fn held(dir: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (fs::metadata(journal(dir)).unwrap().blocks() * 512, end(dir))
}

/// Whatever was taken can be written, though the disk fills up meanwhile: nobody waits for room.
#[tokio::test]
async fn the_journal_has_room_for_what_was_taken() {
    const AHEAD: u64 = 8 * 1024 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let config = Config { sync: false, ..config(dir.path()) };
    let store = open_with(&config).unwrap();
    let has_room = |when: &str| {
        let (held, used) = held(dir.path());
        assert!(held >= used + AHEAD, "{when}: {held} bytes for {used}");
        used
    };
    has_room("new");
    // Compressed, it is as long as before.
    let hash = |at: u64| xxhash_rust::xxh3::xxh3_64(&at.to_le_bytes());
    let random: String = (0..12_500).map(|at| format!("{:016x}", hash(at))).collect();
    let write = async |store: &Store, numbers: std::ops::RangeInclusive<u64>| {
        for number in numbers {
            store.put(Table::Archive, &bob(), vec![row(number, &random)]).await.unwrap();
        }
    };
    write(&store, 1..=100).await;
    assert!(has_room("after writing more than is held") > 2 * AHEAD);
    drop(store);
    let store = open_with(&config).unwrap();
    has_room("opened again");
    store.disk.reopen().unwrap();
    let before = journal(dir.path());
    write(&store, 101..=350).await;
    store.disk.read().unwrap().space(Space::Archive).rotate_memtable_and_wait().unwrap();
    write(&store, 351..=351).await;
    assert_ne!(journal(dir.path()), before, "a new journal was begun");
    has_room("in the next journal");
}
