//! What goes over the wire comes out as it went in.

use starling_ports::delivery::{Command, Outgoing, Target};
use starling_ports::ids::{ArchiveId, Epoch, Handled, Life, LogNumber, SessionId};
use starling_ports::ingress::{Answered, BindError, Handling, PulledBatch, SessionRef, Submitted};
use starling_ports::position::Position;
use starling_ports::sessions::{
    Availability, Claimed, Detach, Flags, Portrait, Registered, Registration, Renewal, Renewed, SmBase,
    Standing,
};
use starling_stanza::{Carried, Condition, Draft, Kind, Wire};

use super::*;

fn alice() -> SessionRef {
    let jid = FullJid::new("alice@a.example/phone").unwrap();
    SessionRef { id: SessionId(u128::MAX - 5), jid, epoch: Epoch(3) }
}

fn wire(text: &'static str) -> Wire {
    Wire::from_bytes(Bytes::from_static(text.as_bytes())).unwrap()
}

fn outgoing(number: u64, wire: &Wire) -> Outgoing {
    let more = Bytes::from_static(b"<more/>");
    let id = Some(ArchiveId { number, random: 7 });
    Outgoing {
        number: LogNumber(number),
        wire: wire.clone(),
        more,
        address: true,
        late: true,
        id,
        trace: None,
    }
}

fn done() -> Position {
    let id = |number| ArchiveId { number, random: 2 };
    Position { low: Some(id(1)), acknowledged: vec![id(3)] }
}

fn round(body: pb::up::Body) -> String {
    format!("{:?}", Call::read(body).unwrap())
}

#[test]
fn calls_are_read_as_they_were_made() {
    let base = SmBase { sent: LogNumber(4), handled: Handled(5) };
    assert_eq!(
        round(Call::acknowledge(&alice(), LogNumber(7))),
        format!("{:?}", Call::Acknowledge(alice(), LogNumber(7)))
    );
    assert_eq!(
        round(Call::pull(&alice(), LogNumber(7), 64)),
        format!("{:?}", Call::Pull(alice(), LogNumber(7), 64))
    );
    assert_eq!(
        round(Call::enable_sm(&alice(), true, base)),
        format!("{:?}", Call::EnableSm(alice(), true, base))
    );
    assert_eq!(
        round(Call::detach(&alice(), Detach::Closed)),
        format!("{:?}", Call::Detach(alice(), Detach::Closed))
    );
    assert_eq!(
        round(Call::detach(&alice(), Detach::Lost)),
        format!("{:?}", Call::Detach(alice(), Detach::Lost))
    );
    let account = alice().jid.bare();
    let (session, epoch, last, life) = (SessionId(1), Epoch(2), LogNumber::BEHIND, Some(Life(9)));
    let acknowledged = LogNumber(6);
    let renewal = Renewal { account: account.clone(), session, epoch, last, acknowledged, life };
    let renewed = round(Call::renew(std::slice::from_ref(&renewal), None));
    assert_eq!(renewed, format!("{:?}", Call::Renew(vec![renewal])));
    assert_eq!(round(Call::bind(&account, None)), format!("{:?}", Call::Bind(account, None)));
}

#[test]
fn a_draft_is_the_same_at_the_router() {
    let children = Bytes::from_static(b"<body>hi</body><x xmlns='urn:x'/>");
    let carried = Carried {
        kind: Kind::Message,
        type_name: "chat",
        id: Some("1"),
        lang: Some("en"),
        to: Some("bob@b.example/desk"),
        from: Some("alice@a.example"),
        refusal: Some(Condition::JidMalformed),
        children: &children,
    };
    let draft = Draft::of_carried(carried).unwrap();
    let body = Call::submit(&alice(), &[Submitted { number: 9, draft: draft.clone(), trace: None }], false);
    let Call::Submit(session, batch) = Call::read(body).unwrap() else { panic!("a submit") };
    assert_eq!((session.id, batch[0].number), (alice().id, 9));
    assert_eq!(format!("{:?}", batch[0].draft), format!("{draft:?}"));
    assert!(batch[0].draft.refusal().is_some());
}

