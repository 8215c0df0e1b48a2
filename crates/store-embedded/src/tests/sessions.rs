//! Sessions across a stop, and accounts across a kill.

use std::time::Duration;

use starling_ports::archive::{Archive, Direction, Query, Row, Table};
use starling_ports::delivery::Copy;
use starling_ports::ids::{Epoch, Handled, LogNumber, SessionId};
use starling_ports::sessions::{
    Availability, Bind, Bound, Change, Claim, Claimed, CommitReply, Detach, Keep, Origin, Outcome, Planned,
    Role, SenderKey, Sessions, SmBase,
};
use starling_ports::suite::wire;

use super::*;

async fn resumable(store: &Store) -> Bound {
    let jid = bob().with_resource("phone").unwrap();
    let bound = store.bind(Bind { jid, node: NodeId::default() }).await.unwrap();
    let enable = Change::EnableSm { resume: Some(Duration::from_secs(300)), base: SmBase::default() };
    store.change(&bob(), bound.id, bound.epoch, enable).await.unwrap();
    let available = Availability { priority: 3, presence: wire("here") };
    store.change(&bob(), bound.id, bound.epoch, Change::Presence(Some(Arc::new(available)))).await.unwrap();
    bound
}

fn message(number: u64, targets: &[SessionId]) -> Planned {
    Planned {
        key: Some(SenderKey {
            session: SessionId(1),
            epoch: Epoch(1),
            number,
            role: Role::Receive,
            handled: Handled(0),
        }),
        hash: number,
        origin: Some(Origin { digest: u128::from(number) }),
        wire: wire(&number.to_string()),
        keep: Some(Keep {
            with: BareJid::new("alice@example.org").unwrap(),
            direction: Direction::Received,
            resource: Some("phone".into()),
            deliverable: true,
            copied: true,
            table: Table::Archive,
            only_if_nobody: false,
        }),
        targets: targets.iter().map(|id| (*id, Copy::Original)).collect(),
        urgent: true,
        coalesce: None,
    }
}

async fn deliver(store: &Store, planned: Planned) -> Outcome {
    let version = store.view(&bob()).await.unwrap().version;
    let reply = store.commit(&bob(), version, vec![planned], None).await.unwrap();
    let CommitReply::Done(outcomes) = reply else { panic!("{reply:?}") };
    store.store_owed_now(&bob()).await.unwrap();
    outcomes.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_session_outlives_a_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let phone = resumable(&store).await;
    for number in 1..=3 {
        deliver(&store, message(number, &[phone.id])).await;
    }
    let note = Planned { keep: None, origin: None, ..message(4, &[phone.id]) };
    deliver(&store, note).await;
    store.settle(&bob(), &[], Some((phone.id, phone.epoch, Handled(17)))).await.unwrap();
    store.detach(&bob(), phone.id, phone.epoch, Detach::Lost).await.unwrap();
    store.save().await.unwrap();
    drop(store);

    let store = open(dir.path());
    let view = store.view(&bob()).await.unwrap();
    let session = view.session("phone").unwrap();
    assert_eq!((session.id, session.attached, session.flags.sm), (phone.id, false, true));
    assert_eq!(session.available.as_ref().map(|available| available.priority), Some(3));
    let claim = Claim { account: bob(), session: phone.id, node: NodeId::default(), h: 1, token: 9 };
    let Claimed::Resumed { epoch, handled, acknowledged, .. } = store.claim(claim).await.unwrap() else {
        panic!()
    };
    assert_eq!((handled, acknowledged), (Handled(17), LogNumber(1)));
    let pulled = store.pull(&bob(), phone.id, epoch, acknowledged, 10).await.unwrap();
    let numbers: Vec<_> = pulled.entries.iter().map(|entry| entry.number.0).collect();
    assert_eq!((numbers, pulled.more), (vec![2, 3, 4], false));
    assert!(pulled.entries.iter().all(|entry| !entry.late));
    drop(store);

    let store = open(dir.path());
    assert!(store.view(&bob()).await.unwrap().sessions.is_empty(), "a saved session comes back once");
}

#[tokio::test]
async fn a_retry_after_a_restart_lands_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let Outcome::Done { id, .. } = deliver(&store, message(1, &[])).await else { panic!() };
    drop(store);
    let store = open(dir.path());
    let again = Planned { key: None, ..message(1, &[]) };
    let outcome = deliver(&store, again).await;
    let Outcome::Seen { id: known, row: None, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(known, id);
    assert_eq!(store.view(&bob()).await.unwrap().waiting, 1);
}

