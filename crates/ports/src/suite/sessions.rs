//! For `Sessions`, with the `Archive` in which its rows are kept.

mod done;
mod farewell;
mod owed;
mod renewal;

use std::sync::Arc;
use std::time::Duration;

use starling_jid::BareJid;

use super::{fresh_user, wire};
use crate::archive::{Archive, Direction, Query, Table};
use crate::delivery::{Copy, Outgoing};
use crate::ids::{Epoch, Handled, Life, LogNumber, NodeId, SessionId, Timestamp};
use crate::nodes::{NodeReport, Nodes};
use crate::position::Position;
use crate::sessions::{
    Availability, Bind, Bound, Change, Changed, Claim, Claimed, CommitReply, Detach, Detached, Flags, Keep,
    Outcome, Planned, Portrait, Registered, Registration, Renewal, Role, SenderKey, Sessions, SmBase,
    Standing,
};

pub use self::done::what_a_node_knows_to_be_done_waits_no_more;
pub use self::farewell::*;
pub use self::owed::what_others_owe_refuses_nobody;
pub use self::renewal::{a_renewal_repeats_acknowledgements, a_renewal_tells_who_is_behind, renewal_of};

async fn bind(sessions: &dyn Sessions, account: &BareJid, resource: &str) -> Bound {
    let jid = account.with_resource(resource).unwrap();
    sessions.bind(Bind { jid, node: NodeId::default() }).await.unwrap()
}

async fn online(sessions: &dyn Sessions, account: &BareJid, resource: &str) -> Bound {
    let bound = bind(sessions, account, resource).await;
    available(sessions, account, &bound).await;
    bound
}

async fn available(sessions: &dyn Sessions, account: &BareJid, bound: &Bound) {
    let presence = Change::Presence(Some(Arc::new(Availability { priority: 0, presence: wire("") })));
    sessions.change(account, bound.id, bound.epoch, presence).await.unwrap();
}

async fn enable(sessions: &dyn Sessions, account: &BareJid, bound: &Bound) {
    let change = Change::EnableSm { resume: Some(Duration::from_secs(60)), base: SmBase::default() };
    sessions.change(account, bound.id, bound.epoch, change).await.unwrap();
}