#[test]
fn answers_are_read_as_they_were_given() {
    let resumed = || Claimed::Resumed {
        jid: alice().jid,
        epoch: Epoch(4),
        handled: Handled(5),
        base: SmBase::default(),
        acknowledged: LogNumber(6),
        portrait: portrait(),
        fenced: None,
        done: done(),
    };
    let entries = || vec![outgoing(1, &wire("<message from='a@b'>"))];
    for reply in [
        || Reply::Done(Ok(())),
        || Reply::Answered(Ok(Handling::Done(Handled(7)).into())),
        || Reply::Answered(Ok(Handling::Fenced.into())),
        || Reply::Answered(Ok(Handling::InvalidFrom.into())),
        || Reply::Answered(Ok(Answered { handling: Handling::Done(Handled(8)), portrait: Some(portrait()) })),
        || Reply::Acknowledged(Ok(true)),
        || Reply::Enabled(Ok(300)),
        || Reply::Bound(Ok(alice())),
        || Reply::Bound(Err(BindError::ResourceConstraint)),
        || Reply::Claimed(Ok(Claimed::Failed { handled: Some(Handled(0)) })),
        || Reply::Claimed(Ok(Claimed::Failed { handled: None })),
        || Reply::Claimed(Ok(Claimed::TooHigh { sent: LogNumber(3) })),
        || Reply::Claimed(Ok(Claimed::Doubtful)),
        || Reply::Detached(Ok(false)),
        || Reply::Renewed(Ok(renewed())),
        || Reply::Registered(Ok(Registered::Again { epoch: Epoch(7) })),
        || Reply::Registered(Ok(Registered::Over)),
        || Reply::Portrait(Ok(portrait())),
    ] as [fn() -> Reply; 18]
    {
        assert_eq!(format!("{:?}", Reply::read(reply().write()).unwrap()), format!("{:?}", reply()));
    }
    let reply = || Reply::Pulled(Ok(PulledBatch { entries: entries(), more: true }));
    assert_eq!(format!("{:?}", Reply::read(reply().write()).unwrap()), format!("{:?}", reply()));
    let reply = || Reply::Claimed(Ok(resumed()));
    assert_eq!(format!("{:?}", Reply::read(reply().write()).unwrap()), format!("{:?}", reply()));
}

fn renewed() -> Vec<Renewed> {
    let saved = Some(ArchiveId { number: 5, random: 6 });
    let one = |(standing, saved)| Renewed { standing, life: Life(3), saved };
    let all = [Standing::Held, Standing::Behind, Standing::Over, Standing::Unknown, Standing::Away];
    all.into_iter().zip([None, saved, None, saved, None]).map(one).collect()
}

fn portrait() -> Portrait {
    let presence = wire("<presence from='alice@a.example/phone'>");
    Portrait {
        flags: Flags { carbons: true, interested: true, ..Flags::default() },
        available: Some(std::sync::Arc::new(Availability { priority: -7, presence })),
        directed: std::sync::Arc::new(vec![starling_jid::Jid::new("bob@b.example").unwrap()]),
    }
}

#[test]
fn a_registration_is_the_same_at_the_router() {
    let said = Registration {
        session: alice().id,
        jid: alice().jid,
        node: NodeId { name: 4, incarnation: 5 },
        epoch: alice().epoch,
        life: Life(77),
        token: 1 << 100,
        portrait: portrait(),
        resume: Some(std::time::Duration::MAX),
        base: SmBase { sent: LogNumber(1), handled: Handled(2) },
        handled: Handled(8),
        acknowledged: LogNumber(9),
        entries: vec![outgoing(10, &wire("<message from='a@b'>"))],
        done: done(),
    };
    let Call::RegisterAgain(body) = Call::read(Call::register_again(&said)).unwrap() else { panic!() };
    let read = again::of_registration(*body, said.node).unwrap();
    assert_eq!(format!("{read:?}"), format!("{said:?}"));
}

