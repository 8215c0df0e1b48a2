//! RFC 6120 §7: a session and its resource.

use starling_testkit::{Received, World};

/// §7.7.2.2: the one that was there hears `<conflict/>`, and the new one is undisturbed.
pub(crate) async fn the_newer_session_wins_the_resource(world: &World) {
    let alice = world.user("alice").await;
    let first = alice.quiet_device("phone").await;
    let second = alice.quiet_device("phone").await;
    assert_eq!(first.jid(), second.jid());
    let (error, _) = first.next().await;
    assert!(error.name == "error" && error.child("conflict").is_some(), "{error}");
    assert_eq!(first.poll(std::time::Duration::from_secs(15)).await, Some(Received::StreamEnd));
    second.send("<message to='${alice/phone}' type='chat'><body>still here</body></message>").await;
    second.expect("<message from='${alice/phone}'><body>still here</body></message>").await;
}

/// §7.6: who asks for none gets one that nobody can guess.
pub(crate) async fn the_server_chooses_a_resource(world: &World) {
    let alice = world.user("alice").await;
    let mut chosen = Vec::new();
    for request in [
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>",
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource/></bind>",
    ] {
        let mut connection = super::sasl::guest(world, "plain", 40).await;
        connection.login("localhost", alice.jid().split('@').next().unwrap(), "secret").await.unwrap();
        connection.write(&format!("<iq type='set' id='b'>{request}</iq>")).await.unwrap();
        let bound = connection.element("iq").await.unwrap();
        let jid = bound.find(&["bind", "jid"]).unwrap_or_else(|| panic!("{bound}")).text.clone();
        let (account, resource) = jid.split_once('/').unwrap();
        assert!(account == alice.jid() && resource.len() >= 16, "{jid}");
        chosen.push(jid);
    }
    assert_ne!(chosen[0], chosen[1]);
}

/// §7.7.2.1: what is no resource is a bad request, after which another may be tried; what is one is prepared (RFC 7622 §3.4).
pub(crate) async fn a_resource_must_be_one(world: &World) {
    let alice = world.user("alice").await;
    let mut connection = super::sasl::guest(world, "plain", 40).await;
    connection.login("localhost", alice.jid().split('@').next().unwrap(), "secret").await.unwrap();
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>";
    for wrong in ["x".repeat(1024), "a\u{200e}\u{fdd0}".to_owned()] {
        connection.write(&format!("{bind}{wrong}</resource></bind></iq>")).await.unwrap();
        let answer = connection.element("iq").await.unwrap();
        assert!(answer.find(&["error", "bad-request"]).is_some(), "{answer}");
    }
    connection.write(&format!("{bind}e\u{301}</resource></bind></iq>")).await.unwrap();
    let answer = connection.element("iq").await.unwrap();
    let jid = answer.find(&["bind", "jid"]).unwrap_or_else(|| panic!("{answer}"));
    assert!(jid.text.ends_with("/\u{e9}"), "{answer}");
}

/// One session a stream (RFC 6120 §7.1 knows no second); the session request of RFC 3921 is answered and means nothing.
pub(crate) async fn a_stream_is_bound_once(world: &World) {
    let phone = world.user("alice").await.quiet_device("phone").await;
    let session = "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
    assert_eq!(phone.ask(session).await.attr("type"), Some("result"));
    let again = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind></iq>";
    let answer = phone.ask(again).await;
    assert_eq!(answer.attr("type"), Some("error"), "{answer}");
    phone.expect_silence().await;
}
