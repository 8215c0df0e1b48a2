//! RFC 6121 §4: who is there.

use std::time::{Duration, Instant};

use starling_testkit::World;

use super::subscription::befriend;
use super::subscription_states::settle;

/// §4.2, §4.4, §4.5.
pub(crate) async fn contacts_see_one_another_come_and_go(world: &World) {
    let alice_account = world.user("alice").await;
    let alice = alice_account.quiet_device("phone").await;
    let bob_account = world.user("bob").await;
    let bob = bob_account.device("desk").await;
    befriend(&alice, &bob).await;

    alice.send("<presence><show>away</show><status>lunch</status></presence>").await;
    bob.expect(
        "<presence from='${alice/phone}' to='${bob}'><show>away</show><status>lunch</status></presence>",
    )
    .await;
    alice.expect_all(&["<presence from='${alice/phone}'/>", "<presence from='${bob/desk}'/>"]).await;

    alice.send("<presence type='unavailable'><status>bye</status></presence>").await;
    bob.expect("<presence from='${alice/phone}' type='unavailable'><status>bye</status></presence>").await;
    // §4.5.2: and to all of her own, the one that goes too.
    alice
        .expect("<presence from='${alice/phone}' to='${alice}' type='unavailable'><status>bye</status></presence>")
        .await;
    alice.send("<presence type='unavailable'/>").await;
    alice.expect_silence().await; // it had gone already
}

/// §4.5.2: the server speaks for who can no longer.
pub(crate) async fn a_lost_socket_is_unavailable(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    befriend(&alice, &bob).await;
    alice.send("<presence/>").await;
    bob.expect("<presence from='${alice/phone}'/>").await;

    alice.cut(); // no resumption was asked for

    bob.expect("<presence from='${alice/phone}' type='unavailable'/>").await;
    bob.expect_silence().await;
}

/// §4.6.3: whom directed presence was sent to hears the end of it.
pub(crate) async fn directed_presence_is_withdrawn(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    alice.send("<presence to='${bob/desk}'><status>hi</status></presence>").await;
    bob.expect("<presence from='${alice/phone}' to='${bob/desk}'><status>hi</status></presence>").await;

    alice.close().await;

    bob.expect("<presence from='${alice/phone}' type='unavailable'/>").await;
}

/// §4.3.2: presence is for who may see it.
pub(crate) async fn a_probe_is_answered_for_contacts_only(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    bob.send("<presence to='${alice}' type='probe'/>").await;
    bob.expect_silence().await; // the answer, `unsubscribed`, is ignored at his own account (A.3.4)
    befriend(&alice, &bob).await;

    bob.send("<presence to='${alice}' type='probe'/>").await;

    bob.expect("<presence from='${alice/phone}' type='!'/>").await;
}

/// §4.2.2, §4.3: a device that comes sees who is there, and is seen by all of their devices, under their bare address.
pub(crate) async fn a_newcomer_sees_and_is_seen(world: &World) {
    let alice_account = world.user("alice").await;
    let alice = alice_account.device("phone").await;
    let bob_account = world.user("bob").await;
    let bob = bob_account.device("desk").await;
    befriend(&alice, &bob).await;
    bob.send("<presence><show>dnd</show><priority>-3</priority></presence>").await;
    bob.expect("<presence from='${bob/desk}'/>").await;
    alice.expect("<presence from='${bob/desk}'><show>dnd</show></presence>").await;
    let silent = bob_account.quiet_device("silent").await;

    let laptop = alice_account.quiet_device("laptop").await;
    laptop.send("<presence><status>new</status></presence>").await;

    laptop
        .expect_all(&[
            "<presence from='${alice/laptop}' to='${alice}'/>",
            "<presence from='${alice/phone}' to='${alice}'/>",
            "<presence from='${bob/desk}' to='${alice}'><show>dnd</show><priority>-3</priority></presence>",
        ])
        .await;
    alice.expect("<presence from='${alice/laptop}' to='${alice}'><status>new</status></presence>").await;
    bob.expect("<presence from='${alice/laptop}' to='${bob}'><status>new</status></presence>").await;
    laptop.send("<presence><status>again</status></presence>").await;
    laptop.expect("<presence from='${alice/laptop}'><status>again</status></presence>").await;
    laptop.expect_silence().await; // §4.4.2: only the first presence asks who is there
    silent.expect_silence().await;
}

