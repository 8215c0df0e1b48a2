//! RFC 6121 §4: who is there.

use std::time::Duration;

use starling_testkit::{Received, World};

use super::subscription::befriend;

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
    if let Some(Received::Element(answer, _)) = bob.poll(Duration::from_millis(500)).await {
        assert_eq!(answer.attr("type"), Some("unsubscribed"), "a stranger saw presence: {answer}");
    }
    befriend(&alice, &bob).await;

    bob.send("<presence to='${alice}' type='probe'/>").await;

    bob.expect("<presence from='${alice/phone}' type='!'/>").await;
}
