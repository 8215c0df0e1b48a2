//! RFC 6120 §7.7.2.2 and RFC 6121 §4: sessions of one resource, as contacts see them.

use std::time::Duration;

use starling_testkit::{Connection, Received, World};

use super::subscription::befriend;

/// The one that was there leaves, the one that comes is there.
pub(crate) async fn contacts_see_the_newer_session_only(world: &World) {
    let account = world.user("alice").await;
    let old = account.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    befriend(&old, &bob).await;

    let new = account.quiet_device("phone").await;

    bob.expect("<presence from='${alice/phone}' type='unavailable'/>").await;
    let error = loop {
        let (stanza, _) = old.next().await;
        if stanza.name == "error" {
            break stanza;
        }
    };
    assert!(error.child("conflict").is_some(), "{error}");
    assert_eq!(old.poll(Duration::from_secs(15)).await, Some(Received::StreamEnd));
    new.send("<presence/>").await;
    bob.expect("<presence from='${alice/phone}' type='!'/>").await;
    bob.expect_silence().await;
}

/// Session-log rule 18: one that waits for resumption ends without a word; what it had not acknowledged goes on.
pub(crate) async fn a_waiting_session_gives_way_silently(world: &World) {
    let account = world.user("alice").await;
    let old = account.device("phone").await;
    old.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    let (enabled, _) = old.next().await;
    let previous = enabled.attr("id").unwrap_or_else(|| panic!("{enabled}")).to_owned();
    let bob = world.user("bob").await.device("desk").await;
    befriend(&old, &bob).await;
    old.cut();
    bob.send("<message to='${alice/phone}' type='chat'><body>while away</body></message>").await;
    bob.expect_silence().await;

    let new = account.quiet_device("phone").await;
    bob.expect_silence().await;
    new.send("<presence/>").await;

    let mut bodies = Vec::new();
    while let Some(Received::Element(stanza, _)) = new.poll(Duration::from_millis(700)).await {
        bodies.extend(stanza.child("body").map(|body| body.text.clone()));
    }
    assert_eq!(bodies, ["while away"]);
    bob.expect("<presence from='${alice/phone}' type='!'/>").await;
    let mut connection = Connection::open(world.server().await.plain()).await.unwrap();
    connection.login("localhost", account.jid().split('@').next().unwrap(), "secret").await.unwrap();
    connection.write(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{previous}' h='0'/>")).await.unwrap();
    assert!(connection.element("failed").await.unwrap().child("item-not-found").is_some());
}
