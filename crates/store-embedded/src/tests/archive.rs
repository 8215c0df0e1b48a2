//! Searches of the archive: what they find, how many rows they read for it, and who writes meanwhile.

use std::fs;
use std::time::Duration;

use starling_ports::accounts::{Accounts, Created};
use starling_ports::archive::{Archive, Direction, Query, Row, Table};
use starling_ports::delivery::Copy;
use starling_ports::ids::{ArchiveId, Epoch, Handled, SessionId};
use starling_ports::sessions::{CommitReply, Keep, Outcome, Planned, Role, SenderKey, Sessions};
use starling_ports::suite::accounts::credentials;
use starling_ports::suite::{row, wire};
use starling_stanza::Wire;

use super::*;
use crate::disk::{Op, Space, pair};

fn from(number: u64, with: &str) -> Row {
    let xml = format!("<message from='{with}/desk' type='chat'><body>body</body>");
    let wire = Wire::from_bytes(xml.into_bytes().into()).unwrap();
    Row { with: BareJid::new(with).unwrap(), wire, ..row(number, "") }
}

/// Numbers found in what is loaded already, and how many rows were read for them.
async fn found(store: &Store, query: Query, limit: usize) -> (Vec<u64>, u64) {
    store.view(&bob()).await.unwrap();
    let before = store.rows_read();
    let page = store.page(Table::Archive, &bob(), &query, limit).await.unwrap();
    (page.rows.iter().map(|row| row.id.number).collect(), store.rows_read() - before)
}

fn with(jid: &str) -> Query {
    Query { with: BareJid::new(jid).ok(), ..Query::default() }
}

/// Of one device.
fn at(full: &str) -> Query {
    let bare = full.split('/').next().unwrap();
    Query { with_resource: Some(full.into()), ..with(bare) }
}

async fn filled(store: &Store) {
    let name = |number: u64| if number % 1000 == 500 { "rare@example.org" } else { "often@example.org" };
    let rows = (1..=10_000).map(|number| from(number, name(number))).collect();
    store.put(Table::Archive, &bob(), rows).await.unwrap();
}

/// XEP-0313 §4.1: whatever is asked for, a query reads a page plus one.
#[tokio::test]
async fn no_filter_reads_more_than_a_page_plus_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    filled(&store).await;
    for backwards in [false, true] {
        let last = Query { backwards, ..Query::default() };
        for query in [
            last.clone(),
            Query { backwards, ..with("rare@example.org") },
            Query { backwards, ..with("often@example.org") },
            Query { backwards, ..with("nobody@example.org") },
            Query { backwards, ..at("often@example.org/desk") },
            Query { backwards, ..at("often@example.org/phone") },
            Query { backwards, ..at("often@example.org/desk/x") },
            Query { start: Some(Timestamp(9_000)), ..last.clone() },
            Query { after: Some(row(5_000, "").id), start: Some(Timestamp(10)), ..last.clone() },
            Query { before: Some(row(5_000, "").id), ..last.clone() },
        ] {
            let (numbers, read) = found(&store, query.clone(), 5).await;
            assert!(numbers.len() <= 5 && read <= 6, "{query:?}: {numbers:?} of {read}");
        }
    }
    let (numbers, _) = found(&store, with("rare@example.org"), 100).await;
    assert_eq!(numbers, (0..10).map(|n| n * 1000 + 500).collect::<Vec<_>>());
    let (numbers, _) = found(&store, Query { backwards: true, ..with("rare@example.org") }, 2).await;
    assert_eq!(numbers, [8_500, 9_500]);
}

/// Searches by time stop where the time is over: they pass over what came within a millisecond of it, and no more.
#[tokio::test]
async fn a_search_by_time_stops_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let rows = (1..=2_000).map(|n| from(n * 1_000_000, "a@example.org")).collect();
    store.put(Table::Archive, &bob(), rows).await.unwrap();
    for backwards in [false, true] {
        let end = Some(Timestamp(3_000_000));
        let (numbers, read) = found(&store, Query { end, backwards, ..Query::default() }, 50).await;
        assert_eq!((numbers, read), (vec![1_000_000, 2_000_000, 3_000_000], 3));
        let start = Some(Timestamp(1_999_000_001));
        let (numbers, read) = found(&store, Query { start, backwards, ..Query::default() }, 50).await;
        assert_eq!((numbers, read), (vec![2_000_000_000], 1));
    }
}

/// Ids go on above a clock that went back; a search by time finds what was received then, after a restart too.
#[tokio::test]
async fn a_clock_that_goes_back_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        let late = |n: u64| Row { at: Timestamp(1_000 + n), ..from(5_000_000_000 + n, "a@example.org") };
        store.put(Table::Archive, &bob(), (1..=3).map(late).collect()).await.unwrap();
        store.put(Table::Archive, &bob(), vec![from(6_000_000_000, "a@example.org")]).await.unwrap();
        store.close();
    }
    let store = open(dir.path());
    let end = Some(Timestamp(1_002));
    let (numbers, _) = found(&store, Query { end, ..Query::default() }, 50).await;
    assert_eq!(numbers, [5_000_000_001, 5_000_000_002]);
}

