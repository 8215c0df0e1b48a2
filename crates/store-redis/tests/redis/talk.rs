//! What the tests of several routers say to them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_jid::BareJid;
use starling_ports::archive::{Archive, Direction, Query, Row, Table};
use starling_ports::delivery::Copy;
use starling_ports::ids::{ArchiveId, Epoch, Handled, NodeId, SessionId};
use starling_ports::sessions::{
    Availability, Bind, Bound, Change, CommitReply, Keep, Outcome, Planned, Role, SenderKey, Sessions, SmBase,
};
use starling_ports::suite::wire;
use starling_store_embedded::Store;

pub(crate) const NODE: NodeId = NodeId { name: 1, incarnation: 7 };

/// A session that is available and may be resumed.
pub(crate) async fn resumable(router: &dyn Sessions, account: &BareJid, resource: &str) -> Bound {
    let bound = online(router, account, resource).await;
    let change = Change::EnableSm { resume: Some(Duration::from_secs(300)), base: SmBase::default() };
    router.change(account, bound.id, bound.epoch, change).await.unwrap();
    bound
}

pub(crate) async fn online(router: &dyn Sessions, account: &BareJid, resource: &str) -> Bound {
    let jid = account.with_resource(resource).unwrap();
    let bound = router.bind(Bind { jid, node: NODE }).await.unwrap();
    let presence = Change::Presence(Some(Arc::new(Availability { priority: 0, presence: wire("") })));
    router.change(account, bound.id, bound.epoch, presence).await.unwrap();
    bound
}

pub(crate) fn message(sender: u128, number: u64, targets: &[SessionId]) -> Planned {
    let (session, handled) = (SessionId(sender), Handled(0));
    Planned {
        key: Some(SenderKey { session, epoch: Epoch(1), number, role: Role::Receive, handled }),
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
        targets: targets.iter().map(|id| (*id, Copy::Original)).collect(),
        urgent: true,
        coalesce: None,
    }
}

/// Decides as often as the view is stale.
pub(crate) async fn commit(
    router: &dyn Sessions,
    account: &BareJid,
    planned: Planned,
) -> starling_ports::Result<Outcome> {
    let mut version = router.view(account).await?.version;
    loop {
        match router.commit(account, version, vec![planned.clone()], None).await? {
            CommitReply::Done(outcomes) => return Ok(outcomes.into_iter().next().unwrap()),
            CommitReply::Stale(view) => version = view.version,
            CommitReply::Wait | CommitReply::Away(_) => tokio::task::yield_now().await,
        }
    }
}

/// Commits and stores, again and again until both are done: what a router does for a stanza.
pub(crate) async fn deliver(
    router: &dyn Sessions,
    store: &Store,
    account: &BareJid,
    planned: Planned,
) -> ArchiveId {
    loop {
        let Ok(outcome) = commit(router, account, planned.clone()).await else { continue };
        let (Outcome::Done { id, row, .. } | Outcome::Seen { id, row, .. }) = outcome else {
            panic!("{outcome:?}")
        };
        let id = id.unwrap();
        if let Some((table, row)) = row {
            store.put(table, account, vec![row]).await.unwrap();
        }
        if router.settle(account, &[id], None).await.is_ok() {
            return id;
        }
    }
}

pub(crate) async fn archived(router: &dyn Sessions, store: &Store, account: &BareJid) -> Vec<Row> {
    let upto = Some(router.stored_up_to(account).await.unwrap());
    let query = Query { upto, ..Query::default() };
    store.page(Table::Archive, account, &query, 10_000).await.unwrap().rows
}

/// Waits until `reached`, which must not take long.
pub(crate) async fn soon(what: &str, reached: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !reached().await {
        assert!(begun.elapsed() < Duration::from_secs(120), "it did not come about: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
