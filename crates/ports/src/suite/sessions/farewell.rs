//! What is owed to others when a session has gone (session-log rule 18).

use starling_jid::Jid;

use super::*;
use crate::sessions::Farewell;

/// Sent its presence to somebody who is no contact, too.
async fn online_and_seen(sessions: &dyn Sessions, account: &BareJid, by: &Jid) -> Bound {
    let desk = online(sessions, account, "desk").await;
    let directed = Change::Directed { to: by.clone(), available: true };
    sessions.change(account, desk.id, desk.epoch, directed).await.unwrap();
    desk
}

async fn closed(sessions: &dyn Sessions, account: &BareJid, bound: &Bound) -> Option<Farewell> {
    let detached = sessions.detach(account, bound.id, bound.epoch, Detach::Closed).await.unwrap();
    detached.ended().unwrap().farewell
}

/// What of the account is anybody's to say at that time.
async fn late(sessions: &dyn Sessions, account: &BareJid, at: Timestamp) -> Vec<Farewell> {
    let mut late = Vec::new();
    loop {
        let departed = sessions.expire(at, 1000).await.unwrap();
        if departed.is_empty() {
            late.retain(|farewell: &Farewell| farewell.jid.bare() == *account);
            return late;
        }
        late.extend(departed.owed);
    }
}

/// What one was to say and has not settled, another says, after a while and until it is settled.
pub async fn a_farewell_is_owed_until_it_is_settled(
    one: &dyn Sessions,
    other: &dyn Sessions,
    now: Timestamp,
) {
    let (account, carol) = (fresh_user(), Jid::new("carol@example.net/a").unwrap());
    let after = |seconds| now.after(Duration::from_secs(seconds));
    let desk = online_and_seen(one, &account, &carol).await;
    let owed = closed(one, &account, &desk).await.unwrap();
    assert_eq!((owed.session, owed.to_all, &owed.directed[..]), (desk.id, true, &[carol.clone()][..]));
    assert_eq!(late(other, &account, after(5)).await, [], "the first one may still be at it");
    let second = Farewell { turn: 1, ..owed.clone() };
    assert_eq!(late(other, &account, after(20)).await, std::slice::from_ref(&second));
    one.settle_farewell(&owed).await.unwrap();
    assert_eq!(late(one, &account, after(20)).await, [], "now the other is at it");
    let third = Farewell { turn: 2, ..owed };
    assert_eq!(late(one, &account, after(40)).await, std::slice::from_ref(&third), "but has not said so");
    one.settle_farewell(&third).await.unwrap();
    assert_eq!(late(other, &account, after(100)).await, []);
}

/// A session that is no longer available, and stays: what it owes is told again until it is settled, and then no more.
pub async fn who_leaves_and_stays_owes_it_too(sessions: &dyn Sessions, now: Timestamp) {
    let (account, carol) = (fresh_user(), Jid::new("carol@example.net/a").unwrap());
    let desk = online_and_seen(sessions, &account, &carol).await;
    let leave = async || match sessions
        .change(&account, desk.id, desk.epoch, Change::Presence(None))
        .await
        .unwrap()
    {
        Changed::Left(farewell) => Some(farewell),
        Changed::Nothing => None,
        other => panic!("{other:?}"),
    };
    let owed = leave().await.unwrap();
    assert_eq!((owed.to_all, &owed.directed[..]), (true, &[carol][..]));
    let again = Farewell { turn: 1, ..owed };
    assert_eq!(leave().await.as_ref(), Some(&again), "who says it again is about to tell all of it");
    sessions.settle_farewell(&again).await.unwrap();
    assert_eq!(leave().await, None);
    assert_eq!(late(sessions, &account, now.after(Duration::from_secs(60))).await, []);
}

/// Who takes the place of one that waits owes what that one owed. Who takes another's place owes nothing for it: that is said at once.
pub async fn who_replaces_one_that_waits_owes_what_it_owed(sessions: &dyn Sessions) {
    let (account, carol) = (fresh_user(), Jid::new("carol@example.net/a").unwrap());
    let desk = online_and_seen(sessions, &account, &carol).await;
    enable(sessions, &account, &desk).await;
    sessions.detach(&account, desk.id, desk.epoch, Detach::Lost).await.unwrap();
    let next = bind(sessions, &account, "desk").await;
    let replaced = next.replaced.as_ref().unwrap();
    assert!(!replaced.attached && replaced.farewell.is_none());
    let last = bind(sessions, &account, "desk").await;
    let replaced = last.replaced.as_ref().unwrap();
    let owed = replaced.farewell.as_ref().unwrap();
    assert!(replaced.attached && owed.to_all && owed.directed == [carol], "{owed:?}");
    assert_eq!(closed(sessions, &account, &last).await, None);
}