fn keys_of(store: &Store, space: Space) -> Vec<Vec<u8>> {
    let tables = store.disk.read().unwrap();
    tables.space(space).iter().map(|guard| pair(guard).unwrap().0.to_vec()).collect()
}

/// Format 1 had no keys by correspondent: they are made when it is opened, whatever was interrupted before.
#[tokio::test]
async fn an_older_store_is_migrated() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        filled(&store).await;
        let gone = keys_of(&store, Space::With).into_iter().map(|key| Op::Remove(Space::With, key)).collect();
        store.disk.write(gone, true).unwrap();
        assert!(found(&store, with("rare@example.org"), 5).await.0.is_empty(), "as format 1 has it");
        store.close();
    }
    fs::write(dir.path().join("store/format"), "1\n").unwrap();
    let store = open(dir.path());
    assert_eq!(keys_of(&store, Space::With).len(), 20_000);
    assert_eq!(found(&store, with("rare@example.org"), 2).await.0, [500, 1_500]);
    let bytes = |name| from(1, name).wire.len() as u64;
    let all = 10 * bytes("rare@example.org") + 9_990 * bytes("often@example.org");
    assert_eq!(store.view(&bob()).await.unwrap().archived_bytes, all);
    assert_eq!(fs::read_to_string(dir.path().join("store/format")).unwrap(), "3\n");
    assert!(store.check().unwrap().is_clean());
}

/// Format 2 had them by account only.
#[tokio::test]
async fn devices_are_found_in_a_migrated_store() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        filled(&store).await;
        let of_devices = keys_of(&store, Space::With)
            .into_iter()
            .filter(|key| key.windows(6).any(|part| part == b"/desk\0"));
        store.disk.write(of_devices.map(|key| Op::Remove(Space::With, key)).collect(), true).unwrap();
        assert!(found(&store, at("rare@example.org/desk"), 5).await.0.is_empty(), "as format 2 has it");
        store.close();
    }
    fs::write(dir.path().join("store/format"), "2\n").unwrap();
    let store = open(dir.path());
    assert_eq!(found(&store, at("rare@example.org/desk"), 2).await.0, [500, 1_500]);
    assert!(found(&store, at("rare@example.org/phone"), 2).await.0.is_empty());
    assert_eq!(keys_of(&store, Space::With).len(), 20_000);
    assert_eq!(fs::read_to_string(dir.path().join("store/format")).unwrap(), "3\n");
}

/// RFC 7622 §3.4: a resource may hold nearly anything; what is sent is found by whom it went to.
#[tokio::test]
async fn a_device_is_found_whatever_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let name = "alice@example.org/o'clock & <more>/x";
    let escaped = "alice@example.org/o&apos;clock &amp; &lt;more&gt;/x";
    let xml = format!("<message to='{escaped}' from='bob@example.org/desk'><body>x</body>");
    let wire = Wire::from_bytes(xml.into_bytes().into()).unwrap();
    let sent = Row { direction: Direction::Sent, wire, ..from(1, "alice@example.org") };
    store.put(Table::Archive, &bob(), vec![sent, from(2, "alice@example.org")]).await.unwrap();
    assert_eq!(found(&store, at(name), 5).await, (vec![1], 1));
    assert_eq!(found(&store, with("alice@example.org"), 5).await.0, [1, 2]);
    store.delete(Table::Archive, &bob(), &[row(1, "").id]).await.unwrap();
    assert_eq!(found(&store, at(name), 5).await, (vec![], 0));
}

/// What is erased is erased by every key.
#[tokio::test]
async fn erasing_leaves_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.create(&bob(), credentials(1), Timestamp(1)).await.unwrap(), Created::Yes);
    filled(&store).await;
    store.delete(Table::Archive, &bob(), &[row(500, "").id]).await.unwrap();
    assert_eq!(keys_of(&store, Space::With).len(), 19_998);
    assert!(store.remove(&bob()).await.unwrap());
    assert!(keys_of(&store, Space::With).is_empty() && keys_of(&store, Space::Archive).is_empty());
}

/// For the quota: what is archived and what waits is counted as it comes, and known after a restart.
#[tokio::test]
async fn the_size_of_an_archive_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = (1..=3).map(|number| wire(&format!("1:{number}")).len()).sum::<usize>();
    {
        let store = open(dir.path());
        writes(store.clone(), 1, 3).await;
        let view = store.view(&bob()).await.unwrap();
        assert_eq!((view.waiting, view.waiting_bytes, view.archived_bytes), (3, bytes, bytes as u64));
        store.close();
    }
    let store = open(dir.path());
    let view = store.view(&bob()).await.unwrap();
    assert_eq!((view.waiting, view.waiting_bytes, view.archived_bytes), (3, bytes, bytes as u64));
}

