//! Frames as earlier versions wrote them, in `proto/recorded/`: this one reads them, and they say the same.
//!
//! `STARLING_RECORD=1` writes those of this version, which is done once, when the contract gets a new number.

use std::path::PathBuf;

use bytes::Bytes;
use prost::Message;
use starling_jid::FullJid;
use starling_ports::delivery::{Command, Outgoing, Target};
use starling_ports::ids::{Epoch, Handled, Life, LogNumber, SessionId};
use starling_ports::ingress::{Handling, PulledBatch, Resume, SessionRef, Submitted};
use starling_ports::position::Position;
use starling_ports::sessions::{Claimed, Detach, Flags, Portrait, Renewal, Renewed, SmBase, Standing};
use starling_stanza::{Carried, Draft, Kind, Wire};

use crate::convert::{self, Call, Reply};
use crate::pb::{self, down, up};
use crate::{VERSION, node_id};

/// The contract's own number, which a change of its meaning raises.
const CONTRACT: &str = "0.1.0";

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/recorded"))
}

fn session() -> SessionRef {
    let jid = FullJid::new("alice@example.org/phone").unwrap();
    SessionRef { id: SessionId(0x0123_4567_89ab_cdef_0011_2233_4455_6677), jid, epoch: Epoch(3) }
}

fn draft() -> Submitted {
    let children = Bytes::from_static("<body>gr\u{fc}\u{df}e</body>".as_bytes());
    let carried = Carried {
        kind: Kind::Message,
        type_name: "chat",
        id: Some("m1"),
        lang: Some("de"),
        to: Some("bob@example.org"),
        from: None,
        refusal: None,
        children: &children,
    };
    Submitted { number: 41, draft: Draft::of_carried(carried).unwrap(), trace: None }
}

fn outgoing() -> Outgoing {
    let wire = Wire::from_bytes(Bytes::from_static(
        b"<message from='bob@example.org/desk' type='chat'><body>hi</body>",
    ));
    let more = Bytes::from_static(b"<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='alice@example.org'/>");
    let (address, late, id, trace) = (true, false, None, None);
    Outgoing { number: LogNumber(8), wire: wire.unwrap(), more, address, late, id, trace }
}

/// One of each frame that goes up.
fn upward() -> pb::Upward {
    let session = &session();
    let account = session.jid.bare();
    let base = SmBase { sent: LogNumber(2), handled: Handled(1) };
    let renewal = Renewal {
        account: account.clone(),
        session: session.id,
        epoch: Epoch(3),
        last: LogNumber(8),
        acknowledged: LogNumber(0),
        life: None,
    };
    let resume = Resume { account: account.clone(), session: session.id, h: 7, token: 99 };
    let hello = pb::Hello {
        node: Some(convert::node(node_id("manager-1", 1_800_000_000_000_000))),
        version: VERSION,
        roles: vec!["connection-manager".to_owned()],
    };
    let bodies = [
        up::Body::Hello(hello),
        Call::submit(session, &[draft()], false),
        Call::acknowledge(session, LogNumber(8)),
        Call::pull(session, LogNumber(8), 64),
        Call::enable_sm(session, true, base),
        Call::set_inactive(session, true),
        Call::detach(session, Detach::Closed),
        Call::bind(&account, Some("phone")),
        Call::resume(&resume),
        Call::portrait(session),
        Call::renew(&[renewal], None),
    ];
    let frame = |(call, body)| pb::Up { call, body: Some(body) };
    pb::Upward { frames: (0..).zip(bodies).map(frame).collect() }
}

fn renewed(standing: Standing) -> Renewed {
    Renewed { standing, life: Life::UNKNOWN, saved: None }
}

