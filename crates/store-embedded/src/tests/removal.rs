//! What the removal of an account erases, and what was under way when it came.

use std::fs;

use starling_ports::accounts::{Accounts, Created};
use starling_ports::archive::{Archive, Direction, Query, Row, Table};
use starling_ports::blocklist::{BlockList, BlockLists};
use starling_ports::documents::{Document, Documents};
use starling_ports::ids::{Epoch, Handled, SessionId};
use starling_ports::last_activity::{LastActivities, LastActivity};
use starling_ports::roster::Rosters;
use starling_ports::sessions::{CommitReply, Keep, Outcome, Planned, Role, SenderKey, Sessions};
use starling_ports::suite::accounts::credentials;
use starling_ports::suite::{row, wire};

use super::*;
use crate::disk::{Space, pair};

/// A store in which Bob has an account.
async fn with_bob(dir: &Path) -> Arc<Store> {
    let store = open(dir);
    assert_eq!(store.create(&bob(), credentials(1), Timestamp(1)).await.unwrap(), Created::Yes);
    store
}

/// Keys that belong to Bob, in every table.
fn of_bob(store: &Store) -> Vec<String> {
    let tables = store.disk.read().unwrap();
    let keys = Space::ALL.into_iter().flat_map(|space| {
        tables.space(space).iter().map(move |guard| (space, pair(guard).unwrap().0.to_vec()))
    });
    let keys = keys.map(|(space, key)| format!("{}: {}", space.name(), key.escape_ascii()));
    keys.filter(|key| key.contains("bob@example.org")).collect()
}

/// Commits for Bob, if he is there and nothing comes between; the row is not stored yet.
async fn commit(store: &Store, sender: u128, number: u64) -> Option<(Table, Row)> {
    let view = store.view(&bob()).await.unwrap();
    if !view.exists {
        return None;
    }
    let keep = Keep {
        with: BareJid::new("alice@example.org").unwrap(),
        direction: Direction::Received,
        resource: None,
        deliverable: true,
        copied: true,
        table: Table::Archive,
        only_if_nobody: false,
    };
    let planned = Planned {
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
        keep: Some(keep),
        targets: Vec::new(),
        urgent: false,
        coalesce: None,
    };
    match store.commit(&bob(), view.version, vec![planned], None).await.unwrap() {
        CommitReply::Done(outcomes) => match outcomes.into_iter().next() {
            Some(Outcome::Done { row, .. } | Outcome::Seen { row, .. }) => row,
            Some(Outcome::Fenced) | None => None,
        },
        CommitReply::Stale(_) | CommitReply::Wait | CommitReply::Away(_) => None,
    }
}

#[tokio::test]
async fn what_was_committed_before_a_removal_is_not_written_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_bob(dir.path()).await;
    let (table, before) = commit(&store, 1, 1).await.unwrap();
    assert!(store.remove(&bob()).await.unwrap());
    Archive::put(&*store, table, &bob(), vec![before.clone()]).await.unwrap();
    assert_eq!(of_bob(&store), Vec::<String>::new());

    store.create(&bob(), credentials(2), Timestamp(2)).await.unwrap();
    Archive::put(&*store, table, &bob(), vec![before.clone()]).await.unwrap();
    let (table, after) = commit(&store, 1, 2).await.unwrap();
    assert!(after.id > before.id, "numbers are not given out again");
    Archive::put(&*store, table, &bob(), vec![after.clone()]).await.unwrap();
    let page = store.page(Table::Archive, &bob(), &Query::default(), 10).await.unwrap();
    assert_eq!(page.rows, [after], "the new owner of the name has only what is his");
}

