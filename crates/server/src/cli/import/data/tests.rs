//! What an account has, as servers write it.

use starling_xml::{Document as Reader, Limits, Piece};

use super::*;

fn raw(text: &str) -> Raw {
    let mut reader = Reader::new(Limits::AFTER_LOGIN, |_, _| false);
    reader.push(text.as_bytes());
    let Ok(Some(Piece::Element(raw))) = reader.read() else { panic!("{text}") };
    raw
}

fn read_one(text: &str) -> (Data, Vec<String>) {
    let mut lost = Lost::default();
    let data = read(&BareJid::new("alice@a.example").unwrap(), &raw(text), &mut lost);
    (data, lost.0.into_keys().collect())
}

fn credentials(mechanism: &str, iterations: &str, [salt, stored, server]: [&str; 3]) -> String {
    format!(
        "<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='{mechanism}'><iter-count>{iterations}</iter-count>\
         <salt>{salt}</salt><server-key>{server}</server-key><stored-key>{stored}</stored-key></scram-credentials>"
    )
}

#[test]
fn keys_come_as_the_format_says_and_as_ejabberd_writes_them() {
    let parts = [&[1; 16][..], &[2; 20], &[3; 20]].map(starling_stream::sasl::scram::encode);
    let twice = parts.clone().map(|part| starling_stream::sasl::scram::encode(part.as_bytes()));
    let expected =
        ScramKeys { iterations: 4096, salt: vec![1; 16], stored: vec![2; 20], server: vec![3; 20] };
    for parts in [&parts, &twice] {
        let text = credentials("SCRAM-SHA-1", "4096", parts.each_ref().map(String::as_str));
        assert_eq!(read_one(&text).0, Data::Keys(Hash::Sha1, expected.clone()));
    }
}

#[test]
fn keys_that_cannot_be_used_are_noted() {
    let good = [&[1; 16][..], &[2; 20], &[3; 20]].map(starling_stream::sasl::scram::encode);
    let [salt, stored, server] = good.each_ref().map(String::as_str);
    for (mechanism, iterations, parts) in [
        ("SCRAM-SHA-512", "4096", [salt, stored, server]),
        ("SCRAM-SHA-256", "4096", [salt, stored, server]),
        ("SCRAM-SHA-1", "0", [salt, stored, server]),
        ("SCRAM-SHA-1", "4000000000", [salt, stored, server]),
        ("SCRAM-SHA-1", "many", [salt, stored, server]),
        ("SCRAM-SHA-1", "4096", ["", stored, server]),
        ("SCRAM-SHA-1", "4096", [salt, "?", server]),
        ("SCRAM-SHA-1", "4096", [salt, stored, salt]),
    ] {
        let (data, lost) = read_one(&credentials(mechanism, iterations, parts));
        assert_eq!((data, lost.len()), (Data::Nothing, 1), "{mechanism} {iterations} {parts:?}");
    }
}

#[test]
fn a_roster_keeps_names_groups_and_states() {
    let (data, lost) = read_one(
        "<query xmlns='jabber:iq:roster'><item jid='Bob@b.example/desk' name='Bob' subscription='to'><group>A</group>\
         <group>B</group></item><item jid='carol@b.example' subscription='from' ask='subscribe'/>\
         <item jid='dave@b.example' subscription='none' approved='true'/><item jid='a@b@c'/><item jid='alice@a.example'/></query>",
    );
    let Data::Contacts(contacts) = data else { panic!("{data:?}") };
    let states: Vec<_> =
        contacts.iter().map(|one| (one.jid.as_str(), one.state.as_str(), one.state.pending_out)).collect();
    let expected = [
        ("bob@b.example", "to", false),
        ("carol@b.example", "from", true),
        ("dave@b.example", "none", false),
    ];
    assert_eq!(states, expected);
    assert_eq!((contacts[0].name.as_deref(), contacts[0].groups.len()), (Some("Bob"), 2));
    assert!(contacts[2].state.approved && contacts.iter().all(|one| one.listed));
    assert_eq!(lost, ["contacts whose address is none"]);
}

