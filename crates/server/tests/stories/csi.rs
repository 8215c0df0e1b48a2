//! XEP-0352 Client State Indication.

use std::time::Duration;

use starling_testkit::{Device, Received, World};

use crate::sm;
use crate::subscription::befriend;

const INACTIVE: &str = "<inactive xmlns='urn:xmpp:csi:0'/>";
const ACTIVE: &str = "<active xmlns='urn:xmpp:csi:0'/>";
const COMPOSING: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
const PING: &str = "<iq type='get' id='synced'><ping xmlns='urn:xmpp:ping'/></iq>";

/// Alice's phone, which is inactive, and Bob, whom she sees.
async fn inactive<'a>(world: &'a World) -> (Device<'a>, Device<'a>) {
    let phone = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    befriend(&phone, &bob).await;
    // What the client asks for is answered at once: the answer says that the server has read what stood before it.
    phone.send(INACTIVE).await;
    phone.ask(PING).await;
    (phone, bob)
}

/// Everything that Bob has sent is on its way.
async fn settled(bob: &Device<'_>) {
    bob.ask(PING).await;
}

/// Nothing but a question what was received (XEP-0198 §4), which comes a second after the last stanza.
async fn nothing_comes(phone: &Device<'_>) {
    while let Some(received) = phone.poll(Duration::from_millis(400)).await {
        let is_asked = matches!(&received, Received::Element(tree, _) if (tree.name.as_str(), tree.ns.as_str()) == ("r", "urn:xmpp:sm:3"));
        assert!(is_asked, "{received:?}");
    }
}

/// §3: presence and chat states wait while nobody looks.
pub(crate) async fn an_inactive_client_is_spared(world: &World) {
    let (phone, bob) = inactive(world).await;
    for away in ["away", "xa", "dnd"] {
        bob.send(&format!("<presence><show>{away}</show></presence>")).await;
        bob.expect("<presence from='${bob/desk}'/>").await;
        bob.send(&format!("<message to='${{alice}}' type='chat' id='{away}'>{COMPOSING}</message>")).await;
    }
    settled(&bob).await;
    nothing_comes(&phone).await;

    phone.send(ACTIVE).await;

    // Three presences of one device have become the newest; order holds among what is left.
    phone.expect("<message id='away'/>").await;
    phone.expect("<message id='xa'/>").await;
    phone.expect("<presence from='${bob/desk}'><show>dnd</show></presence>").await;
    phone.expect("<message id='dnd'/>").await;
    phone.expect_silence().await;
}

/// RFC 6120 §10.1: what waited comes before what wakes.
pub(crate) async fn order_holds_when_it_wakes(world: &World) {
    let (phone, bob) = inactive(world).await;
    bob.send(&format!("<message to='${{alice}}' type='chat'>{COMPOSING}</message>")).await;
    bob.send("<presence><show>away</show></presence>").await;
    bob.expect("<presence from='${bob/desk}'/>").await;
    settled(&bob).await;
    nothing_comes(&phone).await;

    bob.send("<message to='${alice}' type='chat'><body>wake up</body></message>").await;

    phone.expect("<message><composing xmlns='http://jabber.org/protocol/chatstates'/></message>").await;
    phone.expect("<presence from='${bob/desk}'><show>away</show></presence>").await;
    phone.expect("<message><body>wake up</body></message>").await;
    bob.send(&format!("<message to='${{alice}}' type='chat'>{COMPOSING}</message>")).await;
    settled(&bob).await;
    nothing_comes(&phone).await;
}

/// §5: `<active/>` has its effect before the next request is answered.
pub(crate) async fn waking_comes_before_the_next_answer(world: &World) {
    let (phone, bob) = inactive(world).await;
    bob.send(&format!("<message to='${{alice}}' type='chat'>{COMPOSING}</message>")).await;
    settled(&bob).await;
    nothing_comes(&phone).await;

    phone.send(&format!("{ACTIVE}<iq type='get' id='pong'><ping xmlns='urn:xmpp:ping'/></iq>")).await;

    phone.expect("<message><composing xmlns='http://jabber.org/protocol/chatstates'/></message>").await;
    phone.expect("<iq type='result' id='pong'/>").await;
}

/// What a person is to see goes out at once, whoever looks.
pub(crate) async fn what_is_urgent_goes_out_at_once(world: &World) {
    let (phone, bob) = inactive(world).await;
    for content in [
        "<body>text</body>",
        "<subject>plans</subject>",
        "<encrypted xmlns='eu.siacs.conversations.axolotl'><payload>AA==</payload></encrypted>",
        "<encrypted xmlns='urn:xmpp:omemo:2'/>",
        "<propose xmlns='urn:xmpp:jingle-message:0' id='call'/>",
        "<x xmlns='jabber:x:conference' jid='room@rooms.example.org'/>",
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='${bob}'/></x>",
    ] {
        bob.send(&format!("<message to='${{alice}}' type='chat'>{content}</message>")).await;
        phone.expect(&format!("<message from='${{bob/desk}}'>{content}</message>")).await;
    }
    for content in [
        "<received xmlns='urn:xmpp:receipts' id='1'/>",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
        "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
    ] {
        bob.send(&format!("<message to='${{alice}}' type='chat'>{content}</message>")).await;
    }
    settled(&bob).await;
    nothing_comes(&phone).await;
}

/// A device that looks is not kept waiting by one that does not.
pub(crate) async fn each_device_for_itself(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let laptop = alice.device("laptop").await;
    phone.expect("<presence from='${alice/laptop}'/>").await;
    laptop.expect("<presence from='${alice/phone}'/>").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    phone.send(INACTIVE).await;
    phone.ask(PING).await;
    bob.send(&format!("<message to='${{alice}}' type='chat'>{COMPOSING}</message>")).await;
    laptop.expect("<message><composing xmlns='http://jabber.org/protocol/chatstates'/></message>").await;
    nothing_comes(&phone).await;
}

/// §5: a resumed stream begins active, and gets what waited.
pub(crate) async fn a_resumed_stream_is_active(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    let id = sm::enable(&phone).await;
    phone.send(INACTIVE).await;
    phone.ask(PING).await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send(&format!("<message to='${{alice/phone}}' type='chat' id='waited'>{COMPOSING}</message>")).await;
    settled(&bob).await;
    nothing_comes(&phone).await;
    phone.cut();

    let (mut connection, resumed) = sm::resume(world, &alice, &id, 1).await;
    assert_eq!(resumed.name, "resumed", "{resumed}");
    let waited = connection.next(Duration::from_secs(15)).await.unwrap();
    assert!(matches!(&waited, Received::Element(tree, _) if tree.attr("id") == Some("waited")), "{waited:?}");
}

/// More than the server holds back for one client: it goes out early, in order, and none is lost.
pub(crate) async fn much_that_waits_goes_out(world: &World) {
    let (phone, bob) = inactive(world).await;
    for n in 0..150 {
        bob.send(&format!("<message to='${{alice}}' type='chat' id='{n}'>{COMPOSING}</message>")).await;
    }
    settled(&bob).await;
    phone.send(ACTIVE).await;
    for n in 0..150 {
        phone.expect(&format!("<message id='{n}'/>")).await;
    }
    phone.expect_silence().await;
}
