//! Sessions across a stop, and accounts across a kill.

use std::time::Duration;

use starling_ports::archive::{Direction, Table};
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
        key: Some(SenderKey { session: SessionId(1), epoch: Epoch(1), number, role: Role::Receive }),
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
    let reply = store.commit(&bob(), version, vec![planned]).await.unwrap();
    let CommitReply::Done(outcomes) = reply else { panic!("{reply:?}") };
    store.store_owed(&bob()).await.unwrap();
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