/// A kill forgets at most what was counted since the count was saved, and that is bounded.
#[tokio::test]
async fn a_kill_forgets_little_of_the_size_of_an_archive() {
    const SAVED_EVERY: u64 = 64 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(&Config { sync: false, ..config(dir.path()) }).unwrap();
    let rows = 3 * SAVED_EVERY / wire("1:100").len() as u64;
    writes(store.clone(), 2, rows).await;
    let counted = store.view(&bob()).await.unwrap().archived_bytes;
    assert!(counted > 2 * SAVED_EVERY);
    let saved = || store.archived_now(&bob()).unwrap();
    let begun = std::time::Instant::now();
    while saved() + SAVED_EVERY < counted {
        assert!(begun.elapsed() < Duration::from_secs(30), "only {} of {counted} are saved", saved());
        tokio::task::yield_now().await;
    }
    let killed = killed(dir.path());
    let after = open(killed.path());
    let view = after.view(&bob()).await.unwrap();
    assert!((counted - SAVED_EVERY..=counted).contains(&view.archived_bytes), "{view:?} of {counted}");
}

/// Whoever only sends has nothing that waits, and that is not searched for again each time.
#[tokio::test]
async fn what_was_sent_is_not_searched_for_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let sent = |n: u64| Row { direction: Direction::Sent, deliverable: false, ..row(n, "sent") };
    {
        let store = open(dir.path());
        store.put(Table::Archive, &bob(), (1..=100).map(sent).collect()).await.unwrap();
        assert_eq!(store.view(&bob()).await.unwrap().waiting, 0);
        store.slots.enlist(&mut store.slot(&bob()).unwrap().lock());
        store.close();
    }
    let store = open(dir.path());
    assert_eq!(store.position_now(&bob()).unwrap().low, Some(row(100, "").id));
}

fn planned(sender: u128, number: u64) -> Planned {
    Planned {
        key: Some(SenderKey {
            session: SessionId(sender),
            epoch: Epoch(1),
            number,
            role: Role::Receive,
            handled: Handled(0),
        }),
        hash: number,
        origin: None,
        wire: wire(&format!("{sender}:{number}")),
        keep: Some(Keep {
            with: BareJid::new("alice@example.org").unwrap(),
            direction: Direction::Received,
            resource: None,
            deliverable: true,
            copied: true,
            table: Table::Archive,
            only_if_nobody: false,
        }),
        targets: Vec::<(SessionId, Copy)>::new(),
        urgent: false,
        coalesce: None,
    }
}

/// One writer: commits, and stores. The odd ones are slow to store: a newer id is often stored before an older one.
async fn writes(store: Arc<Store>, sender: u128, count: u64) {
    for number in 1..=count {
        let row = loop {
            let version = store.view(&bob()).await.unwrap().version;
            match store.commit(&bob(), version, vec![planned(sender, number)], None).await.unwrap() {
                CommitReply::Done(outcomes) => match outcomes.into_iter().next() {
                    Some(Outcome::Done { row, .. } | Outcome::Seen { row, .. }) => break row,
                    Some(Outcome::Fenced) | None => panic!("nothing was taken"),
                },
                CommitReply::Stale(_) | CommitReply::Wait | CommitReply::Away(_) => {
                    tokio::task::yield_now().await
                }
            }
        };
        for _ in 0..(sender % 2) * 3 {
            store.writer.probe().await.unwrap(); // as long as a write takes
        }
        if let Some((table, row)) = row {
            let id = row.id;
            store.put(table, &bob(), vec![row]).await.unwrap();
            store.settle(&bob(), &[id], None).await.unwrap();
        }
    }
}

/// P4: a client that pages by the last id it has seen gets every message once, in order, while four others write.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn paging_misses_none_while_others_write() {
    const WRITERS: u128 = 4;
    const EACH: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let config = Config { sync: false, commit_delay: Duration::from_millis(1), ..config(dir.path()) };
    let store = open_with(&config).unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for sender in 1..=WRITERS {
        writers.spawn(writes(store.clone(), sender, EACH));
    }
    let (mut seen, mut last): (Vec<ArchiveId>, Option<ArchiveId>) = (Vec::new(), None);
    while seen.len() < WRITERS as usize * EACH as usize {
        while let Some(done) = writers.try_join_next() {
            done.unwrap();
        }
        let all_done = writers.is_empty();
        let upto = store.stored_up_to(&bob()).await.unwrap();
        let query = Query { after: last, upto: Some(upto), ..Query::default() };
        let page = store.page(Table::Archive, &bob(), &query, 7).await.unwrap();
        seen.extend(page.rows.iter().map(|row| row.id));
        last = seen.last().copied();
        assert!(!(all_done && page.rows.is_empty()), "only {} were seen", seen.len());
    }
    let whole = store.page(Table::Archive, &bob(), &Query::default(), 10_000).await.unwrap();
    assert_eq!(seen, whole.rows.iter().map(|row| row.id).collect::<Vec<_>>());
}
