//! XEP-0191 Blocking Command.

use starling_testkit::{Device, World};

use super::subscription::befriend;

const UNAVAILABLE: &str =
    "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
const BLOCKED: &str = "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                       <blocked xmlns='urn:xmpp:blocking:errors'/></error>";

async fn change(device: &Device<'_>, command: &str, jids: &[&str]) {
    let items: String = jids.iter().map(|jid| format!("<item jid='{jid}'/>")).collect();
    let iq = format!("<iq type='set' id='b1'><{command} xmlns='urn:xmpp:blocking'>{items}</{command}></iq>");
    device.send(&iq).await;
    device.expect("<iq type='result' id='b1'/>").await;
}

/// §3.3: what each kind of stanza meets, whether it is sent before login or after.
pub(crate) async fn a_blocked_contact_is_not_heard(world: &World) {
    let account = world.user("alice").await;
    let alice = account.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    change(&alice, "block", &["${bob}"]).await;

    bob.send("<message to='${alice}' type='chat' id='m1'><body>hi</body></message>").await;
    bob.expect(&format!("<message type='error' id='m1' from='${{alice}}'>{UNAVAILABLE}</message>")).await;
    bob.send("<message to='${alice/phone}' id='m2'><body>hi</body></message>").await;
    bob.expect(&format!("<message type='error' id='m2'>{UNAVAILABLE}</message>")).await;
    for to in ["${alice}", "${alice/phone}"] {
        bob.send(&format!("<iq to='{to}' type='get' id='i1'><query xmlns='jabber:iq:version'/></iq>")).await;
        bob.expect(&format!("<iq type='error' id='i1' from='{to}'>{UNAVAILABLE}</iq>")).await;
    }
    bob.send("<iq to='${alice/phone}' type='result' id='i2'/>").await;
    for kind in [
        "",
        "type='unavailable'",
        "type='subscribe'",
        "type='subscribed'",
        "type='unsubscribe'",
        "type='probe'",
    ] {
        bob.send(&format!("<presence to='${{alice}}' {kind}/>")).await;
    }
    bob.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    bob.expect_silence().await;
    alice.expect_silence().await;
    let laptop = account.quiet_device("laptop").await;
    laptop.send("<presence/>").await;
    laptop.expect_all(&["<presence from='${alice/laptop}'/>", "<presence from='${alice/phone}'/>"]).await;
    laptop.expect_silence().await;
}

/// §3.3: nor does the user speak to whom it blocks; it is told why.
pub(crate) async fn nothing_is_sent_to_who_is_blocked(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    change(&alice, "block", &["${bob}"]).await;
    for stanza in [
        "<message to='${bob}' type='chat' id='x1'><body>hi</body></message>",
        "<message to='${bob/desk}' type='headline' id='x1'><body>hi</body></message>",
        "<iq to='${bob/desk}' type='get' id='x1'><query xmlns='jabber:iq:version'/></iq>",
        "<iq to='${bob}' type='get' id='x1'><vCard xmlns='vcard-temp'/></iq>",
        "<presence to='${bob}' id='x1'/>",
        "<presence to='${bob}' type='subscribe' id='x1'/>",
    ] {
        alice.send(stanza).await;
        let name = stanza.trim_start_matches('<').split(' ').next().unwrap();
        alice.expect(&format!("<{name} type='error' id='x1'>{BLOCKED}</{name}>")).await;
    }
    alice.expect_silence().await;
    bob.expect_silence().await;
}

/// §3.3, §3.4: a contact sees the user go, and come back when it is no longer blocked.
pub(crate) async fn a_blocked_contact_sees_the_user_leave(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    let stranger = world.user("stranger").await.device("desk").await;
    befriend(&alice, &bob).await;
    alice.send("<presence><status>here</status></presence>").await;
    alice.expect("<presence from='${alice/phone}'/>").await;
    bob.expect("<presence from='${alice/phone}'/>").await;

    change(&alice, "block", &["${bob}", "${stranger}"]).await;
    bob.expect("<presence from='${alice/phone}' to='${bob}' type='unavailable'/>").await;
    alice.send("<presence><status>still here</status></presence>").await;
    alice.expect("<presence from='${alice/phone}'/>").await;
    bob.send("<presence><status>me too</status></presence>").await;
    bob.expect("<presence from='${bob/desk}'/>").await;
    bob.expect_silence().await;
    alice.expect_silence().await;

    change(&alice, "unblock", &["${bob}", "${stranger}"]).await;
    bob.expect("<presence from='${alice/phone}' to='${bob}' type='!'><status>still here</status></presence>")
        .await;
    stranger.expect_silence().await;
    bob.send("<message to='${alice}' type='chat'><body>again</body></message>").await;
    alice.expect("<message from='${bob/desk}'><body>again</body></message>").await;
}

