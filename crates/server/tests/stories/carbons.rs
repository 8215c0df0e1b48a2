//! XEP-0280 Message Carbons.

use starling_testkit::{Connection, World};

/// §7: both of Alice's devices see what Bob wrote to one of them.
pub(crate) async fn carbons_reach_the_other_device(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let laptop = alice.quiet_device("laptop").await;
    laptop.enable_carbons().await;
    let bob = world.user("bob").await.device("desk").await;

    bob.send("<message to='${alice/phone}' type='chat'><body>hello</body></message>").await;

    phone
        .expect("<message from='${bob/desk}' to='${alice/phone}' type='chat'><body>hello</body></message>")
        .await;
    laptop
        .expect("<message from='${alice}' to='${alice/laptop}'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='${bob/desk}' to='${alice/phone}' type='chat'><body>hello</body></message></forwarded></received></message>")
        .await;
    bob.expect_silence().await;
    phone.expect_silence().await;
}

/// §8: and what Alice wrote on one of them.
pub(crate) async fn sent_messages_are_copied(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    let laptop = alice.quiet_device("laptop").await;
    phone.enable_carbons().await;
    laptop.enable_carbons().await;
    let bob = world.user("bob").await.device("desk").await;

    phone.send("<message to='${bob}' type='chat' id='m1'><body>hi</body></message>").await;

    bob.expect("<message from='${alice/phone}' type='chat'><body>hi</body></message>").await;
    laptop
        .expect("<message from='${alice}'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='${alice/phone}' to='${bob}' id='m1'><body>hi</body></message></forwarded></sent></message>")
        .await;
    phone.expect_silence().await;
}

/// §10.1: `<private/>` keeps it from being copied; XEP-0334's `<no-copy/>` goes with it.
pub(crate) async fn a_private_message_is_not_copied(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let laptop = alice.quiet_device("laptop").await;
    laptop.enable_carbons().await;
    let bob = world.user("bob").await.device("desk").await;

    bob.send("<message to='${alice/phone}' type='chat'><body>psst</body><private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/></message>").await;

    phone.expect("<message><body>psst</body></message>").await;
    laptop.expect_silence().await;
}

/// §11: a wrapper that somebody else sends keeps their address, so that a client can tell it from the server's.
pub(crate) async fn a_carbon_is_never_forged(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let mallory = world.user("mallory").await.device("desk").await;

    mallory
        .send("<message to='${alice}' type='chat'><body>x</body><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='bank@localhost'><body>pay</body></message></forwarded></received></message>")
        .await;

    phone.expect("<message from='${mallory/desk}'/>").await;
}

/// §11 and CVE-2017-5589: whatever wrapper somebody sends, its `from` is theirs; and it is not copied once more.
pub(crate) async fn wrappers_of_others_are_theirs(world: &World) {
    let account = world.user("alice").await;
    let phone = account.device("phone").await;
    let laptop = account.quiet_device("laptop").await;
    laptop.enable_carbons().await;
    let mallory = world.user("mallory").await.device("desk").await;
    let inner = "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='bank@localhost' to='${alice}' type='chat'><body>pay</body></message></forwarded>";
    for wrapper in [
        format!("<received xmlns='urn:xmpp:carbons:2'>{inner}</received>"),
        format!("<sent xmlns='urn:xmpp:carbons:2'>{inner}</sent>"),
        format!("<result xmlns='urn:xmpp:mam:2' id='1' queryid='q'>{inner}</result>"),
    ] {
        mallory.send(&format!("<message to='${{alice/phone}}'>{wrapper}</message>")).await;
        phone.expect("<message from='${mallory/desk}' to='${alice/phone}'/>").await;
        laptop.expect_silence().await;
    }
}

/// §10.1, §9: the switch may be thrown as often as one likes, and holds over a resumption.
pub(crate) async fn the_switch_is_remembered(world: &World) {
    let account = world.user("alice").await;
    let phone = account.device("phone").await;
    let laptop = account.quiet_device("laptop").await;
    for (name, copies) in [("enable", 1), ("enable", 1), ("disable", 0), ("disable", 0), ("enable", 1)] {
        let answer =
            laptop.ask(&format!("<iq type='set' id='c1'><{name} xmlns='urn:xmpp:carbons:2'/></iq>")).await;
        assert_eq!(answer.attr("type"), Some("result"), "{name}: {answer}");
        phone.send("<message to='nobody@localhost' type='headline'><body>x</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>").await;
        phone.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
        phone.send("<message to='${alice/phone}' type='chat'><body>note</body></message>").await;
        phone.expect("<message><body>note</body></message>").await;
        for _ in 0..copies {
            laptop.expect("<message from='${alice}'><received xmlns='urn:xmpp:carbons:2'/></message>").await;
        }
        laptop.expect_silence().await;
    }
    laptop.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    let (enabled, _) = laptop.next().await;
    let previous = enabled.attr("id").unwrap().to_owned();
    laptop.cut();
    let mut connection = Connection::open(world.server().await.plain()).await.unwrap();
    connection.login("localhost", account.jid().split('@').next().unwrap(), "secret").await.unwrap();
    connection.write(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{previous}' h='0'/>")).await.unwrap();
    connection.element("resumed").await.unwrap();
    phone.send("<message to='${alice/phone}' type='chat'><body>note</body></message>").await;
    let copy = connection.element("message").await.unwrap();
    assert!(copy.child("received").is_some(), "{copy}");
}

/// §7, note: an error that a copy meets is nobody's concern, and a request to enable that is no set is refused.
pub(crate) async fn a_copy_is_not_answered(world: &World) {
    let account = world.user("alice").await;
    let phone = account.device("phone").await;
    let laptop = account.quiet_device("laptop").await;
    laptop.enable_carbons().await;
    let bob = world.user("bob").await.device("desk").await;
    bob.send("<message to='${alice/phone}' type='chat'><body>hi</body></message>").await;
    phone.expect("<message from='${bob/desk}'/>").await;
    laptop.expect("<message from='${alice}'/>").await;
    laptop.send("<message to='${alice}' type='error'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>").await;
    laptop.expect_silence().await;
    bob.expect_silence().await;
    phone.expect_silence().await;
    let asked = laptop.ask("<iq type='get' id='c1'><enable xmlns='urn:xmpp:carbons:2'/></iq>").await;
    assert!(asked.find(&["error", "bad-request"]).is_some(), "{asked}");
}
