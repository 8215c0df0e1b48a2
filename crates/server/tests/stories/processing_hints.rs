//! XEP-0334 Message Processing Hints.

use starling_testkit::World;

use crate::mam::query;

fn hinted(to: &str, hint: &str) -> String {
    format!(
        "<message to='{to}' type='chat' id='{hint}'><body>{hint}</body><{hint} xmlns='urn:xmpp:hints'/></message>"
    )
}

/// §4.2: delivered to who is there, in no archive; and who is not there is not waited for, which the sender is told.
pub(crate) async fn no_store_leaves_no_trace(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send(&hinted("${alice}", "no-store")).await;
    let message =
        phone.expect("<message><body>no-store</body><no-store xmlns='urn:xmpp:hints'/></message>").await;
    assert!(message.child("stanza-id").is_none(), "no archive knows it: {message}");
    assert!(query(&phone, "").await.results.is_empty());
    assert!(query(&bob, "").await.results.is_empty());
    phone.close().await;

    bob.send(&hinted("${alice}", "no-store")).await;
    bob.expect("<message type='error' id='no-store'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>").await;
    let phone = alice.device("phone").await;
    phone.expect_silence().await;
}

/// §4.1: it waits for who is not there, but no archive keeps it.
pub(crate) async fn no_permanent_store_waits_but_is_not_archived(world: &World) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send(&hinted("${alice}", "no-permanent-store")).await;
    bob.expect_silence().await;
    let phone = alice.device("phone").await;
    let message = phone
        .expect("<message><body>no-permanent-store</body><delay xmlns='urn:xmpp:delay'/></message>")
        .await;
    assert!(message.child("stanza-id").is_none(), "{message}");
    phone.expect_silence().await;
    assert!(query(&phone, "").await.results.is_empty());
    assert!(query(&bob, "").await.results.is_empty());
    phone.close().await;
    alice.device("phone").await.expect_silence().await;
}

/// §4.3: only to the device that it is addressed to; the sender's other devices neither.
pub(crate) async fn no_copy_is_not_copied(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let laptop = alice.quiet_device("laptop").await;
    laptop.enable_carbons().await;
    let bob = world.user("bob").await;
    let (desk, tab) = (bob.quiet_device("desk").await, bob.quiet_device("tab").await);
    tab.enable_carbons().await;
    desk.send(&hinted("${alice/phone}", "no-copy")).await;
    phone.expect("<message><body>no-copy</body></message>").await;
    laptop.expect_silence().await;
    tab.expect_silence().await;
    assert_eq!(query(&laptop, "").await.bodies(), ["no-copy"], "it is kept all the same");
}

/// §4.4: even what would not be kept otherwise.
pub(crate) async fn store_keeps_what_would_not_be_kept(world: &World) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    for (to, more) in [("plain", ""), ("wanted", "<store xmlns='urn:xmpp:hints'/>")] {
        bob.send(&format!(
            "<message to='${{alice}}' type='chat' id='{to}'><active xmlns='http://jabber.org/protocol/chatstates'/>{more}</message>"
        ))
        .await;
    }
    bob.expect_silence().await;
    let phone = alice.device("phone").await;
    phone
        .expect(
            "<message id='wanted'><store xmlns='urn:xmpp:hints'/><delay xmlns='urn:xmpp:delay'/></message>",
        )
        .await;
    phone.expect_silence().await;
    assert_eq!(query(&phone, "").await.results.len(), 1);
}
