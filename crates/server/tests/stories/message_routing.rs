//! RFC 6121 §8.5: where a message goes.

use starling_testkit::World;

/// §8.5.2.1.1: a chat message to the account reaches every device with a non-negative priority.
pub(crate) async fn a_bare_jid_reaches_all_who_are_there(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let laptop = alice.quiet_device("laptop").await;
    laptop.send("<presence><priority>5</priority></presence>").await;
    laptop.expect_all(&["<presence from='${alice/laptop}'/>", "<presence from='${alice/phone}'/>"]).await;
    phone.expect("<presence from='${alice/laptop}'/>").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    for kind in ["chat", "normal"] {
        bob.send(&format!("<message to='${{alice}}' type='{kind}'><body>to all</body></message>")).await;
        phone.expect("<message from='${bob/desk}' to='${alice}'><body>to all</body></message>").await;
        laptop.expect("<message from='${bob/desk}' to='${alice}'><body>to all</body></message>").await;
    }
    bob.expect_silence().await;
}

/// §8.5.3.1.
pub(crate) async fn a_full_jid_reaches_one(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let laptop = alice.quiet_device("laptop").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice/laptop}' type='chat'><body>to one</body></message>").await;

    laptop.expect("<message to='${alice/laptop}'><body>to one</body></message>").await;
    phone.expect_silence().await;
}

/// §8.5.3.2.1: what peers' users trip over: only `chat` falls back to the account.
pub(crate) async fn a_normal_message_to_a_missing_resource_goes_nowhere_else(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}/gone' type='chat'><body>chat</body></message>").await;
    phone
        .expect("<message from='${bob/desk}' to='${alice}/gone' type='chat'><body>chat</body></message>")
        .await;
    bob.send("<message to='${alice}/gone' id='n1'><body>normal</body></message>").await;
    bob.expect("<message type='error' id='n1' from='${alice}/gone'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>").await;
    phone.expect_silence().await;
}

/// §8.5.2.1: a device with a negative priority gets only what is addressed to it.
pub(crate) async fn a_negative_priority_gets_nothing_for_the_account(world: &World) {
    let alice = world.user("alice").await;
    let robot = alice.quiet_device("robot").await;
    robot.send("<presence><priority>-1</priority></presence>").await;
    robot.expect("<presence from='${alice/robot}'/>").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}' type='chat'><body>for people</body></message>").await;
    bob.send("<message to='${alice/robot}' type='chat'><body>for the robot</body></message>").await;

    robot.expect("<message><body>for the robot</body></message>").await;
    robot.expect_silence().await;
}

/// §8.5.2.2.1: nobody is there: a headline is dropped in silence.
pub(crate) async fn a_headline_is_not_kept(world: &World) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}' type='headline'><body>news</body></message>").await;
    bob.expect_silence().await;

    let phone = alice.device("phone").await;
    phone.expect_silence().await;
}

/// §8.5.2.1.1, §8.5.2.2.1: a `groupchat` message to an account is answered with an error.
pub(crate) async fn a_groupchat_message_bounces(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}' type='groupchat' id='g1'><body>room?</body></message>").await;

    bob.expect("<message type='error' id='g1' from='${alice}'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>").await;
    phone.expect_silence().await;
}

/// §8.5.1: no such account: messages and requests are answered, presence is not.
pub(crate) async fn nobody_by_that_name_is_an_error(world: &World) {
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='nobody@localhost' type='chat' id='m1'><body>?</body></message>").await;
    bob.expect("<message type='error' id='m1' from='nobody@localhost'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>").await;
    bob.send("<iq to='nobody@localhost' type='get' id='i1'><query xmlns='jabber:iq:version'/></iq>").await;
    bob.expect("<iq type='error' id='i1' from='nobody@localhost'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>").await;
    bob.send("<message to='bob@elsewhere.example' type='chat' id='m2'><body>?</body></message>").await;
    bob.expect("<message type='error' id='m2'><error><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>").await;
    bob.expect_silence().await;
}

/// §8.5.3.2.3, and an answer goes back to who asked.
pub(crate) async fn an_iq_to_a_missing_resource_bounces(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<iq to='${alice}/gone' type='get' id='i1'><query xmlns='jabber:iq:version'/></iq>").await;
    bob.expect("<iq type='error' id='i1' from='${alice}/gone'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>").await;
    bob.send("<iq to='${alice/phone}' type='get' id='i2'><query xmlns='jabber:iq:version'/></iq>").await;
    phone.expect("<iq from='${bob/desk}' to='${alice/phone}' type='get' id='i2'><query xmlns='jabber:iq:version'/></iq>").await;
    phone.send("<iq to='${bob/desk}' type='result' id='i2'><query xmlns='jabber:iq:version'><name>phone</name></query></iq>").await;
    bob.expect("<iq from='${alice/phone}' type='result' id='i2'><query xmlns='jabber:iq:version'><name>phone</name></query></iq>").await;
}

/// RFC 6120 §8.1.2.1.
pub(crate) async fn from_is_stamped(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}' type='chat'><body>none</body></message>").await;
    bob.send("<message to='${alice}' from='${bob}' type='chat'><body>bare</body></message>").await;

    alice.expect("<message from='${bob/desk}'><body>none</body></message>").await;
    alice.expect("<message from='${bob/desk}'><body>bare</body></message>").await;
}

/// RFC 6120 §4.9.3.9.
pub(crate) async fn a_forged_from_ends_the_stream(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}' from='admin@localhost' type='chat'><body>forged</body></message>").await;

    let (error, _) = bob.next().await;
    assert!(error.child("invalid-from").is_some(), "{error}");
    alice.expect_silence().await;
}

/// RFC 6120 §10.1.
pub(crate) async fn order_is_kept(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let batch: String = (0..200)
        .map(|n| format!("<message to='${{alice}}' type='chat'><body>{n}</body></message>"))
        .collect();

    bob.send(&batch).await;

    for n in 0..200 {
        alice.expect(&format!("<message><body>{n}</body></message>")).await;
    }
}
