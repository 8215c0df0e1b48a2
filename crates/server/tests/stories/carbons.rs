//! XEP-0280 Message Carbons.

use starling_testkit::World;

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