#[tokio::test]
async fn a_retry_after_a_restart_is_known_though_much_came_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let Outcome::Done { id, .. } = deliver(&store, message(1, &[])).await else { panic!() };
    for number in 2..=400 {
        let version = store.view(&bob()).await.unwrap().version;
        store.commit(&bob(), version, vec![message(number, &[])], None).await.unwrap();
    }
    store.store_owed_now(&bob()).await.unwrap();
    drop(store);
    let store = open(dir.path());
    let outcome = deliver(&store, Planned { key: None, ..message(1, &[]) }).await;
    let Outcome::Seen { id: known, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(known, id);
}

#[tokio::test]
async fn rule_12_a_reader_does_not_pass_a_row_that_is_not_stored_yet() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 1..=3 {
        deliver(&store, message(number, &[])).await;
    }
    let rows = store.page_now(Table::Archive, &bob(), &Default::default(), 10).unwrap().rows;
    let second = rows[1].id.number;
    let scan = store.scan(&bob(), 0, second).unwrap();
    assert_eq!(scan.rows.len(), 2, "the third was committed after the reader had looked");
    assert!(scan.complete);
}

/// Commits without storing: what a writer does that is slow, or dies.
async fn commit(store: &Store, number: u64) -> Row {
    let version = store.view(&bob()).await.unwrap().version;
    let planned = Planned { key: None, origin: None, ..message(number, &[]) };
    let reply = store.commit(&bob(), version, vec![planned], None).await.unwrap();
    let CommitReply::Done(outcomes) = reply else { panic!("{reply:?}") };
    let Some(Outcome::Done { row: Some((_, row)), .. }) = outcomes.into_iter().next() else { panic!() };
    row
}

#[tokio::test]
async fn rule_12_a_reader_stores_what_is_committed_before_it_passes_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let slow = commit(&store, 1).await;
    let fast = commit(&store, 2).await;
    store.put(Table::Archive, &bob(), vec![fast.clone()]).await.unwrap();
    let page = store.page(Table::Archive, &bob(), &Query::default(), 10).await.unwrap();
    assert_eq!(
        page.rows,
        [slow.clone(), fast.clone()],
        "or whoever goes on behind the second misses the first"
    );

    // A reader that asks how far it may go, and reads while others commit.
    let upto = store.stored_up_to(&bob()).await.unwrap();
    let (unstored, newest) = (commit(&store, 3).await, commit(&store, 4).await);
    store.put(Table::Archive, &bob(), vec![newest.clone()]).await.unwrap();
    let query = Query { after: Some(fast.id), upto: Some(upto), ..Query::default() };
    assert!(store.page(Table::Archive, &bob(), &query, 10).await.unwrap().rows.is_empty());
    let query = Query { after: Some(fast.id), ..Query::default() };
    assert_eq!(store.page(Table::Archive, &bob(), &query, 10).await.unwrap().rows, [unstored, newest]);
}

/// Rule 12, P4: paging `after=` the last id seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_that_pages_while_others_write_misses_none() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 100;
    let dir = tempfile::tempdir().unwrap();
    let config = Config { sync: false, ..config(dir.path()) };
    let store = open_with(&config).unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for number in 1..=EACH {
                let key = SenderKey {
                    session: SessionId(u128::from(writer)),
                    epoch: Epoch(1),
                    number,
                    role: Role::Receive,
                    handled: Handled(0),
                };
                let planned = Planned { key: Some(key), origin: None, ..message(number, &[]) };
                let version = store.view(&bob()).await.unwrap().version;
                let reply = store.commit(&bob(), version, vec![planned], None).await.unwrap();
                let CommitReply::Done(outcomes) = reply else { panic!("{reply:?}") };
                let Some(Outcome::Done { row: Some((table, row)), .. }) = outcomes.into_iter().next() else {
                    panic!()
                };
                let id = row.id;
                tokio::task::yield_now().await; // another one may be stored before this one
                store.put(table, &bob(), vec![row]).await.unwrap();
                store.settle(&bob(), &[id], None).await.unwrap();
            }
        });
    }
    let (mut seen, mut query) = (0, Query::default());
    loop {
        let is_last = writers.is_empty();
        let page = store.page(Table::Archive, &bob(), &query, 50).await.unwrap();
        seen += page.rows.len() as u64;
        query.after = page.rows.last().map(|row| row.id).or(query.after);
        if is_last && page.rows.is_empty() {
            break;
        }
        while let Some(done) = writers.try_join_next() {
            done.unwrap();
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, WRITERS * EACH);
}