/// Writers are at each of their steps when the account is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_removal_among_writers_leaves_no_row() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(&Config { sync: false, ..config(dir.path()) }).unwrap();
    for round in 0..20 {
        store.create(&bob(), credentials(1), Timestamp(1)).await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let store = store.clone();
            writers.spawn(async move {
                for number in 1.. {
                    // Stale as soon as he is gone: whoever decides anew finds nobody.
                    if let Some((table, row)) = commit(&store, round * 10 + writer, number).await {
                        for _ in 0..writer {
                            store.writer.probe().await.unwrap(); // as long as a write takes
                        }
                        Archive::put(&*store, table, &bob(), vec![row]).await.unwrap();
                    } else if !store.view(&bob()).await.unwrap().exists {
                        return;
                    }
                }
            });
        }
        for _ in 0..round {
            store.writer.probe().await.unwrap();
        }
        assert!(store.remove(&bob()).await.unwrap());
        writers.join_all().await;
        assert_eq!(of_bob(&store), Vec::<String>::new(), "round {round}");
    }
}

/// Its slot may be loaded at that moment: what was read before the removal is not what stands after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_sees_an_account_after_its_removal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(&Config { sync: false, ..config(dir.path()) }).unwrap();
    // So long that its slot is not loaded in a moment.
    let items = (0..1000).map(|number| format!("m{number}@example.com").parse().unwrap()).collect();
    let list = BlockList { items };
    for round in 0..100 {
        let account = BareJid::new(&format!("bob{round}@example.org")).unwrap();
        store.create(&account, credentials(1), Timestamp(1)).await.unwrap();
        BlockLists::put(&*store, &account, list.clone()).await.unwrap();
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let (store, account) = (store.clone(), account.clone());
            readers.spawn(async move { store.view(&account).await.unwrap() });
        }
        for _ in 0..round * 20 {
            tokio::task::yield_now().await; // each time at another moment
        }
        assert!(store.remove(&account).await.unwrap());
        readers.join_all().await;
        assert!(!store.view(&account).await.unwrap().exists, "round {round}");
    }
}

#[tokio::test]
async fn what_ends_with_a_removed_account_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_bob(dir.path()).await;
    let late = async || {
        let last = LastActivity { at: Timestamp(9), status: Some("gone".into()) };
        LastActivities::put(&*store, &bob(), last).await.unwrap();
        Documents::put(&*store, &bob(), &Document::Vcard, "<vCard/>".into()).await.unwrap();
        BlockLists::put(&*store, &bob(), BlockList::default()).await.unwrap();
        Rosters::write(&*store, &bob(), 0, Vec::new()).await.unwrap();
        store.writer.probe().await.unwrap();
    };
    assert!(store.remove(&bob()).await.unwrap());
    late().await;
    assert_eq!(of_bob(&store), Vec::<String>::new());
    store.create(&bob(), credentials(2), Timestamp(2)).await.unwrap();
    late().await;
    assert_eq!(of_bob(&store).len(), 5, "an account made anew keeps what is its: {:?}", of_bob(&store));
}

fn holds(dir: &Path, needle: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, needle),
            false => String::from_utf8_lossy(&read(&path)).contains(needle),
        }
    })
}

/// As docs/how-to/backup.md says: a removed account is not read again, and its bytes are gone with the old files.
#[tokio::test]
async fn a_restored_backup_holds_no_byte_of_a_removed_account() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = with_bob(dir.path()).await;
    let kept = BareJid::new("carol@example.org").unwrap();
    for (owner, body) in [(bob(), "a word of bo"), (kept, "a word of carol")] {
        Archive::put(&*store, Table::Archive, &owner, vec![row(1, body)]).await.unwrap();
        Documents::put(&*store, &owner, &Document::Vcard, body.to_owned().into()).await.unwrap();
    }
    assert!(store.remove(&bob()).await.unwrap());
    let copy = other.path().join("copy");
    store.backup(&copy).unwrap();
    drop(store);
    assert!(holds(&dir.path().join("store"), "a word of bo"), "or this test proves nothing");
    crate::restore(&copy, other.path()).unwrap();
    for dir in [&copy, other.path()] {
        assert!(holds(dir, "a word of carol"));
        assert!(!holds(dir, "a word of bo") && !holds(dir, "bob@example.org"));
    }
}
