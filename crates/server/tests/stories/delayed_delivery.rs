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