/// §4.6.3, §8.5.2.1.2: to an account it reaches all that are there, and says to whom it was sent.
pub(crate) async fn directed_presence_keeps_its_address(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let account = world.user("bob").await;
    let desk = account.device("desk").await;
    let phone = account.quiet_device("phone").await;
    phone.send("<presence><priority>-1</priority></presence>").await;
    phone.expect_all(&["<presence from='${bob/phone}'/>", "<presence from='${bob/desk}'/>"]).await;
    desk.expect("<presence from='${bob/phone}'/>").await;
    let quiet = account.quiet_device("quiet").await;

    alice.send("<presence to='${bob}'><status>hi</status></presence>").await;

    for device in [&desk, &phone] {
        device.expect("<presence from='${alice/phone}' to='${bob}'><status>hi</status></presence>").await;
        device.expect_silence().await;
    }
    quiet.expect_silence().await;
    alice.send("<presence to='${bob}' type='unavailable'/>").await;
    for device in [&desk, &phone] {
        device.expect("<presence from='${alice/phone}' to='${bob}' type='unavailable'/>").await;
    }
    alice.close().await;
    desk.expect_silence().await; // it was told already
    phone.expect_silence().await;
}

/// §4.5.2, §4.6.3: what a client says when it goes reaches contacts and the others, each once; then nothing comes to it.
pub(crate) async fn who_goes_is_left_in_peace(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    let carol = world.user("carol").await.device("desk").await;
    befriend(&alice, &bob).await;
    alice.send("<presence to='${carol/desk}'/>").await;
    carol.expect("<presence from='${alice/phone}'/>").await;

    alice.send("<presence type='unavailable'><status>bye</status></presence>").await;

    for device in [&bob, &carol] {
        device
            .expect("<presence from='${alice/phone}' type='unavailable'><status>bye</status></presence>")
            .await;
        device.expect_silence().await;
    }
    alice.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    bob.send("<presence><show>away</show></presence>").await;
    bob.expect("<presence from='${bob/desk}'/>").await;
    alice.expect_silence().await;
    // §4.3.2, rule 3, §4.3.2.1: from the account, under the id of the question, and since when.
    for _ in 0..100 {
        bob.send("<presence to='${alice}' type='probe' id='p7'/>").await;
        let answer = bob.expect("<presence from='${alice}' type='unavailable' id='p7'/>").await;
        if let Some(delay) = answer.child("delay") {
            assert!(delay.attr("stamp").is_some_and(|stamp| stamp.ends_with('Z')), "{answer}");
            return;
        }
        // That is told a little later (`ports::last_activity`).
        assert_eq!(bob.poll(Duration::from_millis(50)).await, None);
    }
    panic!("nobody is told when she went");
}

/// §4.3.2: who asks for one device hears of that one only, and only whether it is there.
pub(crate) async fn a_probe_of_a_device_tells_only_whether_it_is_there(world: &World) {
    let account = world.user("alice").await;
    let phone = account.device("phone").await;
    let laptop = account.quiet_device("laptop").await;
    let bob = world.user("bob").await.device("desk").await;
    befriend(&phone, &bob).await;
    phone.send("<presence id='a1'><show>away</show><status>lunch</status></presence>").await;
    phone.expect("<presence from='${alice/phone}'/>").await;
    bob.expect("<presence from='${alice/phone}'/>").await;
    for (resource, kind) in [("phone", "!"), ("laptop", "unavailable"), ("gone", "unavailable")] {
        bob.send(&format!("<presence to='${{alice}}/{resource}' type='probe' id='p1'/>")).await;
        let answer = bob
            .expect(&format!("<presence from='${{alice}}/{resource}' to='${{bob}}' type='{kind}' id='p1'/>"))
            .await;
        assert!(answer.children.is_empty(), "{answer}");
    }
    bob.expect_silence().await;
    laptop.expect_silence().await;
}

/// §4.6.6: who was sent directed presence may ask whether that device is still there, and learns nothing else.
pub(crate) async fn directed_presence_may_be_asked_for_again(world: &World) {
    let account = world.user("alice").await;
    let phone = account.quiet_device("phone").await;
    let other = account.device("other").await;
    let bob = world.user("bob").await.device("desk").await;
    let mallory = world.user("mallory").await.device("desk").await;
    let probe = "<presence to='${alice/phone}' type='probe' id='p1'/><presence to='${alice}' type='probe'/>\
                 <presence to='${alice/other}' type='probe'/>";
    phone.send("<presence to='${bob/desk}'><show>dnd</show></presence>").await;
    bob.expect("<presence from='${alice/phone}'><show>dnd</show></presence>").await;

    for device in [&bob, &mallory] {
        device.send(probe).await;
    }

    let answer = bob.expect("<presence from='${alice/phone}' to='${bob}' type='!' id='p1'/>").await;
    assert!(answer.children.is_empty(), "{answer}");
    bob.expect_silence().await;
    mallory.expect_silence().await;
    phone.send("<presence to='${bob/desk}' type='unavailable'/>").await;
    bob.expect("<presence from='${alice/phone}' type='unavailable'/>").await;
    bob.send(probe).await;
    bob.expect_silence().await;
    other.expect_silence().await;
}