fn message(sender: SessionId, number: u64, targets: &[SessionId]) -> Planned {
    Planned {
        key: Some(SenderKey {
            session: sender,
            epoch: Epoch(1),
            number,
            role: Role::Receive,
            handled: Handled(0),
        }),
        hash: number,
        origin: None,
        wire: wire(&number.to_string()),
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

/// Commits and stores one stanza.
async fn deliver(
    sessions: &dyn Sessions,
    archive: &dyn Archive,
    account: &BareJid,
    planned: Planned,
) -> Outcome {
    let version = sessions.view(account).await.unwrap().version;
    let reply = sessions.commit(account, version, vec![planned], None).await.unwrap();
    let CommitReply::Done(outcomes) = reply else { panic!("{reply:?}") };
    let outcome = outcomes.into_iter().next().unwrap();
    if let Outcome::Done { id: Some(id), row: Some((table, row)), .. } = &outcome {
        archive.put(*table, account, vec![row.clone()]).await.unwrap();
        sessions.settle(account, &[*id], None).await.unwrap();
    }
    outcome
}

fn sender() -> SessionId {
    SessionId(u128::from(fresh_user().as_str().len() as u64) << 64 | u128::from(std::process::id()))
}

/// The view names the sessions; a stale one commits nothing.
pub async fn a_stale_view_commits_nothing(sessions: &dyn Sessions, archive: &dyn Archive) {
    let account = fresh_user();
    let old = sessions.view(&account).await.unwrap();
    assert!(old.sessions.is_empty());
    let desk = online(sessions, &account, "desk").await;
    let reply =
        sessions.commit(&account, old.version, vec![message(sender(), 1, &[desk.id])], None).await.unwrap();
    let CommitReply::Stale(view) = reply else { panic!("{reply:?}") };
    assert!(view.version > old.version);
    assert!(view.session("desk").is_some_and(|session| session.available.is_some() && session.attached));
    let page = archive.page(Table::Archive, &account, &Query::default(), 10).await.unwrap();
    assert!(page.rows.is_empty());
}

/// A view from memory may be an old one: the commit finds out, at whichever router.
pub async fn a_view_from_memory_is_checked(one: &dyn Sessions, other: &dyn Sessions) {
    let account = fresh_user();
    let old = other.view(&account).await.unwrap();
    let desk = online(one, &account, "desk").await;
    let known = other.known_view(&account, Duration::MAX).await.unwrap();
    assert!(known.version >= old.version);
    for planned in [vec![message(sender(), 1, &[])], Vec::new()] {
        let reply = other.commit(&account, old.version, planned, None).await.unwrap();
        let CommitReply::Stale(view) = reply else { panic!("{reply:?}") };
        assert_eq!(view.session("desk").map(|session| session.id), Some(desk.id));
    }
    online(one, &account, "phone").await;
    let present = other.known_view(&account, Duration::ZERO).await.unwrap();
    assert!(present.session("phone").is_some(), "it is not older than was asked for");
}

/// Rule 6: `h` is saved by the commit that comes last, with all of it, or not at all.
pub async fn a_commit_carries_what_is_handled(one: &dyn Sessions, other: &dyn Sessions) {
    let account = fresh_user();
    let desk = online(one, &account, "desk").await;
    enable(one, &account, &desk).await;
    let old = one.view(&account).await.unwrap().version;
    online(other, &account, "phone").await;
    let told = async || {
        let account = account.clone();
        let claim = Claim { account, session: desk.id, node: NodeId::default(), h: 0, token: 1 };
        match other.claim(claim).await.unwrap() {
            Claimed::Resumed { epoch, handled, .. } => (epoch, handled),
            other => panic!("{other:?}"),
        }
    };
    let saved = |epoch, handled| Some((desk.id, epoch, Handled(handled)));
    let stale = one.commit(&account, old, Vec::new(), saved(desk.epoch, 5)).await.unwrap();
    assert!(matches!(stale, CommitReply::Stale(_)), "{stale:?}");
    let (epoch, handled) = told().await;
    assert_eq!(handled, Handled(0), "nothing was written");
    for (handled, planned, told_then) in
        [(5, vec![], 5), (7, vec![message(sender(), 1, &[])], 7), (6, vec![], 7)]
    {
        let version = one.view(&account).await.unwrap().version;
        let reply = one.commit(&account, version, planned, saved(epoch, handled)).await.unwrap();
        assert!(matches!(reply, CommitReply::Done(_)), "{reply:?}");
        assert!(one.settle(&account, &[], saved(epoch, handled)).await.unwrap());
        assert_eq!(told().await, (epoch, Handled(told_then)));
    }
    assert!(!one.settle(&account, &[], saved(desk.epoch, 9)).await.unwrap(), "the session has another owner");
    assert_eq!(told().await, (epoch, Handled(7)));
}

/// Committed, numbered, stored, pulled, acknowledged.
pub async fn a_message_goes_its_way(sessions: &dyn Sessions, archive: &dyn Archive) {
    let account = fresh_user();
    let desk = online(sessions, &account, "desk").await;
    let Outcome::Done { id, handed, .. } =
        deliver(sessions, archive, &account, message(sender(), 1, &[desk.id])).await
    else {
        panic!("it was never sent before")
    };
    assert_eq!((handed.len(), handed[0].session, handed[0].entry.number), (1, desk.id, LogNumber(1)));
    let pulled = sessions.pull(&account, desk.id, desk.epoch, LogNumber(0), 10).await.unwrap();
    assert_eq!(pulled.entries.iter().map(|entry| entry.committed.id).collect::<Vec<_>>(), [id]);
    // More than was handed out has no effect (rule 6).
    let _ = sessions.acknowledge(&account, desk.id, desk.epoch, LogNumber(2)).await.unwrap();
    let pulled = sessions.pull(&account, desk.id, desk.epoch, LogNumber(0), 10).await.unwrap();
    assert_eq!(pulled.entries.iter().map(|entry| entry.committed.id).collect::<Vec<_>>(), [id]);
    assert!(sessions.acknowledge(&account, desk.id, desk.epoch, LogNumber(1)).await.unwrap());
    let pulled = sessions.pull(&account, desk.id, desk.epoch, LogNumber(0), 10).await.unwrap();
    assert!(pulled.entries.is_empty() && !pulled.more);
}

/// Rule 3, and the row once.
pub async fn a_retry_is_answered(sessions: &dyn Sessions, archive: &dyn Archive) {
    let (account, sender) = (fresh_user(), sender());
    let desk = online(sessions, &account, "desk").await;
    let Outcome::Done { id, .. } = deliver(sessions, archive, &account, message(sender, 1, &[desk.id])).await
    else {
        panic!()
    };
    let again = deliver(sessions, archive, &account, message(sender, 1, &[desk.id])).await;
    let Outcome::Seen { id: known, row: None, handed } = again else { panic!("{again:?}") };
    assert_eq!((known, handed.len()), (id, 1));
    assert_eq!(archive.page(Table::Archive, &account, &Query::default(), 10).await.unwrap().rows.len(), 1);
}

/// Rule 12: a reader finds what is committed, though its committer has not stored it yet.
pub async fn a_reader_stores_what_is_committed(sessions: &dyn Sessions, archive: &dyn Archive) {
    let account = fresh_user();
    let version = sessions.view(&account).await.unwrap().version;
    let planned = (1..=3).map(|number| message(sender(), number, &[])).collect();
    let CommitReply::Done(outcomes) = sessions.commit(&account, version, planned, None).await.unwrap() else {
        panic!()
    };
    let rows: Vec<_> = outcomes
        .into_iter()
        .filter_map(|outcome| match outcome {
            Outcome::Done { row, .. } | Outcome::Seen { row, .. } => row.map(|(_, row)| row),
            Outcome::Fenced => None,
        })
        .collect();
    let upto = Some(sessions.stored_up_to(&account).await.unwrap());
    let query = Query { upto, ..Query::default() };
    assert_eq!(archive.page(Table::Archive, &account, &query, 10).await.unwrap().rows, rows);
}

/// What came while nobody was there comes late, and until it is acknowledged again and again.
pub async fn offline_messages_wait_for_an_acknowledgement(sessions: &dyn Sessions, archive: &dyn Archive) {
    let account = fresh_user();
    for number in 1..=5 {
        deliver(sessions, archive, &account, message(sender(), number, &[])).await;
    }
    assert_eq!(sessions.view(&account).await.unwrap().waiting, 5);
    for expected in [5, 5, 0] {
        let desk = online(sessions, &account, "desk").await;
        let pulled = sessions.pull(&account, desk.id, desk.epoch, LogNumber(0), 100).await.unwrap();
        assert_eq!(pulled.entries.len(), expected);
        assert!(pulled.entries.iter().all(|entry| entry.late));
        let again = online(sessions, &account, "desk").await;
        assert!(again.replaced.is_some());
        let pulled = sessions.pull(&account, again.id, again.epoch, LogNumber(0), 100).await.unwrap();
        assert_eq!(pulled.entries.len(), expected, "nothing is deleted on being read");
        if expected == 5 && sessions.view(&account).await.unwrap().waiting == 5 {
            sessions.acknowledge(&account, again.id, again.epoch, LogNumber(5)).await.unwrap();
            sessions.detach(&account, again.id, again.epoch, Detach::Closed).await.unwrap();
            assert_eq!(sessions.view(&account).await.unwrap().waiting, 0);
            let after = online(sessions, &account, "desk").await;
            assert!(
                sessions
                    .pull(&account, after.id, after.epoch, LogNumber(0), 100)
                    .await
                    .unwrap()
                    .entries
                    .is_empty()
            );
            return;
        }
    }
}

/// XEP-0198 §5: what the client has not got comes again under its numbers; the former owner is fenced.
pub async fn a_session_is_resumed(sessions: &dyn Sessions, archive: &dyn Archive) {
    let account = fresh_user();
    let desk = online(sessions, &account, "desk").await;
    enable(sessions, &account, &desk).await;
    for number in 1..=3 {
        deliver(sessions, archive, &account, message(sender(), number, &[desk.id])).await;
    }
    sessions.settle(&account, &[], Some((desk.id, desk.epoch, Handled(4)))).await.unwrap();
    let lost = sessions.detach(&account, desk.id, desk.epoch, Detach::Lost).await.unwrap();
    assert!(matches!(lost, Detached::Waits), "{lost:?}");
    deliver(sessions, archive, &account, message(sender(), 4, &[desk.id])).await;
    let claim = |account: &BareJid, h, token| Claim {
        account: account.clone(),
        session: desk.id,
        node: NodeId::default(),
        h,
        token,
    };

    let foreign = sessions.claim(claim(&fresh_user(), 0, 1)).await.unwrap();
    assert!(matches!(foreign, Claimed::Failed { handled: None }), "by its own account only: {foreign:?}");
    let high = sessions.claim(claim(&account, 4, 1)).await.unwrap();
    assert!(matches!(high, Claimed::TooHigh { sent: LogNumber(3) }), "{high:?}");
    let Claimed::Resumed { epoch, handled, acknowledged, .. } =
        sessions.claim(claim(&account, 2, 1)).await.unwrap()
    else {
        panic!()
    };
    assert!(epoch > desk.epoch);
    assert_eq!((handled, acknowledged), (Handled(4), LogNumber(2)));
    let pulled = sessions.pull(&account, desk.id, epoch, acknowledged, 10).await.unwrap();
    assert_eq!(
        pulled.entries.iter().map(|entry| entry.number).collect::<Vec<_>>(),
        [LogNumber(3), LogNumber(4)]
    );
    let fenced = sessions.change(&account, desk.id, desk.epoch, Change::Presence(None)).await.unwrap();
    assert!(matches!(fenced, Changed::Fenced));
}

/// Rule 4: the last `h` of a session that is over is known.
pub async fn an_ended_session_leaves_its_h(sessions: &dyn Sessions) {
    let account = fresh_user();
    let desk = online(sessions, &account, "desk").await;
    enable(sessions, &account, &desk).await;
    sessions.settle(&account, &[], Some((desk.id, desk.epoch, Handled(9)))).await.unwrap();
    let ended =
        sessions.detach(&account, desk.id, desk.epoch, Detach::Closed).await.unwrap().ended().unwrap();
    let again = sessions.detach(&account, desk.id, desk.epoch, Detach::Lost).await.unwrap();
    assert!(matches!(again, Detached::Nobody), "{again:?}");
    assert!(ended.id == desk.id && ended.farewell.is_some_and(|farewell| farewell.to_all));
    let told = async || {
        let account = account.clone();
        let claim = Claim { account, session: desk.id, node: NodeId::default(), h: 0, token: 1 };
        match sessions.claim(claim).await.unwrap() {
            Claimed::Failed { handled } => handled,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told().await, Some(Handled(9)));
    // What was under way when it ended.
    for (epoch, handled) in [(desk.epoch, 12), (desk.epoch, 10), (Epoch(0), 99)] {
        sessions.settle(&account, &[], Some((desk.id, epoch, Handled(handled)))).await.unwrap();
        assert_eq!(told().await, Some(Handled(12)));
    }
}

/// Rule 9: one that is unknown in another life of the store goes on with all that its node keeps; in the life in which it was
/// renewed last it has ended.
pub async fn a_forgotten_session_is_registered_again(sessions: &dyn Sessions, archive: &dyn Archive) {
    let (account, sender) = (fresh_user(), sender());
    let (mut ids, mut wires) = (Vec::new(), Vec::new());
    for number in 1..=3 {
        let planned = message(sender, number, &[]);
        wires.push(planned.wire.clone());
        let Outcome::Done { id: Some(id), .. } = deliver(sessions, archive, &account, planned).await else {
            panic!()
        };
        ids.push(id);
    }
    let session = SessionId(u128::from(ids[0].random) << 64 | u128::from(ids[0].number));
    let renew = async |epoch, last, life| {
        let renewal = Renewal { epoch, last: LogNumber(last), life, ..renewal_of(&account, session) };
        sessions.renew(NodeId::default(), vec![renewal]).await.unwrap()[0]
    };
    let unknown = renew(Epoch(3), 5, Some(Life::UNKNOWN)).await;
    assert_eq!(unknown.standing, Standing::Unknown);
    assert_eq!(renew(Epoch(3), 5, Some(unknown.life)).await.standing, Standing::Over);
    assert_eq!(renew(Epoch(3), 5, None).await.standing, Standing::Over, "it keeps nothing");

    // The first is acknowledged, the second was sent to the client, the third never came to the node.
    let second = Outgoing {
        number: LogNumber(5),
        wire: wires[1].clone(),
        more: bytes::Bytes::new(),
        address: true,
        late: false,
        id: Some(ids[1]),
        trace: None,
    };
    let said = Registration {
        session,
        jid: account.with_resource("desk").unwrap(),
        node: NodeId::default(),
        epoch: Epoch(3),
        life: Life::UNKNOWN,
        token: 7,
        portrait: Portrait {
            flags: Flags { carbons: true, sm: true, ..Flags::default() },
            available: Some(Arc::new(Availability { priority: 0, presence: wire("") })),
            ..Portrait::default()
        },
        resume: Some(Duration::from_secs(60)),
        base: SmBase::default(),
        handled: Handled(9),
        acknowledged: LogNumber(4),
        entries: vec![second],
        done: Position { low: None, acknowledged: vec![ids[0]] },
    };
    let Registered::Again { epoch } = sessions.register(said.clone()).await.unwrap() else { panic!() };
    assert!(epoch > said.epoch, "it is a claim");
    let again = sessions.register(said.clone()).await.unwrap();
    assert_eq!(again, Registered::Again { epoch }, "the same token gets the same epoch");
    let other = Registration { token: 8, epoch: Epoch(2), ..said.clone() };
    assert_eq!(sessions.register(other).await.unwrap(), Registered::Over, "a former owner");
    let fenced = sessions.change(&account, session, said.epoch, Change::Presence(None)).await.unwrap();
    assert!(matches!(fenced, Changed::Fenced));

    let view = sessions.view(&account).await.unwrap();
    let known = view.session("desk").unwrap();
    assert!(known.flags.carbons && known.flags.resumable && known.available.is_some() && known.attached);
    let pulled = sessions.pull(&account, session, epoch, LogNumber(5), 10).await.unwrap();
    let came = |pulled: &crate::sessions::Pulled| -> Vec<_> {
        pulled.entries.iter().map(|entry| (entry.number.0, entry.committed.id, entry.late)).collect()
    };
    assert_eq!(came(&pulled), [(6, Some(ids[2]), true)]);
    let Outcome::Done { handed, .. } =
        deliver(sessions, archive, &account, message(sender, 4, &[session])).await
    else {
        panic!()
    };
    assert_eq!((handed.len(), handed[0].entry.number, handed[0].epoch), (1, LogNumber(7), epoch));
    assert!(sessions.acknowledge(&account, session, epoch, LogNumber(6)).await.unwrap());
    sessions.detach(&account, session, epoch, Detach::Lost).await.unwrap();
    let claim = Claim { account: account.clone(), session, node: NodeId::default(), h: 6, token: 1 };
    let claimed = sessions.claim(claim).await.unwrap();
    let Claimed::Resumed { handled, acknowledged, done, portrait, .. } = claimed else {
        panic!("{claimed:?}")
    };
    assert!(portrait.available.is_some() && portrait.flags.resumable, "{portrait:?}");
    assert_eq!((handled, acknowledged), (Handled(9), LogNumber(6)));
    assert!(done.low >= Some(ids[2]), "what its node acknowledged for it goes with it: {done:?} of {ids:?}");
}

/// Rule 9: what has ended is not registered again, whatever its node says.
pub async fn an_ended_session_is_not_registered_again(sessions: &dyn Sessions) {
    let account = fresh_user();
    let desk = online(sessions, &account, "desk").await;
    sessions.detach(&account, desk.id, desk.epoch, Detach::Closed).await.unwrap();
    let life = Some(Life::UNKNOWN);
    let (session, epoch) = (desk.id, desk.epoch);
    let renewal = Renewal { epoch, life, ..renewal_of(&account, session) };
    let renewed = sessions.renew(NodeId::default(), vec![renewal]).await.unwrap();
    assert_eq!(renewed[0].standing, Standing::Over);
    let said = Registration {
        session,
        jid: account.with_resource("desk").unwrap(),
        node: NodeId::default(),
        epoch,
        life: Life::UNKNOWN,
        token: 1,
        portrait: Portrait::default(),
        resume: None,
        base: SmBase::default(),
        handled: Handled(0),
        acknowledged: LogNumber(0),
        entries: Vec::new(),
        done: Position::default(),
    };
    assert_eq!(sessions.register(said).await.unwrap(), Registered::Over);
    assert!(sessions.view(&account).await.unwrap().sessions.is_empty());
}

/// Rule 18: when its time is over, and not before.
pub async fn a_waiting_session_expires(sessions: &dyn Sessions, now: Timestamp) {
    let account = fresh_user();
    let desk = online(sessions, &account, "desk").await;
    enable(sessions, &account, &desk).await;
    sessions.detach(&account, desk.id, desk.epoch, Detach::Lost).await.unwrap();
    let ids = async |at: Timestamp| -> Vec<SessionId> {
        sessions.expire(at, 1000).await.unwrap().ended.into_iter().map(|ended| ended.id).collect()
    };
    assert!(!ids(now.after(Duration::from_secs(30))).await.contains(&desk.id));
    assert!(sessions.view(&account).await.unwrap().sessions.len() == 1);
    assert!(ids(now.after(Duration::from_secs(90))).await.contains(&desk.id));
    assert!(sessions.view(&account).await.unwrap().sessions.is_empty());
}

/// A count names what the node said last, of however many sessions, and what waits.
pub async fn sessions_are_counted(sessions: &dyn Sessions, nodes: &dyn Nodes) {
    let account = fresh_user();
    let (desk, phone) = (online(sessions, &account, "desk").await, online(sessions, &account, "phone").await);
    enable(sessions, &account, &phone).await;
    sessions.detach(&account, phone.id, phone.epoch, Detach::Lost).await.unwrap();
    sessions.renew(NodeId::default(), vec![renewal_of(&account, desk.id)]).await.unwrap();
    nodes.report(NodeReport { sessions: 1, ..NodeReport::default() }).await.unwrap();
    let counted = sessions.count().await.unwrap();
    assert_eq!((counted.attached, counted.waiting), (1, 1));
}

/// Whoever got it and has not acknowledged it, wherever; nobody else, and nobody any more afterwards.
pub async fn who_holds_a_message_is_known(sessions: &dyn Sessions, archive: &dyn Archive) {
    let account = fresh_user();
    let (desk, phone) = (online(sessions, &account, "desk").await, online(sessions, &account, "phone").await);
    let both = message(sender(), 1, &[desk.id, phone.id]);
    let Outcome::Done { id: Some(id), .. } = deliver(sessions, archive, &account, both).await else {
        panic!()
    };
    let held = async || {
        let mut held = sessions.holders(&account, id).await.unwrap();
        held.sort_by_key(|one| one.jid.resource().to_owned());
        held
    };
    let both = held().await;
    let resources: Vec<_> = both.iter().map(|one| one.jid.resource()).collect();
    assert_eq!(resources, ["desk", "phone"]);
    assert!(both.iter().all(|one| one.attached && one.number == Some(LogNumber(1))), "{both:?}");
    assert!(sessions.acknowledge(&account, phone.id, phone.epoch, LogNumber(1)).await.unwrap());
    assert_eq!(held().await, both[..1]);
    assert!(sessions.holders(&fresh_user(), id).await.unwrap().is_empty());
}

/// All, or all but one.
pub async fn all_sessions_of_an_account_end(sessions: &dyn Sessions) {
    let account = fresh_user();
    let (desk, phone) = (online(sessions, &account, "desk").await, online(sessions, &account, "phone").await);
    assert_eq!(sessions.list(Some(&account), 10).await.unwrap().len(), 2);
    assert_eq!(sessions.list(Some(&account), 1).await.unwrap().len(), 1);
    assert!(sessions.list(None, 100_000).await.unwrap().iter().any(|info| info.id == desk.id));
    let ended = sessions.end_all(&account, Some(phone.id)).await.unwrap();
    assert_eq!(ended.ended.iter().map(|ended| ended.id).collect::<Vec<_>>(), [desk.id]);
    assert_eq!(sessions.end_all(&account, None).await.unwrap().ended.len(), 1);
    assert!(sessions.list(Some(&account), 10).await.unwrap().is_empty());
}
