//! RFC 6121 §3: subscriptions, as both sides see them.

use starling_testkit::{Device, World};

/// Both see one another, from now on. Whatever is on the way at the end is read.
pub(crate) async fn befriend(alice: &Device<'_>, bob: &Device<'_>) {
    let bare = |jid: &str| jid.split('/').next().unwrap_or_default().to_owned();
    for (one, other) in [(alice, bob), (bob, alice)] {
        one.send(&format!("<presence to='{}' type='subscribe'/>", bare(other.jid()))).await;
        one.ask_past("<iq type='get' id='sync1'><ping xmlns='urn:xmpp:ping'/></iq>").await;
        other.send(&format!("<presence to='{}' type='subscribed'/>", bare(one.jid()))).await;
        other.ask_past("<iq type='get' id='sync2'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    }
    for device in [alice, bob, alice] {
        device.ask_past("<iq type='get' id='sync3'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    }
    while alice.poll(std::time::Duration::from_millis(200)).await.is_some() {}
    while bob.poll(std::time::Duration::from_millis(200)).await.is_some() {}
}

const EMPTY: &str = "<iq type='result' id='r1'><query xmlns='jabber:iq:roster'/></iq>";

/// A device that gets roster pushes.
async fn interested<'a>(world: &'a World, name: &str) -> Device<'a> {
    let device = world.user(name).await.device("phone").await;
    device.send("<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>").await;
    device.expect(EMPTY).await;
    device
}

/// §3.1.
pub(crate) async fn asking_and_approving(world: &World) {
    let alice = interested(world, "alice").await;
    let bob = interested(world, "bob").await;

    alice.send("<presence to='${bob}' type='subscribe' id='s1'/>").await;
    alice.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' subscription='none' ask='subscribe'/></query></iq>").await;
    bob.expect("<presence from='${alice}' to='${bob}' type='subscribe'/>").await;

    bob.send("<presence to='${alice}' type='subscribed'/>").await;
    bob.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${alice}' subscription='from'/></query></iq>").await;
    alice.expect_all(&[
        "<presence from='${bob}' type='subscribed'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' subscription='to' ask='!'/></query></iq>",
        "<presence from='${bob/phone}' type='!'/>",
    ])
    .await;

    bob.send("<presence to='${alice}' type='subscribe'/>").await;
    bob.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${alice}' subscription='from' ask='subscribe'/></query></iq>").await;
    alice.expect("<presence from='${bob}' type='subscribe'/>").await;
    alice.send("<presence to='${bob}' type='subscribed'/>").await;
    alice.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' subscription='both'/></query></iq>").await;
    bob.expect_all(&[
        "<presence from='${alice}' type='subscribed'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${alice}' subscription='both' ask='!'/></query></iq>",
        "<presence from='${alice/phone}' type='!'/>",
    ])
    .await;
}

/// §3.2.
pub(crate) async fn refusing(world: &World) {
    let alice = interested(world, "alice").await;
    let bob = interested(world, "bob").await;
    alice.send("<presence to='${bob}' type='subscribe'/>").await;
    alice.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' ask='subscribe'/></query></iq>").await;
    bob.expect("<presence from='${alice}' type='subscribe'/>").await;

    bob.send("<presence to='${alice}' type='unsubscribed'/>").await;

    alice.expect_all(&[
        "<presence from='${bob}' type='unsubscribed'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' subscription='none' ask='!'/></query></iq>",
    ])
    .await;
    bob.expect_silence().await;
    alice.expect_silence().await;
}

/// §3.2: who may see may be told no longer.
pub(crate) async fn cancelling(world: &World) {
    let alice = interested(world, "alice").await;
    let bob = interested(world, "bob").await;
    befriend(&alice, &bob).await;

    bob.send("<presence to='${alice}' type='unsubscribed'/>").await;

    bob.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${alice}' subscription='to'/></query></iq>").await;
    // §3.2.2: first what it may still see, §3.2.3: and why before what.
    alice.expect("<presence from='${bob/phone}' type='unavailable'/>").await;
    alice.expect("<presence from='${bob}' type='unsubscribed'/>").await;
    alice.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' subscription='from'/></query></iq>").await;
}

/// §3.3.
pub(crate) async fn unsubscribing(world: &World) {
    let alice = interested(world, "alice").await;
    let bob = interested(world, "bob").await;
    befriend(&alice, &bob).await;

    alice.send("<presence to='${bob}' type='unsubscribe'/>").await;

    alice.expect_all(&[
        "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' subscription='from'/></query></iq>",
        "<presence from='${bob/phone}' type='unavailable'/>",
    ])
    .await;
    bob.expect_all(&[
        "<presence from='${alice}' type='unsubscribe'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${alice}' subscription='to'/></query></iq>",
    ])
    .await;
}

/// §3.1.3: who is not there is asked when they come.
pub(crate) async fn a_request_waits_for_the_next_login(world: &World) {
    let alice = interested(world, "alice").await;
    let bob = world.user("bob").await;
    alice.send("<presence to='${bob}' type='subscribe'><status>it is me</status></presence>").await;
    alice.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' ask='subscribe'/></query></iq>").await;

    let phone = bob.device("phone").await;
    phone.expect("<presence from='${alice}' type='subscribe'><status>it is me</status></presence>").await;
}

/// §3.4.
pub(crate) async fn approval_in_advance(world: &World) {
    let alice = interested(world, "alice").await;
    let bob = interested(world, "bob").await;

    bob.send("<presence to='${alice}' type='subscribed'/>").await;
    bob.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${alice}' subscription='none' approved='true'/></query></iq>").await;
    alice.expect_silence().await;

    alice.send("<presence to='${bob}' type='subscribe'/>").await;
    alice.expect_all(&[
        "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' subscription='none' ask='subscribe'/></query></iq>",
        "<presence from='${bob}' type='subscribed'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' subscription='to'/></query></iq>",
        "<presence from='${bob/phone}' type='!'/>",
    ])
    .await;
    bob.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${alice}' subscription='from'/></query></iq>").await;
    bob.expect_silence().await;
}

/// §3.1.3: a request that is repeated, or sent by several devices, is shown once.
pub(crate) async fn a_repeated_request_is_shown_once(world: &World) {
    let account = world.user("mallory").await;
    let (desk, phone) = (account.quiet_device("desk").await, account.quiet_device("phone").await);
    let bob = interested(world, "bob").await;
    for _ in 0..20 {
        for device in [&desk, &phone] {
            device.send("<presence to='${bob}' type='subscribe'/>").await;
        }
    }
    for device in [&desk, &phone] {
        device.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    }
    bob.expect("<presence from='${mallory}' type='subscribe'/>").await;
    bob.expect_silence().await;
}

/// §3.1.3, A.3.1: a request stands until it is answered. Every session that comes gets it, once; sent again, it is not shown again to
/// whom it waits for.
pub(crate) async fn a_request_stands_until_it_is_answered(world: &World) {
    let alice = interested(world, "alice").await;
    let account = world.user("bob").await;
    let phone = account.device("phone").await;
    let asks = async || {
        alice.send("<presence to='${bob}' type='subscribe'/>").await;
        alice.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    };
    let asked = "<presence from='${alice}' to='${bob}' type='subscribe'/>";
    asks().await;
    phone.expect(asked).await;
    asks().await;
    phone.expect_silence().await;
    phone.close().await;
    asks().await; // nobody is there: one request is kept

    let phone = account.device("phone").await;
    phone.expect(asked).await;
    let desk = account.quiet_device("desk").await;
    desk.send("<presence/>").await;
    desk.expect_all(&["<presence from='${bob/desk}'/>", "<presence from='${bob/phone}'/>", asked]).await;
    asks().await;
    desk.expect_silence().await;

    desk.send("<presence to='${alice}' type='subscribed'/>").await;
    alice.expect("<presence from='${bob}' type='subscribed'/>").await;
    let late = account.device("late").await;
    let came = late.so_far().await;
    assert!(came.iter().all(|stanza| stanza.attr("type") != Some("subscribe")), "{came:?}");
}

/// A.2.1: a request that is sent again is routed again, and so reaches a contact who has not got the first.
pub(crate) async fn a_repeated_request_reaches_who_has_not_got_it(world: &World) {
    let alice = interested(world, "alice").await;
    let bob = interested(world, "bob").await;
    for (command, comes) in [("block", false), ("unblock", true)] {
        let changed = bob.ask(&format!("<iq type='set' id='b1'><{command} xmlns='urn:xmpp:blocking'><item jid='${{alice}}'/></{command}></iq>")).await;
        assert_eq!(changed.attr("type"), Some("result"), "{changed}");
        alice.send("<presence to='${bob}' type='subscribe'/>").await;
        alice.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
        if comes {
            bob.expect("<presence from='${alice}' to='${bob}' type='subscribe'/>").await;
        }
        bob.expect_silence().await;
    }
}

/// §3.1.2: a subscription is between accounts: resources are taken off both addresses.
pub(crate) async fn a_subscription_is_between_accounts(world: &World) {
    let alice = interested(world, "alice").await;
    let bob = interested(world, "bob").await;
    alice.send("<presence to='${bob/phone}' type='subscribe' id='s1'/>").await;
    alice.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' ask='subscribe'/></query></iq>").await;
    bob.expect("<presence from='${alice}' to='${bob}' type='subscribe'/>").await;
    bob.send("<presence to='${alice/phone}' type='subscribed'/>").await;
    alice.expect("<presence from='${bob}' to='${alice}' type='subscribed'/>").await;
}

/// §4.3.2: rosters that have come to differ, here because a block kept one from hearing, agree again at the next login.
pub(crate) async fn rosters_that_differ_agree_again(world: &World) {
    let account = world.user("alice").await;
    let alice = account.device("phone").await;
    let bob = interested(world, "bob").await;
    part_unheard(&alice, &bob).await;
    let laptop = account.quiet_device("laptop").await;
    let before = laptop.ask("<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>").await;
    assert_eq!(before.find(&["query", "item"]).unwrap().attr("subscription"), Some("both"), "{before}");

    laptop.send("<presence/>").await;

    laptop
        .expect_all(&[
            "<presence from='${alice/laptop}'/>",
            "<presence from='${bob}' type='unsubscribed'/>",
            "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' subscription='from'/></query></iq>",
            "<presence from='${alice/phone}'/>",
        ])
        .await;
    laptop.expect_silence().await;
}

/// §4.3.2, rule 1: a probe of who believes to be subscribed is answered by `unsubscribed`, and the rosters agree again.
pub(crate) async fn a_probe_mends_a_roster(world: &World) {
    let alice = interested(world, "alice").await;
    let bob = interested(world, "bob").await;
    part_unheard(&alice, &bob).await;

    alice.send("<presence to='${bob}' type='probe'/>").await;

    alice.expect("<presence from='${bob}' to='${alice}' type='unsubscribed'/>").await;
    alice.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='${bob}' subscription='from'/></query></iq>").await;
    alice.send("<presence to='${bob}' type='probe'/>").await;
    alice.expect_silence().await;
    bob.expect_silence().await;
}

/// Bob ends Alice's subscription, and she does not hear of it.
async fn part_unheard(alice: &Device<'_>, bob: &Device<'_>) {
    befriend(alice, bob).await;
    for (command, ends) in [("block", true), ("unblock", false)] {
        let changed = alice.ask(&format!("<iq type='set' id='b1'><{command} xmlns='urn:xmpp:blocking'><item jid='${{bob}}'/></{command}></iq>")).await;
        assert_eq!(changed.attr("type"), Some("result"), "{changed}");
        if ends {
            bob.send("<presence to='${alice}' type='unsubscribed'/>").await;
            bob.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
        }
    }
    for device in [alice, bob] {
        device.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    }
}
