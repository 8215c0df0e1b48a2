//! RFC 6121 §2: the contact list.

use std::path::Path;

use starling_testkit::{ServerOptions, World};

use super::subscription::befriend;

/// §2.3: pushed to all interested devices, then answered.
pub(crate) async fn a_contact_is_added_and_pushed(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    let laptop = alice.quiet_device("laptop").await;
    let watch = alice.quiet_device("watch").await;
    for device in [&phone, &laptop] {
        let roster = device.ask("<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>").await;
        assert!(roster.child("query").unwrap().children.is_empty(), "{roster}");
    }

    phone.send("<iq type='set' id='s1'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='Bob &amp; Co'><group>Work</group><group>Play</group></item></query></iq>").await;

    let push = "<iq type='set' id='*'><query xmlns='jabber:iq:roster' ver='*'><item jid='bob@localhost' name='Bob &amp; Co' subscription='none'><group>Work</group><group>Play</group></item></query></iq>";
    phone.expect(push).await;
    phone.expect("<iq type='result' id='s1'/>").await;
    laptop.expect(push).await;
    watch.expect_silence().await;
    let roster = watch.ask("<iq type='get' id='r2'><query xmlns='jabber:iq:roster'/></iq>").await;
    assert_eq!(roster.all("item").len(), 1, "{roster}");
}

/// §2.6: an up-to-date client gets nothing; one that is behind gets what changed.
pub(crate) async fn versions_save_the_download(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    phone
        .ask(
            "<iq type='set' id='s1'><query xmlns='jabber:iq:roster'><item jid='bob@localhost'/></query></iq>",
        )
        .await;
    let roster = phone.ask("<iq type='get' id='r1'><query xmlns='jabber:iq:roster' ver=''/></iq>").await;
    let version = roster.child("query").unwrap().attr("ver").unwrap().to_owned();

    let same = phone
        .ask(&format!("<iq type='get' id='r2'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>"))
        .await;
    assert_eq!((same.attr("type"), same.children.len()), (Some("result"), 0), "{same}");

    let laptop = alice.quiet_device("laptop").await;
    laptop.ask("<iq type='set' id='s2'><query xmlns='jabber:iq:roster'><item jid='carol@localhost'/></query></iq>").await;
    phone
        .expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='carol@localhost'/></query></iq>")
        .await;
    laptop
        .send(&format!("<iq type='get' id='r3'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>"))
        .await;
    let (answer, _) = laptop.next().await;
    assert_eq!((answer.attr("type"), answer.attr("id")), (Some("result"), Some("r3")), "{answer}");
    match answer.child("query") {
        Some(whole) => assert_eq!(whole.children.len(), 2, "{answer}"),
        None => {
            laptop.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='carol@localhost'/></query></iq>").await;
        }
    }
}

/// §2.5.
pub(crate) async fn a_removed_contact_is_gone(world: &World) {
    let phone = world.user("alice").await.quiet_device("phone").await;
    phone
        .ask(
            "<iq type='set' id='s1'><query xmlns='jabber:iq:roster'><item jid='bob@localhost'/></query></iq>",
        )
        .await;
    let gone = phone.ask("<iq type='set' id='s2'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' subscription='remove'/></query></iq>").await;
    assert_eq!(gone.attr("type"), Some("result"), "{gone}");
    let again = phone.ask("<iq type='set' id='s3'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' subscription='remove'/></query></iq>").await;
    assert!(again.child("error").is_some_and(|error| error.child("item-not-found").is_some()), "{again}");
    let roster = phone.ask("<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>").await;
    assert!(roster.all("item").is_empty(), "{roster}");
}

/// §2.3.3.
pub(crate) async fn bad_items_are_refused(world: &World) {
    let phone = world.user("alice").await.quiet_device("phone").await;
    for (items, condition) in [
        ("<item jid='a@localhost'/><item jid='b@localhost'/>", "bad-request"),
        ("", "bad-request"),
        ("<item name='nobody'/>", "bad-request"),
        ("<item jid='a@localhost'><group></group></item>", "not-acceptable"),
        ("<item jid='a@localhost'><group>x</group><group>x</group></item>", "bad-request"),
        ("<item jid='@'/>", "jid-malformed"),
        ("<item jid='a@localhost/phone'/>", "jid-malformed"),
        ("<item jid='a@localhost' subscription='remove'/>", "item-not-found"),
        ("<item jid='${alice}'/>", "not-allowed"),
    ] {
        let answer = phone
            .ask(&format!("<iq type='set' id='s1'><query xmlns='jabber:iq:roster'>{items}</query></iq>"))
            .await;
        let error = answer.child("error").unwrap_or_else(|| panic!("{items}: {answer}"));
        assert!(error.child(condition).is_some(), "{items}: {answer}");
    }
    let long = "x".repeat(1024);
    for item in [
        format!("<item jid='a@localhost' name='{long}'/>"),
        format!("<item jid='a@localhost'><group>{long}</group></item>"),
    ] {
        let answer = phone
            .ask(&format!("<iq type='set' id='s3'><query xmlns='jabber:iq:roster'>{item}</query></iq>"))
            .await;
        assert!(answer.find(&["error", "not-acceptable"]).is_some(), "{answer}");
    }
    let other = phone.ask("<iq type='set' to='bob@localhost' id='s2'><query xmlns='jabber:iq:roster'><item jid='a@localhost'/></query></iq>").await;
    assert_eq!(other.attr("type"), Some("error"), "{other}");
}

