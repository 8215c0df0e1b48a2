//! RFC 6121 §2: the contact list.

use starling_testkit::World;

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
    ] {
        let answer = phone
            .ask(&format!("<iq type='set' id='s1'><query xmlns='jabber:iq:roster'>{items}</query></iq>"))
            .await;
        let error = answer.child("error").unwrap_or_else(|| panic!("{items}: {answer}"));
        assert!(error.child(condition).is_some(), "{items}: {answer}");
    }
    let other = phone.ask("<iq type='set' to='bob@localhost' id='s2'><query xmlns='jabber:iq:roster'><item jid='a@localhost'/></query></iq>").await;
    assert_eq!(other.attr("type"), Some("error"), "{other}");
}
