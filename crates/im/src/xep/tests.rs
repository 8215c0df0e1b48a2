//! What the unit tests of the modules share: messages as a client sends them, and views of an account.

use std::sync::Arc;

use starling_jid::{BareJid, FullJid};
use starling_ports::ids::{NodeId, SessionId};
use starling_ports::sessions::{Availability, Flags, SessionView, View, ViewVersion};
use starling_stanza::{Draft, Message, Stanza, Wire};
use starling_xml::{Event, Framing, Limits, Reader};

use crate::Quotas;
use crate::hooks::{Case, Side};

/// A message from Alice's desk to Bob, with this content.
pub(crate) fn message(kind: &str, content: &str) -> Message {
    stamped(&format!("<message to='bob@b.example' type='{kind}'>{content}</message>"))
}

/// The same stanza from Alice's desk.
pub(crate) fn stamped(xml: &str) -> Message {
    let mut reader = Reader::new(Framing::Element, Limits::AFTER_LOGIN);
    let whole = xml.replacen("<message", "<message xmlns='jabber:client'", 1);
    let Some(Event::Element(raw)) = reader.next(&mut whole.as_bytes()).unwrap() else { panic!("{xml}") };
    let sender = FullJid::new("alice@a.example/desk").unwrap();
    match Draft::read(raw).unwrap().stamp(&sender).unwrap() {
        Stanza::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

/// Bob's account with these sessions: resource and priority, `None` for one without presence.
pub(crate) fn view(sessions: &[(&str, Option<i8>)]) -> View {
    let account = BareJid::new("bob@b.example").unwrap();
    let session = |(at, (resource, priority)): (usize, &(&str, Option<i8>))| SessionView {
        id: SessionId(at as u128 + 1),
        jid: account.with_resource(resource).unwrap(),
        node: NodeId::default(),
        flags: Flags::default(),
        available: priority.map(|priority| Arc::new(Availability { priority, presence: presence() })),
        attached: true,
        directed: Arc::default(),
    };
    View {
        version: ViewVersion(1),
        exists: true,
        sessions: sessions.iter().enumerate().map(session).collect(),
        blocked: Arc::default(),
        preferences: Arc::default(),
        waiting: 0,
        waiting_bytes: 0,
        archived_bytes: 0,
        account,
    }
}

fn presence() -> Wire {
    Wire::from_bytes(bytes::Bytes::from_static(b"<presence>")).unwrap()
}

/// At this side, with the archive on.
pub(crate) fn case(side: Side) -> Case {
    Case { side, sender_sm: false, in_roster: false, archive: true, quotas: Quotas::default() }
}