/// §2.1.2, §2.4: a set replaces name and groups; what the server knows of a subscription nobody sets.
pub(crate) async fn a_client_sets_names_and_groups_only(world: &World) {
    let phone = world.user("alice").await.quiet_device("phone").await;
    phone.ask("<iq type='get' id='r0'><query xmlns='jabber:iq:roster'/></iq>").await;
    for (item, shown) in [
        (
            "<item jid='bob@localhost' name='Bob' subscription='both' ask='subscribe' approved='true'><group>A</group><group>B</group></item>",
            "<item jid='bob@localhost' name='Bob' subscription='none' ask='!' approved='!'><group>A</group><group>B</group></item>",
        ),
        (
            "<item jid='BOB@localhost'><group>B</group></item>",
            "<item jid='bob@localhost' name='!' subscription='none'><group>B</group></item>",
        ),
    ] {
        phone
            .send(&format!("<iq type='set' id='s1'><query xmlns='jabber:iq:roster'>{item}</query></iq>"))
            .await;
        let push = phone
            .expect(&format!(
                "<iq type='set' from='${{alice}}' id='*'><query xmlns='jabber:iq:roster'>{shown}</query></iq>"
            ))
            .await;
        assert_eq!(push.all("group").len(), shown.matches("<group>").count(), "{push}");
        phone.expect("<iq type='result' id='s1'/>").await;
    }
    let roster = phone.ask("<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>").await;
    assert_eq!(roster.all("item").len(), 1, "{roster}");
}

/// §2.6.3: a removal is a change too; who is too far behind, or of another world, gets the whole.
pub(crate) async fn a_removal_is_told_by_version(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    for jid in ["a@localhost", "b@localhost", "c@localhost"] {
        phone
            .ask(&format!(
                "<iq type='set' id='s1'><query xmlns='jabber:iq:roster'><item jid='{jid}'/></query></iq>"
            ))
            .await;
    }
    let roster = phone.ask("<iq type='get' id='r1'><query xmlns='jabber:iq:roster' ver=''/></iq>").await;
    let version = roster.child("query").unwrap().attr("ver").unwrap().to_owned();
    phone.send("<iq type='set' id='s2'><query xmlns='jabber:iq:roster'><item jid='b@localhost' subscription='remove'/></query></iq>").await;
    phone.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='b@localhost' subscription='remove'/></query></iq>").await;
    phone.expect("<iq type='result' id='s2'/>").await;

    let laptop = alice.quiet_device("laptop").await;
    let changed = laptop
        .ask(&format!("<iq type='get' id='r2'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>"))
        .await;
    assert!(changed.child("query").is_none(), "{changed}");
    laptop.expect("<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='b@localhost' subscription='remove'/></query></iq>").await;
    laptop.expect_silence().await;
    for strange in ["999999", "-1", "of another server"] {
        let whole = laptop
            .ask(&format!("<iq type='get' id='r3'><query xmlns='jabber:iq:roster' ver='{strange}'/></iq>"))
            .await;
        assert_eq!(whole.all("item").len(), 2, "{strange}: {whole}");
    }
}

/// §2.1.6: a push is confirmed by who got it; what others say to it has no effect.
pub(crate) async fn a_push_is_between_server_and_device(world: &World) {
    let alice = world.user("alice").await;
    let (phone, laptop) = (alice.quiet_device("phone").await, alice.quiet_device("laptop").await);
    let mallory = world.user("mallory").await.quiet_device("desk").await;
    for device in [&phone, &laptop] {
        device.ask("<iq type='get' id='r0'><query xmlns='jabber:iq:roster'/></iq>").await;
    }
    phone
        .send(
            "<iq type='set' id='s1'><query xmlns='jabber:iq:roster'><item jid='bob@localhost'/></query></iq>",
        )
        .await;
    let (push, _) = laptop.next().await;
    let id = push.attr("id").unwrap();
    mallory.send(&format!("<iq type='result' id='{id}' to='${{alice}}'/><iq type='error' id='{id}' to='${{alice}}'><error type='cancel'/></iq>")).await;
    mallory.expect_silence().await;
    laptop.send(&format!("<iq type='result' id='{id}'/>")).await;
    laptop.expect_silence().await;
    phone.expect("<iq type='set'/>").await;
    phone.expect("<iq type='result' id='s1'/>").await;
    phone.send("<iq type='set' id='s2'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='B'/></query></iq>").await;
    laptop.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='B'/></query></iq>").await;
}