/// A router of the version before says neither lives nor positions.
#[test]
fn a_renewal_without_lives_is_read() {
    let old = pb::Renewed { sessions: vec![pb::Standing::Held.into()], ..pb::Renewed::default() };
    let read = again::of_renewed(&old).unwrap();
    assert_eq!(read, [Renewed { standing: Standing::Held, life: Life::UNKNOWN, saved: None }]);
}

/// A manager of a version before goes on with a session of which nothing is known as with one that is held.
#[test]
fn what_is_away_is_held_for_who_does_not_know_better() {
    let said = again::renewed(&[Standing::Over, Standing::Away].map(|standing| Renewed {
        standing,
        life: Life(3),
        saved: None,
    }));
    assert_eq!(said.away, [1]);
    let before = pb::Renewed { away: Vec::new(), ..said.clone() };
    let standing = |said: &pb::Renewed| again::of_renewed(said).unwrap()[1];
    assert_eq!(standing(&said).standing, Standing::Away);
    assert_eq!((standing(&before).standing, standing(&before).life), (Standing::Held, Life(3)));
    let wrong = pb::Renewed { away: vec![2], ..said };
    assert!(again::of_renewed(&wrong).is_err(), "there are only two");
}

#[test]
fn a_failure_is_the_answer_to_any_call() {
    let down =
        || starling_ports::StoreError::Unavailable { store: "redis", source: "connection refused".into() };
    let read = Reply::read(Reply::Pulled(Err(down())).write()).unwrap();
    let error = read.pulled().unwrap().unwrap_err();
    assert!(matches!(error, starling_ports::StoreError::Unavailable { .. }), "{error:?}");
    assert!(Reply::Enabled(Ok(1)).answered().is_err(), "another answer than was asked for");
}

#[test]
fn one_stanza_for_many_travels_once() {
    let (shared, other) = (wire("<message from='a@b'>"), wire("<presence from='a@b'>"));
    let target = |session: u128, wire: &Wire| Target {
        session: SessionId(session),
        epoch: Epoch(1),
        outgoing: outgoing(session as u64, wire),
    };
    let targets = vec![target(1, &shared), target(2, &shared), target(3, &other)];
    let sent = format!("{targets:?}");
    let deliveries = deliveries(targets);
    assert_eq!(deliveries.iter().map(|one| one.targets.len()).collect::<Vec<_>>(), [2, 1]);
    let read: Vec<Target> = deliveries.into_iter().flat_map(|one| of_delivery(one).unwrap()).collect();
    assert_eq!(format!("{read:?}"), sent);
}

#[test]
fn commands_are_read_as_they_were_given() {
    for asked in [Command::Pull, Command::Conflict, Command::Close("not-authorized"), Command::Fenced] {
        let (session, epoch, read) = of_command(command(SessionId(7), Epoch(2), &asked)).unwrap();
        assert_eq!((session, epoch, read), (SessionId(7), Epoch(2), asked));
    }
    let (_, _, read) = of_command(command(SessionId(7), Epoch(2), &Command::Close("made-up"))).unwrap();
    assert_eq!(read, Command::Close("undefined-condition"));
}

#[test]
fn what_nobody_sends_is_malformed() {
    assert!(Call::read(pb::up::Body::Pull(pb::Pull::default())).is_err(), "no session");
    assert!(Call::read(pb::up::Body::Hello(pb::Hello::default())).is_err(), "a second hello");
    let session = Some(pb::Session { jid: "not a jid/".to_owned(), ..super::session(&alice()) });
    assert!(Call::read(pb::up::Body::GetFlags(pb::GetFlags { session })).is_err());
    assert!(of_node(Some(pb::Node::default())).is_err(), "a node without a name");
    assert!(
        of_delivery(pb::Delivery { stanza: Bytes::from_static(b"<evil>"), ..Default::default() }).is_err()
    );
}
