//! From a committed entry to what a session is to write, handed to the nodes that hold the sessions.

use bytes::Bytes;
use starling_jid::{BareJid, FullJid};
use starling_ports::delivery::{Copy, Delivery, Entry, Outgoing, Target};
use starling_ports::ids::NodeId;
use starling_ports::sessions::Handed;
use starling_stanza::{Kind, Wire, added};
use starling_xml::{ns, write_attr};

use crate::traced::Traced;

/// Groups entries by node and hands them over. A refused push costs nothing but time: the entries are in the logs.
pub(crate) fn push(delivery: &dyn Delivery, account: &BareJid, handed: Vec<Handed>, traced: &Traced) {
    let mut nodes: Vec<(NodeId, Vec<Target>)> = Vec::with_capacity(1);
    for (at, one) in handed.into_iter().enumerate() {
        let trace = traced.of(at);
        let outgoing = Outgoing { trace, ..render(account, &one.jid, &one.entry) };
        let target = Target { session: one.session, epoch: one.epoch, outgoing };
        match nodes.iter_mut().find(|(node, _)| *node == one.node) {
            Some((_, targets)) => targets.push(target),
            None => nodes.push((one.node, vec![target])),
        }
    }
    for (node, targets) in nodes {
        if let Err(error) = delivery.deliver(node, targets) {
            tracing::debug!(%error, "a push was refused, the node will pull");
        }
    }
}

/// An entry as `session`, of `account`, gets to see it.
pub fn render(account: &BareJid, session: &FullJid, entry: &Entry) -> Outgoing {
    let committed = &*entry.committed;
    let told = told(account, entry);
    match entry.copy {
        Copy::Original => Outgoing {
            number: entry.number,
            wire: committed.wire.clone(),
            more: told,
            address: true,
            late: entry.late,
            id: committed.id,
            trace: None,
        },
        Copy::CarbonReceived | Copy::CarbonSent => {
            let direction = if entry.copy == Copy::CarbonSent { "sent" } else { "received" };
            let wire = carbon(account, session, direction, &committed.wire, &told);
            let (number, late, id) = (entry.number, entry.late, committed.id);
            Outgoing { number, wire, more: Bytes::new(), address: false, late, id, trace: None }
        }
    }
}

/// What is told to this account only: the id in its archive (XEP-0359 §3), and when it came if it comes late (XEP-0203).
fn told(account: &BareJid, entry: &Entry) -> Bytes {
    let committed = &*entry.committed;
    let id = committed.id.filter(|_| entry.archived);
    let late = entry.late && committed.wire.kind() != Kind::Iq;
    if id.is_none() && !late {
        return Bytes::new();
    }
    let mut out = Vec::with_capacity(192);
    if let Some(id) = id {
        added::stanza_id(&mut out, &id.text(), account.as_str());
    }
    if late {
        added::delay(&mut out, Some(account.domain()), &committed.at.to_xep_0082());
    }
    out.into()
}

/// XEP-0280 §7 around XEP-0297: from the account's own bare JID, to one session, with the type of what it wraps.
fn carbon(account: &BareJid, session: &FullJid, direction: &str, wire: &Wire, told: &[u8]) -> Wire {
    let mut out = Vec::with_capacity(wire.len() + told.len() + 320);
    write_attr(&mut out, "<message to='", session.as_str());
    write_attr(&mut out, " from='", account.as_str());
    if let Some(kind) = type_of(wire) {
        out.extend_from_slice(b" type='");
        out.extend_from_slice(kind);
        out.push(b'\'');
    }
    out.extend_from_slice(b"><");
    out.extend_from_slice(direction.as_bytes());
    write_attr(&mut out, " xmlns='", ns::CARBONS);
    write_attr(&mut out, "><forwarded xmlns='", ns::FORWARD);
    out.push(b'>');
    wire.write(&mut out, false, None, told); // with `xmlns='jabber:client'` of its own (XEP-0297 §3.2)
    out.extend_from_slice(b"</forwarded></");
    out.extend_from_slice(direction.as_bytes());
    out.push(b'>');
    Wire::from_bytes(out.into()).unwrap_or_else(|| wire.clone())
}

/// The value of `type` in the start tag. Canonical: `'` and `>` never stand inside a value.
fn type_of(wire: &Wire) -> Option<&[u8]> {
    let bytes = wire.as_bytes();
    let tag = bytes.get(..bytes.iter().position(|byte| *byte == b'>')?)?;
    let start = tag.windows(7).position(|window| window == b" type='")? + 7;
    let value = tag.get(start..)?;
    value.get(..value.iter().position(|byte| *byte == b'\'')?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use starling_ports::delivery::Committed;
    use starling_ports::ids::{ArchiveId, LogNumber, Timestamp};

    use super::*;

    fn entry(copy: Copy, late: bool, archived: bool) -> Entry {
        let open = "<message to='bob@b.example' from='alice@a.example/x' type='chat'><body>hi</body>";
        let committed = Committed {
            id: Some(ArchiveId { number: 1, random: 2 }),
            at: Timestamp(0),
            wire: Wire::from_bytes(Bytes::from_static(open.as_bytes())).unwrap(),
        };
        Entry { number: LogNumber(7), committed: Arc::new(committed), copy, late, archived }
    }

    fn written(entry: &Entry) -> String {
        let account = BareJid::new("bob@b.example").unwrap();
        let session = account.with_resource("phone").unwrap();
        let outgoing = render(&account, &session, entry);
        let mut out = Vec::new();
        outgoing.wire.write(&mut out, true, None, &outgoing.more);
        String::from_utf8(out).unwrap()
    }

    const ID: &str =
        "<stanza-id xmlns='urn:xmpp:sid:0' id='00000000000000010000000000000002' by='bob@b.example'/>";

    #[test]
    fn the_id_is_told_only_where_the_archive_will_know_it() {
        assert!(written(&entry(Copy::Original, false, true)).ends_with(&format!("</body>{ID}</message>")));
        assert!(written(&entry(Copy::Original, false, false)).ends_with("</body></message>"));
    }

    #[test]
    fn what_comes_late_says_when_it_was_sent() {
        let delay = "<delay xmlns='urn:xmpp:delay' from='b.example' stamp='1970-01-01T00:00:00.000000Z'/>";
        assert!(written(&entry(Copy::Original, true, false)).ends_with(&format!("</body>{delay}</message>")));
    }

    #[test]
    fn a_carbon_wraps_the_same_bytes() {
        assert_eq!(
            written(&entry(Copy::CarbonReceived, false, true)),
            format!(
                "<message to='bob@b.example/phone' from='bob@b.example' type='chat'>\
                 <received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
                 <message xmlns='jabber:client' to='bob@b.example' from='alice@a.example/x' type='chat'>\
                 <body>hi</body>{ID}</message></forwarded></received></message>"
            )
        );
    }
}