/// §2.5.2: who is removed is left both ways, and sees the user go.
pub(crate) async fn a_removed_contact_is_left_both_ways(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    befriend(&alice, &bob).await;
    bob.ask("<iq type='get' id='r0'><query xmlns='jabber:iq:roster'/></iq>").await;

    alice.send("<iq type='set' id='s1'><query xmlns='jabber:iq:roster'><item jid='${bob}' subscription='remove'/></query></iq>").await;

    for next in [
        "<presence from='${alice}' type='unsubscribe'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${alice}' subscription='to'/></query></iq>",
        "<presence from='${alice/phone}' type='unavailable'/>", // §3.2.2: while it may still be seen
        "<presence from='${alice}' type='unsubscribed'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${alice}' subscription='none'/></query></iq>",
    ] {
        bob.expect(next).await;
    }
    alice
        .expect_all(&["<presence from='${bob/desk}' type='unavailable'/>", "<iq type='result' id='s1'/>"])
        .await;
    bob.expect_silence().await;
    alice.expect_silence().await;
}

/// §2.3.3: nobody asks for or changes the roster of another, and cannot tell whether there is one.
pub(crate) async fn anothers_roster_is_closed(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    alice.ask("<iq type='get' id='r0'><query xmlns='jabber:iq:roster'/></iq>").await;
    let mallory = world.user("mallory").await.quiet_device("desk").await;
    for to in ["${alice}", "nobody@localhost"] {
        for (kind, item) in [("get", ""), ("set", "<item jid='mallory@localhost' subscription='both'/>")] {
            mallory
                .send(&format!(
                    "<iq type='{kind}' to='{to}' id='x1'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
                ))
                .await;
            mallory.expect("<iq type='error' id='x1'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>").await;
        }
    }
    // To a device it goes like any request: its `from` says that it is no push (CVE-2015-8688 and its like).
    alice.send("<presence to='${mallory/desk}'/>").await;
    mallory.expect("<presence from='${alice/phone}'/>").await;
    mallory.send("<iq type='set' to='${alice/phone}' id='x2'><query xmlns='jabber:iq:roster'><item jid='mallory@localhost'/></query></iq>").await;
    alice.expect("<iq type='set' from='${mallory/desk}' id='x2'/>").await;
    let roster = alice.ask("<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>").await;
    assert!(roster.all("item").is_empty(), "{roster}");
}

/// `im.max-roster-items`: neither the user nor strangers who ask fill the store, and strangers take no place of the user's.
pub(crate) async fn a_roster_has_an_end(_: &World) {
    let options =
        ServerOptions { config: "[im]\nmax-roster-items = 2\n".to_owned(), ..ServerOptions::default() };
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap();
    let alice = world.user("alice").await.quiet_device("phone").await;
    for n in 0..4 {
        let stranger = world.user(&format!("stranger{n}x")).await.quiet_device("desk").await;
        stranger.send("<presence to='${alice}' type='subscribe'/>").await;
        stranger.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    }
    for (jid, condition) in [
        ("a@localhost", None),
        ("b@localhost", None),
        ("c@localhost", Some("not-allowed")),
        ("a@localhost", None),
    ] {
        let item = format!("<item jid='{jid}' name='x'/>");
        let answer = alice
            .ask(&format!("<iq type='set' id='s1'><query xmlns='jabber:iq:roster'>{item}</query></iq>"))
            .await;
        let found = answer.child("error").and_then(|error| error.children.first());
        assert_eq!(found.map(|one| one.name.as_str()), condition, "{jid}: {answer}");
    }
    alice.send("<presence to='d@localhost' type='subscribe' id='p1'/>").await;
    alice.expect("<presence type='error' id='p1'><error><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>").await;
    alice.send("<presence/>").await;
    alice.send("<iq type='get' id='done'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    let mut asked = 0;
    loop {
        let (stanza, _) = alice.next().await;
        if stanza.attr("id") == Some("done") {
            break;
        }
        asked += usize::from(stanza.attr("type") == Some("subscribe"));
    }
    assert_eq!(asked, 2, "as many requests wait as there may be contacts");
}
