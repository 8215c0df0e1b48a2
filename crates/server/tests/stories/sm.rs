//! XEP-0198 Stream Management.

use std::path::Path;
use std::time::{Duration, Instant};

use starling_testkit::{Connection, Device, Received, ServerOptions, Tree, User, World};

/// Enables resumption; the resumption id.
pub(crate) async fn enable(device: &Device<'_>) -> String {
    device.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    let (enabled, _) = device.next().await;
    assert_eq!((enabled.name.as_str(), enabled.attr("resume")), ("enabled", Some("true")), "{enabled}");
    assert!(enabled.attr("max").is_some_and(|max| max.parse::<u32>().unwrap() > 0), "{enabled}");
    enabled.attr("id").unwrap().to_owned()
}

/// A new connection that has signed in and asks to resume; the answer.
pub(crate) async fn resume(world: &World, user: &User<'_>, previous: &str, h: u32) -> (Connection, Tree) {
    let mut connection = Connection::open(world.server().await.plain()).await.unwrap();
    let local = user.jid().split('@').next().unwrap();
    let features = connection.login("localhost", local, "secret").await.unwrap();
    assert!(features.child("sm").is_some(), "{features}");
    connection.write(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{previous}' h='{h}'/>")).await.unwrap();
    match connection.next(Duration::from_secs(15)).await.unwrap() {
        Received::Element(tree, _) => (connection, tree),
        other => panic!("{other:?}"),
    }
}

/// §4: `h` counts stanzas, and only them.
pub(crate) async fn everything_handled_is_counted(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    enable(&phone).await;
    phone.send("<r xmlns='urn:xmpp:sm:3'/>").await;
    assert_eq!(phone.next().await.0.attr("h"), Some("0"));
    phone.send("<message to='${alice}/nowhere' type='headline'/><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    phone.expect("<iq type='result' id='p'/>").await;
    phone.send("<r xmlns='urn:xmpp:sm:3'/>").await;
    loop {
        let (tree, _) = phone.next().await;
        if tree.name == "a" {
            assert_eq!(tree.attr("h"), Some("2"), "{tree}");
            return;
        }
        assert_eq!(tree.name, "r", "{tree}");
    }
}

/// §5: what the client had not handled comes again, once, in order, and only that.
pub(crate) async fn a_cut_session_resumes_where_it_was(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    let id = enable(&phone).await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    for n in 0..3 {
        bob.send(&format!("<message to='${{alice/phone}}' type='chat'><body>{n}</body></message>")).await;
        phone.expect(&format!("<message><body>{n}</body></message>")).await;
    }
    phone.cut();
    for n in 3..5 {
        bob.send(&format!("<message to='${{alice/phone}}' type='chat'><body>{n}</body></message>")).await;
    }
    bob.expect_silence().await;

    let (mut connection, resumed) = resume(world, &alice, &id, 2).await;

    assert_eq!((resumed.name.as_str(), resumed.attr("previd")), ("resumed", Some(id.as_str())), "{resumed}");
    assert_eq!(resumed.attr("h"), Some("0"));
    let mut bodies = Vec::new();
    while bodies.len() < 3 {
        let Received::Element(tree, _) = connection.next(Duration::from_secs(15)).await.unwrap() else {
            panic!("{bodies:?}")
        };
        bodies.extend(tree.child("body").map(|body| body.text.clone()));
    }
    while let Some(Received::Element(tree, _)) = connection.poll(Duration::from_millis(700)).await.unwrap() {
        if let Some(body) = tree.child("body") {
            bodies.push(body.text.clone());
        }
    }
    assert_eq!(bodies, ["2", "3", "4"]);
}

/// P2, for one process: contacts see nothing of it.
pub(crate) async fn a_resumed_session_was_never_away(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    let id = enable(&phone).await;
    let bob = world.user("bob").await.device("desk").await;
    super::subscription::befriend(&phone, &bob).await;
    phone.send("<presence/>").await;
    bob.expect("<presence from='${alice/phone}'/>").await;
    phone.cut();
    bob.expect_silence().await;

    let (_connection, resumed) = resume(world, &alice, &id, 0).await;

    assert_eq!(resumed.name, "resumed", "{resumed}");
    bob.expect_silence().await;
}

/// §5 and security: the id alone opens nothing.
pub(crate) async fn another_account_cannot_resume(world: &World) {
    let phone = world.user("alice").await.quiet_device("phone").await;
    let id = enable(&phone).await;
    phone.cut();
    let mallory = world.user("mallory").await;
    let (_connection, failed) = resume(world, &mallory, &id, 0).await;
    assert_eq!(failed.name, "failed", "{failed}");
    assert!(failed.child("item-not-found").is_some(), "{failed}");
    assert_eq!(failed.attr("h"), None, "{failed}");
}

/// §4: an `h` above what was sent is an error of the client, and says both numbers.
pub(crate) async fn too_high_an_h_is_refused(world: &World) {
    let phone = world.user("alice").await.quiet_device("phone").await;
    enable(&phone).await;
    phone.send("<a xmlns='urn:xmpp:sm:3' h='7'/>").await;
    let (error, _) = phone.next().await;
    let detail = error.child("handled-count-too-high").unwrap_or_else(|| panic!("{error}"));
    assert_eq!((detail.attr("h"), detail.attr("send-count")), (Some("7"), Some("0")), "{error}");
    assert!(error.child("undefined-condition").is_some(), "{error}");
}

/// §5: after `<failed/>` the client may bind.
pub(crate) async fn a_failed_resumption_leaves_the_stream_usable(world: &World) {
    let alice = world.user("alice").await;
    let (mut connection, failed) = resume(world, &alice, "00112233445566778899aabbccddeeff", 0).await;
    assert_eq!(failed.name, "failed", "{failed}");
    let jid = connection.bind("again").await.unwrap();
    assert!(jid.ends_with("/again"), "{jid}");
}

/// Rule 4: the `h` of a session that is over counts what was under way when it ended: its client does not send it again.
pub(crate) async fn what_was_under_way_counts_in_the_last_h(_: &World) {
    let config = "[store]\ncommit-delay = '3s'\n".to_owned();
    let options = ServerOptions { config, data_dir: None };
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap();
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.device("desk").await;
    let phone = alice.quiet_device("phone").await;
    let previous = enable(&phone).await;
    phone.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    phone.expect("<iq type='result' id='p'/>").await;
    phone.send("<message to='${bob/desk}' type='chat'><body>under way</body></message>").await;
    phone.send("<r xmlns='urn:xmpp:sm:3'/>").await;
    assert_eq!(phone.poll(Duration::from_millis(500)).await, None, "it is not stored yet");
    let _newer = alice.quiet_device("phone").await; // the resource is taken: the first session is over

    let (_, failed) = resume(&world, &alice, &previous, 0).await;

    assert_eq!((failed.name.as_str(), failed.attr("h")), ("failed", Some("2")), "{failed}");
    bob.expect("<message from='${alice/phone}'><body>under way</body></message>").await;
}

/// RFC 6120 §10.1: what goes to one account keeps its order; what goes to another does not wait for its store.
pub(crate) async fn what_goes_to_many_is_stored_at_once(_: &World) {
    let config = "[store]\ncommit-delay = '500ms'\n".to_owned();
    let options = ServerOptions { config, data_dir: None };
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap();
    let mut desks = Vec::new();
    for name in ["bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan"] {
        desks.push(world.user(name).await.device("desk").await);
    }
    let phone = world.user("alice").await.quiet_device("phone").await;
    enable(&phone).await;
    phone.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    phone.expect("<iq type='result' id='p'/>").await;
    let to_each = |n| desks.iter().map(move |desk| (desk.jid().to_owned(), n));
    let messages: String = (0..3)
        .flat_map(to_each)
        .map(|(to, n)| format!("<message to='{to}' type='chat'><body>{n}</body></message>"))
        .collect();
    let begun = Instant::now();
    phone.send(&(messages + "<r xmlns='urn:xmpp:sm:3'/>")).await;
    phone.expect("<a xmlns='urn:xmpp:sm:3' h='25'/>").await;
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(3),
        "eight accounts, one after the other, and their sender's: {took:?}"
    );
    for desk in &desks {
        for n in 0..3 {
            desk.expect(&format!("<message from='${{alice/phone}}'><body>{n}</body></message>")).await;
        }
    }
}

/// Rule 16: what one device did not acknowledge goes to the next.
pub(crate) async fn what_was_not_acknowledged_comes_again(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    enable(&phone).await;
    phone.send("<presence/>").await;
    phone.expect("<presence from='${alice/phone}'/>").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    for n in 0..4 {
        bob.send(&format!("<message to='${{alice}}' type='chat'><body>{n}</body></message>")).await;
        phone.expect(&format!("<message><body>{n}</body></message>")).await;
    }
    phone.send("<a xmlns='urn:xmpp:sm:3' h='3'/>").await; // the presence and two messages
    phone.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    phone.expect("<iq type='result' id='p'/>").await;
    phone.close().await; // the session ends: nothing waits for its resumption

    let laptop = alice.device("laptop").await;
    laptop.expect("<message><body>2</body><delay xmlns='urn:xmpp:delay'/></message>").await;
    laptop.expect("<message><body>3</body><delay xmlns='urn:xmpp:delay'/></message>").await;
    laptop.expect_silence().await;
}