/// §3.3, §3.4, §3.5: to every device that has asked for the list, and to no other.
pub(crate) async fn the_list_is_pushed_to_all_devices(world: &World) {
    let account = world.user("alice").await;
    let (phone, laptop, other) = (
        account.quiet_device("phone").await,
        account.quiet_device("laptop").await,
        account.quiet_device("other").await,
    );
    for device in [&phone, &laptop] {
        let list = device.ask("<iq type='get' id='l1'><blocklist xmlns='urn:xmpp:blocking'/></iq>").await;
        assert!(list.child("blocklist").unwrap().children.is_empty(), "{list}");
    }
    for (command, items) in [
        ("block", "<item jid='a@localhost'/><item jid='b@localhost/x'/>"),
        ("unblock", "<item jid='a@localhost'/>"),
        ("unblock", ""),
    ] {
        let payload = format!("<{command} xmlns='urn:xmpp:blocking'>{items}</{command}>");
        phone.send(&format!("<iq type='set' id='b1'>{payload}</iq>")).await;
        let push = format!("<iq type='set' from='${{alice}}' id='*'>{payload}</iq>");
        phone.expect_all(&[&push, "<iq type='result' id='b1'/>"]).await;
        let pushed = laptop.expect(&push).await;
        assert_eq!(pushed.all("item").len(), items.matches("<item").count(), "{pushed}");
        let list = other.ask("<iq type='get' id='l2'><query xmlns='jabber:iq:private'><x xmlns='urn:example:x'/></query></iq>").await;
        assert_eq!(list.attr("type"), Some("result"), "only the answer came");
    }
    let list = other.ask("<iq type='get' id='l3'><blocklist xmlns='urn:xmpp:blocking'/></iq>").await;
    assert!(list.all("item").is_empty(), "{list}");
}

/// XEP-0191 §5, note: never between the devices of one user, whatever the list says.
pub(crate) async fn nobody_blocks_their_own_devices(world: &World) {
    let account = world.user("alice").await;
    let phone = account.device("phone").await;
    let laptop = account.quiet_device("laptop").await;
    laptop.send("<presence/>").await;
    laptop.expect_all(&["<presence from='${alice/laptop}'/>", "<presence from='${alice/phone}'/>"]).await;
    phone.expect("<presence from='${alice/laptop}'/>").await;
    change(&phone, "block", &["${alice}", "${alice/laptop}", "localhost"]).await;

    phone.send("<message to='${alice/laptop}' type='chat'><body>note</body></message>").await;
    laptop.expect("<message from='${alice/phone}'><body>note</body></message>").await;
    phone.send("<iq to='${alice/laptop}' type='get' id='i1'><query xmlns='jabber:iq:version'/></iq>").await;
    laptop.expect("<iq from='${alice/phone}' type='get' id='i1'/>").await;
    laptop.send("<presence><show>away</show></presence>").await;
    phone.expect("<presence from='${alice/laptop}'><show>away</show></presence>").await;
}

/// §6: an item of four kinds, each as far as it says.
pub(crate) async fn an_item_blocks_what_it_names(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let account = world.user("bob").await;
    let (desk, phone) = (account.quiet_device("desk").await, account.quiet_device("phone").await);
    for (item, from_desk, from_phone) in [
        ("${bob/desk}", false, true),
        ("${bob}", false, false),
        ("localhost", false, false),
        ("localhost/desk", true, true),
        ("elsewhere.example", true, true),
    ] {
        change(&alice, "block", &[item]).await;
        for (device, heard) in [(&desk, from_desk), (&phone, from_phone)] {
            device.send("<message to='${alice}' type='chat' id='m1'><body>hi</body></message>").await;
            match heard {
                true => drop(alice.expect(&format!("<message from='{}'/>", device.jid())).await),
                false => drop(
                    device.expect(&format!("<message type='error' id='m1'>{UNAVAILABLE}</message>")).await,
                ),
            }
        }
        change(&alice, "unblock", &[]).await;
    }
    desk.expect_silence().await;
    phone.expect_silence().await;
}

/// §3.3: what names nobody is refused, and nothing changes.
pub(crate) async fn bad_lists_are_refused(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    for (payload, condition) in [
        ("<block xmlns='urn:xmpp:blocking'/>", "bad-request"),
        ("<block xmlns='urn:xmpp:blocking'><item/></block>", "bad-request"),
        (
            "<block xmlns='urn:xmpp:blocking'><item jid='a@localhost'/><item jid='@'/></block>",
            "jid-malformed",
        ),
        ("<blocklist xmlns='urn:xmpp:blocking'/>", "bad-request"),
    ] {
        let answer = alice.ask(&format!("<iq type='set' id='b1'>{payload}</iq>")).await;
        assert!(answer.find(&["error", condition]).is_some(), "{payload}: {answer}");
    }
    let list = alice.ask("<iq type='get' id='l1'><blocklist xmlns='urn:xmpp:blocking'/></iq>").await;
    assert!(list.all("item").is_empty(), "{list}");
}

/// §3.3: nor does a request come that had waited when its sender was blocked.
pub(crate) async fn a_waiting_request_is_not_shown(world: &World) {
    let account = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send("<presence to='${alice}' type='subscribe'/>").await;
    bob.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    change(&account.quiet_device("phone").await, "block", &["${bob}"]).await;
    let blocking = account.device("laptop").await;
    blocking.expect_silence().await;
    change(&blocking, "unblock", &["${bob}"]).await;
    let after = account.quiet_device("tablet").await;
    after.send("<presence/>").await;
    after
        .expect_all(&[
            "<presence from='${alice/tablet}'/>",
            "<presence from='${alice/laptop}'/>",
            "<presence from='${bob}' type='subscribe'/>",
        ])
        .await;
}
