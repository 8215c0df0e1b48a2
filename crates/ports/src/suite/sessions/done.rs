//! What a node tells of acknowledgements that a store has forgotten.

use super::*;

/// Rule 9: what a node knows to be acknowledged does not wait again, whoever acknowledged it.
pub async fn what_a_node_knows_to_be_done_waits_no_more(sessions: &dyn Sessions, archive: &dyn Archive) {
    let (account, sender) = (fresh_user(), sender());
    let mut ids = Vec::new();
    for number in 1..=5 {
        let planned = message(sender, number, &[]);
        let Outcome::Done { id: Some(id), .. } = deliver(sessions, archive, &account, planned).await else {
            panic!()
        };
        ids.push(id);
    }
    assert_eq!(sessions.view(&account).await.unwrap().waiting, 5);
    let said = Registration {
        session: SessionId(u128::from(ids[0].random) << 64 | u128::from(ids[0].number)),
        jid: account.with_resource("desk").unwrap(),
        node: NodeId::default(),
        epoch: Epoch(3),
        life: Life::UNKNOWN,
        token: 7,
        portrait: Portrait::default(),
        resume: None,
        base: SmBase::default(),
        handled: Handled(0),
        acknowledged: LogNumber(0),
        entries: Vec::new(),
        done: Position { low: Some(ids[2]), acknowledged: vec![ids[4]] },
    };
    let registered = sessions.register(said).await.unwrap();
    assert!(matches!(registered, Registered::Again { .. }), "{registered:?}");
    let phone = online(sessions, &account, "phone").await;
    let pulled = sessions.pull(&account, phone.id, phone.epoch, LogNumber(0), 10).await.unwrap();
    let came: Vec<_> = pulled.entries.iter().map(|entry| entry.committed.id).collect();
    assert_eq!(came, [Some(ids[3])]);
}
