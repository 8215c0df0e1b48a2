//! RFC 6120 §7.7.2.2 and RFC 6121 §4: sessions of one resource, as contacts see them.

use std::path::Path;
use std::time::Duration;

use starling_testkit::{Connection, Received, ServerOptions, Tree, World};

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
    let body = |stanza: &Tree| stanza.child("body").map(|body| body.text.clone());
    while bodies.is_empty() {
        bodies.extend(body(&new.next().await.0));
    }
    bodies.extend(new.so_far().await.iter().filter_map(body));
    assert_eq!(bodies, ["while away"]);
    bob.expect("<presence from='${alice/phone}' type='!'/>").await;
    let mut connection = Connection::open(world.server().await.plain()).await.unwrap();
    connection.login("localhost", account.jid().split('@').next().unwrap(), "secret").await.unwrap();
    connection.write(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{previous}' h='0'/>")).await.unwrap();
    assert!(connection.element("failed").await.unwrap().child("item-not-found").is_some());
}

/// A server that gives a session two seconds to come back, and an account two sessions.
async fn impatient() -> World {
    let config = "[im]\nresume-within = \"2s\"\nmax-sessions = 2\n".to_owned();
    let options = ServerOptions { config, ..ServerOptions::default() };
    World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap()
}

/// RFC 6121 §4.5.2: who does not come back in time is gone, once; a request to it is answered at last (RFC 6120 §8.2.3),
/// and a message waits for the next device.
pub(crate) async fn who_does_not_come_back_is_gone(_: &World) {
    let world = impatient().await;
    let account = world.user("alice").await;
    let phone = account.device("phone").await;
    phone.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    assert_eq!(phone.next().await.0.attr("max"), Some("2"));
    let bob = world.user("bob").await.device("desk").await;
    befriend(&phone, &bob).await;

    phone.cut();
    bob.send("<message to='${alice/phone}' type='chat'><body>later</body></message>").await;
    bob.send("<iq to='${alice/phone}' type='get' id='v1'><query xmlns='jabber:iq:version'/></iq>").await;

    bob.expect_all(&[
        "<presence from='${alice/phone}' type='unavailable'/>",
        "<iq from='${alice/phone}' type='error' id='v1'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    ])
    .await;
    bob.expect_silence().await;
    let laptop = account.quiet_device("laptop").await;
    laptop.send("<presence/>").await;
    loop {
        let (stanza, _) = laptop.next().await;
        if let Some(body) = stanza.child("body") {
            assert_eq!(body.text, "later");
            return;
        }
    }
}

/// RFC 6120 §7.6.2.1: an account has so many sessions; a resource that it has already takes no further place.
pub(crate) async fn an_account_has_so_many_sessions(_: &World) {
    let world = impatient().await;
    let account = world.user("alice").await;
    let _one = account.quiet_device("one").await;
    let _two = account.quiet_device("two").await;
    let mut third = Connection::open(world.server().await.plain()).await.unwrap();
    third.login("localhost", account.jid().split('@').next().unwrap(), "secret").await.unwrap();
    third.write("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>three</resource></bind></iq>").await.unwrap();
    let refused = third.element("iq").await.unwrap();
    assert!(refused.find(&["error", "resource-constraint"]).is_some(), "{refused}");
    assert!(third.bind("two").await.unwrap().ends_with("/two"));
}

/// A device that loses its connection again and again, and never resumes, does not lock its user out.
pub(crate) async fn sessions_that_wait_make_room_for_a_new_one(_: &World) {
    let world = impatient().await;
    let account = world.user("alice").await;
    for name in ["one", "two", "three", "four"] {
        let device = account.quiet_device(name).await;
        device.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
        assert_eq!(device.next().await.0.name, "enabled");
        device.cut();
    }
}

/// Rule 18 once more: nobody goes on believing in a session whose place was taken by one that never said it was there.
pub(crate) async fn nobody_is_left_behind_as_available(world: &World) {
    let account = world.user("alice").await;
    let old = account.device("phone").await;
    old.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    assert_eq!(old.next().await.0.name, "enabled");
    let bob = world.user("bob").await.device("desk").await;
    let carol = world.user("carol").await.device("desk").await;
    befriend(&old, &bob).await;
    old.send("<presence to='${carol}'/>").await;
    carol.expect("<presence from='${alice/phone}' type='!'/>").await;
    old.cut();

    let new = account.quiet_device("phone").await;
    for device in [&bob, &carol] {
        device.expect_silence().await;
    }
    new.close().await;

    for device in [&bob, &carol] {
        device.expect("<presence from='${alice/phone}' type='unavailable'/>").await;
        device.expect_silence().await;
    }
}
