//! XEP-0359 Unique and Stable Stanza IDs: one id for a message, wherever its receiver meets it.

use starling_testkit::{Tree, World};

use crate::mam::query;

/// The ids by `by` on a message, with its other ids passed over.
fn ids(message: &Tree, by: &str) -> Vec<String> {
    let ids =
        message.children.iter().filter(|child| child.ns == "urn:xmpp:sid:0" && child.name == "stanza-id");
    ids.filter(|id| id.attr("by") == Some(by)).map(|id| id.attr("id").unwrap().to_owned()).collect()
}

/// XEP-0313 §3.2: the id that came live is that of the archive, on every copy; the sender and its devices learn it not.
pub(crate) async fn live_and_archive_agree(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let laptop = alice.quiet_device("laptop").await;
    laptop.enable_carbons().await;
    let bob = world.user("bob").await;
    let (desk, tab) = (bob.device("desk").await, bob.quiet_device("tab").await);
    tab.enable_carbons().await;

    desk.send("<message to='${alice/phone}' type='chat'><body>hello</body></message>").await;

    let live = ids(&phone.expect("<message><body>hello</body></message>").await, alice.jid());
    let carbon = laptop.expect("<message><received xmlns='urn:xmpp:carbons:2'/></message>").await;
    let copied = ids(carbon.find(&["received", "forwarded", "message"]).unwrap(), alice.jid());
    assert_eq!((live.len(), &live), (1, &copied));
    assert_eq!(query(&laptop, "").await.ids(), live);
    let sent = tab.expect("<message><sent xmlns='urn:xmpp:carbons:2'/></message>").await;
    let sent = sent.find(&["sent", "forwarded", "message"]).unwrap();
    assert!(ids(sent, alice.jid()).is_empty(), "the id is for the owner of the archive: {sent}");
    assert_eq!(ids(sent, bob.jid()), query(&tab, "").await.ids());
}

/// The same for what waited.
pub(crate) async fn offline_and_archive_agree(world: &World) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send("<message to='${alice}' type='chat'><body>hello</body></message>").await;
    bob.expect_silence().await;
    let phone = alice.device("phone").await;
    let message = phone.expect("<message><body>hello</body></message>").await;
    assert_eq!(ids(&message, alice.jid()), query(&phone, "").await.ids());
}

/// §4: an id that names one of our addresses is deleted, in whatever letters, even where none is added; others stay.
pub(crate) async fn forged_ids_are_stripped(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let bob = world.user("bob").await;
    let desk = bob.quiet_device("desk").await;
    let loud = alice.jid().to_uppercase();
    let forged: String = [alice.jid(), bob.jid(), &loud, "localhost", "LocalHost", "anybody@localhost/x"]
        .iter()
        .map(|by| format!("<stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='{by}'/>"))
        .collect();
    let honest = "<stanza-id xmlns='urn:xmpp:sid:0' id='honest' by='room@rooms.example.org'/>";
    let count = |message: &Tree| message.all("stanza-id").len();

    for (kind, more, own) in [
        ("chat", "", 1),
        ("chat", "<no-store xmlns='urn:xmpp:hints'/>", 0),
        ("headline", "", 0),
        ("error", "", 0),
    ] {
        desk.send(&format!(
            "<message to='${{alice/phone}}' type='{kind}'><body>x</body>{forged}{honest}{more}</message>"
        ))
        .await;
        let message = phone.expect("<message><body>x</body></message>").await;
        assert_eq!(count(&message), own + 1, "{message}");
        assert_eq!(ids(&message, "room@rooms.example.org"), ["honest"]);
        assert!(!message.to_string().contains("forged"), "{message}");
    }
    for archived in [query(&phone, "").await, query(&desk, "").await] {
        assert_eq!(archived.results.len(), 1);
        assert!(!archived.results[0].to_string().contains("forged"), "{}", archived.results[0]);
    }
}

/// §3: what the sender calls it stays on every copy.
pub(crate) async fn an_origin_id_passes(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let content = "<body>x</body><origin-id xmlns='urn:xmpp:sid:0' id='mine'/>";
    bob.send(&format!("<message to='${{alice}}' type='chat'>{content}</message>")).await;
    phone.expect(&format!("<message>{content}<stanza-id xmlns='urn:xmpp:sid:0'/></message>")).await;
    for device in [&phone, &bob] {
        let archived = query(device, "").await;
        let id = archived.results[0].find(&["forwarded", "message", "origin-id"]).unwrap();
        assert_eq!(id.attr("id"), Some("mine"));
    }
}