/// Rule 11: the time without a server does not count.
#[tokio::test]
async fn a_saved_session_waits_as_long_as_it_still_could() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands(AtomicU64::new(1_000_000)));
    let open = || Store::open(&config(dir.path()), clock.clone(), NodeId::default()).unwrap();
    let store = open();
    let phone = resumable(&store).await;
    store.detach(&bob(), phone.id, phone.epoch, Detach::Lost).await.unwrap();
    clock.turn(Duration::from_secs(100));
    store.save().await.unwrap();
    drop(store);
    clock.turn(Duration::from_secs(3600));
    let store = open();
    assert!(store.expire(clock.now(), 10).await.unwrap().is_empty(), "its client had no chance yet");
    clock.turn(Duration::from_secs(199));
    assert!(store.expire(clock.now(), 10).await.unwrap().is_empty());
    clock.turn(Duration::from_secs(2));
    let ended = store.expire(clock.now(), 10).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert!(ended.ended[0].farewell.as_ref().unwrap().to_all, "its contacts are to hear of it");
    assert!(store.expire(clock.now(), 10).await.unwrap().is_empty(), "once");
}

/// Rule 13: a row whose writer is gone is stored by whoever looks after such rows, and pushed then.
#[tokio::test]
async fn rule_13_what_nobody_stored_is_stored_and_handed_out_later() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands(AtomicU64::new(1_000_000)));
    let store = Store::open(&config(dir.path()), clock.clone(), NodeId::default()).unwrap();
    let phone = resumable(&store).await;
    let version = store.view(&bob()).await.unwrap().version;
    store.commit(&bob(), version, vec![message(1, &[phone.id])], None).await.unwrap();
    assert!(store.overdue(clock.now(), 10).await.unwrap().is_empty(), "its writer may still be at it");
    clock.turn(Duration::from_secs(3));
    let stored = store.overdue(clock.now(), 10).await.unwrap();
    let numbers: Vec<_> = stored.iter().flat_map(|(_, handed)| handed).map(|one| one.entry.number).collect();
    assert_eq!((stored[0].0.clone(), numbers), (bob(), vec![LogNumber(1)]));
    assert_eq!(store.page_now(Table::Archive, &bob(), &Default::default(), 10).unwrap().rows.len(), 1);
    assert!(store.overdue(clock.now(), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_acknowledged_does_not_wait_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let phone = resumable(&store).await;
    for number in 1..=4 {
        deliver(&store, message(number, &[phone.id])).await;
    }
    store.acknowledge(&bob(), phone.id, phone.epoch, LogNumber(3)).await.unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.view(&bob()).await.unwrap().waiting, 1);
    let next = deliver(&store, message(5, &[])).await;
    let Outcome::Done { id: Some(id), .. } = next else { panic!("{next:?}") };
    let first = store.page_now(Table::Archive, &bob(), &Default::default(), 10).unwrap().rows;
    assert!(first.iter().all(|row| row.id <= id), "ids go on above those of the store");
}

#[tokio::test]
async fn an_acknowledged_row_of_the_spool_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut planned = message(1, &[]);
    planned.keep.as_mut().unwrap().table = Table::Spool;
    deliver(&store, planned).await;
    let count = || store.page_now(Table::Spool, &bob(), &Default::default(), 10).unwrap().rows.len();
    assert_eq!(count(), 1);
    let phone = resumable(&store).await;
    let pulled = store.pull(&bob(), phone.id, phone.epoch, LogNumber(0), 10).await.unwrap();
    assert_eq!(pulled.entries.len(), 1);
    assert_eq!(count(), 1, "reading deletes nothing");
    store.acknowledge(&bob(), phone.id, phone.epoch, LogNumber(1)).await.unwrap();
    store.pull(&bob(), phone.id, phone.epoch, LogNumber(1), 10).await.unwrap();
    let begin = std::time::Instant::now();
    while count() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
}
