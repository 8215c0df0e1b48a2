//! XEP-0203 Delayed Delivery.

use starling_testkit::World;

/// §2: the time of receipt, by the server's domain; what the sender said of an earlier delay stays.
pub(crate) async fn a_late_message_says_when_it_came(world: &World) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send("<message to='${alice}' type='chat'><body>old</body><delay xmlns='urn:xmpp:delay' from='${bob}' stamp='2020-01-01T00:00:00Z'/></message>").await;
    bob.expect_silence().await;

    let phone = alice.device("phone").await;

    let message = phone.expect("<message><body>old</body></message>").await;
    let delays = message.all("delay");
    assert_eq!(delays.len(), 2, "{message}");
    assert_eq!(delays[0].attr("stamp"), Some("2020-01-01T00:00:00Z"));
    let own = delays[1];
    assert_eq!(own.attr("from"), Some("localhost"), "{message}");
    assert!(own.attr("stamp").is_some_and(|stamp| stamp.ends_with('Z') && stamp > "2026"), "{message}");
}

/// §5: a delay that names the server is not the server's: it is taken out, so there is never more than one of that name.
pub(crate) async fn a_forged_delay_is_taken_out(world: &World) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let forged = "<message to='${alice}' type='chat'><body>old</body><delay xmlns='urn:xmpp:delay' from='localhost' stamp='2020-01-01T00:00:00Z'/></message>";
    bob.send(forged).await;
    bob.expect_silence().await;

    let phone = alice.device("phone").await;
    let message = phone.expect("<message><body>old</body></message>").await;
    let delays = message.all("delay");
    assert!(delays.len() == 1 && delays[0].attr("stamp") > Some("2026"), "{message}");

    bob.send(forged).await;
    let message = phone.expect("<message><body>old</body></message>").await;
    assert!(message.child("delay").is_none(), "it came at once: {message}");
}

/// §2: what came live and was not acknowledged comes again with the time it came first, and the same id.
pub(crate) async fn a_repeat_says_when_it_came_first(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    crate::sm::enable(&phone).await;
    phone.send("<presence/>").await;
    phone.expect("<presence from='${alice/phone}'/>").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send("<message to='${alice}' type='chat'><body>twice</body></message>").await;
    let live = phone.expect("<message><body>twice</body></message>").await;
    assert!(live.child("delay").is_none(), "{live}");
    phone.close().await;

    let laptop = alice.device("laptop").await;
    let again = laptop
        .expect("<message><body>twice</body><delay xmlns='urn:xmpp:delay' from='localhost'/></message>")
        .await;
    assert_eq!(again.child("stanza-id"), live.child("stanza-id"));
    let archived = crate::mam::query(&laptop, "").await.results.remove(0);
    assert_eq!(
        archived.find(&["forwarded", "delay"]).unwrap().attr("stamp"),
        again.child("delay").unwrap().attr("stamp")
    );
}