/// Session-log rule 22: whoever comes while somebody else changes sees in the end what that one has become, not what it was.
pub(crate) async fn who_comes_meanwhile_sees_the_latest(world: &World) {
    let account = world.user("alice").await;
    let alice = account.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    let mut contacts = Vec::new(); // so that it takes a while to look at all of them; alice is the first
    for _ in 0..20 {
        let contact = world.user("contact").await.device("desk").await;
        contact.send("<presence to='${bob}' type='subscribed'/>").await;
        settle(&contact).await;
        bob.send(&format!("<presence to='{}' type='subscribe'/>", contact.jid())).await;
        contacts.push(contact);
    }
    befriend(&alice, &bob).await;
    let begun = Instant::now();
    for round in 0..100 {
        if round >= 20 && begun.elapsed() > Duration::from_secs(20) {
            return; // a busy machine mixes them well
        }
        let statuses: String =
            (0..6).map(|n| format!("<presence><status>{round}-{n}</status></presence>")).collect();
        let comings = "<presence type='unavailable'/><presence/>".repeat(3);
        tokio::join!(alice.send(&statuses), bob.send(&comings));
        settle(&alice).await; // it has told everybody
        let last = settle(&bob).await.into_iter().rfind(|one| one.attr("from") == Some(alice.jid()));
        let status = last.as_ref().and_then(|one| one.child("status")).map(|status| status.text.as_str());
        assert_eq!(status, Some(format!("{round}-5").as_str()), "{last:?}");
    }
}

/// §11, §4.3.2: who only waits for an answer, who was refused, and who merely has the user in the roster see nothing.
pub(crate) async fn presence_is_not_leaked(world: &World) {
    let account = world.user("alice").await;
    let alice = account.device("phone").await;
    let (asks, refused, lists) = (
        world.user("asks").await.device("desk").await,
        world.user("refused").await.device("desk").await,
        world.user("lists").await.device("desk").await,
    );
    asks.send("<presence to='${alice}' type='subscribe'/>").await;
    alice.expect("<presence from='${asks}' type='subscribe'/>").await;
    refused.send("<presence to='${alice}' type='subscribe'/>").await;
    alice.expect("<presence from='${refused}' type='subscribe'/>").await;
    alice.send("<presence to='${refused}' type='unsubscribed'/>").await;
    lists.ask("<iq type='set' id='s1'><query xmlns='jabber:iq:roster'><item jid='${alice}' subscription='both'/></query></iq>").await;

    alice.send("<presence><status>secret</status></presence>").await;
    alice.expect("<presence from='${alice/phone}'/>").await;
    for device in [&asks, &refused, &lists] {
        device.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
        device
            .send("<presence to='${alice}' type='probe'/><presence to='${alice/phone}' type='probe'/>")
            .await;
        device.send("<presence><show>chat</show></presence>").await;
        device.expect("<presence from='*' to='*'><show>chat</show></presence>").await;
        device.expect_silence().await;
    }
    alice.expect_silence().await;
}

/// §8.5.1, §3.1.3: who does not exist answers nothing; a request to oneself or to a domain means nothing.
pub(crate) async fn presence_to_nobody_is_dropped(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    for kind in ["", "type='unavailable'", "type='unsubscribe'", "type='unsubscribed'", "type='probe'"] {
        alice
            .send(&format!("<presence to='nobody@localhost' {kind}/><presence to='localhost' {kind}/>"))
            .await;
    }
    alice.send("<presence to='${alice}' type='subscribe'/><presence to='localhost' type='subscribe'/>").await;
    alice.expect_silence().await;
    let roster = alice.ask("<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>").await;
    assert!(roster.all("item").is_empty(), "{roster}");
    alice.send("<presence type='strange' id='p1'/>").await;
    alice.expect("<presence type='error' id='p1'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>").await;
}

/// §4.6.3: a contact to whom alone somebody was there hears the end of it too; nobody hears it twice.
pub(crate) async fn directed_presence_to_a_contact_ends_once(world: &World) {
    let account = world.user("alice").await;
    let bob = world.user("bob").await.device("desk").await;
    let phone = account.quiet_device("phone").await;
    befriend(&phone, &bob).await;
    for to_all in [false, true] {
        let device = account.quiet_device("watch").await;
        device.send("<presence to='${bob}'><status>for you</status></presence>").await;
        bob.expect("<presence from='${alice/watch}' to='${bob}'><status>for you</status></presence>").await;
        if to_all {
            device.send("<presence/>").await;
            bob.expect("<presence from='${alice/watch}' to='${bob}' type='!'/>").await;
            device.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
            device.send("<presence type='unavailable'/>").await;
        } else {
            device.cut();
        }
        bob.expect("<presence from='${alice/watch}' to='${bob}' type='unavailable'/>").await;
        bob.expect_silence().await;
    }
}