#[test]
fn a_request_and_a_contact_are_one_whichever_comes_first() {
    let one = |text| match read_one(text).0 {
        Data::Contacts(mut contacts) => contacts.remove(0),
        other => panic!("{other:?}"),
    };
    let request = one(
        "<presence xmlns='jabber:client' type='subscribe' from='bob@b.example/x'><nick xmlns='n'>B</nick></presence>",
    );
    let wire = String::from_utf8(request.request.clone().unwrap().to_vec()).unwrap();
    assert!(
        wire.starts_with("<presence to='alice@a.example' from='bob@b.example' type='subscribe'>"),
        "{wire}"
    );
    assert!(wire.ends_with("<nick xmlns='n'>B</nick>"), "{wire}");
    let item = one("<query xmlns='jabber:iq:roster'><item jid='bob@b.example' subscription='to'/></query>");
    let both = merged(Some(&request), item.clone());
    assert_eq!(both, merged(Some(&item), request.clone()));
    assert!(both.listed && both.state.to && both.state.pending_in && both.request.is_some());
    assert_eq!(both, merged(Some(&both), item), "and again");
    let seen = one("<query xmlns='jabber:iq:roster'><item jid='bob@b.example' subscription='both'/></query>");
    assert_eq!(merged(Some(&request), seen.clone()), seen, "it was answered");
}

#[test]
fn a_privacy_list_is_kept_as_far_as_it_blocks() {
    let list = |items: &str| {
        read_one(&format!(
            "<query xmlns='jabber:iq:privacy'><default name='d'/><list name='d'>{items}</list></query>"
        ))
    };
    let deny =
        |jid: &str, order: u8| format!("<item type='jid' value='{jid}' action='deny' order='{order}'/>");
    let blocked = |jids: &[&str]| Data::Blocked(jids.iter().map(|jid| Jid::new(jid).unwrap()).collect());
    let rest = "<item action='allow' order='9'/>";
    assert_eq!(
        list(&format!("{rest}{}{}", deny("b@b.example", 2), deny("c.example", 1))),
        (blocked(&["c.example", "b@b.example"]), vec![])
    );
    let friend = "<item type='jid' value='a@b.example' action='allow' order='1'/>";
    let (data, lost) = list(&format!("{friend}{}", deny("b.example", 2)));
    assert_eq!((data, lost.len()), (blocked(&[]), 1), "what is allowed before must not be blocked");
    let some = "<item type='jid' value='b@b.example' action='deny' order='1'><message/></item>";
    assert_eq!(list(some).1.len(), 1);
    let all = "<item type='jid' value='b@b.example' action='deny' order='1'><message/><iq/><presence-in/><presence-out/></item>";
    assert_eq!(list(all), (blocked(&["b@b.example"]), vec![]));
    let (data, lost) = read_one(
        "<query xmlns='jabber:iq:privacy'><list name='d'><item type='jid' value='b@b.example' action='deny' order='1'/></list></query>",
    );
    assert_eq!((data, lost.len()), (blocked(&[]), 1), "no list is the default one");
}

#[test]
fn documents_are_kept_and_what_is_unknown_is_named() {
    let (data, _) = read_one("<query xmlns='jabber:iq:private'><a xmlns='x'><b/></a><c xmlns='y'/></query>");
    let Data::Documents(documents) = data else { panic!("{data:?}") };
    assert_eq!(documents[0], (Document::Private("x".into(), "a".into()), "<a xmlns='x'><b/></a>".into()));
    assert_eq!(documents.len(), 2);
    let pubsub = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'/></pubsub>";
    assert!(read_one(pubsub).1[0].contains("PEP"));
    assert_eq!(read_one("<x xmlns='y'/>").1, ["<x xmlns='y'/>"]);
}
