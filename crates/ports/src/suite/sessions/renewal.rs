//! What a node says of its sessions, and hears.

use starling_jid::BareJid;

use super::{deliver, message, online, sender};
use crate::archive::Archive;
use crate::ids::{Epoch, LogNumber, NodeId, SessionId};
use crate::sessions::{Renewal, Sessions, Standing};
use crate::suite::fresh_user;

/// What the first owner of a session says of it that has nothing of its log.
pub fn renewal_of(account: &BareJid, session: SessionId) -> Renewal {
    let (last, acknowledged) = (LogNumber(0), LogNumber(0));
    Renewal { account: account.clone(), session, epoch: Epoch(1), last, acknowledged, life: None }
}

/// The router that was told first may be dead: it counts as if it had been told only now. A former owner is not heard.
pub async fn a_renewal_repeats_acknowledgements(sessions: &dyn Sessions, archive: &dyn Archive) {
    let account = fresh_user();
    let desk = online(sessions, &account, "desk").await;
    for number in 1..=3 {
        deliver(sessions, archive, &account, message(sender(), number, &[desk.id])).await;
    }
    let renewal = |epoch, acknowledged| Renewal {
        epoch,
        acknowledged: LogNumber(acknowledged),
        ..renewal_of(&account, desk.id)
    };
    let said = vec![renewal(desk.epoch, 2), renewal(Epoch(desk.epoch.0 + 1), 3), renewal(desk.epoch, 1)];
    sessions.renew(NodeId::default(), said).await.unwrap();
    let pulled = sessions.pull(&account, desk.id, desk.epoch, LogNumber(0), 10).await.unwrap();
    assert_eq!(pulled.entries.iter().map(|entry| entry.number.0).collect::<Vec<_>>(), [3]);
}

/// Rule 7: an owner that says how far it came hears of what it missed; rule 9: and of a session that is not its own.
pub async fn a_renewal_tells_who_is_behind(sessions: &dyn Sessions, archive: &dyn Archive) {
    let account = fresh_user();
    let desk = online(sessions, &account, "desk").await;
    let renewal = |epoch, last| Renewal { epoch, last, ..renewal_of(&account, desk.id) };
    deliver(sessions, archive, &account, message(sender(), 1, &[desk.id])).await;
    let said = vec![
        renewal(desk.epoch, LogNumber(1)),
        renewal(desk.epoch, LogNumber(0)),
        renewal(Epoch(desk.epoch.0 + 1), LogNumber(1)),
    ];
    let answers = sessions.renew(NodeId::default(), said).await.unwrap();
    let standings: Vec<_> = answers.iter().map(|answer| answer.standing).collect();
    assert_eq!(standings, [Standing::Held, Standing::Behind, Standing::Over]);
}