/// One of each frame that goes down.
fn downward() -> pb::Downward {
    let resumed = Claimed::Resumed {
        jid: session().jid,
        epoch: Epoch(4),
        handled: Handled(41),
        base: SmBase::default(),
        acknowledged: LogNumber(7),
        portrait: Portrait {
            flags: Flags { carbons: true, sm: true, resumable: true, ..Flags::default() },
            ..Portrait::default()
        },
        fenced: None,
        done: Position::default(),
    };
    let replies = [
        Reply::Done(Ok(())),
        Reply::Done(Err(starling_ports::StoreError::Corrupt { what: "a row" })),
        Reply::Answered(Ok(Handling::Done(Handled(41)).into())),
        Reply::Answered(Ok(Handling::Fenced.into())),
        Reply::Acknowledged(Ok(true)),
        Reply::Pulled(Ok(PulledBatch { entries: vec![outgoing()], more: true })),
        Reply::Enabled(Ok(300)),
        Reply::Bound(Ok(session())),
        Reply::Claimed(Ok(resumed)),
        Reply::Claimed(Ok(Claimed::Failed { handled: Some(Handled(41)) })),
        Reply::Portrait(Ok(Portrait::default())),
        Reply::Renewed(Ok([Standing::Held, Standing::Behind, Standing::Over].map(renewed).to_vec())),
    ];
    let answer =
        |(call, reply): (u64, Reply)| down::Body::Answer(pb::Answer { call, body: Some(reply.write()) });
    let target = Target { session: session().id, epoch: Epoch(3), outgoing: outgoing() };
    let welcome = pb::Welcome {
        node: Some(convert::node(node_id("router-1", 1_800_000_000_000_000))),
        version: VERSION,
        features: "<c xmlns='http://jabber.org/protocol/caps'/>".to_owned(),
        registration: true,
    };
    let bodies = [down::Body::Welcome(welcome)]
        .into_iter()
        .chain((0..).zip(replies).map(answer))
        .chain(convert::deliveries(vec![target]).into_iter().map(down::Body::Delivery))
        .chain(
            [Command::Pull, Command::Conflict, Command::Close("not-authorized"), Command::Fenced]
                .iter()
                .map(|command| down::Body::Command(convert::command(session().id, Epoch(3), command))),
        );
    pb::Downward { frames: bodies.map(|body| pb::Down { body: Some(body) }).collect() }
}

/// What the frames say in the words of the ports.
fn say_upward(message: pb::Upward) -> Vec<String> {
    let say = |frame: pb::Up| match frame.body.expect("a body") {
        up::Body::Hello(hello) => format!("{} {hello:?}", frame.call),
        body => format!("{} {:?}", frame.call, Call::read(body).expect("a call")),
    };
    message.frames.into_iter().map(say).collect()
}

fn say_downward(message: pb::Downward) -> Vec<String> {
    let say = |frame: pb::Down| match frame.body.expect("a body") {
        down::Body::Welcome(welcome) => format!("{welcome:?}"),
        down::Body::Answer(pb::Answer { call, body }) => {
            format!("{call} {:?}", Reply::read(body.expect("a body")).expect("a reply"))
        }
        down::Body::Delivery(delivery) => {
            format!("{:?}", convert::of_delivery(delivery).expect("a delivery"))
        }
        down::Body::Command(command) => format!("{:?}", convert::of_command(command).expect("a command")),
        down::Body::Leave(_) => "leave".to_owned(),
    };
    message.frames.into_iter().map(say).collect()
}

#[test]
fn recorded_frames_say_what_they_said() {
    if std::env::var_os("STARLING_RECORD").is_some() {
        let own = directory().join(CONTRACT);
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("upward.bin"), upward().encode_to_vec()).unwrap();
        std::fs::write(own.join("downward.bin"), downward().encode_to_vec()).unwrap();
    }
    let mut versions = Vec::new();
    for version in
        std::fs::read_dir(directory()).unwrap().map(Result::unwrap).filter(|one| one.path().is_dir())
    {
        let read = |name: &str| Bytes::from(std::fs::read(version.path().join(name)).unwrap());
        let recorded = pb::Upward::decode(read("upward.bin")).unwrap();
        assert_eq!(say_upward(recorded), say_upward(upward()), "{:?}", version.path());
        let recorded = pb::Downward::decode(read("downward.bin")).unwrap();
        assert_eq!(say_downward(recorded), say_downward(downward()), "{:?}", version.path());
        versions.push(version.file_name().into_string().unwrap());
    }
    assert!(versions.contains(&CONTRACT.to_owned()), "{versions:?}");
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    // Field 15 of a frame, which this version does not know.
    let mut frame = pb::Down {
        body: Some(down::Body::Command(convert::command(session().id, Epoch(3), &Command::Pull))),
    };
    let mut bytes = frame.encode_to_vec();
    bytes.extend([0x7a, 2, b'h', b'i']);
    frame = pb::Down::decode(Bytes::from(bytes)).unwrap();
    let Some(down::Body::Command(command)) = frame.body else { panic!("{frame:?}") };
    assert_eq!(convert::of_command(command).unwrap().2, Command::Pull);
}
