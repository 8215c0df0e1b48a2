//! What expires, and by which clock.

use starling_ports::archive::{Archive, Query, Row, Table};
use starling_ports::position::{Position, Positions};
use starling_ports::suite::row;

use super::*;
use crate::ClockGap;
use crate::disk::{Space, pair};
use crate::expiry::Cursor;

const DAY: Duration = Duration::from_secs(24 * 3600);
const START: Timestamp = Timestamp(1_700_000_000_000_000);

/// A row that was received at `at`, and is not delivered to anybody.
fn kept(at: Timestamp) -> Row {
    Row { at, deliverable: false, ..row(at.0, "a") }
}

fn open_at(config: &Config, at: Timestamp) -> (Arc<Store>, Arc<Hands>) {
    let hands = Arc::new(Hands(AtomicU64::new(at.0)));
    (Store::open(config, hands.clone(), NodeId::default()).unwrap(), hands)
}

/// A whole round.
async fn expire(store: &Store) {
    let mut cursor = Cursor::default();
    for _ in 0..4 {
        let expired = store.expired_rows(&mut cursor).unwrap();
        store.writer.write(expired).await.unwrap();
    }
}

async fn numbers(store: &Store, table: Table) -> Vec<u64> {
    let page = store.page(table, &bob(), &Query::default(), 100).await.unwrap();
    page.rows.iter().map(|row| row.id.number).collect()
}

fn count(store: &Store, space: Space) -> usize {
    let tables = store.disk.read().unwrap();
    tables.space(space).iter().filter_map(|guard| pair(guard).ok()).count()
}

/// What is older than the archive keeps goes, by every key, and nothing else.
#[tokio::test]
async fn expiry_leaves_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_at(&config(dir.path()), START);
    let old = Timestamp(START.0 - 366 * DAY.as_micros() as u64);
    store.put(Table::Archive, &bob(), vec![kept(old), kept(START)]).await.unwrap();
    let keys = count(&store, Space::With);
    expire(&store).await;
    assert_eq!(numbers(&store, Table::Archive).await, [START.0]);
    assert_eq!(count(&store, Space::With), keys / 2);
}

/// A start with a clock that is years ahead, as after a dead battery or a typing error.
#[tokio::test]
async fn a_clock_far_ahead_erases_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let far = START.after(DAY * 730);
    let rows = vec![row(START.0, "waits"), kept(Timestamp(START.0 + 1))];
    for noted in [true, false] {
        let (store, _) = open_at(&config, START);
        for table in [Table::Archive, Table::Spool] {
            store.put(table, &bob(), rows.clone()).await.unwrap();
        }
        if !noted {
            let seen = vec![crate::disk::Op::Remove(Space::Meta, b"seen".to_vec())];
            store.close();
            drop(store);
            let (disk, _) = crate::disk::Disk::open(dir.path(), 32).unwrap();
            disk.write(seen, true).unwrap();
            disk.close();
        } else {
            drop(store);
        }
        for _ in 0..2 {
            let (store, hands) = open_at(&config, far);
            expire(&store).await;
            hands.turn(DAY); // in no time: by the other clock no day has gone
            expire(&store).await;
            for table in [Table::Archive, Table::Spool] {
                assert_eq!(numbers(&store, table).await.len(), 2, "{noted}");
            }
        }
        let (store, _) = open_at(&config, START.after(DAY));
        expire(&store).await;
        assert_eq!(numbers(&store, Table::Archive).await.len(), 2);
    }
}

#[tokio::test]
async fn a_clock_that_does_not_fit_is_told_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let gap_at = |now: Timestamp| {
        let (store, _) = open_at(&config(dir.path()), now);
        let gap = store.clock_gap();
        store.close();
        gap
    };
    assert_eq!(gap_at(START), None, "an empty store knows nothing");
    let hour = Duration::from_secs(3600);
    assert_eq!(gap_at(Timestamp(START.0 - hour.as_micros() as u64)), Some(ClockGap::Behind(hour)));
    assert_eq!(gap_at(Timestamp(START.0 - 1_000_000)), None, "a second is set right every day");
    assert_eq!(gap_at(START.after(DAY * 6)), None);
    assert_eq!(gap_at(START.after(DAY * 30)), Some(ClockGap::Beyond(DAY * 30)));
}

#[tokio::test]
async fn a_clock_that_the_operator_confirms_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_at(&config(dir.path()), START);
    store.put(Table::Archive, &bob(), vec![kept(START)]).await.unwrap();
    drop(store);
    let confirmed = Config { accept_clock: true, ..config(dir.path()) };
    let (store, _) = open_at(&confirmed, START.after(DAY * 730));
    expire(&store).await;
    assert!(numbers(&store, Table::Archive).await.is_empty());
    drop(store);
    let (store, _) = open_at(&config(dir.path()), START.after(DAY * 731));
    store.put(Table::Archive, &bob(), vec![kept(START)]).await.unwrap();
    expire(&store).await;
    assert!(numbers(&store, Table::Archive).await.is_empty(), "it is confirmed once");
}

/// An archive that is kept for a day does not end the promise of what waits longer.
#[tokio::test]
async fn what_waits_in_the_archive_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { archive_ttl: DAY, spool_ttl: DAY * 30, ..config(dir.path()) };
    let (store, _) = open_at(&config, START);
    let ago = |days: u64| row(START.0 - days * DAY.as_micros() as u64, "a");
    let rows = vec![ago(31), ago(3), ago(2), ago(0)];
    store.put(Table::Archive, &bob(), rows).await.unwrap();
    let acknowledged = vec![ago(2).id];
    Positions::save(&*store, &bob(), Position { low: None, acknowledged }).await.unwrap();
    store.writer.probe().await.unwrap();
    expire(&store).await;
    assert_eq!(numbers(&store, Table::Archive).await, [ago(3).id.number, ago(0).id.number]);
}

/// A limit of 0 is none.
#[tokio::test]
async fn what_is_kept_for_ever_does_not_expire() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { archive_ttl: Duration::ZERO, spool_ttl: Duration::ZERO, ..config(dir.path()) };
    assert_eq!(config.check(), Ok(()));
    let (store, _) = open_at(&config, START);
    let old = Timestamp(START.0 - 40 * 366 * DAY.as_micros() as u64);
    for table in [Table::Archive, Table::Spool] {
        store.put(table, &bob(), vec![kept(old)]).await.unwrap();
    }
    expire(&store).await;
    for table in [Table::Archive, Table::Spool] {
        assert_eq!(numbers(&store, table).await, [old.0]);
    }
}
